//! The owner's claim on an operation in flight.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use crate::engine::Place;
use crate::error::Error;

/// The claim on the result of an operation that was pushed.
///
/// [`Ring::take`](crate::Ring::take) and [`Ring::wait`](crate::Ring::wait) redeem it. A token is a number: it keeps nothing alive,
/// and on another ring it is refused. Dropping it gives the result up without telling the ring, so the operation's slot stays taken
/// until the ring ends: [`Ring::detach`](crate::Ring::detach) frees it as soon as the operation has completed.
///
/// ```
/// use std::time::Duration;
/// use uring::op::{Nop, Timeout};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
/// // Not yet: the token comes back.
/// let hour = ring.take(hour).unwrap_err();
/// ring.cancel(&hour)?;
/// ring.detach(hour);
///
/// let nop = ring.push(Nop::new())?;
/// ring.wait(nop)??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a token leaves its slot taken until the ring ends: take, wait or detach"]
pub struct Token<O> {
    place: Place,
    operation: PhantomData<O>,
}

impl<O> Token<O> {
    pub(crate) fn new(place: Place) -> Token<O> {
        Token {
            place,
            operation: PhantomData,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// What its completion is told by.
    pub(crate) fn user_data(&self) -> u64 {
        self.place.user_data()
    }
}

impl<O> fmt::Debug for Token<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("slot", &self.place.index)
            .field("sequence", &self.place.sequence)
            .finish()
    }
}

/// A value given back with the reason why it was not accepted: an operation that was not pushed, a token that was not redeemed.
///
/// `?` converts it into [`Error`] or [`io::Error`] and drops the value.
pub struct Refused<T> {
    value: T,
    error: Error,
}

/// An operation that was not pushed, with the reason.
pub type PushError<O> = Refused<O>;

/// A token that was not redeemed, with the reason.
pub type WaitError<O> = Refused<Token<O>>;

impl<T> Refused<T> {
    pub(crate) fn new(value: T, error: Error) -> Refused<T> {
        Refused { value, error }
    }

    /// Why.
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// What was given in.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Both.
    pub fn into_parts(self) -> (T, Error) {
        (self.value, self.error)
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

// `Refused` is no `std::error::Error` itself: a boxed one would have to own its operation for ever, and in a scope it borrows.
impl<T> From<Refused<T>> for Box<dyn std::error::Error> {
    fn from(refused: Refused<T>) -> Self {
        refused.error.into()
    }
}

impl<T> From<Refused<T>> for Box<dyn std::error::Error + Send + Sync> {
    fn from(refused: Refused<T>) -> Self {
        refused.error.into()
    }
}

impl<T> From<Refused<T>> for Error {
    fn from(refused: Refused<T>) -> Error {
        refused.error
    }
}

impl<T> From<Refused<T>> for io::Error {
    fn from(refused: Refused<T>) -> io::Error {
        refused.error.into()
    }
}
