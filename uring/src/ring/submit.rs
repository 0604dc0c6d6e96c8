//! Submitting, waiting, and taking completions of raw operations.

use std::time::Duration;

use crate::completion::Completion;
use crate::engine::Wait;
use crate::error::{Call, Error};
use crate::handle::Handle;
use crate::ring::Ring;

impl<H: Handle> Ring<H> {
    /// Submits what is in the queue, and gives the number of entries that the kernel took.
    ///
    /// # Errors
    ///
    /// - [`is_interrupted`](Error::is_interrupted): a signal came first;
    /// - [`is_busy`](Error::is_busy): completions overflowed and must be reaped first, or the kernel has no memory for more requests;
    /// - [`is_ring_lost`](Error::is_ring_lost): the descriptor was closed or replaced, or the queues' memory discarded, behind the ring's
    ///   back;
    /// - [`is_forked`](Error::is_forked).
    ///
    /// What was pushed stays in the queue; the next call tries again. An error is no sign that the kernel has not taken entries.
    #[doc(alias = "io_uring_submit")]
    #[inline(always)]
    pub fn submit(&mut self) -> Result<u32, Error> {
        self.core.submit()
    }

    /// Submits, and waits until `completions` are there to be reaped.
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit). What was submitted before a signal came stays submitted.
    #[doc(alias = "io_uring_submit_and_wait")]
    #[doc(alias = "io_uring_wait_cqe_nr")]
    #[inline(always)]
    pub fn submit_and_wait(&mut self, completions: u32) -> Result<u32, Error> {
        let more = self.core.still_to_come(completions);
        self.core.wait_for_completions(more)
    }

    /// Submits, and waits until `completions` are there to be reaped or the time is over.
    ///
    /// Since Linux 5.11 (`IORING_FEAT_EXT_ARG`).
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit), and [`is_timed_out`](Error::is_timed_out): then, too, what was submitted stays submitted. On an
    /// older kernel [`is_unsupported`](Error::is_unsupported).
    #[doc(alias = "io_uring_submit_and_wait_timeout")]
    #[doc(alias = "io_uring_wait_cqes")]
    #[doc(alias = "io_uring_wait_cqe_timeout")]
    pub fn submit_and_wait_timeout(
        &mut self,
        completions: u32,
        timeout: Duration,
    ) -> Result<u32, Error> {
        let more = self.core.still_to_come(completions);
        self.core.transact(Wait::at_most(more, timeout))
    }

    /// Submits, and brings completions that wait in the kernel into the queue, without waiting for any.
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit).
    #[doc(alias = "io_uring_submit_and_get_events")]
    #[doc(alias = "io_uring_get_events")]
    pub fn submit_and_get_events(&mut self) -> Result<u32, Error> {
        self.core.transact(Wait::Flush)
    }

    /// The next completion of a raw operation, if one is there. The kernel is entered only if completions wait in it.
    ///
    /// Those behind it stay in the queue. Where results of other operations come before it, everything in the queue is taken in.
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit).
    #[doc(alias = "io_uring_peek_cqe")]
    #[inline]
    pub fn next_completion(&mut self) -> Result<Option<Completion>, Error> {
        self.core.check_process(Call::Claim)?;
        match self.core.next_raw() {
            Some(completion) => Ok(Some(completion)),
            None => self.core.next_raw_of_all(),
        }
    }

    /// Gives every completion of a raw operation that has come to `each`, and returns how many there were.
    ///
    /// The queue is looked at once, and its head updated once, at the end: what comes meanwhile is for the next call. Results of other operations are
    /// taken in on the way. If the queue has none, the kernel is entered for completions that wait in it.
    ///
    /// # Errors
    ///
    /// See [`submit`](Ring::submit).
    #[doc(alias = "io_uring_for_each_cqe")]
    #[doc(alias = "io_uring_peek_batch_cqe")]
    #[inline]
    pub fn for_each(&mut self, each: impl FnMut(Completion)) -> Result<usize, Error> {
        self.core.check_process(Call::Claim)?;
        self.core.reap_each(each)
    }
}
