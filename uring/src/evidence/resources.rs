//! Why a call about files or buffers of a ring was refused.

use std::ptr;

use uring_sys as sys;
use uring_sys::Errno;

use crate::error::Hint;
use crate::syscall::{self, Name};

/// The calls that newer kernels have, a count that they take, and what their absence means.
const CALLS: [(u32, u32, Hint); 6] = [
    (
        sys::IORING_REGISTER_FILES2,
        32,
        Hint::needs_linux(5, 13, &"io_uring_register refuses IORING_REGISTER_FILES2"),
    ),
    (
        sys::IORING_REGISTER_FILES_UPDATE2,
        32,
        Hint::needs_linux(
            5,
            13,
            &"io_uring_register refuses IORING_REGISTER_FILES_UPDATE2",
        ),
    ),
    (
        sys::IORING_REGISTER_BUFFERS2,
        32,
        Hint::needs_linux(5, 13, &"io_uring_register refuses IORING_REGISTER_BUFFERS2"),
    ),
    (
        sys::IORING_REGISTER_BUFFERS_UPDATE,
        32,
        Hint::needs_linux(
            5,
            13,
            &"io_uring_register refuses IORING_REGISTER_BUFFERS_UPDATE",
        ),
    ),
    (
        sys::IORING_REGISTER_FILE_ALLOC_RANGE,
        0,
        Hint::needs_linux(
            6,
            0,
            &"io_uring_register refuses IORING_REGISTER_FILE_ALLOC_RANGE",
        ),
    ),
    (
        sys::IORING_REGISTER_CLONE_BUFFERS,
        1,
        Hint::needs_linux(
            6,
            12,
            &"io_uring_register refuses IORING_REGISTER_CLONE_BUFFERS",
        ),
    ),
];

/// An address that no process can have mapped.
const UNREADABLE: usize = usize::MAX - 0xfff;

/// Whether the opcode is refused as such: where it is known, an argument that cannot be read answers EFAULT.
pub(super) fn missing(name: Name, opcode: u32) -> Option<Hint> {
    let (_, count, hint) = CALLS.into_iter().find(|call| call.0 == opcode)?;
    let nowhere = ptr::without_provenance_mut(UNREADABLE);
    // SAFETY: nothing can be registered, as the kernel cannot read the argument.
    let tried = unsafe { syscall::register(name, opcode, nowhere, count) };
    (tried == Err(Errno::EINVAL)).then_some(hint)
}
