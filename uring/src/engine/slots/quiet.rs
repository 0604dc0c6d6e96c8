//! Chains of which the kernel tells one completion only (`IOSQE_CQE_SKIP_SUCCESS`).
//!
//! All members but the last skip theirs when they succeed. So the first completion that comes of such a chain is the only one, and says
//! what has become of all: those before have succeeded, or there would have been theirs; those after are cancelled in silence, since a
//! member that skips its success silences what follows when it fails (M16).

use super::{Place, Slot, Slots, State, Times};
use crate::engine::items::NO_ITEM;

/// The members of a chain that is being pushed.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    first: u32,
    last: u32,
}

impl Slots {
    /// Makes an operation a member of the chain that is being pushed, or the first of a new one. `success` is what its completion
    /// would say if it were not skipped.
    pub(crate) fn join_quiet_chain(&mut self, place: Place, success: i32, is_first: bool) {
        let slot = self.slot(place.index);
        let first = match self.quiet {
            Some(ends) if !is_first => {
                let last = self.slot(ends.last);
                // SAFETY: the header is initialised.
                unsafe { (*last).last_item = place.index };
                ends.first
            }
            _ => place.index,
        };
        // SAFETY: the header is initialised. The members are a circle; operations that complete once need the field for nothing else.
        unsafe {
            (*slot).completes = Times::Quiet;
            (*slot).result = success;
            (*slot).flags = 0;
            (*slot).last_item = first;
        }
        self.quiet = Some(Ends {
            first,
            last: place.index,
        });
    }

    /// The slot of an operation that has landed without a completion of its own.
    #[inline]
    pub(crate) fn next_settled(&mut self) -> Option<u32> {
        self.settled.pop()
    }

    /// Lands all other members of the chain of `slot`, whose own completion has come.
    ///
    /// # Safety
    ///
    /// `slot` is one of these, and in a quiet chain.
    #[cold]
    pub(super) unsafe fn settle_quiet_chain(&mut self, slot: *mut Slot) {
        // SAFETY: the caller vouches for the slot, and the others of the circle are in flight until one completes.
        unsafe {
            (*slot).completes = Times::Once;
            let mut index = std::mem::replace(&mut (*slot).last_item, NO_ITEM);
            loop {
                let other = self.slot(index);
                if other == slot {
                    return;
                }
                debug_assert!((*other).state == State::Flying);
                (*other).completes = Times::Once;
                let next = std::mem::replace(&mut (*other).last_item, NO_ITEM);
                // Members were numbered in their order. What success says is there already.
                if (*other).sequence > (*slot).sequence {
                    (*other).result = -libc::ECANCELED;
                }
                self.has_completed(index);
                self.settled.push(index);
                index = next;
            }
        }
    }
}
