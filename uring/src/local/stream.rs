//! The items of one operation.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::flight::Flight;
use super::{Local, SubmitError};
use crate::engine::Landed;
use crate::error::Error;
use crate::handle::{Any, Bound};
use crate::op::Multishot;
use crate::push::Push;

/// The items of an operation that completes many times; see [`Local::stream`].
///
/// With the feature `futures-core` it is a `futures_core::Stream`. Dropped before it has ended, it cancels the operation.
#[must_use = "streams do nothing unless polled"]
pub struct OpStream<O: Multishot, H: Bound = Any> {
    flight: Flight<O, H>,
    end: Option<Result<O::Output, SubmitError<O>>>,
}

// What is kept of the end is not pinned.
impl<O: Multishot, H: Bound> Unpin for OpStream<O, H> {}

enum Next<O: Multishot> {
    Item(O::Item),
    End(Landed<O>),
}

impl<O: Multishot, H: Bound> OpStream<O, H> {
    pub(super) fn new(local: Local<H>, op: O, push: Push) -> OpStream<O, H> {
        OpStream {
            flight: Flight::new(local, op, push),
            end: None,
        }
    }

    /// The next item; nothing when the operation has ended.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<O::Item>> {
        if self.flight.is_over() {
            return Poll::Ready(None);
        }
        let polled = self.flight.poll(context, |core, token| {
            if let Some(item) = core.next_awaited_item(token)? {
                return Ok(Some(Next::Item(item)));
            }
            Ok(core.claim_landed(token)?.map(Next::End))
        });
        let end = match ready!(polled) {
            Ok(Next::Item(item)) => return Poll::Ready(Some(item)),
            Ok(Next::End(landed)) => {
                self.flight.set_over();
                Ok(landed.complete())
            }
            Err(error) => Err(error),
        };
        self.end = Some(end);
        Poll::Ready(None)
    }

    /// Waits for the next item; nothing when the operation has ended.
    pub async fn next(&mut self) -> Option<O::Item> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// How the operation has ended, once, after the last item: its output, or why the ring could not carry it out.
    #[must_use]
    pub fn take_end(&mut self) -> Option<Result<O::Output, SubmitError<O>>> {
        self.end.take()
    }

    /// Asks for the operation to be cancelled, with the next turn. The stream yields what has come until then, and ends.
    ///
    /// # Errors
    ///
    /// [`is_nested`](Error::is_nested) within [`Local::with`]; those of [`Ring::cancel`](crate::Ring::cancel).
    pub fn cancel(&self) -> Result<(), Error> {
        self.flight.cancel()
    }
}

#[cfg(feature = "futures-core")]
impl<O: Multishot, H: Bound> futures_core::Stream for OpStream<O, H> {
    type Item = O::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<O::Item>> {
        OpStream::poll_next(self.get_mut(), context)
    }
}

impl<O: Multishot, H: Bound> fmt::Debug for OpStream<O, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpStream").finish_non_exhaustive()
    }
}
