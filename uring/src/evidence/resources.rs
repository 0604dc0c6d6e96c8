//! Why a call about something that rings have on newer kernels was refused.

use std::ptr;

use uring_sys as sys;
use uring_sys::Errno;

use crate::error::Hint;
use crate::syscall::{self, Name};

/// The calls that newer kernels have, a count that they take, and what their absence means.
const CALLS: [(u32, u32, Hint); 12] = [
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
    (
        sys::IORING_REGISTER_IOWQ_AFF,
        1,
        Hint::needs_linux(5, 14, &"io_uring_register refuses IORING_REGISTER_IOWQ_AFF"),
    ),
    (
        sys::IORING_REGISTER_IOWQ_MAX_WORKERS,
        2,
        Hint::needs_linux(
            5,
            15,
            &"io_uring_register refuses IORING_REGISTER_IOWQ_MAX_WORKERS",
        ),
    ),
    (
        sys::IORING_REGISTER_NAPI,
        1,
        Hint::needs_linux(6, 9, &"io_uring_register refuses IORING_REGISTER_NAPI"),
    ),
    (
        sys::IORING_UNREGISTER_NAPI,
        1,
        Hint::needs_linux(6, 9, &"io_uring_register refuses IORING_UNREGISTER_NAPI"),
    ),
    (
        sys::IORING_REGISTER_ZCRX_IFQ,
        1,
        Hint::needs_linux(6, 15, &"io_uring_register refuses IORING_REGISTER_ZCRX_IFQ"),
    ),
    (
        sys::IORING_REGISTER_ZCRX_CTRL,
        0,
        Hint::needs_linux(
            6,
            19,
            &"io_uring_register refuses IORING_REGISTER_ZCRX_CTRL",
        ),
    ),
];

/// An address that no process can have mapped.
const UNREADABLE: usize = usize::MAX - 0xfff;

/// Whether the opcode is refused as such: where it is known, an argument that cannot be read answers EFAULT.
pub(super) fn missing(name: Name, opcode: u32) -> Option<Hint> {
    // It takes no argument, and is as old as its counterpart.
    let opcode = match opcode {
        sys::IORING_UNREGISTER_IOWQ_AFF => sys::IORING_REGISTER_IOWQ_AFF,
        other => other,
    };
    let (_, count, hint) = CALLS.into_iter().find(|call| call.0 == opcode)?;
    let nowhere = ptr::without_provenance_mut(UNREADABLE);
    // SAFETY: nothing can be registered, as the kernel cannot read the argument.
    let tried = unsafe { syscall::register(name, opcode, nowhere, count) };
    (tried == Err(Errno::EINVAL)).then_some(hint)
}
