//! An operation on its way through the ring, as futures and streams have it.

use std::mem;
use std::task::{Context, Poll};

use super::waiting::Ticket;
use super::{Local, SubmitError};
use crate::engine::Core;
use crate::error::Error;
use crate::handle::Bound;
use crate::op::Operation;
use crate::push::Push;
use crate::token::{Refused, Token};

/// An operation and where it has come to. Dropping it cancels the operation.
pub(super) struct Flight<O: Operation, H: Bound> {
    local: Local<H>,
    state: State<O>,
}

// No operation is pinned while it is in here: the ring moves it to where it stays.
impl<O: Operation, H: Bound> Unpin for Flight<O, H> {}

enum State<O> {
    New(O, Push),
    /// There was no slot.
    Waiting(O, Push, Ticket),
    InFlight(Token<O>),
    Over,
}

impl<O: Operation, H: Bound> Flight<O, H> {
    pub(super) fn new(local: Local<H>, op: O, push: Push) -> Flight<O, H> {
        let state = State::New(op, push);
        Flight { local, state }
    }

    pub(super) fn of(local: Local<H>, token: Token<O>) -> Flight<O, H> {
        let state = State::InFlight(token);
        Flight { local, state }
    }

    /// Pushes the operation if it has not been, and tries `look` until it finds something: now, and whenever the operation has gone on.
    ///
    /// # Panics
    ///
    /// The flight is over.
    pub(super) fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        look: impl FnMut(&mut Core, &Token<O>) -> Result<Option<R>, Error>,
    ) -> Poll<Result<R, SubmitError<O>>> {
        match mem::replace(&mut self.state, State::Over) {
            State::New(op, push) => self.start(op, push, context),
            State::Waiting(op, push, ticket) => {
                let waker = self.local.inner.waiting.borrow_mut().leave(ticket);
                drop(waker);
                self.start(op, push, context)
            }
            State::InFlight(token) => self.look(token, context, look),
            State::Over => panic!("polled after it was over"),
        }
    }

    fn start<R>(
        &mut self,
        op: O,
        push: Push,
        context: &mut Context<'_>,
    ) -> Poll<Result<R, SubmitError<O>>> {
        let waker = context.waker().clone();
        let (mut unpushed, mut unused) = (Some(op), Some(waker));
        let pushed = self.local.inner.access(|core| {
            let op = unpushed.take()?;
            let pushed = core.push(op, push, 0, true);
            if let Ok(token) = &pushed {
                // The slot has just been taken, and so is watched by nobody.
                unused = unused
                    .take()
                    .and_then(|waker| core.watch(token.place(), waker));
            }
            Some(pushed)
        });
        let (op, error) = match pushed {
            Ok(Some(Ok(token))) => {
                self.state = State::InFlight(token);
                return Poll::Pending;
            }
            Ok(Some(Err(refused))) => {
                let (op, error) = refused.into_parts();
                (Some(op), error)
            }
            Ok(None) => unreachable!("the operation is there until it is pushed"),
            Err(nested) => (unpushed, nested),
        };
        match (op, unused) {
            (Some(op), Some(waker)) if error.is_out_of_slots() => {
                let ticket = self.local.inner.waiting.borrow_mut().enter(waker);
                self.state = State::Waiting(op, push, ticket);
                // Since the push was refused a destructor may have run and freed a slot.
                self.local.inner.settle();
                Poll::Pending
            }
            (Some(op), Some(waker)) if error.is_busy() || error.is_interrupted() => {
                self.state = State::New(op, push);
                waker.wake();
                Poll::Pending
            }
            (op, _) => Poll::Ready(Err(Refused::new(op, error))),
        }
    }

    fn look<R>(
        &mut self,
        token: Token<O>,
        context: &mut Context<'_>,
        mut look: impl FnMut(&mut Core, &Token<O>) -> Result<Option<R>, Error>,
    ) -> Poll<Result<R, SubmitError<O>>> {
        let place = token.place();
        self.state = State::InFlight(token);
        let State::InFlight(token) = &self.state else {
            unreachable!("it was stored just now");
        };
        let mut waker = None;
        loop {
            let mut replaced = None;
            let looked = self.local.inner.access(|core| {
                let found = look(core, token)?;
                let watched = found.is_some() || core.is_watched_by(place, context.waker());
                if let (false, Some(waker)) = (watched, waker.take()) {
                    replaced = core.watch(place, waker);
                    return Ok((found, true));
                }
                Ok((found, watched))
            });
            drop(replaced);
            match looked.and_then(|looked| looked) {
                Ok((Some(found), _)) => return Poll::Ready(Ok(found)),
                Ok((None, true)) => return Poll::Pending,
                // To clone it may run code that turns the ring: then the operation may have gone on meanwhile.
                Ok((None, false)) => waker = Some(context.waker().clone()),
                Err(error) => return Poll::Ready(Err(Refused::new(None, error))),
            }
        }
    }

    /// The operation has been moved out of the ring.
    pub(super) fn set_over(&mut self) {
        self.state = State::Over;
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Asks for the operation to be cancelled, if it is in flight.
    pub(super) fn cancel(&self) -> Result<(), Error> {
        match &self.state {
            State::InFlight(token) => {
                let place = token.place();
                self.local.inner.access(|core| core.cancel(place))?
            }
            _ => Ok(()),
        }
    }
}

impl<O: Operation, H: Bound> Drop for Flight<O, H> {
    fn drop(&mut self) {
        let inner = &self.local.inner;
        match &self.state {
            State::InFlight(token) => {
                inner.abandoned.borrow_mut().push(token.place());
                inner.settle();
            }
            State::Waiting(_, _, ticket) => {
                let waker = inner.waiting.borrow_mut().leave(*ticket);
                drop(waker);
            }
            State::New(..) | State::Over => {}
        }
    }
}
