//! Whether the running kernel lets a ring be reached by a handle, tried with a ring of the testkit's own.

use std::{ffi::c_void, io};

use uring_sys::{Errno, IORING_OP_NOP, IORING_REGISTER_PROBE, io_uring_probe_op};

use crate::{
    feature::Observation,
    handle::HandleKind,
    raw::{Entry, RawRing},
};

/// Makes a ring that is reached in this way, and makes both calls on it.
pub(crate) fn observe(handle: HandleKind) -> Observation {
    let (ring, step) = match ring(handle) {
        Ok(made) => (Ok(made), ""),
        Err((step, error)) => (Err(error), step),
    };
    match ring {
        Ok(mut ring) => works(&mut ring),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Observation::Absent,
        Err(error) => Observation::Inconclusive(format!("{step}: {error}")),
    }
}

fn ring(handle: HandleKind) -> Result<RawRing, (&'static str, io::Error)> {
    let at = |step| move |error| (step, error);
    if handle == HandleKind::Born {
        return RawRing::born(1, 0).map_err(at("io_uring_setup without a descriptor"));
    }
    let mut ring = RawRing::new(1, 0).map_err(at("io_uring_setup"))?;
    if handle != HandleKind::Fd {
        ring.register().map_err(at("IORING_REGISTER_RING_FDS"))?;
    }
    if handle == HandleKind::Closed {
        ring.close();
    }
    Ok(ring)
}

fn works(ring: &mut RawRing) -> Observation {
    let nop = Entry {
        opcode: IORING_OP_NOP,
        ..Entry::default()
    };
    // SAFETY: a NOP uses no memory.
    match unsafe { ring.call(nop) } {
        Ok(completed) if completed.res == 0 => {}
        Ok(completed) => {
            return Observation::Inconclusive(format!("a NOP gave {}", completed.res));
        }
        Err(error) => return Observation::Inconclusive(format!("io_uring_enter: {error}")),
    }
    #[repr(C)]
    #[derive(Default)]
    struct Answer {
        header: [u64; 2],
        opcodes: [io_uring_probe_op; 1],
    }
    let mut answer = Answer::default();
    let argument = (&raw mut answer).cast::<c_void>();
    // SAFETY: room for one opcode behind the header, as many as the call is told.
    match unsafe { ring.register_call(IORING_REGISTER_PROBE, argument, 1) } {
        Ok(_) => Observation::Present,
        // Before 6.3 an index is no name for a ring in this call.
        Err(Errno::EINVAL) if ring.fd().is_none() => Observation::Absent,
        Err(errno) => Observation::Inconclusive(format!("io_uring_register: {errno}")),
    }
}
