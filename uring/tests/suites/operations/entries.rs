//! Entries that the program fills in itself, and many of them at once.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use uring::op::{Nop, OpenAt, RawEntry, RawEntry128, Read, Write};
use uring::{Batch, Builder, Chain, EntrySize, Push, RawBuf, RawTarget};
use uring_sys::{IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;

/// A read or write of that memory at the beginning of the file.
///
/// # Safety
///
/// File and memory stay as they are until it has completed.
unsafe fn transfer(opcode: u8, file: &File, bytes: &mut [u8]) -> TestResult<RawEntry> {
    // SAFETY: the caller vouches for what it works on.
    let entry = unsafe { RawEntry::new(opcode) };
    Ok(entry
        .fd(file.as_raw_fd())
        .addr(bytes.as_mut_ptr().expose_provenance().try_into()?)
        .len(bytes.len().try_into()?))
}

pub(crate) fn raw_entry(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let file = File::open("/proc/version")?;
    let mut bytes = [0; 5];
    // SAFETY: both live to the end of this function, and each completion is waited for.
    let read = unsafe { transfer(IORING_OP_READ, &file, &mut bytes) }?;
    // Scoped, owned and raw.
    assert_eq!(ring.call(read)?.result()?, 5);
    assert_eq!(bytes, *b"Linux");
    let token = ring.push(read.off(6).len(3))?;
    assert_eq!(ring.wait(token)?.result()?, 3);
    assert_eq!(bytes, *b"verux");
    ring.push_raw(read, 17)?;
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.ok_or("it was waited for")?;
    assert_eq!((completion.user_data(), completion.result()?), (17, 5));
    // SAFETY: as above.
    let same = unsafe { RawEntry::from_bytes(read.to_bytes()) };
    assert_eq!(ring.call(same)?.result()?, 5);
    // SAFETY: it fails, since the file is not open for writing.
    let write = unsafe { transfer(IORING_OP_WRITE, &file, &mut bytes) }?;
    assert_eq!(ring.call(write)?.raw_result(), -libc::EBADF);

    // Its own flags, and those of the push and of a chain.
    // SAFETY: it works on nothing.
    let nop = unsafe { RawEntry::new(IORING_OP_NOP) };
    assert!(format!("{nop:?}").contains("IORING_OP_NOP"));
    let token = ring.push(nop.personality(9))?;
    assert_eq!(ring.wait(token)?.raw_result(), -libc::EINVAL);
    let token = ring.push_with(nop, Push::new().personality_id(9))?;
    assert_eq!(ring.wait(token)?.raw_result(), -libc::EINVAL);
    let chain = Chain::new(write.flags(uring_sys::IOSQE_ASYNC)).then(nop);
    let (failed, cancelled) = ring.push_chain(chain)?;
    let (failed, cancelled) = ring.wait_all((failed, cancelled))?;
    assert_eq!(failed.raw_result(), -libc::EBADF);
    assert_eq!(cancelled.raw_result(), -libc::ECANCELED);

    // SAFETY: as above.
    let large = unsafe { RawEntry128::new(nop, [0; 64]) };
    let refused = ring.push(large).expect_err("entries are 64 bytes here");
    assert!(refused.to_string().contains("128"), "{refused}");
    Ok(())
}

pub(crate) fn raw_entry_128(context: &Context) -> TestResult {
    let builder = Builder::new(8).entry_size(EntrySize::Large);
    let mut ring = common::build(context, &builder)?;
    // SAFETY: it works on nothing.
    let large = unsafe { RawEntry128::new(RawEntry::new(IORING_OP_NOP), [0x5a; 64]) };
    for _ in 0..20 {
        let token = ring.push(large)?;
        assert_eq!(ring.wait(token)?.raw_result(), 0);
        assert_eq!(ring.call(large)?.raw_result(), 0);
    }
    ring.batch(|batch| -> TestResult {
        batch.push_raw(large, 3)?;
        Ok(batch.push_raw(Nop::new(), 4)?)
    })?;
    ring.submit_and_wait(2)?;
    let mut seen = Vec::new();
    ring.for_each(|completion| seen.push((completion.user_data(), completion.raw_result())))?;
    assert_eq!(seen, [(3, 0), (4, 0)]);
    Ok(())
}

/// Pushes NOPs with these numbers.
fn nops(batch: &mut Batch<'_>, mut numbers: std::ops::Range<u64>) -> TestResult {
    numbers.try_for_each(|number| Ok(batch.push_raw(Nop::new(), number)?))
}

pub(crate) fn batches(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).completion_entries(64))?;
    let (reader, writer) = pipe()?;
    let mut bytes = *b"batch";
    // SAFETY: all live to the end of this function, and each completion is waited for.
    let (read, write, buffer) = unsafe {
        (
            RawTarget::descriptor(reader.as_raw_fd()),
            RawTarget::descriptor(writer.as_raw_fd()),
            RawBuf::new(NonNull::from(&mut bytes).cast(), 5),
        )
    };
    let mut seen = Vec::new();
    // More than fits the queue, so that it is submitted on the way; on from where the ring was, and the ring from there.
    ring.push_raw(Nop::new(), 0)?;
    let owned = ring.push(Nop::new())?;
    ring.batch(|batch| nops(batch, 1..50))?;
    ring.push_raw(Nop::new(), 50)?;
    ring.submit_and_wait(52)?;
    ring.wait(owned)??;
    ring.for_each(|completion| seen.push(completion.user_data()))?;
    assert_eq!(seen, (0..51).collect::<Vec<_>>());

    ring.batch(|batch| -> TestResult {
        batch.push_raw(Write::new(write, buffer), 60)?;
        batch.push_raw_with(Nop::new(), 61, Push::new().drain())?;
        batch.push_raw_with(Read::new(read, buffer), 62, Push::new().drain())?;
        for taken in [1 << 63, u64::MAX] {
            let refused = batch.push_raw(Nop::new(), taken);
            let refused = refused.expect_err("the bit is the ring's own");
            assert!(refused.to_string().contains("top bit"), "{refused}");
        }
        Ok(())
    })?;
    assert_eq!(ring.pending(), 3);
    ring.submit_and_wait(3)?;
    seen.clear();
    ring.for_each(|completion| {
        assert!(completion.raw_result() >= 0, "{completion:?}");
        seen.push(completion.user_data());
    })?;
    assert_eq!(seen, [60, 61, 62]);

    // What was pushed before a panic is pushed.
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        ring.batch(|batch| {
            nops(batch, 70..73).expect("there is room");
            panic!("in the middle");
        })
    }));
    let payload: Box<dyn std::any::Any + Send> = match unwound {
        Err(payload) => payload,
        Ok(never) => never,
    };
    assert!(payload.is::<&str>());
    assert_eq!(ring.pending(), 3);
    ring.submit_and_wait(3)?;
    assert_eq!(ring.for_each(drop)?, 3);

    // Nothing pushed, and a queue that was full before.
    ring.batch(|_| ());
    for number in 0..8 {
        ring.push_raw(Nop::new(), number)?;
    }
    ring.batch(|batch| nops(batch, 8..10))?;
    ring.submit_and_wait(10)?;
    assert_eq!(ring.for_each(drop)?, 10);
    // SAFETY: the path is static, and the descriptor is closed below.
    let path = unsafe { uring::RawPath::new(c"/dev/null".as_ptr()) };
    ring.batch(|batch| {
        batch
            .push_raw(OpenAt::new(path), 80)
            .map_err(uring::Error::from)
    })?;
    ring.submit_and_wait(1)?;
    let opened = ring.next_completion()?.ok_or("it was waited for")?;
    let number = i32::try_from(opened.result()?)?;
    // SAFETY: the kernel has just opened it for us.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) });
    Ok(())
}
