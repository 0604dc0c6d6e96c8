//! Groups of buffers by other ways: in memory of the kernel's, taken away by hand, run dry.

use std::os::fd::AsFd;

use uring::op::{EndReason, Nop, Read, ReadMultishot, ReadSelected, Write};
use uring::{Any, BufferRing, Builder, Handle, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, HandleKind, TestResult};

use crate::common;
use crate::operations::files::assert_errno;

const STATUS: Feature = Feature::register(uring_sys::IORING_REGISTER_PBUF_STATUS);

/// The way of a buffer to the kernel and back, as often as there are twice as many.
fn goes_round<H: Handle>(ring: &mut Ring<H>, buffers: &BufferRing) -> TestResult {
    let (reader, writer) = pipe()?;
    for _ in 0..2 * buffers.count() {
        ring.call(Write::new(&writer, "round"))?.result?;
        let lease = ring.call(ReadSelected::new(&reader, buffers))?.result?;
        assert_eq!(&lease[..], b"round");
    }
    Ok(())
}

pub(crate) fn kernel_buffer_ring(context: &Context) -> TestResult {
    // H24: the mapping keeps the ring alive, and has to go with the last that uses it.
    if context.handle() == HandleKind::Registered {
        let mut ring = Builder::new(8).build_registered()?;
        let buffers = in_kernel(context, &mut ring)?;
        // It stays when the descriptor goes, through which no other could be mapped then.
        let mut ring = ring.close_fd()?;
        goes_round(&mut ring, &buffers)?;
        ring.unregister_buffer_ring(&buffers)?;
        let own = ring.buffer_ring(2, 8)?;
        return goes_round(&mut ring, &own);
    }
    let mut ring = Ring::new(8)?;
    let buffers = in_kernel(context, &mut ring)?;
    let (reader, writer) = pipe()?;
    ring.call(Write::new(&writer, "lease"))?.result?;
    let lease = ring.call(ReadSelected::new(&reader, &buffers))?.result?;
    // The ring first, on another thread too: its drop gives the buffer back into memory that is still there.
    drop(ring);
    drop(buffers);
    std::thread::spawn(move || assert_eq!(&lease[..], b"lease"))
        .join()
        .expect("it has the bytes");
    Ok(())
}

fn in_kernel<H: Handle + AsFd>(context: &Context, ring: &mut Ring<H>) -> TestResult<BufferRing> {
    let buffers = ring.kernel_buffer_ring(4, 16)?;
    goes_round(ring, &buffers)?;
    let second = ring.kernel_buffer_ring(2, 8)?;
    assert_ne!(second.group_id(), buffers.group_id());
    goes_round(ring, &second)?;
    let number = second.group_id();
    drop(second);
    assert_eq!(ring.kernel_buffer_ring(1, 8)?.group_id(), number);
    for (count, size) in [(3, 8), (0, 8), (2, 0)] {
        let error = ring
            .kernel_buffer_ring(count, size)
            .expect_err("no such group");
        assert!(error.is_invalid_request(), "{error}");
    }
    if context.has(Feature::BUFFER_RING_INC) {
        let parts = ring.kernel_incremental_buffer_ring(2, 10)?;
        assert!(parts.is_incremental());
        goes_round(ring, &parts)?;
    }
    Ok(buffers)
}

pub(crate) fn kernel_buffer_ring_refused(context: &Context) -> TestResult {
    if context.handle() == HandleKind::Fd {
        return without_kernel_memory(context, Ring::new(4)?);
    }
    match Builder::new(4).build_registered() {
        Ok(ring) => without_kernel_memory(context, ring),
        Err(error) => {
            assert!(error.is_unsupported(), "{error}");
            Ok(())
        }
    }
}

fn without_kernel_memory<H: Handle + AsFd>(context: &Context, mut ring: Ring<H>) -> TestResult {
    let error = ring.kernel_buffer_ring(2, 8).expect_err("there is none");
    assert!(error.is_unsupported(), "{error}");
    if context.has(Feature::BUFFER_RING) {
        let own = ring.buffer_ring(2, 8)?;
        goes_round(&mut ring, &own)?;
    }
    ring.call(Nop::new())??;
    Ok(())
}

fn assert_available(
    context: &Context,
    ring: &Ring<Any>,
    of: &BufferRing,
    count: u16,
) -> TestResult {
    match ring.buffer_ring_available(of) {
        Ok(available) => assert_eq!(available, count),
        Err(error) => assert!(!context.has(STATUS) && error.is_unsupported(), "{error}"),
    }
    Ok(())
}

/// Running dry is something that the caller sees, and taking the group away leaves what was leased.
pub(crate) fn buffer_ring_by_hand(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let buffers = ring.buffer_ring(2, 8)?;
    assert_available(context, &ring, &buffers, 2)?;
    let mut leases = Vec::new();
    for text in ["one", "two"] {
        ring.call(Write::new(&writer, text))?.result?;
        leases.push(ring.call(ReadSelected::new(&reader, &buffers))?.result?);
    }
    assert_available(context, &ring, &buffers, 0)?;
    ring.call(Write::new(&writer, "three"))?.result?;
    let dry = ring.call(ReadSelected::new(&reader, &buffers))?;
    assert_errno(dry.result, libc::ENOBUFS);
    if context.has(Feature::opcode(uring_sys::IORING_OP_READ_MULTISHOT)) {
        let token = ring.push(ReadMultishot::new(reader.try_clone()?, buffers.clone()))?;
        assert!(ring.wait_item(&token)?.is_none());
        let ended = ring.wait(token)?;
        assert!(matches!(ended.reason, EndReason::NoBuffers), "{ended:?}");
        // Nothing was lost.
        leases.pop();
        assert_available(context, &ring, &buffers, 1)?;
        let token = ring.push(ended.op)?;
        let item = ring.wait_item(&token)?.ok_or("it goes on")?;
        assert_eq!(&item[..], b"three");
        let error = ring
            .unregister_buffer_ring(&buffers)
            .expect_err("in flight");
        assert!(error.is_in_use(), "{error}");
        ring.cancel(&token)?;
        while ring.wait_item(&token)?.is_some() {}
        let _ = ring.wait(token)?;
    } else {
        assert_eq!(ring.call(Read::new(&reader, vec![0; 8]))?.result?, 5);
    }

    let mut other = common::ring(context, 4)?;
    let error = other
        .unregister_buffer_ring(&buffers)
        .expect_err("another's");
    assert!(error.is_wrong_ring(), "{error}");
    ring.unregister_buffer_ring(&buffers)?;
    assert_eq!(&leases[0][..], b"one");
    for error in [
        ring.unregister_buffer_ring(&buffers).err(),
        ring.buffer_ring_head(&buffers).err(),
        ring.buffer_ring_available(&buffers).err(),
    ] {
        assert!(error.is_some_and(|error| error.is_invalid_request()));
    }
    let gone = ring.call(ReadSelected::new(&reader, &buffers))?;
    assert_errno(gone.result, libc::ENOBUFS);
    // Its number is not given to another as long as somebody may name it.
    let (id, next) = (buffers.group_id(), ring.buffer_ring(1, 8)?);
    assert_ne!(next.group_id(), id);
    drop((leases, buffers));
    assert_eq!(ring.buffer_ring(1, 8)?.group_id(), id);
    goes_round(&mut ring, &next)?;
    // Its leases outlive the ring, and a group that was taken away does not trouble its end.
    ring.call(Write::new(&writer, "last"))?.result?;
    let last = ring.call(ReadSelected::new(&reader, &next))?.result?;
    ring.unregister_buffer_ring(&next)?;
    drop(ring);
    drop(next);
    assert_eq!(&last[last.len() - 4..], b"last");
    Ok(())
}
