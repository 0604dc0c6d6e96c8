//! Who is to be woken when an operation goes on: one waker beside each slot.

use std::collections::VecDeque;
use std::task::Waker;

use crate::engine::Place;

/// The wakers of a ring that is awaited. No code of theirs runs in here, except that of one that is overwritten or dropped with the ring.
#[derive(Default)]
pub(crate) struct Wakers {
    by_slot: Vec<Option<Waker>>,
    /// Those of operations that have gone on, to be woken when the ring is not borrowed.
    woken: VecDeque<Waker>,
}

impl Wakers {
    /// A completion has come that carries this tracked `user_data`.
    ///
    /// Whether it belongs to the operation in that slot is not asked: to be woken for nothing is harmless.
    #[inline]
    pub(crate) fn landed(&mut self, user_data: u64) {
        if !self.by_slot.is_empty() {
            let index = user_data & u64::from(u32::MAX);
            let slot = usize::try_from(index).unwrap_or(usize::MAX);
            if let Some(waker) = self.by_slot.get_mut(slot).and_then(Option::take) {
                self.woken.push_back(waker);
            }
        }
    }

    /// Wakes `waker` when the operation at `place`, one of so many, goes on. Gives the one that was there.
    pub(crate) fn watch(&mut self, place: Place, slots: u32, waker: Waker) -> Option<Waker> {
        if self.by_slot.is_empty() {
            // At once, so that no operation has to allocate later.
            let slots = usize::try_from(slots).unwrap_or(usize::MAX);
            self.by_slot.resize(slots, None);
            self.woken.reserve(slots);
        }
        self.by_slot.get_mut(slot(place))?.replace(waker)
    }

    /// Whether the operation at `place` will wake what `waker` wakes.
    pub(crate) fn is_watched_by(&self, place: Place, waker: &Waker) -> bool {
        let watching = self.by_slot.get(slot(place)).and_then(Option::as_ref);
        watching.is_some_and(|watching| watching.will_wake(waker))
    }

    /// Nobody watches the operation at `place` any more.
    pub(crate) fn forget(&mut self, place: Place) -> Option<Waker> {
        self.by_slot.get_mut(slot(place)).and_then(Option::take)
    }

    /// The next one to wake.
    pub(crate) fn next_woken(&mut self) -> Option<Waker> {
        self.woken.pop_front()
    }
}

fn slot(place: Place) -> usize {
    usize::try_from(place.index).unwrap_or(usize::MAX)
}
