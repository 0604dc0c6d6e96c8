//! The three system calls.
//!
//! The kernel answers with a number from -4095 to -1 for an error and with anything else for success. Where the call
//! is made here, that number is the error, and `errno` is neither read nor written: the code around it may have an
//! `errno` of its own to keep.

#[cfg_attr(
    all(target_arch = "x86_64", target_pointer_width = "64"),
    path = "x86_64.rs"
)]
#[cfg_attr(
    all(target_arch = "aarch64", target_pointer_width = "64"),
    path = "aarch64.rs"
)]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
mod through_libc;

use core::ffi::c_void;

use self::through_libc as arch;
use crate::{Errno, io_uring_params};

/// Makes a ring.
///
/// Returns its descriptor or, with [`IORING_SETUP_REGISTERED_FD_ONLY`], the index at which it was registered for the
/// calling thread. The kernel fills `params` in: sizes, offsets, features.
///
/// Since Linux 5.1. Source: `io_uring_setup(2)`, `io_uring/io_uring.c`.
///
/// # Errors
///
/// - [`Errno::EPERM`]: the sysctl `kernel.io_uring_disabled` or a seccomp filter forbids it.
/// - [`Errno::ENOSYS`]: the kernel has no io_uring, or a seccomp filter says so.
/// - [`Errno::EINVAL`]: a flag that this kernel does not know, a combination that it refuses, no or too many entries.
/// - [`Errno::ENOMEM`], [`Errno::EMFILE`], [`Errno::ENFILE`]: no memory, no free descriptor.
/// - [`Errno::EBUSY`]: all 16 places for registered rings of this thread are taken.
/// - [`Errno::EFAULT`]: `params`, or the ring memory that it names, cannot be accessed.
///
/// # Safety
///
/// `params` is valid for reads and writes. With [`IORING_SETUP_NO_MMAP`], `sq_off.user_addr` and `cq_off.user_addr`
/// name memory as large as the kernel needs for this many entries, which nothing else uses until the ring is dead.
///
/// [`IORING_SETUP_REGISTERED_FD_ONLY`]: crate::IORING_SETUP_REGISTERED_FD_ONLY
/// [`IORING_SETUP_NO_MMAP`]: crate::IORING_SETUP_NO_MMAP
#[inline]
pub unsafe fn io_uring_setup(entries: u32, params: *mut io_uring_params) -> Result<u32, Errno> {
    let args = [word(entries), params.expose_provenance(), 0, 0, 0, 0];
    // SAFETY: the caller answers for what `params` points to, directly and through the addresses in it.
    result(unsafe { arch::syscall(libc::SYS_io_uring_setup, args) })
}

/// Submits entries, waits for completions, or both.
///
/// Returns how many entries were submitted. `fd` is the ring's descriptor or, with [`IORING_ENTER_REGISTERED_RING`],
/// its index among the calling thread's registered rings. `arg` and `argsz` are a signal mask and its size or, with
/// [`IORING_ENTER_EXT_ARG`], an [`io_uring_getevents_arg`](crate::io_uring_getevents_arg) and its size.
///
/// Since Linux 5.1. Source: `io_uring_enter(2)`, `io_uring/io_uring.c`.
///
/// # Errors
///
/// - [`Errno::EBADF`]: `fd` is not open, or no ring is registered at that index.
/// - [`Errno::EOPNOTSUPP`]: `fd` is not a ring.
/// - [`Errno::EINVAL`]: a flag that this kernel does not know, an index from a thread that never registered a ring,
///   an `arg` of the wrong size.
/// - [`Errno::EBADFD`]: the ring is disabled.
/// - [`Errno::EEXIST`]: the ring has a single issuer, which is another task.
/// - [`Errno::EBUSY`]: completions overflowed and must be reaped first.
/// - [`Errno::EAGAIN`]: no memory for a request; nothing was submitted.
/// - [`Errno::EINTR`]: a signal came before any completion; submitted entries stay submitted.
/// - [`Errno::ETIME`]: the timeout passed.
/// - [`Errno::EFAULT`]: `arg` cannot be accessed.
/// - [`Errno::EOWNERDEAD`]: the kernel thread that polls the submission queue has died.
///
/// An error does not say that the kernel left the entries alone.
///
/// # Safety
///
/// `arg` is valid for reads of `argsz` bytes, as is what it points to. Every address in the entries that this call
/// submits stays valid, for what its operation does with it, until the operation's last completion.
///
/// [`IORING_ENTER_REGISTERED_RING`]: crate::IORING_ENTER_REGISTERED_RING
/// [`IORING_ENTER_EXT_ARG`]: crate::IORING_ENTER_EXT_ARG
#[inline]
pub unsafe fn io_uring_enter(
    fd: u32,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    arg: *const c_void,
    argsz: usize,
) -> Result<u32, Errno> {
    let args = [
        word(fd),
        word(to_submit),
        word(min_complete),
        word(flags),
        arg.expose_provenance(),
        argsz,
    ];
    // SAFETY: the caller answers for `arg` and for what the submitted entries point to.
    result(unsafe { arch::syscall(libc::SYS_io_uring_enter, args) })
}

/// Registers resources with a ring, or changes and asks for what it has.
///
/// What is returned depends on `opcode`. `fd` is the ring's descriptor; its index among the calling thread's
/// registered rings, if `opcode` includes [`IORING_REGISTER_USE_REGISTERED_RING`]; or -1 for the opcodes that take no
/// ring, such as [`IORING_REGISTER_QUERY`].
///
/// Since Linux 5.1. Source: `io_uring_register(2)`, `io_uring/register.c`.
///
/// # Errors
///
/// Each opcode has its own; common to all:
///
/// - [`Errno::EBADF`]: `fd` is not open, or no ring is registered at that index.
/// - [`Errno::EOPNOTSUPP`]: `fd` is not a ring.
/// - [`Errno::EINVAL`]: an opcode that this kernel does not know, or arguments that do not fit it.
/// - [`Errno::EACCES`]: the ring's restrictions forbid the opcode.
/// - [`Errno::EEXIST`]: the ring has a single issuer, which is another task.
/// - [`Errno::EFAULT`]: `arg` cannot be accessed.
///
/// # Safety
///
/// `arg` points to what `opcode` asks for, `nr_args` times or bytes of it, valid for reads, and for writes where the
/// kernel answers through it. Memory that gets registered stays valid until it is unregistered and the last operation
/// that uses it has completed.
///
/// [`IORING_REGISTER_USE_REGISTERED_RING`]: crate::IORING_REGISTER_USE_REGISTERED_RING
/// [`IORING_REGISTER_QUERY`]: crate::IORING_REGISTER_QUERY
#[inline]
pub unsafe fn io_uring_register(
    fd: i32,
    opcode: u32,
    arg: *mut c_void,
    nr_args: u32,
) -> Result<u32, Errno> {
    // The kernel reads the low 32 bits of `fd`; the sign is in them.
    let args = [
        fd as usize,
        word(opcode),
        arg.expose_provenance(),
        word(nr_args),
        0,
        0,
    ];
    // SAFETY: the caller answers for `arg` and for the memory that gets registered.
    result(unsafe { arch::syscall(libc::SYS_io_uring_register, args) })
}

/// A 32-bit argument in a register, which is at least that wide on every target with io_uring.
#[inline]
const fn word(value: u32) -> usize {
    value as usize
}

/// Tells an error from a result, which the three calls keep within an `int`.
#[inline]
const fn result(answer: isize) -> Result<u32, Errno> {
    if answer < 0 {
        Err(Errno::from_raw((answer as i32).wrapping_neg()))
    } else {
        Ok(answer as u32)
    }
}
