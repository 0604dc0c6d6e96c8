//! A no-op that goes through more of the kernel, for tests.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, bits};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, sealed};
use crate::resource::{Cwd, Target, Untracked};

/// Completes with a result of the caller's choice, after looking up what it is told to.
///
/// For trying how a program takes results that are hard to come by.
///
/// Since Linux 6.10; older kernels complete with `EINVAL`, or take no notice. Up to 6.18.15 at least it tells the result of choice also where
/// something was to be looked up and is not there.
///
/// ```
/// use uring::op::NopInjected;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if ring.call(NopInjected::new(1))?.is_err() { return Ok(()) }
/// let out_of_space = ring.call(NopInjected::new(-libc::ENOSPC))?.unwrap_err();
/// assert_eq!(out_of_space.raw_os_error(), Some(libc::ENOSPC));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_nop(3)`, `linux/io_uring.h`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_nop")]
#[doc(alias = "IORING_NOP_INJECT_RESULT")]
#[must_use]
pub struct NopInjected<T = Cwd> {
    result: i32,
    target: T,
    flags: u32,
    buffer: u16,
}

impl NopInjected {
    /// Completes with that result: a count, or a negative errno.
    pub const fn new(result: i32) -> NopInjected {
        NopInjected {
            result,
            target: Cwd,
            flags: uring_sys::IORING_NOP_INJECT_RESULT,
            buffer: 0,
        }
    }
}

impl<T: Target> NopInjected<T> {
    /// Looks a file up first; `EBADF` if there is none. Since Linux 6.13.
    #[doc(alias = "IORING_NOP_FILE")]
    #[doc(alias = "IORING_NOP_FIXED_FILE")]
    pub fn on<U: Target>(self, target: U) -> NopInjected<U> {
        let flags = if target.target().is_direct() {
            uring_sys::IORING_NOP_FILE | uring_sys::IORING_NOP_FIXED_FILE
        } else {
            uring_sys::IORING_NOP_FILE
        };
        NopInjected {
            result: self.result,
            target,
            flags: self.flags | flags,
            buffer: self.buffer,
        }
    }

    /// Looks the registered buffer with that index up; `EFAULT` if there is none. Since Linux 6.13.
    #[doc(alias = "IORING_NOP_FIXED_BUFFER")]
    pub fn registered_buffer(mut self, index: u16) -> Self {
        self.flags |= uring_sys::IORING_NOP_FIXED_BUFFER;
        self.buffer = index;
        self
    }

    /// Completes from task work. Since Linux 6.17.
    #[doc(alias = "IORING_NOP_TW")]
    pub fn task_work(mut self) -> Self {
        self.flags |= uring_sys::IORING_NOP_TW;
        self
    }
}

impl<T> sealed::Sealed for NopInjected<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for NopInjected<T> {
    type Output = io::Result<u32>;
    const OPCODE: u8 = uring_sys::IORING_OP_NOP;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        // How the file is looked up the operation's own flags say.
        entry.set_fd(this.target.target().number());
        entry.set_len(bits(this.result));
        entry.set_op_flags(this.flags);
        entry.set_buf_index(this.buffer);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        completion.result()
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for NopInjected<T> {}
