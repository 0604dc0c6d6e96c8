//! Ending polls that are in flight, and changing what they wait for.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, TRACKED};
use crate::error::Hint;
use crate::op::{Operation, PollEvents, RawOperation, done, sealed};
use crate::token::Token;

/// Ends a poll of the same ring, which then completes with `ECANCELED`.
///
/// `ENOENT`: there is none; `EALREADY`: too late, it is about to complete. [`Cancel`](crate::op::Cancel) does the same for every kind of operation.
///
/// Since Linux 5.1.
///
/// ```
/// use uring::op::{Poll, PollEvents, PollRemove};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (quiet, _other) = std::os::unix::net::UnixStream::pair()?;
/// let poll = ring.push(Poll::new(quiet, PollEvents::IN))?;
/// ring.call(PollRemove::token(&poll))??;
/// assert!(ring.wait(poll)?.result.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_poll_remove(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_poll_remove")]
#[doc(alias = "IORING_OP_POLL_REMOVE")]
#[must_use]
pub struct PollRemove {
    user_data: u64,
}

impl PollRemove {
    /// Ends that poll.
    pub fn token<O>(token: &Token<O>) -> PollRemove {
        PollRemove::user_data(token.user_data())
    }

    /// Ends a poll that was pushed [raw](crate::Ring::push_raw) with that number.
    pub const fn user_data(user_data: u64) -> PollRemove {
        PollRemove { user_data }
    }
}

impl sealed::Sealed for PollRemove {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for PollRemove {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_POLL_REMOVE;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        entry.set_addr(unsafe { (*this).user_data });
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for PollRemove {}

/// Changes what a poll in flight waits for, or by which number it is told.
///
/// Only the events of `poll(2)` can be changed. `ENOENT`: there is no such poll; `EALREADY`: it is about to complete.
///
/// Since Linux 5.13; on older kernels it completes with `EINVAL`. The 5.10 series with its later updates knows it, and loses a poll that is
/// changed to something that can be done already: it never completes, and its ring waits for it at its end.
///
/// ```
/// use uring::op::{Poll, PollEvents, PollUpdate};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (socket, _other) = std::os::unix::net::UnixStream::pair()?;
/// let poll = ring.push(Poll::new(socket, PollEvents::IN))?;
/// ring.call(PollUpdate::token(&poll, PollEvents::OUT))??;
/// assert!(ring.wait(poll)?.result?.contains(PollEvents::OUT));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_poll_update(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_poll_update")]
#[doc(alias = "IORING_POLL_UPDATE_EVENTS")]
#[must_use]
pub struct PollUpdate {
    user_data: u64,
    events: Option<PollEvents>,
    renamed: Option<u64>,
}

impl PollUpdate {
    /// Has that poll wait for those events instead.
    pub fn token<O>(token: &Token<O>, events: PollEvents) -> PollUpdate {
        PollUpdate::user_data(token.user_data(), events)
    }

    /// The same for a poll that was pushed [raw](crate::Ring::push_raw) with that number.
    pub const fn user_data(user_data: u64, events: PollEvents) -> PollUpdate {
        PollUpdate {
            user_data,
            events: Some(events),
            renamed: None,
        }
    }

    /// Has a raw poll told by another number. The push is refused if the top bit of either is set: it is the ring's own.
    #[doc(alias = "IORING_POLL_UPDATE_USER_DATA")]
    pub const fn rename(from: u64, to: u64) -> PollUpdate {
        PollUpdate {
            user_data: from,
            events: None,
            renamed: Some(to),
        }
    }

    /// ... and wait for those events instead.
    pub const fn events(mut self, events: PollEvents) -> Self {
        self.events = Some(events);
        self
    }
}

impl sealed::Sealed for PollUpdate {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for PollUpdate {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_POLL_REMOVE;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        match self.renamed {
            // A tracked operation would never be heard of again, or a raw one taken for it (M15).
            Some(renamed) if (self.user_data | renamed) & TRACKED != 0 => Err(Hint::contradiction(
                &"the top bit of user_data is the ring's own",
            )),
            _ => Ok(()),
        }
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let PollUpdate {
            user_data,
            events,
            renamed,
        } = unsafe { *this };
        let mut flags = 0;
        if let Some(events) = events {
            flags |= uring_sys::IORING_POLL_UPDATE_EVENTS;
            entry.set_poll_events(events.bits());
        }
        if let Some(renamed) = renamed {
            flags |= uring_sys::IORING_POLL_UPDATE_USER_DATA;
            entry.set_off(renamed);
        }
        entry.set_addr(user_data);
        entry.set_len(flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)
    }
}

// SAFETY: it owns nothing and points nowhere.
unsafe impl RawOperation for PollUpdate {}
