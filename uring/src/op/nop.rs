//! Nothing, done asynchronously.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::op::{Operation, RawOperation, done, sealed};

/// Completes without doing anything.
///
/// Since Linux 5.1.
///
/// ```
/// # let mut ring = uring::Ring::best(8)?;
/// ring.call(uring::op::Nop::new())??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_nop(3)`.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "io_uring_prep_nop")]
#[doc(alias = "IORING_OP_NOP")]
#[must_use]
pub struct Nop {
    large_completion: Option<[u64; 2]>,
}

impl Nop {
    /// The operation.
    pub const fn new() -> Nop {
        Nop {
            large_completion: None,
        }
    }

    /// Completes with 32 bytes, of which [`Completion::extra`] gives the last 16 back.
    ///
    /// Since Linux 6.18, on rings with large or mixed completions; elsewhere it completes with `EINVAL`.
    #[doc(alias = "IORING_NOP_CQE32")]
    pub const fn large_completion(self, extra: [u64; 2]) -> Nop {
        Nop {
            large_completion: Some(extra),
        }
    }
}

impl sealed::Sealed for Nop {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for Nop {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_NOP;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        if let Some([first, second]) = unsafe { (*this).large_completion } {
            entry.set_op_flags(uring_sys::IORING_NOP_CQE32);
            entry.set_off(first);
            entry.set_addr(second);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for Nop {}

/// A [`Nop`] that takes a 128-byte entry.
///
/// Since Linux 6.19, on rings with large or [mixed](crate::EntrySize::Mixed) entries; elsewhere the push is refused, or it completes
/// with `EINVAL`.
///
/// Source: `io_uring_prep_nop128(3)`.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "io_uring_prep_nop128")]
#[doc(alias = "IORING_OP_NOP128")]
#[must_use]
pub struct Nop128;

impl Nop128 {
    /// The operation.
    pub const fn new() -> Nop128 {
        Nop128
    }
}

impl sealed::Sealed for Nop128 {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for Nop128 {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_NOP128;
    const LARGE: bool = true;

    unsafe fn prepare(_: *mut Self, _: &mut Entry) {}

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for Nop128 {}
