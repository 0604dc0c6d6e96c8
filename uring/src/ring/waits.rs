//! What waits go by, and what tells of completions without one.

use crate::error::Error;
use crate::handle::Handle;
use crate::ring::Ring;
use crate::time::WaitClock;
use crate::waiting::WaitOptions;

impl<H: Handle> Ring<H> {
    /// Submits, and waits until `completions` are there to be reaped or an option ends the wait.
    ///
    /// An option needs the kernel that [`WaitOptions`] says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::{WaitOptions, op::Nop};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.push_raw(Nop::new(), 1)?;
    /// // Four if they come within 50 microseconds, else what there is by then.
    /// let few = WaitOptions::new().batch_for(Duration::from_micros(50));
    /// match ring.submit_and_wait_with(4, &few) {
    ///     Ok(_) => assert_eq!(ring.for_each(drop)?, 1),
    ///     Err(error) => assert!(error.is_unsupported()),
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit), and:
    /// - [`is_timed_out`](Error::is_timed_out): then, too, what was submitted stays submitted;
    /// - [`is_interrupted`](Error::is_interrupted): a signal came that the options let through;
    /// - [`is_unsupported`](Error::is_unsupported): the kernel does not have an option.
    ///
    /// Source: `io_uring_enter(2)`, `io_uring/wait.c`.
    #[doc(alias = "io_uring_submit_and_wait_min_timeout")]
    #[doc(alias = "io_uring_wait_cqes_min_timeout")]
    #[doc(alias = "IORING_ENTER_EXT_ARG")]
    pub fn submit_and_wait_with(
        &mut self,
        completions: u32,
        options: &WaitOptions,
    ) -> Result<u32, Error> {
        self.core_mut().wait_with(completions, options)
    }

    /// Keeps options of waits where the kernel reads them without copying them in: index 0 is the first of
    /// [`Builder::registered_waits`](crate::Builder::registered_waits).
    ///
    /// # Errors
    ///
    /// The ring has no registered wait with that index.
    #[doc(alias = "io_uring_register_wait_reg")]
    #[doc(alias = "io_uring_reg_wait")]
    pub fn set_registered_wait(
        &mut self,
        index: usize,
        options: &WaitOptions,
    ) -> Result<(), Error> {
        self.core_mut().set_registered_wait(index, options)
    }

    /// How many registered waits the ring has.
    #[must_use]
    pub fn registered_waits(&self) -> usize {
        self.core().registered_waits()
    }

    /// [`submit_and_wait_with`](Ring::submit_and_wait_with), with options that were [registered](Ring::set_registered_wait): without any, at
    /// first. A time limit begins with the call.
    ///
    /// Since Linux 6.13.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::{Builder, WaitOptions};
    ///
    /// let mut ring = match Builder::new(8).registered_waits(4).build_best() {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     built => built?,
    /// };
    /// ring.set_registered_wait(3, &WaitOptions::new().at_most(Duration::from_millis(1)))?;
    /// assert!(ring.submit_and_wait_registered(1, 3).unwrap_err().is_timed_out());
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`submit_and_wait_with`](Ring::submit_and_wait_with), and: the ring has no registered wait with that index.
    ///
    /// Source: `io_uring_enter(2)`, `IORING_ENTER_EXT_ARG_REG`.
    #[doc(alias = "io_uring_submit_and_wait_reg")]
    #[doc(alias = "IORING_ENTER_EXT_ARG_REG")]
    pub fn submit_and_wait_registered(
        &mut self,
        completions: u32,
        index: usize,
    ) -> Result<u32, Error> {
        self.core_mut().wait_registered(completions, index)
    }

    /// Has the limits of this ring's waits go by that clock; at first they go by [`WaitClock::Monotonic`]. Timeouts that are operations say
    /// themselves by which they go.
    ///
    /// Since Linux 6.12.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::{WaitClock, WaitOptions};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// match ring.register_clock(WaitClock::Boottime) {
    ///     Ok(()) => {
    ///         let soon = WaitClock::Boottime.now() + Duration::from_millis(1);
    ///         let waited = ring.submit_and_wait_with(1, &WaitOptions::new().until(soon));
    ///         assert!(waited.unwrap_err().is_timed_out());
    ///     }
    ///     Err(error) => assert!(error.is_unsupported()),
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_unsupported`](Error::is_unsupported) on older kernels; others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register(2)`, `IORING_REGISTER_CLOCK`.
    #[doc(alias = "io_uring_register_clock")]
    #[doc(alias = "IORING_REGISTER_CLOCK")]
    pub fn register_clock(&mut self, clock: WaitClock) -> Result<(), Error> {
        self.core_mut().register_clock(clock)
    }

    /// Says whether a thread that waits in this ring counts as waiting for I/O, which it does at first if operations are in flight.
    ///
    /// The kernel raises a processor's frequency for such threads, and its statistics show them as time lost to I/O. The ring keeps
    /// what was said for all its waits.
    ///
    /// Since Linux 6.15 (`IORING_FEAT_NO_IOWAIT`).
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// if let Err(error) = ring.set_iowait(false) {
    ///     assert!(error.is_unsupported());
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_unsupported`](Error::is_unsupported) on older kernels.
    ///
    /// Source: `io_uring_enter(2)`, `IORING_ENTER_NO_IOWAIT`.
    #[doc(alias = "io_uring_set_iowait")]
    #[doc(alias = "IORING_ENTER_NO_IOWAIT")]
    pub fn set_iowait(&mut self, counts: bool) -> Result<(), Error> {
        self.core_mut().set_iowait(counts)
    }

    /// Completions that have come and were not looked at: those in the queue, whoever they are for, and raw ones that were put aside.
    ///
    /// The kernel is not entered, so those that wait in it do not count. In mixed queues a completion of 32 bytes counts twice.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.push_raw(uring::op::Nop::new(), 1)?;
    /// ring.submit_and_wait(1)?;
    /// assert_eq!(ring.completions_ready(), 1);
    /// ring.for_each(drop)?;
    /// assert_eq!(ring.completions_ready(), 0);
    /// # Ok::<(), uring::Error>(())
    /// ```
    #[doc(alias = "io_uring_cq_ready")]
    #[must_use]
    pub fn completions_ready(&self) -> usize {
        self.core().completions_ready()
    }
}
