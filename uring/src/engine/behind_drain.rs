//! Drains, and what keeps the kernel from ever starting them.
//!
//! Before Linux 6.16 the kernel counts completions to know when a drain may start, and a notification is one that it does not expect: after a
//! zero-copy send the count is never right again, and no drain of that ring ever starts (seen on 6.1 and 6.12). The same happens, the other way round,
//! when a multishot operation's completion finds no room: the kernel counts it, then ends the operation instead of making it
//! (`io_fill_cqe_aux` in `io_uring/io_uring.c`).
//!
//! A scope could not be left with such a drain in it, nor with anything behind one, since what it has borrowed can neither be waited for nor
//! given up. So nothing of the kind gets into a scope: a drain that waits for a multishot operation is refused there, and so is whatever is pushed behind one
//! that was pushed outside, as long as an operation that came before that drain may still find no room, or has found none.
//!
//! From a drain on the kernel holds every entry back until nothing that came before it is left, and goes on doing so until it meets an entry
//! while nothing else is in flight. Since Linux 6.16 it knows that by comparing how many requests there are with how many it holds back, and
//! the notification of a zero-copy send that is held back is a request that is not counted among the latter: neither that send nor anything
//! behind it would ever run, nor could it be cancelled (`io_queue_deferred` in `io_uring/io_uring.c`). And a request is there until the worker that
//! has run it lets go of it, which is later than its completion and shows nowhere: so there a ring that has had a drain takes no such send any more.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::engine::Core;
use crate::entry::{Entry, IGNORED};
use crate::error::{Call, Error, Hint};
use crate::op::{Completes, Operation};
use crate::probe::Probe;
use crate::push::Push;

/// What this kernel counts, once it has been asked.
static COUNTS: AtomicU8 = AtomicU8::new(UNKNOWN);

const UNKNOWN: u8 = 0;
const COMPLETIONS: u8 = 1;
const REQUESTS: u8 = 2;

/// Whether nothing is known of its completions but that there may be more than one.
pub(crate) const fn repeats<O: Operation>() -> bool {
    matches!(O::COMPLETES, Completes::Many(_))
}

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
    pub(crate) fn admit_drain(&mut self) -> Result<(), Error> {
        if self.notified {
            return Err(Error::refused(Call::Push, Hint::DrainAfterZeroCopy));
        }
        self.check_process(Call::Push)?;
        self.reap();
        // Whether one that was pushed raw has found no room only its user has seen.
        if self.has_miscounted() || (self.repeated_raw && self.counts_completions()) {
            return Err(Error::refused(Call::Push, Hint::DrainAfterStop));
        }
        if self.slots.repeats_before(u64::MAX) && self.counts_completions() {
            self.doubtful = self.slots.mark();
        }
        Ok(())
    }

    /// Whether something was pushed that may never start, as far as is known.
    #[inline]
    pub(super) const fn holds_doubt(&self) -> bool {
        self.doubtful != 0
    }

    /// Lets an operation into a scope, unless it may be a drain that never starts, or be held back by one.
    #[inline]
    pub(crate) fn admit_to_scope(&mut self, drains: bool) -> Result<(), Error> {
        if drains || self.holds_doubt() {
            self.admit_without_doubt(drains)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn admit_without_doubt(&mut self, drains: bool) -> Result<(), Error> {
        self.check_process(Call::Push)?;
        self.reap();
        if !self.is_in_doubt() {
            self.doubtful = 0;
        }
        let waits = drains && self.slots.repeats_before(u64::MAX);
        if self.doubtful != 0 || (waits && self.counts_completions()) {
            return Err(Error::refused(Call::Push, Hint::DrainAfterStop));
        }
        Ok(())
    }

    /// Whether the last drain that was pushed behind a multishot operation may never start.
    ///
    /// It starts if none of those before it goes on any more, and none has found no room. Some that end as if they had have ended for another reason; but
    /// if something was pushed after the mark, be it the drain or not, and nothing of that is in flight, the drain is over.
    fn is_in_doubt(&self) -> bool {
        let (slots, drain) = (&self.slots, self.doubtful);
        (slots.repeats_before(drain) || slots.stopped_before(drain)) && !slots.all_over_after(drain)
    }

    /// Whether there may be drains that never start.
    pub(super) fn may_hold_back_for_ever(&self) -> bool {
        self.drained && self.has_miscounted()
    }

    /// Whether the kernel may have counted a completion that it never made.
    fn has_miscounted(&self) -> bool {
        self.slots.has_stopped() && self.counts_completions()
    }

    /// Whether the kernel starts drains by the number of completions.
    #[cold]
    fn counts_completions(&self) -> bool {
        match COUNTS.load(Ordering::Relaxed) {
            UNKNOWN => {}
            known => return known == COMPLETIONS,
        }
        // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
        let probe = Probe::read(|opcode, arg, count| unsafe { self.register(opcode, arg, count) });
        // A ring may be kept from asking.
        let Ok(probe) = probe else { return true };
        // As old as the other way.
        let requests = probe.supports(uring_sys::IORING_OP_PIPE);
        let found = if requests { REQUESTS } else { COMPLETIONS };
        COUNTS.store(found, Ordering::Relaxed);
        !requests
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
        let may_hold_back = self.in_flight() > 0 || self.answers_due > 0;
        if drains || may_hold_back || !self.counts_completions() {
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

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;
    use std::time::Duration;

    use crate::Ring;
    use crate::op::{Nop, RawTimespec, TimeoutMultishot, Timespec};

    #[test]
    fn raw_multishots_are_noted_whichever_way_they_are_pushed() {
        let hour = Timespec::from(Duration::from_secs(3600));
        // SAFETY: nothing is submitted.
        let ticks = || unsafe { RawTimespec::new(NonNull::from(&hour)) };
        let ticks = || TimeoutMultishot::at_address(ticks());
        let noted = |push: &dyn Fn(&mut Ring)| {
            let mut ring = Ring::new(2).unwrap();
            ring.push_raw(Nop::new(), 1).unwrap();
            assert!(!ring.core().repeated_raw);
            push(&mut ring);
            ring.core().repeated_raw
        };
        assert!(noted(&|ring| ring.push_raw(ticks(), 2).unwrap()));
        assert!(noted(&|ring| {
            ring.batch(|batch| batch.push_raw(ticks(), 2).unwrap());
        }));
        assert!(!noted(&|ring| {
            ring.batch(|batch| batch.push_raw(Nop::new(), 2).unwrap());
        }));
    }
}
