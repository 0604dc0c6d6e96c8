//! Reads and writes whose completion is polled for, and such as go past the page cache.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};

use uring::op::{Checks, Protected, Read, ReadFixed, ReadV, RwFlags, Write, WriteFixed, WriteV};
use uring::{Any, Builder, FixedVecs, Polling, RegisteredBuf, Ring, Slice};
use uring_testkit::fixtures::Nvme;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw_forms;

const BLOCK: usize = 4096;

/// A block of memory as such devices want it.
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// The blocks of a registered buffer, which has room for one more so that they can begin at a block.
fn blocks(buf: RegisteredBuf, count: usize) -> Slice<RegisteredBuf> {
    let start = buf.as_ptr().align_offset(BLOCK);
    Slice::new(buf, start..start + count * BLOCK)
}

pub(crate) fn polled(context: &Context) -> TestResult {
    let device = Nvme::open()?;
    assert!(device.has_poll_queues()?);
    let mut ring = common::build(context, &Builder::new(8).polling(Polling::Busy))?;
    through(context, &mut ring, device.file())?;
    if context.has(Feature::HYBRID_IOPOLL) {
        let hybrid = Builder::new(8).polling(Polling::Hybrid);
        through(
            context,
            &mut common::build(context, &hybrid)?,
            device.file(),
        )?;
    }
    Ok(())
}

pub(crate) fn past_the_page_cache(context: &Context) -> TestResult {
    let device = Nvme::open()?;
    let mut ring = common::ring(context, 8)?;
    through(context, &mut ring, device.file())?;
    // The device has no streams.
    let block = Block([1; BLOCK]);
    let streamed = ring.call(Write::new(device.file(), &block.0).at(0).stream(200))?;
    if context.has(Feature::opcode(uring_sys::IORING_OP_PIPE)) {
        assert_errno(streamed.result, libc::EINVAL);
    } else {
        assert_eq!(streamed.result?, BLOCK);
    }
    let odd = ring.call(Read::new(device.file(), vec![0; 100]).at(1))?;
    assert_errno(odd.result, libc::EINVAL);
    let atomic = Write::new(device.file(), &block.0)
        .at(0)
        .flags(RwFlags::ATOMIC);
    // What the device has is the machine's matter; older kernels know no such flag.
    match ring.call(atomic)?.result {
        Ok(written) => assert_eq!(written, BLOCK),
        Err(error) => assert!(
            matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)),
            "{error}"
        ),
    }
    Ok(())
}

fn through(context: &Context, ring: &mut Ring<Any>, file: &File) -> TestResult {
    let mut block = Block([b'a'; BLOCK]);
    assert_eq!(ring.call(Write::new(file, &block.0).at(0))?.result?, BLOCK);
    let other = Block([b'b'; BLOCK]);
    let both = [IoSlice::new(&other.0), IoSlice::new(&block.0)];
    let dsync = WriteV::new(file, &both[..]).at(4096).flags(RwFlags::DSYNC);
    assert_eq!(ring.call(dsync)?.result?, 2 * BLOCK);
    let read = ring.call(Read::new(file, &mut block.0).at(4096))?;
    assert_eq!(read.result?, BLOCK);
    assert_eq!(block.0, [b'b'; BLOCK]);
    let mut last = Block([0; BLOCK]);
    let mut into = [IoSliceMut::new(&mut block.0), IoSliceMut::new(&mut last.0)];
    let read = ring.call(ReadV::new(file, &mut into[..]).at(0))?;
    assert_eq!(read.result?, 2 * BLOCK);
    assert_eq!((block.0, last.0), ([b'a'; BLOCK], [b'b'; BLOCK]));

    ring.register_buffers(vec![vec![b'c'; 3 * BLOCK].into()])?;
    let buf = blocks(ring.registered_buf(0).ok_or("nobody has it")?, 1);
    let token = ring.push(WriteFixed::new(file.try_clone()?, buf).at(8192))?;
    let written = ring.wait(token)?;
    assert_eq!(written.result?, BLOCK);
    let mut buf = written.buf.into_inner();
    buf.fill(0);
    let token = ring.push(ReadFixed::new(file.try_clone()?, blocks(buf, 2)).at(4096))?;
    let read = ring.wait(token)?;
    assert_eq!(read.result?, 2 * BLOCK);
    let buf = read.buf.into_inner();
    let start = buf.as_ptr().align_offset(BLOCK);
    let (first, second) = (start, start + BLOCK);
    assert!(buf[first..second].iter().all(|byte| *byte == b'b'));
    assert!(buf[second..second + BLOCK].iter().all(|byte| *byte == b'c'));

    if context.has(Feature::opcode(uring_sys::IORING_OP_READV_FIXED)) {
        let ranges = [second..second + BLOCK, first..second];
        let written = WriteFixed::new(file, FixedVecs::new(buf, ranges.clone())).at(0);
        let written = ring.call(written)?;
        assert_eq!(written.result?, 2 * BLOCK);
        let mut buf = written.buf.into_inner();
        buf.fill(0);
        let read = ring.call(ReadFixed::new(file, FixedVecs::new(buf, ranges)).at(0))?;
        assert_eq!(read.result?, 2 * BLOCK);
        assert_eq!((read.buf.into_inner()[first], block.0[0]), (b'b', b'a'));
    }
    Ok(())
}

/// What a device of type 1 keeps beside a block of 512 bytes: checksum, application tag, reference tag.
fn protection(block: &[u8], reference: u32) -> Vec<u8> {
    const POLYNOMIAL: u16 = 0x8bb7;
    let shift = |crc: u16| match crc & 0x8000 {
        0 => crc << 1,
        _ => (crc << 1) ^ POLYNOMIAL,
    };
    let guard = block.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| shift(crc))
    });
    [&guard.to_be_bytes()[..], &[0, 7], &reference.to_be_bytes()].concat()
}

/// A device checks what it is given, and gives back what it has been given.
pub(crate) fn protected(context: &Context) -> TestResult {
    let device = Nvme::open_protected()?;
    let block = Block([b'p'; BLOCK]);
    let block = &block.0[..512];
    let mut ring = common::ring(context, 8)?;
    let write = |protection: Vec<u8>| {
        let write = Write::new(device.file(), block).at(3 * 512);
        Protected::writing(write, protection)
            .checks(Checks::GUARD | Checks::REFERENCE)
            .seed(3)
    };
    let right = protection(block, 3);
    let written = ring.call(write(right.clone()))?;
    assert_eq!((written.output.result?, &written.metadata), (512, &right));
    let mut wrong = right.clone();
    wrong[0] ^= 1;
    let refused = ring.call(write(wrong))?;
    assert_errno(refused.output.result, libc::EILSEQ);
    let refused = ring.call(write(protection(block, 4)))?;
    assert_errno(refused.output.result, libc::EILSEQ);

    let mut read = |checks, seed, tag| -> io::Result<_> {
        let mut into = Block([0; BLOCK]);
        let read = Read::new(device.file(), &mut into.0[..512]).at(3 * 512);
        let read = Protected::reading(read, vec![0; 8]).checks(checks);
        let done = ring.call(read.seed(seed).app_tag(tag))?;
        assert_eq!(done.output.result?, 512);
        assert_eq!(done.output.buf, block);
        Ok(done.metadata)
    };
    assert_eq!(read(Checks::all(), 3, 7)?, right);
    // In memory the tags count from the seed.
    assert_eq!(read(Checks::REFERENCE, 5, 0)?, protection(block, 5));
    assert_errno(read(Checks::APPLICATION, 3, 8), libc::EILSEQ);

    let mut again = Block([b'q'; BLOCK]);
    let again = &mut again.0[..512];
    let right = protection(again, 3);
    for (flaw, written) in [(0, 512), (1, -libc::EILSEQ)] {
        let mut bytes = right.clone();
        bytes[0] ^= flaw;
        let file = device.file();
        let results = raw_forms::protected(&mut ring, file, again, &mut bytes, 3)?;
        assert_eq!((results, &bytes), ([written, 512], &right));
    }
    Ok(())
}
