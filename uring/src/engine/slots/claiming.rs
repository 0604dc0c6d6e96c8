//! Moving operations, and what they have brought, out of their slots.

use super::burial::discard_all;
use super::{Place, Slot, Slots, State, Times, has_items};
use crate::completion::Completion;
use crate::engine::items::NO_ITEM;
use crate::engine::storage::{locate, retrieve};
use crate::op::{Completes, Operation};

impl Slots {
    /// [`claim`](Slots::claim) of an operation whose only completion has come and is as small as most; otherwise nothing is done.
    ///
    /// # Safety
    ///
    /// The operation at `place` is an `O`.
    #[inline]
    pub(crate) unsafe fn claim_plain<O: Operation>(
        &mut self,
        place: Place,
    ) -> Option<(O, Completion)> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised; the storage holds an `O` that the kernel has finished with.
        unsafe {
            if (*slot).state != State::Landed || (*slot).link != NO_ITEM {
                return None;
            }
            let op = retrieve::<O>(&raw mut (*slot).storage);
            let completion = Completion::new(0, (*slot).result, (*slot).flags);
            self.release(place.index);
            Some((op, completion))
        }
    }

    /// Moves an operation out whose last completion has come, and frees its slot. Items that were not taken are dropped.
    ///
    /// # Safety
    ///
    /// The operation at `place` is an `O`.
    #[inline]
    pub(crate) unsafe fn claim<O: Operation>(&mut self, place: Place) -> Option<(O, Completion)> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised; the storage holds an `O` that the kernel has finished with.
        unsafe {
            if (*slot).state != State::Landed {
                return None;
            }
            let op = retrieve::<O>(&raw mut (*slot).storage);
            let mut left = self.take_items(slot);
            let completion = self.last_completion(slot);
            self.release(place.index);
            if let (Completes::Many(many), false) = (O::COMPLETES, left == NO_ITEM) {
                let items = std::iter::from_fn(|| self.items.take_first(&mut left));
                discard_all(items, |item| many.discard(&raw const op, item));
            }
            Some((op, completion))
        }
    }

    /// Takes the list of items off.
    ///
    /// # Safety
    ///
    /// `slot` is one of these.
    pub(super) unsafe fn take_items(&mut self, slot: *mut Slot) -> u32 {
        // SAFETY: the caller vouches for the slot.
        unsafe {
            match (*slot).completes {
                Times::Once | Times::Quiet | Times::Notified => NO_ITEM,
                Times::Many => std::mem::replace(&mut (*slot).link, NO_ITEM),
            }
        }
    }

    /// What the operation's completion said, which it is to be completed with.
    ///
    /// # Safety
    ///
    /// `slot` is one of these and its operation has landed.
    #[inline]
    pub(super) unsafe fn last_completion(&mut self, slot: *mut Slot) -> Completion {
        // SAFETY: the caller vouches for the slot.
        unsafe {
            let mut completion = Completion::new(0, (*slot).result, (*slot).flags);
            if (*slot).link != NO_ITEM && (*slot).completes != Times::Many {
                let more = self.items.take_first(&mut (*slot).link);
                completion.extra = more.map_or([0; 2], |more| more.extra);
            }
            completion
        }
    }

    /// The next item of a multishot operation, and the address of the operation.
    pub(crate) fn take_item<O: Operation>(
        &mut self,
        place: Place,
    ) -> Option<(*const O, Completion)> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised; the storage holds the operation, which is not moved.
        unsafe {
            if !has_items(slot) {
                return None;
            }
            let completion = self.items.take_first(&mut (*slot).link)?;
            Some((locate::<O>(&raw mut (*slot).storage), completion))
        }
    }
}
