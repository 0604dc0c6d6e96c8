//! Chains of which the kernel tells one completion only.
//!
//! What that one says of the others is true only if the kernel has taken the chain whole. It does, but for want of memory for requests; then
//! nobody could say any more when it is done with the members' memory.

use crate::engine::{Core, Place};
use crate::flags::Features;

/// Where in the queue a chain is, counted from the first entry that the kernel has not taken.
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Core {
    /// Whether completions may be left out.
    pub(crate) fn may_skip_success(&self) -> bool {
        // A submission thread that serves several rings takes eight entries of each at a time, wherever that is.
        self.setup.features().contains(Features::CQE_SKIP) && !self.sq.is_thread_driven()
    }

    /// Slots of the queue that the kernel has not taken.
    pub(crate) fn queued(&self) -> u32 {
        self.sq.pending()
    }

    pub(crate) fn join_quiet_chain(&mut self, place: Place, success: i32, is_first: bool) {
        self.slots.join_quiet_chain(place, success, is_first);
    }

    /// Everything in the queue behind the first `start` slots is one chain.
    pub(crate) fn note_quiet_chain(&mut self, start: u32) {
        let end = self.queued();
        self.tends = true;
        self.quiet.push(Span { start, end });
    }

    /// The kernel has taken so many slots of the queue.
    #[cold]
    pub(super) fn check_quiet_chains(&mut self, taken: u32) {
        self.quiet.retain_mut(|span| {
            if span.start < taken && taken < span.end {
                // DESIGN 6.3: there is no safe way on.
                eprintln!(
                    "uring: the kernel has taken a part of a chain whose completions are left out, and will not say when it is done"
                );
                std::process::abort();
            }
            span.start = span.start.saturating_sub(taken);
            span.end = span.end.saturating_sub(taken);
            span.end > 0
        });
    }
}
