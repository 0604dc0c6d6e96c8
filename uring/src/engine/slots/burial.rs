//! Dropping what nobody wants: results that were given up, and items that were not taken.
//!
//! What a completion has brought is built and dropped, never forgotten: it may be a descriptor that the kernel has just made (M4).
//! A panic in one destructor does not keep the others from running (DESIGN 6.8).

use super::{Place, Slots, State, Storage, has_items};
use crate::completion::Completion;
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

    /// Whether there is something to drop.
    #[inline]
    pub(crate) fn has_given_up(&self) -> bool {
        !self.corpses.is_empty() || !self.littered.is_empty()
    }

    /// Drops the resources of everything that was given up.
    ///
    /// A slot is free before its destructors run.
    #[inline]
    pub(crate) fn bury(&mut self) {
        if self.has_given_up() {
            Burial(self).finish();
        }
    }

    /// The next operation that was given up, out of its slot, for its resources to be dropped when nothing is borrowed. What is left of
    /// operations in flight is dropped at once: items are no code of users.
    pub(crate) fn exhume_next(&mut self) -> Option<Remains> {
        while let Some(index) = self.littered.pop() {
            self.clean(index);
        }
        self.corpses.pop().map(|index| self.exhume(index))
    }

    /// Takes an operation that was given up out of its slot, and the items that were not taken with it.
    fn exhume(&mut self, index: u32) -> Remains {
        let slot = self.slot(index);
        // SAFETY: the slot holds an operation that the kernel has finished with; its bytes are copied out and the slot is
        // freed, so from here on the copy is the operation.
        unsafe {
            let mut left = self.take_items(slot);
            let remains = Remains {
                items: std::iter::from_fn(|| self.items.take_first(&mut left)).collect(),
                operation: Erased {
                    storage: (&raw const (*slot).storage).read(),
                    calls: (*slot).calls,
                    completion: self.last_completion(slot),
                },
            };
            self.release(index);
            remains
        }
    }

    /// Drops the items of an operation that was given up and is in its slot.
    fn clean(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header is initialised. What was given up and is not buried is in its storage, and items read nothing of it that the
        // kernel writes.
        unsafe {
            if !(*slot).orphan || (*slot).state == State::Free {
                return;
            }
            let mut left = self.take_items(slot);
            let (calls, storage) = ((*slot).calls, &raw mut (*slot).storage);
            let items = std::iter::from_fn(|| self.items.take_first(&mut left));
            discard_all(items, |item| (calls.discard)(storage, item));
        }
    }
}

/// Buries what is left even if one burial unwinds; a second panic aborts, as everywhere in Rust.
struct Burial<'a>(&'a mut Slots);

impl Burial<'_> {
    fn finish(&mut self) {
        // Items go before the operation that they are made of.
        while let Some(index) = self.0.littered.pop() {
            self.0.clean(index);
        }
        while let Some(index) = self.0.corpses.pop() {
            drop(self.0.exhume(index));
        }
    }
}

impl Drop for Burial<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An operation out of its slot that nobody claims. Dropping it runs destructors: of the items, then of the operation, also if one of
/// the items unwinds.
pub(crate) struct Remains {
    items: Vec<Completion>,
    operation: Erased,
}

impl Drop for Remains {
    fn drop(&mut self) {
        let Erased { storage, calls, .. } = &mut self.operation;
        // SAFETY: the operation is in this storage until it is dropped, after this; each item is discarded once.
        discard_all(self.items.drain(..), |item| unsafe {
            (calls.discard)(storage, item);
        });
    }
}

struct Erased {
    storage: Storage,
    calls: &'static ErasedCalls,
    completion: Completion,
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: the storage is a copy of a slot's whose operation the kernel has finished with, and this is the end of it.
        unsafe { (self.calls.bury)(&raw mut self.storage, self.completion) };
    }
}

/// Discards items, the rest of them also if one unwinds.
pub(super) fn discard_all(
    items: impl Iterator<Item = Completion>,
    discard: impl FnMut(Completion),
) {
    struct Discard<I: Iterator<Item = Completion>, F: FnMut(Completion)>(I, F);

    impl<I: Iterator<Item = Completion>, F: FnMut(Completion)> Drop for Discard<I, F> {
        fn drop(&mut self) {
            self.0.by_ref().for_each(&mut self.1);
        }
    }

    let mut left = Discard(items, discard);
    left.0.by_ref().for_each(&mut left.1);
}
