//! Which operations came before others, and which of them complete more than once.

use super::{Slots, State, Times};

impl Slots {
    /// A number of its own between those of all operations that were pushed and those of all that are to come.
    pub(crate) fn mark(&mut self) -> u64 {
        self.take_sequence().get()
    }

    /// Whether a multishot operation has ever ended as one does whose completion found no room.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped != u64::MAX
    }

    /// The same of one with a lower number than that.
    pub(crate) fn stopped_before(&self, sequence: u64) -> bool {
        self.stopped < sequence
    }

    /// Whether a multishot operation with a lower number than that is in flight.
    pub(crate) fn repeats_before(&self, sequence: u64) -> bool {
        self.any_flying(|number, completes| completes == Times::Many && number < sequence)
    }

    /// Whether operations came after that mark, and all of them are over.
    pub(crate) fn all_over_after(&self, mark: u64) -> bool {
        self.next_sequence > mark + 1 && !self.any_flying(|number, _| number > mark)
    }

    fn any_flying(&self, wanted: impl Fn(u64, Times) -> bool) -> bool {
        (0..self.used).any(|index| {
            let slot = self.slot(index);
            // SAFETY: the header of a slot is always initialised.
            unsafe { (*slot).state == State::Flying && wanted((*slot).sequence, (*slot).completes) }
        })
    }
}
