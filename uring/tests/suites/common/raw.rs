//! System calls that go past the library: what a host, or another library, may do.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};
use std::ptr;

use uring_sys::{Errno, io_uring_restriction, io_uring_rsrc_update};

/// Enters whatever the calling thread has in slot `index`, submitting up to `submit` entries.
pub(crate) fn enter_index(index: u32, submit: u32) -> Result<u32, Errno> {
    let flags = uring_sys::IORING_ENTER_REGISTERED_RING;
    // SAFETY: there is no argument; what is in the queue was vouched for when it was pushed.
    unsafe { uring_sys::io_uring_enter(index, submit, 0, flags, ptr::null(), 0) }
}

/// Enters a ring by its descriptor and lets it finish what is ready.
pub(crate) fn enter(ring: impl AsFd) -> Result<u32, Errno> {
    let fd = ring.as_fd().as_raw_fd().unsigned_abs();
    let flags = uring_sys::IORING_ENTER_GETEVENTS;
    // SAFETY: nothing is submitted and there is no argument.
    unsafe { uring_sys::io_uring_enter(fd, 0, 0, flags, ptr::null(), 0) }
}

/// Calls `IORING_UNREGISTER_RING_FDS` for slot `index` of the calling thread, with `ring` to carry the call.
pub(crate) fn empty_slot(ring: impl AsFd, index: u32) -> Result<u32, Errno> {
    empty_slot_through(
        ring.as_fd().as_raw_fd(),
        uring_sys::IORING_UNREGISTER_RING_FDS,
        index,
    )
}

/// The same with the ring in slot `index` itself to carry the call.
pub(crate) fn empty_own_slot(index: u32) -> Result<u32, Errno> {
    let opcode =
        uring_sys::IORING_UNREGISTER_RING_FDS | uring_sys::IORING_REGISTER_USE_REGISTERED_RING;
    let number = i32::try_from(index).map_err(|_| Errno::EINVAL)?;
    empty_slot_through(number, opcode, index)
}

fn empty_slot_through(number: i32, opcode: u32, index: u32) -> Result<u32, Errno> {
    let mut update = io_uring_rsrc_update {
        offset: index,
        ..io_uring_rsrc_update::default()
    };
    let argument = (&raw mut update).cast::<c_void>();
    // SAFETY: one structure of the kind that the opcode takes, read during the call.
    unsafe { uring_sys::io_uring_register(number, opcode, argument, 1) }
}

/// Restricts a disabled ring to these opcodes of submission entries, and to no register opcode that matters.
pub(crate) fn restrict(ring: impl AsFd, opcodes: &[u8]) -> Result<u32, Errno> {
    let mut restrictions = Vec::new();
    for opcode in opcodes {
        let mut restriction = io_uring_restriction {
            opcode: uring_sys::IORING_RESTRICTION_SQE_OP,
            ..io_uring_restriction::default()
        };
        restriction.anon_1.sqe_op = *opcode;
        restrictions.push(restriction);
    }
    // From Linux 7.0 on register calls are free unless a restriction is about them: one is allowed that no test makes.
    let mut register = io_uring_restriction {
        opcode: uring_sys::IORING_RESTRICTION_REGISTER_OP,
        ..io_uring_restriction::default()
    };
    register.anon_1.register_op =
        u8::try_from(uring_sys::IORING_UNREGISTER_EVENTFD).map_err(|_| Errno::EINVAL)?;
    restrictions.push(register);
    let count = u32::try_from(restrictions.len()).map_err(|_| Errno::EINVAL)?;
    let argument = restrictions.as_mut_ptr().cast::<c_void>();
    let opcode = uring_sys::IORING_REGISTER_RESTRICTIONS;
    // SAFETY: as many structures as said, read during the call.
    unsafe { uring_sys::io_uring_register(ring.as_fd().as_raw_fd(), opcode, argument, count) }
}

/// Closes a descriptor that somebody else owns.
pub(crate) fn close_behind(fd: RawFd) -> io::Result<()> {
    // SAFETY: the owner is the library under test, which has to cope with it.
    match unsafe { libc::close(fd) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts what `file` refers to under the number `fd`, which somebody else owns.
pub(crate) fn put_over(fd: RawFd, file: impl AsFd) -> io::Result<()> {
    // SAFETY: as for `close_behind`.
    match unsafe { libc::dup3(file.as_fd().as_raw_fd(), fd, libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
