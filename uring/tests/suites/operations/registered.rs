//! Registered buffers.

use std::fs::{self, File};
use std::io::Seek as _;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::thread;

use uring::op::{Read, ReadFixed, RwFlags, Write, WriteFixed};
use uring::{Any, FixedVecs, RawRegisteredBuf, RawTarget, RegisteredBuf, Ring, Slice};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw::call;

/// A ring with `count` buffers of 64 bytes.
fn with_buffers(context: &Context, count: usize) -> TestResult<Ring<Any>> {
    let mut ring = common::ring(context, 8)?;
    ring.register_buffers(vec![vec![0; 64].into(); count])?;
    assert_eq!(ring.registered_bufs(), count);
    Ok(ring)
}

fn buffer(ring: &mut Ring<Any>, index: usize) -> TestResult<RegisteredBuf> {
    Ok(ring.registered_buf(index).ok_or("somebody has it")?)
}

fn file(dir: &TempDir, content: &str) -> TestResult<File> {
    let path = dir.path().join("file");
    fs::write(&path, content)?;
    Ok(File::options().read(true).write(true).open(path)?)
}

pub(crate) fn read_fixed_and_write_fixed(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let mut file = file(&dir, "registered buffers")?;
    let mut ring = with_buffers(context, 2)?;

    let buf = buffer(&mut ring, 1)?;
    let token = ring.push(ReadFixed::new(file.try_clone()?, buf))?;
    assert!(ring.registered_buf(1).is_none(), "it is in flight");
    let read = ring.wait(token)?;
    assert_eq!((read.result?, file.stream_position()?), (18, 18));
    let mut buf = read.buf;
    assert_eq!((buf.index(), &buf[..19]), (1, &b"registered buffers\0"[..]));
    buf[..3].copy_from_slice(b"REG");
    let token = ring.push(WriteFixed::new(file.try_clone()?, Slice::new(buf, ..4)).at(0))?;
    let written = ring.wait(token)?;
    assert_eq!(written.result?, 4);
    drop(written.buf);

    // Parts of one buffer, in flight at the same time, borrowed.
    let (mut front, mut back) = buffer(&mut ring, 1)?.split_at(10);
    ring.scope(|scope| -> std::io::Result<()> {
        let one = scope.push(ReadFixed::new(&file, &mut front).at(0))?;
        let two = scope.push(ReadFixed::new(&file, Slice::new(&mut back, 1..)).at(11))?;
        assert_eq!(scope.wait(two)?.result?, 7);
        assert_eq!(scope.wait(one)?.result?, 10);
        Ok(())
    })?;
    assert_eq!(
        (&front[..], &back[1..8]),
        (&b"REGistered"[..], &b"buffers"[..])
    );
    let append = WriteFixed::new(&file, &front).at(0).flags(RwFlags::APPEND);
    assert_eq!(ring.call(append.stream(0))?.result?, 10);
    assert_eq!(
        fs::read(dir.path().join("file"))?,
        b"REGistered buffersREGistered"
    );
    drop((front, back));

    // It is memory like any other.
    let buf = buffer(&mut ring, 0)?;
    let read = ring.call(Read::new(&file, buf).at(3))?;
    assert_eq!((read.result?, &read.buf[..7]), (25, &b"istered"[..]));
    assert_eq!(
        ring.call(Write::new(&file, &read.buf[..1]).at(0))?.result?,
        1
    );

    let (reader, writer) = pipe()?;
    let refused = ring.call(WriteFixed::new(reader, read.buf))?;
    assert_errno(refused.result, libc::EBADF);
    let refused = ring.call(ReadFixed::new(writer, refused.buf))?;
    assert_errno(refused.result, libc::EBADF);
    assert_eq!(&refused.buf[..7], b"istered");
    raw_registered(&mut ring, &file, refused.buf)
}

fn raw_registered(ring: &mut Ring<Any>, file: &File, mut buf: RegisteredBuf) -> TestResult {
    let start = NonNull::from(&mut buf[1]);
    // SAFETY: file and buffer live to the end of this function, and each completion is waited for.
    let (target, raw, missing, outside) = unsafe {
        (
            RawTarget::descriptor(file.as_raw_fd()),
            RawRegisteredBuf::new(buf.index(), start, 3),
            RawRegisteredBuf::new(9, start, 3),
            RawRegisteredBuf::new(buf.index(), start, 64),
        )
    };
    assert_eq!(
        call(ring, ReadFixed::new(target, raw).at(3), 1)?.result()?,
        3
    );
    assert_eq!(&buf[1..4], b"ist");
    buf[1..4].copy_from_slice(b"RAW");
    assert_eq!(
        call(ring, WriteFixed::new(target, raw).at(3), 2)?.result()?,
        3
    );
    assert_eq!(ring.call(Read::new(file, vec![0; 3]).at(3))?.buf, b"RAW");
    for wrong in [missing, outside] {
        let failed = call(ring, ReadFixed::new(target, wrong).at(0), 3)?;
        assert_eq!(failed.raw_result(), -libc::EFAULT);
    }
    Ok(())
}

pub(crate) const READV_FIXED: Feature = Feature::opcode(uring_sys::IORING_OP_READV_FIXED);

/// Several ranges of one buffer (Linux 6.15).
pub(crate) fn readv_fixed_and_writev_fixed(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir, "one two three")?;
    let mut ring = with_buffers(context, 1)?;
    let ranges = FixedVecs::new(buffer(&mut ring, 0)?, [10..13, 0..4, 60..99]);
    let token = ring.push(ReadFixed::new(file.try_clone()?, ranges).at(0))?;
    let read = ring.wait(token)?;
    assert_eq!(read.result?, 11);
    let mut buf = read.buf.into_inner();
    assert_eq!(
        (&buf[10..13], &buf[..4], &buf[60..]),
        (&b"one"[..], &b" two"[..], &b" thr"[..])
    );
    let back = FixedVecs::new(&mut buf, [0..4, 10..13]);
    assert_eq!(ring.call(WriteFixed::new(&file, back).at(0))?.result?, 7);
    assert_eq!(fs::read(dir.path().join("file"))?, b" twoone three");
    let beyond = FixedVecs::new(Slice::new(buf, 60..), [0..2, 2..9]);
    let refused = ring.call(WriteFixed::new(pipe()?.0, beyond))?;
    assert_errno(refused.result, libc::EBADF);
    assert_eq!(&refused.buf.into_inner().into_inner()[60..], b" thr");
    Ok(())
}

/// The kernel knows of no such operation.
pub(crate) fn readv_fixed_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(READV_FIXED, context, 8)? else {
        return Ok(());
    };
    ring.register_buffers(vec![Box::from(*b"kept")])?;
    let ranges = FixedVecs::new(buffer(&mut ring, 0)?, [0..1, 1..2]);
    let refused = ring.call(WriteFixed::new(std::io::stdout(), ranges))?;
    assert_errno(refused.result, libc::EINVAL);
    assert_eq!(refused.buf.into_inner()[..], *b"kept");
    Ok(())
}

pub(crate) fn registered_buffers(context: &Context) -> TestResult {
    let mut ring = with_buffers(context, 2)?;
    let mut other = with_buffers(context, 1)?;
    let refused = ring.register_buffers(vec![Box::from([7])]);
    let refused = refused.expect_err("it has some");
    assert!(refused.error().to_string().contains("already"), "{refused}");
    assert_eq!(refused.into_inner(), [Box::from([7])]);
    assert!(ring.registered_buf(2).is_none());

    // Another ring's is refused, and comes back.
    let buf = buffer(&mut ring, 0)?;
    let zero = File::open("/dev/zero")?;
    let refused = other.push(ReadFixed::new(zero, buf));
    let refused = refused.expect_err("it is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let token = ring.push(refused.into_inner())?;
    let buf = ring.wait(token)?.buf;
    let null = File::create("/dev/null")?;
    let error = other
        .call(WriteFixed::new(&null, &buf))
        .expect_err("it is of the other ring");
    assert!(error.is_wrong_ring(), "{error}");

    // Given up, it can be had again once the operation is over.
    let (reader, writer) = pipe()?;
    let token = ring.push(ReadFixed::new(reader, buf))?;
    ring.submit()?;
    ring.detach(token);
    assert!(ring.registered_buf(0).is_none(), "it is in flight");
    ring.call(Write::new(&writer, "now"))?.result?;
    while ring.in_flight() > 0 {
        assert!(
            ring.next_completion()?.is_none(),
            "nothing raw is in flight"
        );
        thread::yield_now();
    }
    let buf = buffer(&mut ring, 0)?;
    assert_eq!(&buf[..3], b"now");

    // It outlives its ring, and is of no other then.
    drop(ring);
    assert_eq!(&buf[..3], b"now");
    let refused = other
        .push(WriteFixed::new(null, buf))
        .expect_err("its ring is gone");
    assert!(refused.error().is_wrong_ring(), "{refused}");

    let mut empty = common::ring(context, 2)?;
    assert_eq!(empty.registered_bufs(), 0);
    assert!(empty.registered_buf(0).is_none());
    let refused = empty.register_buffers(vec![Box::from([]), Box::from([1])]);
    let refused = refused.expect_err("one is empty");
    assert_eq!(refused.into_inner().len(), 2);
    assert_eq!(empty.registered_bufs(), 0);
    Ok(())
}
