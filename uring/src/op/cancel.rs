//! Cancelling other operations, and hearing what came of it.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, NOBODY};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_name, sealed};
use crate::resource::{Target, TargetName};
use crate::token::Token;

/// Cancels operations of the same ring.
///
/// What is cancelled completes with `ECANCELED` (or as it would have, if it was too far on), and only that completion means that
/// the kernel is done with its memory. To cancel without hearing what came of it there is [`Ring::cancel`](crate::Ring::cancel), to wait
/// until it is done [`Ring::cancel_sync`](crate::Ring::cancel_sync).
///
/// Since Linux 5.5.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Cancel, Cancelled, Timeout};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
/// assert_eq!(ring.call(Cancel::token(&hour))??, Cancelled::Count(1));
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
    opcode: Option<u8>,
    every: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    UserData(u64),
    Target(TargetName),
    Opcode,
    Any,
}

/// What came of a [`Cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was not cancelled goes on"]
pub enum Cancelled {
    /// So many were cancelled; each completes, as all operations do.
    Count(u32),
    /// Nothing fits: it has completed, or is not submitted yet.
    NotFound,
    /// It is being carried out, and completes as it will: its worker was told to hurry, which a read of a socket heeds and one of a disk
    /// does not.
    TooLate,
}

impl Cancelled {
    /// How many were cancelled.
    pub const fn count(self) -> u32 {
        match self {
            Cancelled::Count(count) => count,
            Cancelled::NotFound | Cancelled::TooLate => 0,
        }
    }
}

/// What the kernel is told, in an entry or a call.
pub(crate) struct Fields {
    pub(crate) addr: u64,
    pub(crate) fd: i32,
    pub(crate) flags: u32,
    pub(crate) opcode: u8,
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

    /// Cancels an operation of that kind (`IORING_OP_*`).
    ///
    /// Since Linux 6.6. Older kernels complete with `EINVAL`; some to which it was brought in part, such as Debian's 6.1, find nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::op::{Cancel, Cancelled, Timeout};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
    /// let timeouts = Cancel::opcode(uring_sys::IORING_OP_TIMEOUT).every();
    /// match ring.call(timeouts)? {
    ///     Ok(cancelled) => assert_eq!(cancelled, Cancelled::Count(1)),
    ///     Err(_) => ring.cancel(&hour)?,
    /// }
    /// assert!(ring.wait(hour)?.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "IORING_ASYNC_CANCEL_OP")]
    pub const fn opcode(opcode: u8) -> Cancel {
        Cancel::what(What::Opcode).of_kind(opcode)
    }

    /// Cancels only what is of that kind (`IORING_OP_*`) too.
    ///
    /// Since Linux 6.6. Older kernels complete with `EINVAL`, as all do with [`any`](Cancel::any); some to which it was brought in part, such
    /// as Debian's 6.1, do not look at the kind.
    pub const fn of_kind(self, opcode: u8) -> Cancel {
        Cancel {
            opcode: Some(opcode),
            ..self
        }
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
        Cancel {
            what,
            opcode: None,
            every: false,
        }
    }

    pub(crate) fn fields(self) -> Fields {
        let mut fields = Fields {
            addr: 0,
            fd: -1,
            flags: 0,
            opcode: 0,
        };
        match self.what {
            What::UserData(user_data) => fields.addr = user_data,
            // Kernels that take the flag and do not go by it find nobody.
            What::Opcode => fields.addr = NOBODY,
            What::Any => fields.flags |= uring_sys::IORING_ASYNC_CANCEL_ANY,
            What::Target(target) => {
                fields.flags |= uring_sys::IORING_ASYNC_CANCEL_FD;
                if target.is_direct() {
                    fields.flags |= uring_sys::IORING_ASYNC_CANCEL_FD_FIXED;
                }
                fields.fd = target.number();
            }
        }
        if let Some(opcode) = self.opcode {
            fields.opcode = opcode;
            fields.flags |= uring_sys::IORING_ASYNC_CANCEL_OP;
            if matches!(self.what, What::UserData(_)) {
                fields.flags |= uring_sys::IORING_ASYNC_CANCEL_USERDATA;
            }
        }
        if self.every {
            fields.flags |= uring_sys::IORING_ASYNC_CANCEL_ALL;
        }
        fields
    }

    /// Whether it asks for a kind of operation.
    pub(crate) const fn has_opcode(&self) -> bool {
        self.opcode.is_some()
    }

    /// What the kernel's answer means. Without ALL it says 0 for the one that it cancelled.
    pub(crate) fn answer(self, answer: u32) -> Cancelled {
        match (answer, self.every) {
            (0, true) => Cancelled::NotFound,
            (0, false) => Cancelled::Count(1),
            (count, _) => Cancelled::Count(count),
        }
    }
}

impl sealed::Sealed for Cancel {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for Cancel {
    /// What came of it.
    type Output = io::Result<Cancelled>;
    const OPCODE: u8 = uring_sys::IORING_OP_ASYNC_CANCEL;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        match self.what {
            What::Target(target) => admit_name(target, ring),
            What::UserData(_) | What::Opcode | What::Any => Ok(()),
        }
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let fields = unsafe { *this }.fields();
        entry.set_fd(fields.fd);
        entry.set_addr(fields.addr);
        entry.set_len(u32::from(fields.opcode));
        entry.set_op_flags(fields.flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        match -completion.raw_result() {
            libc::ENOENT => Ok(Cancelled::NotFound),
            libc::EALREADY => Ok(Cancelled::TooLate),
            _ => completion.result().map(|answer| self.answer(answer)),
        }
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for Cancel {}
