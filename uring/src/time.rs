//! Durations as the kernel takes them, and the clocks of waits.

use std::time::Duration;

use uring_sys::__kernel_timespec;

/// The kernel's form of a duration; what is longer than it can say lasts as long as it can say.
pub(crate) fn timespec(duration: Duration) -> __kernel_timespec {
    __kernel_timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Which clock the limits of a ring's waits go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitClock {
    /// Time since some point in the past; stands still while the machine is suspended.
    #[default]
    #[doc(alias = "CLOCK_MONOTONIC")]
    Monotonic,
    /// The same, and counts while the machine is suspended.
    #[doc(alias = "CLOCK_BOOTTIME")]
    Boottime,
}

impl WaitClock {
    pub(crate) const fn id(self) -> libc::clockid_t {
        match self {
            WaitClock::Monotonic => libc::CLOCK_MONOTONIC,
            WaitClock::Boottime => libc::CLOCK_BOOTTIME,
        }
    }

    /// The time that this clock shows, counted from its zero: what [`WaitOptions::until`](crate::WaitOptions::until) takes.
    #[must_use]
    pub fn now(self) -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes a time where one is.
        unsafe { libc::clock_gettime(self.id(), &raw mut time) };
        // Both clocks begin at zero, when the machine starts.
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
}
