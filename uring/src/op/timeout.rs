//! Waiting for time to pass.

use std::io;
use std::ptr::NonNull;
use std::time::Duration;

use uring_sys::__kernel_timespec;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::op::{Completes, EndReason, Ended, Multishot, Operation, RawOperation, sealed};
use crate::resource::Untracked;

/// A span or a point of time, in the kernel's form.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "__kernel_timespec")]
#[repr(transparent)]
pub struct Timespec(__kernel_timespec);

impl From<Duration> for Timespec {
    fn from(duration: Duration) -> Timespec {
        Timespec(crate::time::timespec(duration))
    }
}

/// Where the kernel reads a time from: inside the operation ([`Timespec`]), by promise somewhere else ([`RawTimespec`]), or in the entry
/// itself ([`TimeByValue`]). Sealed.
pub trait TimeMemory: sealed::Sealed {
    /// Added to the flags of the operation.
    #[doc(hidden)]
    const FLAGS: u32 = 0;

    /// The address to read, given where the value is, or the time.
    ///
    /// # Safety
    ///
    /// `this` is the address of a value.
    #[doc(hidden)]
    unsafe fn argument(this: *const Self) -> u64;
}

impl sealed::Sealed for Timespec {}

impl TimeMemory for Timespec {
    unsafe fn argument(this: *const Timespec) -> u64 {
        address(this)
    }
}

/// The bare address of a time.
#[derive(Clone, Copy, Debug)]
pub struct RawTimespec(NonNull<Timespec>);

impl RawTimespec {
    /// The time at that address.
    ///
    /// # Safety
    ///
    /// It stays there unchanged until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(time: NonNull<Timespec>) -> RawTimespec {
        RawTimespec(time)
    }
}

impl sealed::Sealed for RawTimespec {}

impl TimeMemory for RawTimespec {
    unsafe fn argument(this: *const RawTimespec) -> u64 {
        // SAFETY: the caller vouches for the address.
        address(unsafe { (*this).0 }.as_ptr().cast_const())
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawTimespec {}

/// A time that the entry itself carries, in nanoseconds, so that the kernel reads no memory for it.
///
/// Since Linux 7.1; older kernels complete with `EINVAL`. What is longer than 2⁶³ nanoseconds, some 292 years, lasts that long.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "IORING_TIMEOUT_IMMEDIATE_ARG")]
pub struct TimeByValue(u64);

impl From<Duration> for TimeByValue {
    fn from(duration: Duration) -> TimeByValue {
        // The kernel reads it as a signed number.
        let most = i64::MAX.unsigned_abs();
        TimeByValue(u64::try_from(duration.as_nanos()).unwrap_or(most).min(most))
    }
}

impl sealed::Sealed for TimeByValue {}

impl TimeMemory for TimeByValue {
    const FLAGS: u32 = uring_sys::IORING_TIMEOUT_IMMEDIATE_ARG;

    unsafe fn argument(this: *const TimeByValue) -> u64 {
        // SAFETY: the caller vouches for the address.
        unsafe { (*this).0 }
    }
}

// SAFETY: there is no memory.
unsafe impl Untracked for TimeByValue {}

/// Which clock a timeout goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// Time since some point in the past; stands still while the machine is suspended.
    #[default]
    Monotonic,
    /// The same, and counts while the machine is suspended. Since Linux 5.15.
    #[doc(alias = "IORING_TIMEOUT_BOOTTIME")]
    Boottime,
    /// The time of day, which can be set. Since Linux 5.15.
    #[doc(alias = "IORING_TIMEOUT_REALTIME")]
    Realtime,
}

/// A time and how to understand it, which all three kinds of timeout have.
#[derive(Clone, Copy, Debug)]
pub struct Time<M> {
    memory: M,
    flags: u32,
}

impl<M: TimeMemory> Time<M> {
    fn after(memory: M) -> Time<M> {
        Time { memory, flags: 0 }
    }

    fn clock(self, clock: Clock) -> Time<M> {
        let clock_flag = match clock {
            Clock::Monotonic => 0,
            Clock::Boottime => uring_sys::IORING_TIMEOUT_BOOTTIME,
            Clock::Realtime => uring_sys::IORING_TIMEOUT_REALTIME,
        };
        Time {
            flags: self.flags & !uring_sys::IORING_TIMEOUT_CLOCK_MASK | clock_flag,
            ..self
        }
    }

    fn absolute(self) -> Time<M> {
        Time {
            flags: self.flags | uring_sys::IORING_TIMEOUT_ABS,
            ..self
        }
    }

    /// # Safety
    ///
    /// `this` is where the value stays while the kernel reads it.
    unsafe fn prepare(this: *const Time<M>, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; the address is taken without a reference to the rest.
        let (time, flags) = unsafe { (M::argument(&raw const (*this).memory), (*this).flags) };
        entry.set_addr(time);
        entry.set_len(1);
        entry.set_op_flags(flags | M::FLAGS);
    }
}

/// Completes when a time is over, or when that many other operations have completed.
///
/// Since Linux 5.4.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Timeout, TimeoutEnd};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let end = ring.call(Timeout::after(Duration::from_millis(1)))??;
/// assert_eq!(end, TimeoutEnd::TimeOver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_timeout(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_timeout")]
#[doc(alias = "IORING_OP_TIMEOUT")]
#[must_use]
pub struct Timeout<M = Timespec> {
    time: Time<M>,
    completions: u32,
}

impl Timeout {
    /// Completes after that time.
    pub fn after(duration: Duration) -> Timeout {
        Timeout::at_address(duration.into())
    }
}

impl<M: TimeMemory> Timeout<M> {
    /// Completes after the time that is found there.
    pub fn at_address(memory: M) -> Timeout<M> {
        Timeout {
            time: Time::after(memory),
            completions: 0,
        }
    }

    /// Completes too when that many operations submitted after it have completed.
    pub fn or_completions(self, completions: u32) -> Self {
        Timeout {
            completions,
            ..self
        }
    }

    /// Goes by that clock.
    pub fn clock(self, clock: Clock) -> Self {
        Timeout {
            time: self.time.clock(clock),
            ..self
        }
    }

    /// Takes the time as a point of its clock, not as a span from now.
    #[doc(alias = "IORING_TIMEOUT_ABS")]
    pub fn absolute(self) -> Self {
        Timeout {
            time: self.time.absolute(),
            ..self
        }
    }
}

/// Why a [`Timeout`] completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutEnd {
    /// The time is over.
    TimeOver,
    /// Enough other operations have completed.
    Completions,
}

impl<M> sealed::Sealed for Timeout<M> {}

// SAFETY: the time is inside the value, which stays where it is, or where `RawTimespec::new` was promised.
unsafe impl<M: TimeMemory> Operation for Timeout<M> {
    type Output = io::Result<TimeoutEnd>;
    const OPCODE: u8 = uring_sys::IORING_OP_TIMEOUT;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            Time::prepare(&raw const (*this).time, entry);
            entry.set_off(u64::from((*this).completions));
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        match completion.raw_result() {
            result if result == -libc::ETIME => Ok(TimeoutEnd::TimeOver),
            _ => completion.result().map(|_| TimeoutEnd::Completions),
        }
    }
}

// SAFETY: the time is untracked, so nothing points into the value.
unsafe impl<M: TimeMemory + Untracked> RawOperation for Timeout<M> {}

/// Completes again and again, each time after the same span.
///
/// Its token [yields](crate::Ring::wait_item) an item each time.
///
/// Since Linux 6.4; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::time::Duration;
/// use uring::op::TimeoutMultishot;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let ticks = ring.push(TimeoutMultishot::every(Duration::from_millis(1)).repeats(3))?;
/// while ring.wait_item(&ticks)?.is_some() {
///     println!("a millisecond later");
/// }
/// println!("that was all: {:?}", ring.wait(ticks)?.reason);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_timeout(3)`, `IORING_TIMEOUT_MULTISHOT`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_timeout")]
#[doc(alias = "IORING_TIMEOUT_MULTISHOT")]
#[must_use]
pub struct TimeoutMultishot<M = Timespec> {
    time: Time<M>,
    repeats: u32,
}

impl TimeoutMultishot {
    /// Completes each time that span is over, until it is cancelled.
    pub fn every(duration: Duration) -> TimeoutMultishot {
        TimeoutMultishot::at_address(duration.into())
    }
}

impl<M: TimeMemory> TimeoutMultishot<M> {
    /// The same with the span that is found there.
    pub fn at_address(memory: M) -> TimeoutMultishot<M> {
        TimeoutMultishot {
            time: Time::after(memory),
            repeats: 0,
        }
    }

    /// Ends after that many times; zero is no end.
    pub fn repeats(self, repeats: u32) -> Self {
        TimeoutMultishot { repeats, ..self }
    }

    /// Goes by that clock.
    pub fn clock(self, clock: Clock) -> Self {
        TimeoutMultishot {
            time: self.time.clock(clock),
            ..self
        }
    }
}

impl<M> sealed::Sealed for TimeoutMultishot<M> {}

// SAFETY: as for `Timeout`; the kernel reads the time again for each repetition.
unsafe impl<M: TimeMemory> Operation for TimeoutMultishot<M> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_TIMEOUT;
    const COMPLETES: Completes<Self> = Completes::many();

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            Time::prepare(&raw const (*this).time, entry);
            entry.add_op_flags(uring_sys::IORING_TIMEOUT_MULTISHOT);
            entry.set_off(u64::from((*this).repeats));
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: an item is made of nothing.
unsafe impl<M: TimeMemory> Multishot for TimeoutMultishot<M> {
    type Item = ();

    unsafe fn item(_: *const Self, _: Completion) {}

    fn is_item(last: &Completion) -> bool {
        last.raw_result() == -libc::ETIME
    }

    fn end(last: &Completion) -> EndReason {
        if Self::is_item(last) {
            EndReason::Finished
        } else {
            EndReason::of(last)
        }
    }
}

// SAFETY: the time is untracked, so nothing points into the value.
unsafe impl<M: TimeMemory + Untracked> RawOperation for TimeoutMultishot<M> {}

/// A time limit for a member of a [`Chain`](crate::Chain): see [`Chain::timeout`](crate::Chain::timeout).
///
/// Since Linux 5.5.
///
/// Source: `io_uring_prep_link_timeout(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_link_timeout")]
#[doc(alias = "IORING_OP_LINK_TIMEOUT")]
#[must_use]
pub struct LinkTimeout<M = Timespec> {
    time: Time<M>,
}

impl LinkTimeout {
    /// Allows the operation before it that time.
    pub fn after(duration: Duration) -> LinkTimeout {
        LinkTimeout::at_address(duration.into())
    }
}

impl<M: TimeMemory> LinkTimeout<M> {
    /// The same with the time that is found there.
    pub fn at_address(memory: M) -> LinkTimeout<M> {
        LinkTimeout {
            time: Time::after(memory),
        }
    }

    /// Goes by that clock.
    pub fn clock(self, clock: Clock) -> Self {
        LinkTimeout {
            time: self.time.clock(clock),
        }
    }

    /// Takes the time as a point of its clock, not as a span from the operation's start.
    pub fn absolute(self) -> Self {
        LinkTimeout {
            time: self.time.absolute(),
        }
    }

    pub(crate) fn into_limit(self) -> TimeLimit<M> {
        TimeLimit { time: self.time }
    }
}

/// A [`LinkTimeout`] in its chain, where alone it is an operation. Raw it is a member of a
/// [chain that is pushed raw](crate::Ring::push_raw_chain).
#[derive(Debug)]
pub struct TimeLimit<M = Timespec> {
    time: Time<M>,
}

/// What became of a [`LinkTimeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// The operation completed in time, or was never started.
    InTime,
    /// The time was over, and the operation is cancelled.
    TimeOver,
    /// The time was over, but the operation was too far on to be cancelled.
    TooLate,
}

impl<M> sealed::Sealed for TimeLimit<M> {}

// SAFETY: as for `Timeout`.
unsafe impl<M: TimeMemory> Operation for TimeLimit<M> {
    type Output = io::Result<Limited>;
    const OPCODE: u8 = uring_sys::IORING_OP_LINK_TIMEOUT;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { Time::prepare(&raw const (*this).time, entry) };
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        match -completion.raw_result() {
            libc::ETIME => Ok(Limited::TimeOver),
            libc::ECANCELED => Ok(Limited::InTime),
            libc::EALREADY | libc::ENOENT => Ok(Limited::TooLate),
            _ => completion.result().map(|_| Limited::InTime),
        }
    }
}
