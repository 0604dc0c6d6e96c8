//! How long a call waits, said in full.

use std::time::{Duration, Instant};

use crate::engine::{Deadline, Terms};
use crate::time::WaitClock;

/// What ends a wait beside the completions that are waited for.
///
/// For [`Ring::submit_and_wait_with`](crate::Ring::submit_and_wait_with). Without any option such a wait lasts until the completions are there
/// or a signal comes.
///
/// Source: `io_uring_enter(2)`, `IORING_ENTER_EXT_ARG`.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "io_uring_getevents_arg")]
#[must_use]
pub struct WaitOptions {
    limit: Limit,
    batch: Option<Duration>,
    signals: Option<SignalMask>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Limit {
    #[default]
    None,
    After(Duration),
    At(Duration),
}

impl WaitOptions {
    /// A wait without a limit.
    pub const fn new() -> WaitOptions {
        WaitOptions {
            limit: Limit::None,
            batch: None,
            signals: None,
        }
    }

    /// Waits no longer than that. Since Linux 5.11.
    pub const fn at_most(self, timeout: Duration) -> WaitOptions {
        WaitOptions {
            limit: Limit::After(timeout),
            ..self
        }
    }

    /// Waits no longer than until that time of the ring's [clock](crate::Ring::register_clock), counted from the clock's zero. Since Linux 6.12.
    #[doc(alias = "IORING_ENTER_ABS_TIMER")]
    pub const fn until(self, time: Duration) -> WaitOptions {
        WaitOptions {
            limit: Limit::At(time),
            ..self
        }
    }

    /// Waits for all completions that are asked for no longer than that; afterwards one is enough, and waited for. Since Linux 6.12.
    ///
    /// In whole microseconds, rounded up, at most 71 minutes. A limit that is over no later ends the wait as if this had not been said.
    #[doc(alias = "min_wait_usec")]
    pub const fn batch_for(self, time: Duration) -> WaitOptions {
        WaitOptions {
            batch: Some(time),
            ..self
        }
    }

    /// Blocks these signals, and lets all others through, while the thread waits. Since Linux 5.11.
    ///
    /// A signal that the thread blocks otherwise, and not here, ends the wait, which then
    /// [`is_interrupted`](crate::Error::is_interrupted). It does so only where the thread really waits: as long as enough completions are
    /// there, the signal stays pending.
    pub const fn signals(self, mask: SignalMask) -> WaitOptions {
        WaitOptions {
            signals: Some(mask),
            ..self
        }
    }

    /// With everything that begins now.
    pub(crate) fn terms(&self, count: u32, few: u32, clock: WaitClock) -> Terms {
        let now = Instant::now();
        Terms {
            count,
            few,
            deadline: match self.limit {
                Limit::None => Deadline::Never,
                Limit::After(timeout) => now
                    .checked_add(timeout)
                    .map_or(Deadline::Never, Deadline::After),
                Limit::At(time) => Deadline::At(time),
            },
            batch_end: self
                .batch_before_limit(clock)
                .and_then(|time| now.checked_add(time)),
            signals: self.signals,
            registered: None,
        }
    }

    /// The limit, whatever it is counted from.
    pub(crate) fn time(&self) -> Option<Duration> {
        match self.limit {
            Limit::None => None,
            Limit::After(time) | Limit::At(time) => Some(time),
        }
    }

    /// The time in which all are waited for, if the limit leaves any after it: the kernel would heed the limit only when that time is over.
    fn batch_before_limit(&self, clock: WaitClock) -> Option<Duration> {
        let batch = self.batch?;
        let within = match self.limit {
            Limit::None => true,
            Limit::After(limit) => batch < limit,
            Limit::At(time) => batch < time.saturating_sub(clock.now()),
        };
        within.then_some(batch)
    }

    /// The time in which all are waited for, in microseconds, rounded up.
    pub(crate) fn batch_micros(&self) -> u32 {
        let micros = self.batch.unwrap_or_default().as_nanos().div_ceil(1000);
        u32::try_from(micros).unwrap_or(u32::MAX)
    }

    /// Whether nothing but completions and signals ends the wait, as the thread has them.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.limit, Limit::None) && self.batch.is_none() && self.signals.is_none()
    }

    pub(crate) fn mask(&self) -> Option<&SignalMask> {
        self.signals.as_ref()
    }

    pub(crate) fn batches(&self) -> bool {
        self.batch.is_some()
    }
}

/// A set of signals to be blocked.
///
/// ```
/// let mask = uring::SignalMask::all().without(libc::SIGTERM);
/// assert!(mask.has(libc::SIGINT) && !mask.has(libc::SIGTERM));
/// assert!(!uring::SignalMask::empty().has(libc::SIGINT));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "sigset_t")]
#[must_use]
pub struct SignalMask(u64);

impl SignalMask {
    /// No signal.
    pub const fn empty() -> SignalMask {
        SignalMask(0)
    }

    /// Every signal that can be blocked.
    pub const fn all() -> SignalMask {
        SignalMask(u64::MAX)
    }

    /// That one too. Numbers that are no signal's, 1 to 64, change nothing.
    pub const fn with(self, signal: i32) -> SignalMask {
        SignalMask(self.0 | bit(signal))
    }

    /// All but that one.
    pub const fn without(self, signal: i32) -> SignalMask {
        SignalMask(self.0 & !bit(signal))
    }

    /// Whether that signal is among them.
    #[must_use]
    pub const fn has(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }

    /// As the kernel has it: 64 bits, and how many bytes that is.
    pub(crate) const fn as_kernel(&self) -> (&u64, u32) {
        (&self.0, 8)
    }
}

const fn bit(signal: i32) -> u64 {
    match signal {
        1..=64 => 1 << (signal - 1),
        _ => 0,
    }
}
