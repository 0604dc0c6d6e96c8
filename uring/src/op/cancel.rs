//! Cancelling other operations, and hearing what came of it.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_name, sealed};
use crate::resource::{Target, TargetName};
use crate::token::Token;

/// Cancels operations of the same ring.
///
/// What is cancelled completes with `ECANCELED` (or as it would have, if it was too far on), and only that completion means that
/// the kernel is done with its memory. To cancel without hearing what came of it there is [`Ring::cancel`](crate::Ring::cancel).
///
/// Since Linux 5.5.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Cancel, Timeout};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
/// let cancelled = ring.call(Cancel::token(&hour))??;
/// assert_eq!(cancelled, 1);
/// assert!(ring.wait(hour)?.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cancel(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_cancel")]
#[doc(alias = "io_uring_prep_cancel64")]
#[doc(alias = "io_uring_prep_cancel_fd")]
#[doc(alias = "IORING_OP_ASYNC_CANCEL")]
#[must_use]
pub struct Cancel {
    what: What,
    every: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    UserData(u64),
    Target(TargetName),
    Any,
}

impl Cancel {
    /// Cancels that operation.
    pub fn token<O>(token: &Token<O>) -> Cancel {
        Cancel::what(What::UserData(token.user_data()))
    }

    /// Cancels an operation that was pushed [raw](crate::Ring::push_raw) with that number.
    pub const fn user_data(user_data: u64) -> Cancel {
        Cancel::what(What::UserData(user_data))
    }

    /// Cancels an operation on that file. Since Linux 5.19.
    #[doc(alias = "IORING_ASYNC_CANCEL_FD")]
    pub fn target(target: &impl Target) -> Cancel {
        Cancel::what(What::Target(target.target()))
    }

    /// Cancels all operations of the ring. Since Linux 5.19.
    #[doc(alias = "IORING_ASYNC_CANCEL_ANY")]
    pub const fn any() -> Cancel {
        Cancel::what(What::Any).every()
    }

    /// Cancels not only the first operation that fits. Since Linux 5.19.
    #[doc(alias = "IORING_ASYNC_CANCEL_ALL")]
    pub const fn every(self) -> Cancel {
        Cancel {
            every: true,
            ..self
        }
    }

    const fn what(what: What) -> Cancel {
        Cancel { what, every: false }
    }
}

impl sealed::Sealed for Cancel {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for Cancel {
    /// How many were cancelled. `ENOENT`: nothing fits, which is zero with [`every`](Cancel::every); `EALREADY`: too late, it is being
    /// carried out.
    type Output = io::Result<u32>;
    const OPCODE: u8 = uring_sys::IORING_OP_ASYNC_CANCEL;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        match self.what {
            What::Target(target) => admit_name(target, ring),
            What::UserData(_) | What::Any => Ok(()),
        }
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let Cancel { what, every } = unsafe { *this };
        let mut flags = 0;
        entry.set_fd(-1);
        match what {
            What::UserData(user_data) => entry.set_addr(user_data),
            What::Any => flags |= uring_sys::IORING_ASYNC_CANCEL_ANY,
            What::Target(target) => {
                flags |= uring_sys::IORING_ASYNC_CANCEL_FD;
                if target.is_direct() {
                    flags |= uring_sys::IORING_ASYNC_CANCEL_FD_FIXED;
                }
                entry.set_fd(target.number());
            }
        }
        if every {
            flags |= uring_sys::IORING_ASYNC_CANCEL_ALL;
        }
        entry.set_op_flags(flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // Without ALL the kernel says 0 for the one that it cancelled.
        completion
            .result()
            .map(|count| if self.every { count } else { count.max(1) })
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for Cancel {}
