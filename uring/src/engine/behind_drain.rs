//! Drains and zero-copy sends, which the kernel does not keep apart.
//!
//! Before Linux 6.16 the kernel counts completions to know when a drain may start, and a notification is one that it does not expect: after a
//! zero-copy send the count is never right again, and no drain of that ring ever starts (seen on 6.1 and 6.12).
//!
//! From a drain on the kernel holds every entry back until nothing that came before it is left, and goes on doing so until it meets an entry
//! while nothing else is in flight. Since Linux 6.16 it knows that by comparing how many requests there are with how many it holds back, and
//! the notification of a zero-copy send that is held back is a request that is not counted among the latter: neither that send nor anything
//! behind it would ever run, nor could it be cancelled (`io_queue_deferred` in `io_uring/io_uring.c`).

use crate::engine::Core;
use crate::entry::{Entry, IGNORED};
use crate::error::{Call, Error, Hint};
use crate::op::{Completes, Operation};
use crate::push::Push;

/// Whether the operation takes a second request for its notification.
pub(crate) const fn notifies<O: Operation>() -> bool {
    matches!(O::COMPLETES, Completes::Notified)
}

impl Core {
    /// Notes what the kernel makes of a push.
    #[inline]
    pub(super) fn note_drain<O: Operation>(&mut self, push: Push) {
        self.drained |= push.drains();
        self.notified |= notifies::<O>();
    }

    /// Lets a drain in, unless it would never start.
    #[inline]
    pub(crate) fn admit_drain(&self) -> Result<(), Error> {
        if self.notified {
            Err(Error::refused(Call::Push, Hint::DrainAfterZeroCopy))
        } else {
            Ok(())
        }
    }

    /// Lets an operation in that [notifies], itself a drain or not, unless the kernel would hold it back.
    #[inline]
    pub(crate) fn admit_notifying(&mut self, drains: bool) -> Result<(), Error> {
        if drains || self.drained {
            self.pass_drain(drains)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn pass_drain(&mut self, drains: bool) -> Result<(), Error> {
        self.check_process(Call::Push)?;
        self.reap();
        if drains || self.in_flight() > 0 || self.answers_due > 0 {
            return Err(Error::refused(Call::Push, Hint::BehindDrain));
        }
        self.make_room(1, 0, false, true)?;
        let mut entry = Entry::new(uring_sys::IORING_OP_NOP);
        entry.set_user_data(IGNORED);
        self.answers_due = self.answers_due.saturating_add(1);
        self.enqueue(&mut entry, false, None);
        self.drained = false;
        Ok(())
    }
}
