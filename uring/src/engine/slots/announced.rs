//! Operations that are told of in the order in which they go on, for those who do not wait for one in particular.

use super::{Place, Slots, State, has_items};

/// Whether the next completion of an operation is told of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Announce {
    Never,
    Next,
    /// It was, and nobody has heard it yet.
    Told,
}

impl Slots {
    /// Tells of the operation from now on whenever it completes.
    pub(crate) fn announce(&mut self, place: Place) {
        if let Some(slot) = self.find(place) {
            // SAFETY: the header is initialised.
            unsafe { (*slot).announce = Announce::Next };
        }
    }

    /// The operation has completed, for the last time or not.
    #[cold]
    pub(super) fn tell(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header is initialised.
        unsafe {
            (*slot).announce = Announce::Told;
            if let Some(sequence) = std::num::NonZeroU64::new((*slot).sequence) {
                self.announced.push_back(Place { index, sequence });
            }
        }
    }

    /// Whether one of those that `wanted` names was told of.
    pub(crate) fn has_announced(&self, mut wanted: impl FnMut(Place) -> bool) -> bool {
        self.announced.iter().any(|place| wanted(*place))
    }

    /// The first of those that `wanted` names that was told of.
    pub(crate) fn take_announced(
        &mut self,
        mut wanted: impl FnMut(Place) -> bool,
    ) -> Option<Place> {
        // What was claimed past its announcement is nobody's any more.
        while let Some(first) = self.announced.front() {
            if self.knows(*first) {
                break;
            }
            self.announced.pop_front();
        }
        let at = self.announced.iter().position(|place| wanted(*place))?;
        let place = self.announced.remove(at)?;
        self.announce(place);
        Some(place)
    }

    /// Tells of the operation once more if there is more to be heard already.
    pub(crate) fn announce_again(&mut self, place: Place) {
        let Some(slot) = self.find(place) else { return };
        // SAFETY: the header is initialised.
        let more = unsafe {
            (*slot).announce == Announce::Next
                && ((*slot).state == State::Landed || has_items(slot))
        };
        if more {
            self.tell(place.index);
        }
    }
}
