//! Durations as the kernel takes them.

use std::time::Duration;

use uring_sys::__kernel_timespec;

/// The kernel's form of a duration; what is longer than it can say lasts as long as it can say.
pub(crate) fn timespec(duration: Duration) -> __kernel_timespec {
    __kernel_timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
