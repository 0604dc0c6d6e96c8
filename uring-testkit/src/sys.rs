//! The three system calls, as safe functions over what the testkit itself passes.

use std::ffi::c_void;

use uring_sys::{Errno, io_uring_params};

/// Makes a ring of `entries`; the descriptor or the index is the caller's to close.
pub(crate) fn setup(entries: u32, params: &mut io_uring_params) -> Result<u32, Errno> {
    // SAFETY: the parameters are exclusively borrowed for the whole call. Ring memory that they name is vouched
    // for where it is put in: `RawRing` gives its own mapping, the probes give none.
    unsafe { uring_sys::io_uring_setup(entries, params) }
}

/// Enters a ring whose queues belong to the caller, or that has nothing to submit.
pub(crate) fn enter(number: u32, submit: u32, wait: u32, flags: u32) -> Result<u32, Errno> {
    // SAFETY: no argument structure is passed; entries that get submitted were vouched for when they were pushed.
    unsafe { uring_sys::io_uring_enter(number, submit, wait, flags, std::ptr::null(), 0) }
}

/// Calls `io_uring_register`.
///
/// # Safety
///
/// `argument` and what it points to are as the opcode wants them, for as long as the kernel uses them.
pub(crate) unsafe fn register(
    number: i32,
    opcode: u32,
    argument: *mut c_void,
    count: u32,
) -> Result<u32, Errno> {
    // SAFETY: the caller's contract is the same.
    unsafe { uring_sys::io_uring_register(number, opcode, argument, count) }
}
