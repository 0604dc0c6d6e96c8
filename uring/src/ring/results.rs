//! What comes of operations: results, items, cancellation.

use std::time::Duration;

use crate::error::Error;
use crate::handle::Handle;
use crate::op::{Cancel, Cancelled, Multishot, Operation};
use crate::ring::Ring;
use crate::token::{Token, WaitError};

impl<H: Handle> Ring<H> {
    /// The result of an operation, if it has completed.
    ///
    /// # Errors
    ///
    /// The token is given back if the operation has not completed, and if it is of another ring.
    #[inline]
    pub fn take<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, Token<O>> {
        self.core.take(token)
    }

    /// Waits for an operation, submitting what is in the queue.
    ///
    /// Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// The token is given back if it is of another ring ([`is_wrong_ring`](Error::is_wrong_ring)) or if the kernel cannot be
    /// entered; the operation stays in flight.
    #[doc(alias = "io_uring_wait_cqe")]
    #[inline]
    pub fn wait<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, WaitError<O>> {
        self.core.wait(token)
    }

    /// The next item of a multishot operation that has come and was not taken.
    pub fn take_item<O: Multishot>(&mut self, token: &Token<O>) -> Option<O::Item> {
        self.core.take_item::<O>(token.place())
    }

    /// Waits for the next item of a multishot operation. `None` means that it has ended: [`take`](Ring::take) says
    /// [why](crate::op::Ended).
    ///
    /// # Errors
    ///
    /// See [`wait`](Ring::wait).
    pub fn wait_item<O: Multishot>(&mut self, token: &Token<O>) -> Result<Option<O::Item>, Error> {
        self.core.wait_item::<O>(token.place())
    }

    /// Gives a result up: the operation goes on, and its resources are dropped when it has completed. An open that nobody takes
    /// closes its file.
    pub fn detach<O>(&mut self, token: Token<O>) {
        self.core.orphan(token.place());
    }

    /// Asks for an operation to be cancelled, with the next submission. Its token yields what became of it.
    ///
    /// It may not be found, and go on: a member of a chain that has not begun, a multishot timeout that has fired and is not armed again yet.
    /// Asking again finds it later.
    ///
    /// # Errors
    ///
    /// The queue is full and the kernel takes nothing; see [`submit`](Ring::submit).
    #[doc(alias = "io_uring_prep_cancel64")]
    pub fn cancel<O>(&mut self, token: &Token<O>) -> Result<(), Error> {
        self.core.cancel(token.place())
    }

    /// Cancels operations in one call, and waits until what was found is over. Submits what is in the queue first.
    ///
    /// Where the operation is being carried out already, this waits for it to end, however it does, for at most `timeout`; signals do
    /// not end the wait. It is no proof that the kernel is done with the operation's memory: that is its completion, which comes as always.
    ///
    /// Since Linux 6.0.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::op::{Cancel, Cancelled, Timeout};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
    /// match ring.cancel_sync(Cancel::token(&hour), Some(Duration::from_secs(1))) {
    ///     Ok(cancelled) => assert_eq!(cancelled, Cancelled::Count(1)),
    ///     Err(error) if error.is_unsupported() => ring.cancel(&hour)?,
    ///     Err(error) => return Err(error.into()),
    /// }
    /// assert!(ring.wait(hour)?.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_timed_out`](Error::is_timed_out): the operation still is being carried out;
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older, or does not cancel by [`opcode`](crate::op::Cancel::opcode);
    /// - [`is_wrong_ring`](Error::is_wrong_ring): the target is a direct descriptor of another ring;
    /// - others of [`submit`](Ring::submit) and `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_sync_cancel")]
    pub fn cancel_sync(
        &mut self,
        cancel: Cancel,
        timeout: Option<Duration>,
    ) -> Result<Cancelled, Error> {
        self.core.cancel_sync(cancel, timeout)
    }
}
