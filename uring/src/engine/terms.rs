//! How long a call may wait, and for what.

use std::time::{Duration, Instant};

use crate::waiting::SignalMask;

/// How long a call may wait for completions.
#[derive(Clone, Copy)]
pub(crate) enum Wait<'a> {
    /// Not at all, and without asking for completions.
    Not,
    /// Not at all, but completions that wait in the kernel are brought into the queue.
    Flush,
    /// Until that many completions are in the queue.
    For(u32),
    /// The same, or until that moment.
    Until(u32, Instant),
    /// On terms that say more.
    On(&'a Terms),
}

/// What a wait is for, and what else ends it.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) count: u32,
    /// How many are enough once `batch_end` is over.
    pub(crate) few: u32,
    pub(crate) batch_end: Option<Instant>,
    pub(crate) deadline: Deadline,
    pub(crate) signals: Option<SignalMask>,
    /// Where the kernel has the same terms, as they are at the beginning of a wait.
    pub(crate) registered: Option<usize>,
}

/// When a wait ends at the latest.
#[derive(Clone, Copy)]
pub(crate) enum Deadline {
    Never,
    After(Instant),
    /// By the ring's clock.
    At(Duration),
}

impl Terms {
    pub(super) fn until(count: u32, deadline: Instant) -> Terms {
        Terms {
            count,
            few: count,
            batch_end: None,
            deadline: Deadline::After(deadline),
            signals: None,
            registered: None,
        }
    }

    /// What is waited for by now.
    pub(super) fn count(&self) -> u32 {
        match self.batch_end {
            Some(end) if end <= Instant::now() => self.few.min(self.count),
            _ => self.count,
        }
    }

    /// How long the kernel waits for `want` before fewer are enough, in microseconds: not at all if they are enough by now, and else never zero,
    /// which would have it wait for all without an end, even if the time has passed since `want` was chosen.
    ///
    /// Rounded up, so that the time is over here too when it is over there.
    pub(super) fn batch_micros(&self, want: u32) -> u32 {
        match self.batch_end {
            Some(end) if want > self.few => {
                let left = end.saturating_duration_since(Instant::now());
                u32::try_from(left.as_nanos().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }
}

impl Wait<'_> {
    /// Until that many completions are in the queue, or the time is over.
    pub(crate) fn at_most(count: u32, timeout: Duration) -> Wait<'static> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => Wait::Until(count, deadline),
            None => Wait::For(count),
        }
    }

    pub(super) fn count(self) -> u32 {
        match self {
            Wait::Not | Wait::Flush => 0,
            Wait::For(count) | Wait::Until(count, _) => count,
            Wait::On(terms) => terms.count(),
        }
    }

    /// Whether no time ends it: the kernel says `ETIME` when the time for all is over and nothing has come, too.
    pub(super) fn is_endless(self) -> bool {
        match self {
            Wait::On(terms) => matches!(terms.deadline, Deadline::Never),
            Wait::Until(..) => false,
            Wait::Not | Wait::Flush | Wait::For(_) => true,
        }
    }
}
