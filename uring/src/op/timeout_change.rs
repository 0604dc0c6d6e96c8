//! Ending timeouts that are in flight, and changing their time.

use std::io;
use std::time::Duration;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::op::{Operation, RawOperation, TimeMemory, Timespec, done, sealed};
use crate::resource::Untracked;
use crate::token::Token;

/// Ends a timeout of the same ring, which then completes with `ECANCELED`.
///
/// `ENOENT`: there is none; `EALREADY`: too late, it is about to complete.
///
/// Since Linux 5.5.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Timeout, TimeoutRemove};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
/// ring.call(TimeoutRemove::token(&hour))??;
/// assert!(ring.wait(hour)?.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_timeout_remove(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_timeout_remove")]
#[doc(alias = "IORING_OP_TIMEOUT_REMOVE")]
#[must_use]
pub struct TimeoutRemove {
    user_data: u64,
}

impl TimeoutRemove {
    /// Ends that timeout.
    pub fn token<O>(token: &Token<O>) -> TimeoutRemove {
        TimeoutRemove::user_data(token.user_data())
    }

    /// Ends a timeout that was pushed [raw](crate::Ring::push_raw) with that number.
    pub const fn user_data(user_data: u64) -> TimeoutRemove {
        TimeoutRemove { user_data }
    }
}

impl sealed::Sealed for TimeoutRemove {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for TimeoutRemove {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_TIMEOUT_REMOVE;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        entry.set_addr(unsafe { (*this).user_data });
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for TimeoutRemove {}

/// Gives a timeout in flight another time, from now on.
///
/// `ENOENT`: there is none; `EALREADY`: too late.
///
/// Since Linux 5.11; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Timeout, TimeoutEnd, TimeoutUpdate};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let timeout = ring.push(Timeout::after(Duration::from_secs(3600)))?;
/// ring.call(TimeoutUpdate::token(&timeout, Duration::from_millis(1)))??;
/// assert_eq!(ring.wait(timeout)??, TimeoutEnd::TimeOver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_timeout_update(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_timeout_update")]
#[doc(alias = "IORING_TIMEOUT_UPDATE")]
#[must_use]
pub struct TimeoutUpdate<M = Timespec> {
    user_data: u64,
    memory: M,
    flags: u32,
}

impl TimeoutUpdate {
    /// Has that timeout end after that time.
    pub fn token<O>(token: &Token<O>, after: Duration) -> TimeoutUpdate {
        TimeoutUpdate::token_at_address(token, after.into())
    }
}

impl<M: TimeMemory> TimeoutUpdate<M> {
    /// The same with the time that is found there.
    pub fn token_at_address<O>(token: &Token<O>, memory: M) -> TimeoutUpdate<M> {
        TimeoutUpdate::user_data(token.user_data(), memory)
    }

    /// The same for a timeout that was pushed [raw](crate::Ring::push_raw) with that number.
    pub const fn user_data(user_data: u64, memory: M) -> TimeoutUpdate<M> {
        TimeoutUpdate {
            user_data,
            memory,
            flags: uring_sys::IORING_TIMEOUT_UPDATE,
        }
    }

    /// Means a [`LinkTimeout`](crate::op::LinkTimeout). Since Linux 5.15.
    #[doc(alias = "IORING_LINK_TIMEOUT_UPDATE")]
    pub fn of_link(mut self) -> Self {
        self.flags |= uring_sys::IORING_LINK_TIMEOUT_UPDATE;
        self
    }

    /// Takes the time as a point of the monotonic clock, not as a span from now.
    pub fn absolute(mut self) -> Self {
        self.flags |= uring_sys::IORING_TIMEOUT_ABS;
        self
    }
}

impl<M> sealed::Sealed for TimeoutUpdate<M> {}

// SAFETY: the time is inside the value, which stays where it is, or where `RawTimespec::new` was promised.
unsafe impl<M: TimeMemory> Operation for TimeoutUpdate<M> {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_TIMEOUT_REMOVE;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            entry.set_addr((*this).user_data);
            entry.set_off(M::argument(&raw const (*this).memory));
            entry.set_op_flags((*this).flags | M::FLAGS);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: the time is untracked, so nothing points into the value.
unsafe impl<M: TimeMemory + Untracked> RawOperation for TimeoutUpdate<M> {}
