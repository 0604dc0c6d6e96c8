//! Buffers that the kernel chooses.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;

use uring::op::{
    Cancel, EndReason, Nop, ProvideBuffers, ReadMultishot, ReadSelected, RemoveBuffers, Write,
};
use uring::{Any, BufferRing, RawBufferGroup, RawTarget, Ring};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::common::child::Child;
use crate::operations::files::{assert_cancelled, assert_errno};

pub(crate) fn buffer_ring(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fs::write(&path, "0123456789abcdef")?;
    let file = File::open(&path)?;
    let buffers = ring.buffer_ring(2, 8)?;

    let token = ring.push(ReadSelected::new(file.try_clone()?, buffers.clone()))?;
    let first = ring.wait(token)?.result?;
    let second = ring.scope(|scope| -> TestResult<_> {
        let token = scope.push(ReadSelected::new(&file, &buffers).at(8).limit(3))?;
        Ok(scope.wait(token)?.result?)
    })?;
    assert_eq!((&first[..], &second[..]), (&b"01234567"[..], &b"89a"[..]));
    assert_ne!(first.buffer_id(), second.buffer_id());
    let none_left = ring.call(ReadSelected::new(&file, &buffers).at(0))?;
    assert_errno(none_left.result, libc::ENOBUFS);
    drop(first);
    let mut third = ring
        .call(ReadSelected::new(&file, &buffers).at(4))?
        .result?;
    assert_eq!(&third[..], b"456789ab");
    third[..2].copy_from_slice(b"45");
    assert_eq!(&second[..], b"89a");

    // A lease is a buffer like others.
    let (reader, writer) = pipe()?;
    let written = ring.call(Write::new(&writer, second))?;
    assert_eq!(written.result?, 3);
    drop((written.buf, third));
    let piped = ring.call(ReadSelected::new(&reader, &buffers))?.result?;
    assert_eq!(&piped[..], b"89a");
    drop(piped);
    assert!(
        ring.call(ReadSelected::new(&file, &buffers).at(16))?
            .result?
            .is_empty()
    );
    let failed = ring.call(ReadSelected::new(&writer, &buffers))?;
    assert_errno(failed.result, libc::EBADF);
    all_are_there(&mut ring, &file, &buffers)?;
    the_kernel_counts(context, &mut ring, &file, &buffers)?;

    // SAFETY: file and group live to the end of this function, and the completion is waited for.
    let (target, group) = unsafe {
        (
            RawTarget::descriptor(file.as_raw_fd()),
            RawBufferGroup::new(buffers.group_id()),
        )
    };
    ring.push_raw(ReadSelected::new(target, group).at(1), 7)?;
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.ok_or("it was waited for")?;
    // SAFETY: the completion of the read on this group, the first time.
    let lease = unsafe { buffers.lease(completion) };
    assert_eq!(&lease[..], b"12345678");
    drop(lease);
    all_are_there(&mut ring, &file, &buffers)?;

    for (count, size) in [(3, 8), (0, 8), (2, 0)] {
        let error = ring.buffer_ring(count, size).expect_err("no such group");
        assert!(error.is_invalid_request(), "{error}");
    }
    Ok(())
}

/// Each buffer of the group can be had, and holds what was read into it, for as long as it is held.
fn all_are_there(ring: &mut Ring<Any>, file: &File, buffers: &BufferRing) -> TestResult {
    let mut leases = Vec::new();
    for index in 0..u64::from(buffers.count()) {
        leases.push(
            ring.call(ReadSelected::new(file, buffers).at(index))?
                .result?,
        );
    }
    let more = ring.call(ReadSelected::new(file, buffers))?;
    assert_errno(more.result, libc::ENOBUFS);
    for (lease, first) in leases.iter().zip(b'0'..) {
        assert_eq!((lease[0], lease.len()), (first, 8));
    }
    Ok(())
}

fn the_kernel_counts(
    context: &Context,
    ring: &mut Ring<Any>,
    file: &File,
    buffers: &BufferRing,
) -> TestResult {
    let status = Feature::register(uring_sys::IORING_REGISTER_PBUF_STATUS);
    if !context.has(status) {
        let error = ring
            .buffer_ring_head(buffers)
            .expect_err("there is no such call");
        assert!(error.is_unsupported(), "{error}");
        return Ok(());
    }
    let before = ring.buffer_ring_head(buffers)?;
    assert!(
        !ring
            .call(ReadSelected::new(file, buffers).at(0))?
            .result?
            .is_empty()
    );
    assert_eq!(ring.buffer_ring_head(buffers)?, before.wrapping_add(1));
    let other = common::ring(context, 4)?;
    let error = other
        .buffer_ring_head(buffers)
        .expect_err("it is another's");
    assert!(error.is_wrong_ring(), "{error}");
    Ok(())
}

pub(crate) fn buffer_ring_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(Feature::BUFFER_RING, context, 4)? else {
        return Ok(());
    };
    let error = ring.buffer_ring(2, 8).expect_err("the kernel has none");
    assert!(error.is_unsupported(), "{error}");
    ring.call(Nop::new())??;
    Ok(())
}

/// A group outlives what uses it, in whatever order things end, and ends when nothing does.
pub(crate) fn buffer_ring_lifetime(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let mut other = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let buffers = ring.buffer_ring(4, 16)?;
    let id = buffers.group_id();
    let refused = other.push(ReadSelected::new(reader.try_clone()?, buffers.clone()));
    let error = refused.expect_err("it is another's");
    assert!(error.error().is_wrong_ring(), "{error}");
    drop(error);

    // The operation alone keeps it, and then the lease alone.
    let token = ring.push(ReadSelected::new(reader.try_clone()?, buffers))?;
    ring.submit()?;
    assert_ne!(ring.buffer_ring(1, 1)?.group_id(), id);
    ring.call(Write::new(&writer, "kept"))?.result?;
    let lease = ring.wait(token)?.result?;
    assert_ne!(ring.buffer_ring(1, 1)?.group_id(), id);
    assert_eq!(&lease[..], b"kept");
    let child = Child::run(|| {
        assert_eq!(&lease[..], b"kept");
        drop(lease);
        Ok(())
    })?;
    child.end()?;

    // A detached one gives its buffer back when it completes.
    let buffers = ring.buffer_ring(1, 16)?;
    let token = ring.push(ReadSelected::new(reader.try_clone()?, buffers.clone()))?;
    ring.submit()?;
    ring.detach(token);
    ring.call(Write::new(&writer, "lost"))?.result?;
    while ring.in_flight() > 0 {
        ring.call(Nop::new())??;
    }
    ring.call(Write::new(&writer, "next"))?.result?;
    let next = ring.call(ReadSelected::new(&reader, &buffers))?.result?;
    assert_eq!(&next[..], b"next");

    // One in flight is cancelled with its ring; the lease lives on, and ends on another thread.
    let token = ring.push(ReadSelected::new(reader.try_clone()?, buffers.clone()))?;
    ring.submit()?;
    drop((token, ring, buffers));
    std::thread::spawn(move || assert_eq!(&next[..], b"next"))
        .join()
        .expect("it has the bytes");
    Ok(())
}

/// A group that nobody uses any more gives its number back; one that is used keeps it.
pub(crate) fn buffer_ring_numbers(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let first = ring.buffer_ring(1, 1)?.group_id();
    for _ in 0..context.rounds(100) {
        assert_eq!(ring.buffer_ring(1, 1)?.group_id(), first);
    }
    Ok(())
}

pub(crate) fn incremental_buffer_ring(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let buffers = ring.incremental_buffer_ring(2, 8)?;
    assert!(buffers.is_incremental());
    for round in 0..context.rounds(50) {
        let mut leases = Vec::new();
        for text in ["one", "two", "33", "fou", "five", "6"] {
            ring.call(Write::new(&writer, text))?.result?;
            let lease = ring.call(ReadSelected::new(&reader, &buffers))?.result?;
            assert_eq!(&lease[..], text.as_bytes(), "round {round}");
            leases.push(lease);
        }
        let ids = leases.iter().map(|lease| lease.buffer_id());
        let ids: Vec<_> = ids.collect();
        assert!(ids[..3].iter().all(|id| *id == ids[0]) && ids[3..].iter().all(|id| *id == ids[3]));
        assert_ne!(ids[0], ids[3]);
        ring.call(Write::new(&writer, "full"))?.result?;
        let full = ring.call(ReadSelected::new(&reader, &buffers))?;
        assert_errno(full.result, libc::ENOBUFS);
        let kept = leases.split_off(1);
        assert_eq!(kept.iter().map(|lease| lease.len()).sum::<usize>(), 13);
        drop((leases, kept));
        let again = ring
            .call(ReadSelected::new(&reader, &buffers).limit(4))?
            .result?;
        assert_eq!(&again[..], b"full");
        // The rest of the buffer, so that each round begins with a whole one.
        ring.call(Write::new(&writer, "rest"))?.result?;
        assert_eq!(
            &ring.call(ReadSelected::new(&reader, &buffers))?.result?[..],
            b"rest"
        );
    }
    let token = ring.push(ReadSelected::new(reader.try_clone()?, buffers.clone()))?;
    let second = ring.push(ReadSelected::new(reader.try_clone()?, buffers.clone()));
    let (second, error) = second.expect_err("one at a time").into_parts();
    assert!(error.is_invalid_request(), "{error}");
    ring.call(Write::new(&writer, "first"))?.result?;
    assert_eq!(&ring.wait(token)?.result?[..], b"first");
    let token = ring.push(second)?;
    ring.call(Write::new(&writer, "sec"))?.result?;
    assert_eq!(&ring.wait(token)?.result?[..], b"sec");
    of_a_file(&mut ring)
}

/// Kernels take as much of a buffer for a file as was asked for, also when there is less to read.
fn of_a_file(ring: &mut Ring<Any>) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fs::write(&path, "0123456789")?;
    let file = File::open(&path)?;
    let buffers = ring.incremental_buffer_ring(2, 16)?;
    for _ in 0..3 {
        let short = ring
            .call(ReadSelected::new(&file, &buffers).at(7).limit(5))?
            .result?;
        let behind = ring
            .call(ReadSelected::new(&file, &buffers).at(0).limit(4))?
            .result?;
        let last = ring
            .call(ReadSelected::new(&file, &buffers).at(1))?
            .result?;
        assert_eq!((&short[..], &behind[..]), (&b"789"[..], &b"0123"[..]));
        assert_eq!(last[..], b"123456789"[..last.len()]);
        assert!(!last.is_empty());
    }
    Ok(())
}

pub(crate) fn incremental_buffer_ring_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(Feature::BUFFER_RING_INC, context, 4)? else {
        return Ok(());
    };
    let error = ring
        .incremental_buffer_ring(2, 8)
        .expect_err("the kernel has none");
    assert!(error.is_unsupported(), "{error}");
    if context.has(Feature::BUFFER_RING) {
        ring.buffer_ring(2, 8)?;
    }
    Ok(())
}

pub(crate) fn provided_buffers(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fs::write(&path, "0123456789abcdef")?;
    let file = File::open(&path)?;
    let buffers = ring.provided_buffers(4, 8)?;
    let read = |ring: &mut Ring<Any>, offset| -> TestResult<_> {
        Ok(ring
            .call(ReadSelected::new(&file, &buffers).at(offset))?
            .result)
    };
    assert_errno(ring.call(RemoveBuffers::new(&buffers))?, libc::ENOENT);
    assert_errno(read(&mut ring, 0)?, libc::ENOBUFS);
    assert_eq!(buffers.at_hand(), 4);
    drop(ProvideBuffers::new(&buffers));
    let token = ring.push(ProvideBuffers::new(&buffers))?;
    assert_eq!((ring.wait(token)??, buffers.at_hand()), (4, 0));
    assert_errno(ring.call(ProvideBuffers::new(&buffers))?, libc::E2BIG);

    let mut leases = Vec::new();
    for (offset, first) in (0..4).zip(b'0'..) {
        let lease = read(&mut ring, offset)??;
        assert_eq!((lease[0], lease.len()), (first, 8));
        leases.push(lease);
    }
    assert_errno(read(&mut ring, 0)?, libc::ENOBUFS);
    leases.remove(1);
    leases.pop();
    assert_eq!(buffers.at_hand(), 2);
    // They do not lie side by side.
    let provided = ring.scope(|scope| -> TestResult<_> {
        let token = scope.push(ProvideBuffers::new(&buffers))?;
        Ok(scope.wait(token)??)
    })?;
    assert_eq!((provided, buffers.at_hand()), (1, 1));
    assert_eq!(ring.call(ProvideBuffers::new(&buffers))??, 1);
    let again = read(&mut ring, 5)??;
    assert_eq!(&again[..], b"56789abc");
    assert_eq!((leases[0][0], leases[1][0]), (b'0', b'2'));

    // One is the kernel's. While something may take it, it is not certain that it has come back; old kernels have taken it already.
    let (reader, _writer) = pipe()?;
    let waiting = ring.push(ReadSelected::new(reader, buffers.clone()))?;
    ring.submit()?;
    let _ = ring.call(RemoveBuffers::new(&buffers))?;
    assert_eq!(buffers.at_hand(), 0);
    ring.cancel(&waiting)?;
    assert_cancelled(ring.wait(waiting)?.result);
    let _ = ring.call(RemoveBuffers::new(&buffers))?;
    drop((leases, again));
    assert_eq!(buffers.at_hand(), 4);
    assert_errno(read(&mut ring, 0)?, libc::ENOBUFS);
    assert_eq!(ring.call(ProvideBuffers::new(&buffers))??, 4);
    ring.call(RemoveBuffers::new(&buffers))??;
    assert_eq!(buffers.at_hand(), 4);
    assert_eq!(ring.call(ProvideBuffers::new(&buffers))??, 4);
    let mut other = common::ring(context, 4)?;
    let refused = other.push(ProvideBuffers::new(&buffers));
    assert!(refused.expect_err("another's").error().is_wrong_ring());
    let lease = read(&mut ring, 1)??;
    drop((ring, buffers));
    assert_eq!(&lease[..], b"12345678");
    Ok(())
}

pub(crate) fn read_multishot(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let buffers = ring.buffer_ring(2, 8)?;
    let read = || -> TestResult<_> { Ok(ReadMultishot::new(reader.try_clone()?, buffers.clone())) };
    let token = ring.push(read()?)?;
    for text in ["first", "second", "third"] {
        ring.call(Write::new(&writer, text))?.result?;
        let item = ring.wait_item(&token)?.ok_or("it goes on")?;
        assert_eq!(&item[..], text.as_bytes());
    }
    // Both buffers are taken, and the third time there is none.
    let mut items = Vec::new();
    for text in ["4", "5", "6"] {
        ring.call(Write::new(&writer, text))?.result?;
        items.extend(ring.wait_item(&token)?);
    }
    assert_eq!((items.len(), &items[1][..]), (2, &b"5"[..]));
    let ended = ring.wait(token)?;
    assert!(matches!(ended.reason, EndReason::NoBuffers));
    drop(items);
    let token = ring.push(ended.op)?;
    assert_eq!(&ring.wait_item(&token)?.ok_or("it was waiting")?[..], b"6");
    ring.cancel(&token)?;
    assert!(ring.wait_item(&token)?.is_none());
    let ended = ring.wait(token)?.reason;
    assert!(matches!(ended, EndReason::Cancelled), "{ended:?}");

    // What nobody takes goes back: detached, with a scope, and when the result is taken before the items.
    for _ in 0..context.rounds(20) {
        let token = ring.push(read()?)?;
        ring.submit()?;
        ring.call(Write::new(&writer, "for nobody"))?.result?;
        ring.detach(token);
        ring.scope(|scope| scope.push(ReadMultishot::new(&reader, &buffers)).map(drop))?;
        let _ = ring.call(Cancel::any())??;
    }
    let file = File::open("/proc/self/exe")?;
    let refused = ring.call(ReadMultishot::new(&file, &buffers))?;
    assert_failed(refused.reason, libc::EBADFD);
    let token = ring.push(read()?)?;
    drop(writer);
    assert!(ring.wait_item(&token)?.is_none());
    assert!(matches!(ring.wait(token)?.reason, EndReason::Finished));
    Ok(())
}

#[track_caller]
fn assert_failed(reason: EndReason, errno: i32) {
    match reason {
        EndReason::Failed(error) => assert_errno::<()>(Err(error), errno),
        other => panic!("{other:?} instead of errno {errno}"),
    }
}

pub(crate) fn read_multishot_refused(context: &Context) -> TestResult {
    let feature = Feature::opcode(uring_sys::IORING_OP_READ_MULTISHOT);
    let Some(mut ring) = common::ring_without(feature, context, 4)? else {
        return Ok(());
    };
    let (reader, _writer) = pipe()?;
    let buffers = ring.provided_buffers(1, 1)?;
    let refused = ring.call(ReadMultishot::new(&reader, &buffers))?;
    assert_failed(refused.reason, libc::EINVAL);
    Ok(())
}
