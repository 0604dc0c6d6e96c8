//! Receiving without copying: with no interface queue at all, and with one that has no device.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::ptr::{self, NonNull};

use uring::op::{EndReason, RecvZc};
use uring::{Any, Builder, CompletionSize, Ring, ZeroCopyReceive};
use uring_sys::{io_uring_region_desc, io_uring_zcrx_area_reg, io_uring_zcrx_ifq_reg};
use uring_testkit::{Context, Feature, HandleKind, TestResult};

use crate::common;
use crate::sockets::loopback;

/// Pages for the kernel to write to, mapped until this is dropped.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

impl Pages {
    fn new(len: usize) -> io::Result<Pages> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Pages { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn address(&self) -> u64 {
        u64::try_from(self.start.as_ptr().expose_provenance()).unwrap_or(u64::MAX)
    }

    fn bytes(&self, offset: u64, len: u32) -> TestResult<Vec<u8>> {
        let (offset, len) = (usize::try_from(offset)?, usize::try_from(len)?);
        assert!(offset + len <= self.len, "{len} bytes at {offset}");
        // SAFETY: within the mapping; the kernel has told that it has written these, and is given none of them again.
        Ok(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), len) }.to_vec())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and the ring that used it is gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A connection over loopback.
fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(loopback())?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    Ok((one, listener.accept()?.0))
}

pub(crate) fn receive(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (_one, other) = connection()?;
    let token = ring.push(RecvZc::new(other, 0).poll_first())?;
    assert!(ring.wait_item(&token)?.is_none());
    match ring.wait(token)?.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        other => return Err(format!("{other:?}").into()),
    }
    drop(ring);
    let flags = ZeroCopyReceive::get().map_or(0, |receive| receive.register_flags);
    let without_device = flags & u64::from(uring_sys::ZCRX_REG_NODEV) != 0;
    // A feature of Linux 7.0: what has it and the operation is new enough, or is about to be.
    let new = context.has(Feature::setup(uring_sys::IORING_SETUP_SQ_REWIND));
    assert!(new || !without_device, "no kernel before 7.0 has it");
    // Only a ring of one thread has its task work deferred.
    if without_device && context.handle() != HandleKind::Fd {
        receive_without_device(context)?;
    }
    Ok(())
}

fn receive_without_device(context: &Context) -> TestResult {
    const REFILLS: u32 = 64;
    let area = Pages::new(64 * 4096)?;
    let refill = Pages::new(4096)?;
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let mut ring = common::build(context, &large)?;
    let mut area_argument = io_uring_zcrx_area_reg {
        addr: area.address(),
        len: u64::try_from(area.len)?,
        ..io_uring_zcrx_area_reg::default()
    };
    let mut region = io_uring_region_desc {
        user_addr: refill.address(),
        size: u64::try_from(refill.len)?,
        flags: uring_sys::IORING_MEM_REGION_TYPE_USER,
        ..io_uring_region_desc::default()
    };
    let mut queue = io_uring_zcrx_ifq_reg {
        rq_entries: REFILLS,
        flags: uring_sys::ZCRX_REG_NODEV,
        area_ptr: u64::try_from((&raw mut area_argument).expose_provenance())?,
        region_ptr: u64::try_from((&raw mut region).expose_provenance())?,
        ..io_uring_zcrx_ifq_reg::default()
    };
    // The only ring of this thread is in its first slot.
    let opcode =
        uring_sys::IORING_REGISTER_ZCRX_IFQ | uring_sys::IORING_REGISTER_USE_REGISTERED_RING;
    let argument = (&raw mut queue).cast();
    // SAFETY: the argument, and what it points to, live as long as the call; the memory is mapped for longer than the ring lives.
    unsafe { uring_sys::io_uring_register(0, opcode, argument, 1) }
        .map_err(|errno| format!("IORING_REGISTER_ZCRX_IFQ: {errno}"))?;
    received(&mut ring, &area, queue.zcrx_id)?;
    drop(ring);
    Ok(())
}

fn received(ring: &mut Ring<Any>, area: &Pages, queue: u32) -> TestResult {
    let (mut one, other) = connection()?;
    let receives = ring.push(RecvZc::new(other, queue))?;
    let mut text = Vec::new();
    for word in ["one ", "after ", "the other"] {
        let before = text.len();
        one.write_all(word.as_bytes())?;
        while text.len() < before + word.len() {
            let chunk = ring.wait_item(&receives)?.ok_or("it goes on")?;
            assert_eq!(chunk.area, 0);
            text.extend(area.bytes(chunk.offset, chunk.len)?);
        }
    }
    assert_eq!(text, b"one after the other");
    drop(one);
    assert!(ring.wait_item(&receives)?.is_none());
    let ended = ring.wait(receives)?;
    assert!(
        matches!(ended.reason, EndReason::Finished),
        "{:?}",
        ended.reason
    );
    assert!(ended.op.into_target().as_raw_fd() >= 0);
    Ok(())
}
