//! Reads and writes of several buffers, of parts of buffers, and with flags.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use uring::op::{Checks, Protected, Read, ReadV, RwFlags, Transferred, Write, WriteV};
use uring::{Any, Buf, Error, IoVecs, RawIoVecs, RawTarget, Ring, Slice};
use uring_testkit::files::{TempDir, pipe, socketpair};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw::call;
use crate::operations::raw_forms;

/// A file of that content, open for reading and writing.
fn file(dir: &TempDir, content: &str) -> TestResult<File> {
    let path = dir.path().join("file");
    fs::write(&path, content)?;
    Ok(File::options().read(true).write(true).open(path)?)
}

fn content(dir: &TempDir) -> TestResult<String> {
    Ok(fs::read_to_string(dir.path().join("file"))?)
}

pub(crate) fn readv_and_writev(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let mut file = file(&dir, "")?;
    let mut ring = common::ring(context, 8)?;

    let pieces = IoVecs::from(vec![b"one ".to_vec(), Vec::new(), b"two".to_vec()]);
    let token = ring.push(WriteV::new(file.try_clone()?, pieces))?;
    let written = ring.wait(token)?;
    assert_eq!((written.result?, file.stream_position()?), (7, 7));
    // The array is filled in anew for the next operation.
    let again = ring.call(WriteV::new(&file, written.buf).at(7))?;
    assert_eq!(again.result?, 7);
    assert_eq!(again.buf.bufs()[0], b"one ");
    assert_eq!(file.stream_position()?, 7);
    assert_eq!(content(&dir)?, "one twoone two");

    let room = IoVecs::from(vec![Vec::with_capacity(5), vec![9; 4], vec![9; 100]]);
    let token = ring.push(ReadV::new(file.try_clone()?, room).at(0))?;
    let read = ring.wait(token)?;
    assert_eq!(read.result?, 14);
    let bufs = read.buf.into_bufs();
    let capacity = bufs[0].capacity();
    assert_eq!(bufs[0], &b"one twoone two"[..capacity]);
    assert_eq!(bufs.concat(), b"one twoone two");
    // Buffers that nothing came to are empty.
    let room = IoVecs::from(vec![vec![9; 20], vec![9; 20]]);
    let read = ring.call(ReadV::new(&file, room).at(11))?;
    assert_eq!(read.result?, 3);
    assert_eq!(read.buf.into_bufs(), [&b"two"[..], b""]);

    let (mut first, mut second) = ([0; 3], [0; 4]);
    let mut into = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    ring.scope(|scope| -> std::io::Result<()> {
        let from = [IoSlice::new(b"TWO"), IoSlice::new(b" ")];
        let token = scope.push(ReadV::new(&file, &mut into[..]).at(0))?;
        assert_eq!(scope.wait(token)?.result?, 7);
        scope.scope(|scope| {
            let token = scope.push(WriteV::new(&file, &from[..]).at(4))?;
            assert_eq!(scope.wait(token)?.result?, 4);
            Ok(())
        })
    })?;
    assert_eq!((&first, &second), (b"one", b" two"));
    assert_eq!(content(&dir)?, "one TWO ne two");

    let (reader, writer) = pipe()?;
    let refused = ring.call(WriteV::new(reader, IoVecs::from(vec!["kept"])))?;
    assert_errno(refused.result, libc::EBADF);
    assert_eq!(refused.buf.bufs(), ["kept"]);
    let refused = ring.call(ReadV::new(writer, IoVecs::from(vec![vec![1; 2]])))?;
    assert_errno(refused.result, libc::EBADF);
    assert_eq!(refused.buf.into_bufs(), [[1; 2]]);
    let many = IoVecs::from(vec![""; 1025]);
    assert_errno(
        ring.call(WriteV::new(&file, many).at(0))?.result,
        libc::EINVAL,
    );
    raw_vectors(&mut ring, &file)
}

fn raw_vectors(ring: &mut Ring<Any>, file: &File) -> TestResult {
    let mut bytes = *b"raw vectors";
    let vector = |bytes: &mut [u8]| libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let (front, back) = bytes.split_at_mut(3);
    let mut vectors = [vector(back), vector(front)];
    // SAFETY: array, memory and file live to the end of this function, and each completion is waited for.
    let (target, vectors) = unsafe {
        let start = NonNull::from(&mut vectors).cast();
        let target = RawTarget::descriptor(file.as_raw_fd());
        (target, RawIoVecs::new(start, 2))
    };
    let written = call(ring, WriteV::new(target, vectors).at(0), 1)?;
    assert_eq!(written.result()?, 11);
    let read = ring.call(Read::new(file, vec![0; 11]).at(0))?;
    assert_eq!(read.buf, b" vectorsraw");
    assert_eq!(
        ring.call(Write::new(file, "ABCDEFGHIJK").at(0))?.result?,
        11
    );
    let read = call(ring, ReadV::new(target, vectors).at(0), 2)?;
    assert_eq!(read.result()?, 11);
    assert_eq!(bytes, *b"IJKABCDEFGH");
    Ok(())
}

/// Writes a buffer to the end of a file.
fn append(ring: &mut Ring<Any>, file: &File, buf: impl Buf + 'static) -> TestResult {
    let (end, len) = (file.metadata()?.len(), buf.len());
    let token = ring.push(Write::new(file.try_clone()?, buf).at(end))?;
    assert_eq!(ring.wait(token)?.result?, len);
    Ok(())
}

/// Every kind of memory that an operation reads from.
pub(crate) fn kinds_of_buffers(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir, "")?;
    let mut ring = common::ring(context, 8)?;
    append(&mut ring, &file, String::from("a"))?;
    append(&mut ring, &file, Box::<str>::from("b"))?;
    append(&mut ring, &file, Arc::<str>::from("c"))?;
    append(&mut ring, &file, Rc::<str>::from("d"))?;
    append(&mut ring, &file, Cow::Borrowed("e"))?;
    append(&mut ring, &file, Cow::<str>::Owned("f".into()))?;
    append(&mut ring, &file, "g")?;
    append(&mut ring, &file, b"h".to_vec())?;
    append(&mut ring, &file, Box::<[u8]>::from(*b"i"))?;
    append(&mut ring, &file, Box::new(*b"j"))?;
    append(&mut ring, &file, Arc::<[u8]>::from(*b"k"))?;
    append(&mut ring, &file, Rc::<[u8]>::from(*b"l"))?;
    append(&mut ring, &file, Cow::<[u8]>::Owned(b"m".to_vec()))?;
    append(&mut ring, &file, &b"n"[..])?;
    append(&mut ring, &file, b"o")?;
    append(&mut ring, &file, Slice::new(String::from("(pq)"), 1..=2))?;
    assert_eq!(content(&dir)?, "abcdefghijklmnopq");

    // And that it writes to.
    let read = ring.call(Read::new(&file, Box::new([0; 4])).at(1))?;
    assert_eq!((read.result?, *read.buf), (4, *b"bcde"));
    let mut array = [0; 3];
    ring.call(Read::new(&file, &mut array).at(2))?.result?;
    assert_eq!(array, *b"cde");
    assert_eq!(ring.call(Write::new(&file, &mut array).at(14))?.result?, 3);
    let mut vec = Vec::with_capacity(2);
    ring.call(Read::new(&file, &mut vec).limit(2).at(14))?
        .result?;
    assert_eq!(vec, b"cd");
    let room = Box::<[u8]>::new_uninit_slice(4);
    let token = ring.push(Read::new(file.try_clone()?, room).at(15))?;
    let read = ring.wait(token)?;
    assert_eq!(read.result?, 2);
    // SAFETY: so many were read.
    let filled = [0, 1].map(|byte: usize| unsafe { read.buf[byte].assume_init() });
    assert_eq!(filled, *b"de");
    let mut room = [const { MaybeUninit::uninit() }; 4];
    ring.call(Read::new(&file, &mut room).at(0))?.result?;
    // SAFETY: all of it was read.
    assert_eq!(room.map(|byte| unsafe { byte.assume_init() }), *b"abcd");
    parts_of_buffers(&mut ring, &file)
}

/// A vector grows to what was read into a part of it, and is not made shorter; no byte of it comes from nowhere.
fn parts_of_buffers(ring: &mut Ring<Any>, file: &File) -> TestResult {
    let token = ring.push(Read::new(file.try_clone()?, Slice::new(vec![b'-'; 6], 2..4)).at(0))?;
    let read = ring.wait(token)?;
    assert_eq!(
        (read.result?, &read.buf.into_inner()[..]),
        (2, &b"--ab--"[..])
    );
    let mut vec = Vec::with_capacity(64);
    vec.extend(*b"xy");
    let read = ring.call(Read::new(file, Slice::new(vec, 4..7)).at(0))?;
    assert_eq!(
        (read.result?, read.buf.get_ref().as_slice()),
        (3, &b"xy\0\0abc"[..])
    );
    let read = ring.call(Read::new(file, Slice::new(read.buf, 6..)).at(99))?;
    assert_eq!(read.result?, 0);
    assert_eq!(read.buf.into_inner().into_inner(), b"xy\0\0abc");
    let pieces = vec![
        Slice::new(vec![b'-'; 4], 1..3),
        Slice::new(vec![b'-'; 4], ..2),
    ];
    let read = ring.call(ReadV::new(file, IoVecs::from(pieces)).at(0))?;
    assert_eq!(read.result?, 4);
    let bufs = read.buf.into_bufs().into_iter().map(Slice::into_inner);
    assert_eq!(bufs.collect::<Vec<_>>(), [b"-ab-", b"cd--"]);
    Ok(())
}

/// What an operation failed with.
fn errno<T, B>(done: Result<Transferred<T, B>, Error>) -> i32 {
    let failed = done.map(|done| done.result.err().and_then(|error| error.raw_os_error()));
    failed.ok().flatten().unwrap_or(0)
}

/// What `body` gives, and how many times `SIGPIPE` came meanwhile.
fn counting_signals(body: impl FnOnce() -> i32) -> (i32, u32) {
    static CAME: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        CAME.fetch_add(1, Ordering::Relaxed);
    }
    CAME.store(0, Ordering::Relaxed);
    let handler = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing but count.
    let before = unsafe { libc::signal(libc::SIGPIPE, handler) };
    let done = body();
    // SAFETY: what was there before.
    unsafe { libc::signal(libc::SIGPIPE, before) };
    (done, CAME.load(Ordering::Relaxed))
}

pub(crate) fn flags(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir, "start")?;
    let mut ring = common::ring(context, 8)?;
    // Of sockets, since Linux 6.5.
    let refusal = if context.has(Feature::NO_MMAP) {
        libc::EAGAIN
    } else {
        libc::EOPNOTSUPP
    };
    let (reader, _writer) = socketpair()?;
    let wait = ring.call(Read::new(&reader, vec![0; 4]).flags(RwFlags::NOWAIT))?;
    assert_errno(wait.result, refusal);
    let room = IoVecs::from(vec![vec![0; 4]]);
    let wait = ring.call(ReadV::new(&reader, room).flags(RwFlags::NOWAIT))?;
    assert_errno(wait.result, refusal);
    // What is there already is there without waiting.
    let cached = Read::new(&file, vec![0; 4]).at(1).flags(RwFlags::NOWAIT);
    assert_eq!(ring.call(cached)?.buf, b"tart");

    let append = Write::new(&file, "+1")
        .at(0)
        .flags(RwFlags::APPEND | RwFlags::DSYNC);
    assert_eq!(ring.call(append)?.result?, 2);
    let append = WriteV::new(&file, IoVecs::from(vec!["+", "2"]))
        .at(0)
        .flags(RwFlags::APPEND | RwFlags::SYNC);
    assert_eq!(ring.call(append)?.result?, 2);
    assert_eq!(content(&dir)?, "start+1+2");

    let appending = File::options().append(true).open(dir.path().join("file"))?;
    let elsewhere = Write::new(&appending, "S").at(0).flags(RwFlags::NOAPPEND);
    let done = ring.call(elsewhere)?;
    if context.has(Feature::opcode(uring_sys::IORING_OP_FTRUNCATE)) {
        assert_eq!(done.result?, 1);
        assert_eq!(content(&dir)?, "Start+1+2");
    } else {
        assert_errno(done.result, libc::EOPNOTSUPP);
    }

    let (reader, writer) = pipe()?;
    drop(reader);
    let silent = Write::new(&writer, "nobody reads").flags(RwFlags::NOSIGNAL);
    let is_known = context.has(Feature::CQE_MIXED);
    let expected = if is_known {
        libc::EPIPE
    } else {
        libc::EOPNOTSUPP
    };
    assert_eq!(counting_signals(|| errno(ring.call(silent))), (expected, 0));
    // Older kernels give a write to a pipe to a worker thread, which gets the signal.
    if is_known {
        let signal = Write::new(&writer, "nobody reads");
        let signalled = counting_signals(|| errno(ring.call(signal)));
        assert_eq!(signalled, (libc::EPIPE, 1));
    }

    let polled = Read::new(&file, vec![0; 1]).at(0).flags(RwFlags::HIPRI);
    assert_errno(ring.call(polled)?.result, libc::EINVAL);
    let atomic = Write::new(&file, "A").at(0).flags(RwFlags::ATOMIC);
    let atomic = ring.call(atomic)?.result.expect_err("not without O_DIRECT");
    assert!(
        matches!(atomic.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)),
        "{atomic}"
    );
    let unknown = Write::new(&file, "?")
        .at(0)
        .flags(RwFlags::from_bits_retain(1 << 30));
    assert_errno(ring.call(unknown)?.result, libc::EOPNOTSUPP);
    // A file has no streams, and does not look at the number.
    assert_eq!(
        ring.call(Write::new(&file, "s").at(0).stream(1))?.result?,
        1
    );
    let streamed = WriteV::new(&file, IoVecs::from(vec!["s"])).at(0).stream(1);
    assert_eq!(ring.call(streamed)?.result?, 1);
    Ok(())
}

/// Of a file that keeps no protection information (Linux 6.14).
pub(crate) fn protected(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir, "unprotected")?;
    let mut ring = common::ring(context, 8)?;
    let write = Write::new(file.try_clone()?, b"written".to_vec()).at(0);
    let protected = Protected::writing(write, vec![5; 8]).checks(Checks::GUARD);
    let token = ring.push(protected)?;
    let done = ring.wait(token)?;
    assert_errno(done.output.result, libc::EINVAL);
    assert_eq!(
        (done.output.buf, done.metadata),
        (b"written".to_vec(), vec![5; 8])
    );
    let read = Read::new(&file, vec![6; 4]).at(0);
    let done = ring.call(
        Protected::reading(read, Box::new([7; 8]))
            .seed(1)
            .app_tag(2),
    )?;
    assert_errno(done.output.result, libc::EINVAL);
    assert_eq!((done.output.buf, *done.metadata), (vec![6; 4], [7; 8]));
    let raw = raw_forms::protected(&mut ring, &file, &mut [1; 4], &mut [2; 8], 0)?;
    assert_eq!(raw, [-libc::EINVAL; 2]);
    assert_eq!(content(&dir)?, "unprotected");
    Ok(())
}

/// An older kernel does not look at the attributes.
pub(crate) fn protected_unknown(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(RW_ATTR, context, 8)? else {
        return Ok(());
    };
    let dir = TempDir::new()?;
    let file = file(&dir, "unprotected")?;
    let read = Protected::reading(Read::new(&file, vec![0; 4]), vec![7; 8]);
    let done = ring.call(read)?;
    assert_eq!(done.output.buf, b"unpr");
    assert_eq!(done.metadata, [7; 8]);
    Ok(())
}

pub(crate) const RW_ATTR: Feature = Feature::ring(uring_sys::IORING_FEAT_RW_ATTR);
