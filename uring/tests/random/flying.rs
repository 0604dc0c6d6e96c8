//! Operations in flight, whatever they are.

use uring::op::{KeptBy, Multishot, Operation};
use uring::{Any, Error, Push, Ring, Token};

/// A token of whatever operation.
pub(crate) trait Flying {
    /// Whether it had completed; its result is dropped then.
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Option<Box<dyn Flying>>;
    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error>;
    fn detach(self: Box<Self>, ring: &mut Ring<Any>);
}

/// Pushes an operation that completes once. Where there is no room it is dropped.
pub(crate) fn push<O>(ring: &mut Ring<Any>, op: O, push: Push) -> Option<Box<dyn Flying>>
where
    O: Operation + KeptBy<Any> + 'static,
{
    let token = ring.push_with(op, push).ok()?;
    Some(Box::new(Once(token)))
}

/// The same for one that completes many times.
pub(crate) fn push_many<O>(ring: &mut Ring<Any>, op: O) -> Option<Box<dyn Flying>>
where
    O: Multishot + KeptBy<Any> + 'static,
{
    let token = ring.push(op).ok()?;
    Some(Box::new(Many(token)))
}

struct Once<O>(Token<O>);

impl<O: Operation + 'static> Flying for Once<O> {
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Option<Box<dyn Flying>> {
        match ring.take(self.0) {
            Ok(output) => {
                drop(output);
                None
            }
            Err(token) => Some(Box::new(Once(token))),
        }
    }

    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error> {
        ring.cancel(&self.0)
    }

    fn detach(self: Box<Self>, ring: &mut Ring<Any>) {
        ring.detach(self.0);
    }
}

struct Many<O>(Token<O>);

impl<O: Multishot + 'static> Flying for Many<O> {
    /// Takes an item, if there is one, before it looks for the end.
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Option<Box<dyn Flying>> {
        if ring.take_item(&self.0).is_some() {
            return Some(self);
        }
        match ring.take(self.0) {
            Ok(output) => {
                drop(output);
                None
            }
            Err(token) => Some(Box::new(Many(token))),
        }
    }

    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error> {
        ring.cancel(&self.0)
    }

    fn detach(self: Box<Self>, ring: &mut Ring<Any>) {
        ring.detach(self.0);
    }
}
