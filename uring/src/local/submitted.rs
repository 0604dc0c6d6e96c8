//! The future of one operation.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::flight::Flight;
use super::{Local, SubmitError};
use crate::error::Error;
use crate::handle::{Any, Bound};
use crate::op::Operation;
use crate::push::Push;
use crate::token::Token;

/// The future of an operation's output; see [`Local::submit`].
///
/// Dropped before it has ended, it cancels the operation, which keeps its resources until the kernel is done with them.
#[must_use = "futures do nothing unless polled"]
pub struct Submitted<O: Operation, H: Bound = Any> {
    flight: Flight<O, H>,
}

impl<O: Operation, H: Bound> Submitted<O, H> {
    pub(super) fn new(local: Local<H>, op: O, push: Push) -> Submitted<O, H> {
        Submitted {
            flight: Flight::new(local, op, push),
        }
    }

    pub(super) fn of(local: Local<H>, token: Token<O>) -> Submitted<O, H> {
        Submitted {
            flight: Flight::of(local, token),
        }
    }

    /// Asks for the operation to be cancelled, with the next turn. The future then yields what became of it, with the resources.
    ///
    /// What was not pushed yet is not affected.
    ///
    /// ```
    /// use std::future::Future as _;
    /// use std::pin::Pin;
    /// use std::task::{Context, Waker};
    /// use uring::op::Read;
    /// # use uring::{Local, Ring};
    /// # let local = Local::new(Ring::best(8)?);
    ///
    /// let (reader, _writer) = std::os::unix::net::UnixStream::pair()?;
    /// let mut read = local.submit(Read::new(reader, vec![7; 100]));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(Pin::new(&mut read).poll(&mut context).is_pending());
    /// read.cancel()?;
    /// let done = local.block_on(read)??;
    /// assert!(done.result.is_err() && done.buf == [7; 100]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_nested`](Error::is_nested) within [`Local::with`]; those of [`Ring::cancel`](crate::Ring::cancel).
    pub fn cancel(&self) -> Result<(), Error> {
        self.flight.cancel()
    }
}

impl<O: Operation, H: Bound> Future for Submitted<O, H> {
    type Output = Result<O::Output, SubmitError<O>>;

    /// # Panics
    ///
    /// It has yielded its output already.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let flight = &mut self.flight;
        flight
            .poll(context, |core, token| core.claim_landed(token))
            .map_ok(|landed| {
                flight.set_over();
                landed.complete()
            })
    }
}

impl<O: Operation, H: Bound> fmt::Debug for Submitted<O, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").finish_non_exhaustive()
    }
}
