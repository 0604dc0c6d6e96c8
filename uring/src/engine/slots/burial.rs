//! Dropping what nobody wants: results that were given up, and items that were not taken.
//!
//! What a completion has brought is built and dropped, never forgotten: it may be a descriptor that the kernel has just made (M4).
//! A panic in one destructor does not keep the others from running (DESIGN 6.8).

use super::{Place, Slots, State, Storage, has_items};
use crate::completion::Completion;
use crate::engine::items::{Items, NO_ITEM};
use crate::engine::storage::ErasedCalls;

impl Slots {
    /// Nobody will claim the operation: it is buried when its last completion has come.
    pub(crate) fn orphan(&mut self, place: Place) {
        let Some(slot) = self.find(place) else { return };
        // SAFETY: the header is initialised.
        unsafe {
            (*slot).orphan = true;
            if (*slot).state == State::Landed {
                self.give_up(place.index);
            } else if has_items(slot) {
                self.littered.push(place.index);
            }
        }
    }

    pub(super) fn give_up(&mut self, index: u32) {
        // SAFETY: the header is initialised.
        unsafe { (*self.slot(index)).state = State::Corpse };
        self.corpses.push(index);
    }

    /// Gives up everything at `depth` or deeper that has landed and nobody claimed.
    pub(crate) fn give_up_landed(&mut self, depth: u16) {
        if self.kept(depth) == 0 {
            return;
        }
        for index in 0..self.used {
            let slot = self.slot(index);
            // SAFETY: the header is initialised.
            if unsafe { (*slot).state == State::Landed && (*slot).depth >= depth } {
                self.give_up(index);
            }
        }
    }

    /// Gives up everything in flight.
    #[cold]
    pub(crate) fn give_up_flying(&mut self) {
        for index in 0..self.used {
            let slot = self.slot(index);
            // SAFETY: the header is initialised.
            unsafe {
                if (*slot).state == State::Flying && !(*slot).orphan {
                    (*slot).orphan = true;
                    if has_items(slot) {
                        self.littered.push(index);
                    }
                }
            }
        }
    }

    /// Drops the resources of everything that was given up.
    ///
    /// A slot is free before its destructors run.
    #[inline]
    pub(crate) fn bury(&mut self) {
        if !self.corpses.is_empty() || !self.littered.is_empty() {
            Burial(self).finish();
        }
    }

    fn bury_one(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the slot holds an operation that the kernel has finished with; its bytes are copied out and the slot is
        // freed, so from here on the copy is the operation. Items read it until it is buried.
        unsafe {
            let storage = (&raw const (*slot).storage).read();
            let calls = (*slot).calls;
            let left = self.take_items(slot);
            let completion = self.last_completion(slot);
            self.release(index);
            let mut remains = Remains {
                storage,
                calls,
                completion,
            };
            if left != NO_ITEM {
                let storage = &raw mut remains.storage;
                DiscardItems::all(&mut self.items, left, |item| (calls.discard)(storage, item));
            }
        }
    }

    /// Drops the items of an operation in flight.
    fn clean_one(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header is initialised. What was given up and is not buried is in its storage, and items read nothing of it that the
        // kernel writes.
        unsafe {
            if !(*slot).orphan || (*slot).state == State::Free {
                return;
            }
            let left = self.take_items(slot);
            if left != NO_ITEM {
                let (calls, storage) = ((*slot).calls, &raw mut (*slot).storage);
                DiscardItems::all(&mut self.items, left, |item| (calls.discard)(storage, item));
            }
        }
    }
}

/// Buries what is left even if one burial unwinds; a second panic aborts, as everywhere in Rust.
struct Burial<'a>(&'a mut Slots);

impl Burial<'_> {
    fn finish(&mut self) {
        // Items go before the operation that they are made of.
        while let Some(index) = self.0.littered.pop() {
            self.0.clean_one(index);
        }
        while let Some(index) = self.0.corpses.pop() {
            self.0.bury_one(index);
        }
    }
}

impl Drop for Burial<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An operation out of its slot, which is buried also if one of its items unwinds.
struct Remains {
    storage: Storage,
    calls: &'static ErasedCalls,
    completion: Completion,
}

impl Drop for Remains {
    fn drop(&mut self) {
        // SAFETY: the storage is a copy of a slot's whose operation the kernel has finished with, and this is the end of it.
        unsafe { (self.calls.bury)(&raw mut self.storage, self.completion) };
    }
}

/// Discards the items of a list, the rest of them also if one unwinds.
pub(super) struct DiscardItems<'a, F: FnMut(Completion)> {
    items: &'a mut Items,
    first: u32,
    discard: F,
}

impl<'a, F: FnMut(Completion)> DiscardItems<'a, F> {
    pub(super) fn all(items: &'a mut Items, first: u32, discard: F) {
        let mut left = DiscardItems {
            items,
            first,
            discard,
        };
        left.finish();
    }

    fn finish(&mut self) {
        while let Some(item) = self.items.take_first(&mut self.first) {
            (self.discard)(item);
        }
    }
}

impl<F: FnMut(Completion)> Drop for DiscardItems<'_, F> {
    fn drop(&mut self) {
        self.finish();
    }
}
