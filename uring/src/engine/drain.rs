//! The end of operations: nothing of theirs is freed before the kernel is done with it.
//!
//! Closing a ring, giving its slot back and cancelling are no barriers: the kernel goes on writing into buffers afterwards. The only proof
//! that it is done is the operation's last completion, so the end of a ring is to cancel and to wait for every one (DESIGN 6.3).

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uring_sys::Errno;

use crate::completion::Completion;
use crate::engine::cancel::CancelCall;
use crate::engine::{Core, Wait, release_slot};
use crate::entry::{IGNORED, TRACKED};
use crate::error::{Call, Error};
use crate::flags::Features;
use crate::syscall::Name;

/// Operations whose memory was leaked because the kernel could not be brought to finish them.
static LEAKED: AtomicU64 = AtomicU64::new(0);

/// How many operations had to be leaked in this process, because their ring was destroyed from outside before they had completed.
///
/// Their buffers are never freed: the kernel may still write to them. In a healthy process it stays zero.
#[must_use]
pub fn leaked_operations() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// How long a ring that cannot be entered any more, or may not cancel, is watched for completions before it is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pauses between two looks at such a ring: short ones first, since what completes at all mostly does so soon.
struct Pauses {
    next: Duration,
    waited: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);

    const fn new() -> Pauses {
        Pauses {
            next: Pauses::FIRST,
            waited: Duration::ZERO,
        }
    }

    /// Counts the pause that has passed, and says whether it was the last.
    fn count(&mut self) -> bool {
        self.waited += self.next;
        self.next = Pauses::LONGEST.min(2 * self.next);
        self.waited >= PATIENCE
    }
}

/// How long cancelled operations are waited for before they are cancelled again: one that is between two states, such as a multishot
/// timeout that has fired and is not armed again yet, is found in neither. Those that make themselves heard are cancelled again at once.
const CANCEL_AGAIN: Duration = Duration::from_millis(20);

/// Whether the kernel has found any of what it was asked to cancel; what a drain holds back it does not find.
enum Found {
    Nothing,
    Something,
}

impl Core {
    /// Makes ready for operations of the scope at `depth`.
    pub(crate) fn open_scope(&mut self, depth: u16) {
        self.slots.open_depth(depth);
    }

    /// Whether the scope at `depth` and those within it have left nothing, and nothing is to be dropped.
    #[inline]
    pub(crate) fn has_left_nothing(&self, depth: u16) -> bool {
        self.slots.has_none(depth) && !self.slots.has_given_up()
    }

    /// Waits for everything in flight in the scope at `depth` and those within it; what would go on for ever is cancelled, and after
    /// a panic everything is.
    ///
    /// # Errors
    ///
    /// The kernel could not be brought to finish, and may still use the memory of what is left.
    pub(crate) fn drain_scope(&mut self, depth: u16, cancel: bool) -> Result<(), Error> {
        if self.slots.flying(depth) == 0 {
            return Ok(());
        }
        if !self.process.is_current() {
            self.land_all_as_cancelled(depth);
            return Ok(());
        }
        self.draining = true;
        let drained = match self.cancel_flying(depth, !cancel) {
            Ok(()) => self.wait_for_landing(depth, !cancel),
            Err(error) => self.watch_for_landing(depth, error),
        };
        self.draining = false;
        drained
    }

    /// In a forked child no kernel works on this copy, so no completion will come.
    fn land_all_as_cancelled(&mut self, depth: u16) {
        let flying: Vec<u64> = self.slots.flying_user_data(depth, false).collect();
        for user_data in flying {
            self.slots
                .land(Completion::new(user_data, -libc::ECANCELED, 0));
        }
    }

    /// Drops the results of a scope that nobody took.
    pub(crate) fn bury_scope(&mut self, depth: u16) {
        self.slots.give_up_landed(depth);
        self.slots.bury();
    }

    fn cancel_flying(&mut self, depth: u16, only_multishot: bool) -> Result<(), Error> {
        self.reap();
        let flying: Vec<u64> = self.slots.flying_user_data(depth, only_multishot).collect();
        for user_data in flying {
            while !self.sq.has_room(1) {
                self.submit_for_room()?;
                self.reap();
            }
            self.place_cancel(user_data);
        }
        Ok(())
    }

    fn wait_for_landing(&mut self, depth: u16, only_multishot: bool) -> Result<(), Error> {
        let mut pauses = Pauses::new();
        // Since when nothing is left but what a drain holds back that never starts.
        let mut held_back = None;
        self.reap();
        while self.slots.flying(depth) > 0 {
            let cancelled = self.is_flying(depth, only_multishot);
            let wait = if self.cancel_refused {
                Wait::at_most(1, pauses.next)
            } else if cancelled && self.setup.features().contains(Features::EXT_ARG) {
                Wait::at_most(1, CANCEL_AGAIN)
            } else {
                Wait::For(1)
            };
            let (failure, quiet) = match self.transact(wait) {
                Ok(_) => (None, false),
                Err(error) if error.is_interrupted() => (None, false),
                Err(error) if error.is_timed_out() => (self.cancel_refused.then_some(error), true),
                Err(error) if error.is_busy() => (self.collect().err(), false),
                Err(error) => return self.watch_for_landing(depth, error),
            };
            if let Some(error) = failure {
                if pauses.count() {
                    return Err(error);
                }
            }
            self.reap();
            let heard = self.slots.has_heard_more();
            if !self.cancel_refused && (quiet || (heard && self.is_flying(depth, true))) {
                match self.cancel_again(depth, only_multishot || !quiet) {
                    Ok(Found::Nothing) if quiet && depth == 0 && self.may_hold_back_for_ever() => {
                        if held_back.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                            return Err(Error::sys(Call::Enter, Errno::ETIME));
                        }
                    }
                    Ok(_) => held_back = None,
                    Err(error) => return self.watch_for_landing(depth, error),
                }
            }
        }
        Ok(())
    }

    /// By call, where the kernel has it: a drain may hold back the entries that were there first, and would hold back more of them.
    fn cancel_again(&mut self, depth: u16, only_multishot: bool) -> Result<Found, Error> {
        let mut found = Found::Nothing;
        let unusable = self
            .slots
            .flying_user_data(depth, only_multishot)
            .any(|user_data| {
                let answer = self.cancel_by_call(user_data);
                if answer == CancelCall::Found {
                    found = Found::Something;
                }
                answer == CancelCall::Unusable
            });
        if !unusable {
            return Ok(found);
        }
        // What a scope has borrowed cannot be given up, so that goes on waiting.
        self.cancel_refused |= self.drained && depth == 0;
        self.cancel_flying(depth, only_multishot)?;
        Ok(Found::Something)
    }

    fn is_flying(&self, depth: u16, only_multishot: bool) -> bool {
        self.slots
            .flying_user_data(depth, only_multishot)
            .next()
            .is_some()
    }

    /// Waits for what a ring that cannot be entered still completes by itself.
    ///
    /// It is not entered again: its name may lead to another's ring, where a wait has no end.
    fn watch_for_landing(&mut self, depth: u16, error: Error) -> Result<(), Error> {
        self.retract_unsubmitted();
        let mut pauses = Pauses::new();
        loop {
            self.reap();
            if self.slots.flying(depth) == 0 {
                return Ok(());
            }
            std::thread::sleep(pauses.next);
            if pauses.count() {
                return Err(error);
            }
        }
    }

    /// Lands what the kernel has never seen, as cancelled.
    fn retract_unsubmitted(&mut self) {
        self.quiet.clear();
        let (slots, due) = (&mut self.slots, &mut self.answers_due);
        self.sq.retract(|user_data| {
            if user_data == IGNORED {
                *due = due.saturating_sub(1);
            } else if user_data & TRACKED != 0 {
                slots.land(Completion::new(user_data, -libc::ECANCELED, 0));
            }
        });
    }

    fn end_in_its_process(&mut self) {
        let _release = self.index.map(|index| ReleaseAtEnd(self.name, index));
        self.retract_unsubmitted();
        if self.drain_scope(0, true).is_ok() {
            self.bury_everything();
        } else {
            LEAKED.fetch_add(u64::from(self.in_flight()), Ordering::Relaxed);
            self.slots.give_up_landed(0);
            self.slots.give_up_flying();
            self.slots.bury();
        }
    }

    /// What a forked child's copy holds is dropped as cancelled, and nothing else is touched.
    fn end_in_a_child(&mut self) {
        self.land_all_as_cancelled(0);
        self.bury_everything();
    }

    fn bury_everything(&mut self) {
        self.slots.give_up_landed(0);
        self.slots.bury();
        // SAFETY: nothing is in flight, so the kernel points nowhere into the slots; they are not used again.
        unsafe { ManuallyDrop::drop(&mut self.slots) };
    }
}

/// Gives the ring's slot back after the drain, also when a destructor unwinds out of it.
struct ReleaseAtEnd(Name, u8);

impl Drop for ReleaseAtEnd {
    fn drop(&mut self) {
        release_slot(self.0, self.1);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.end_in_its_process();
        } else {
            self.end_in_a_child();
        }
    }
}
