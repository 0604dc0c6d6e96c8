//! Operations in flight, whatever they are.

use std::any::Any as Anything;

use uring::op::{KeptBy, Multishot, Operation};
use uring::{Any, Direct, Error, Ring, Token};

use crate::random::world::World;

/// A token of whatever operation.
pub(crate) trait Flying {
    /// What came of it, if something has, and the operation if it goes on.
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Taken;
    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error>;
    fn detach(self: Box<Self>, ring: &mut Ring<Any>);
}

/// What taking has given.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) result: Option<Box<dyn Anything>>,
    pub(crate) direct: Option<Direct>,
    pub(crate) goes_on: Option<Box<dyn Flying>>,
}

/// An operation that was pushed; none if there was no room for it, or something refused it.
pub(crate) type Pushed = Option<Box<dyn Flying>>;

/// Pushes an operation that completes once.
pub(crate) fn push<O>(world: &mut World, op: O) -> Pushed
where
    O: Operation<Output: 'static> + KeptBy<Any> + 'static,
{
    let options = world.options();
    let token = world.ring.push_with(op, options).ok()?;
    Some(Box::new(Once(token)))
}

/// The same for one that gives a direct descriptor if it succeeds.
pub(crate) fn push_opening<O>(
    world: &mut World,
    op: O,
    file: fn(O::Output) -> Option<Direct>,
) -> Pushed
where
    O: Operation + KeptBy<Any> + 'static,
{
    let options = world.options();
    let token = world.ring.push_with(op, options).ok()?;
    Some(Box::new(Opening(token, file)))
}

/// The same for one that completes many times.
pub(crate) fn push_many<O>(world: &mut World, op: O) -> Pushed
where
    O: Multishot<Output: 'static, Item: 'static> + KeptBy<Any> + 'static,
{
    if !world.may_go_on {
        return None;
    }
    let token = world.ring.push(op).ok()?;
    Some(Box::new(Many(token)))
}

struct Once<O>(Token<O>);

impl<O: Operation<Output: 'static> + 'static> Flying for Once<O> {
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Taken {
        match ring.take(self.0) {
            Ok(output) => Taken {
                result: Some(Box::new(output)),
                ..Taken::default()
            },
            Err(token) => Taken {
                goes_on: Some(Box::new(Once(token))),
                ..Taken::default()
            },
        }
    }

    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error> {
        ring.cancel(&self.0)
    }

    fn detach(self: Box<Self>, ring: &mut Ring<Any>) {
        ring.detach(self.0);
    }
}

struct Opening<O: Operation>(Token<O>, fn(O::Output) -> Option<Direct>);

impl<O: Operation + 'static> Flying for Opening<O> {
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Taken {
        let Opening(token, file) = *self;
        match ring.take(token) {
            Ok(output) => Taken {
                direct: file(output),
                ..Taken::default()
            },
            Err(token) => Taken {
                goes_on: Some(Box::new(Opening(token, file))),
                ..Taken::default()
            },
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

impl<O: Multishot<Output: 'static, Item: 'static> + 'static> Flying for Many<O> {
    /// Takes an item, if there is one, before it looks for the end.
    fn take(self: Box<Self>, ring: &mut Ring<Any>) -> Taken {
        if let Some(item) = ring.take_item(&self.0) {
            return Taken {
                result: Some(Box::new(item)),
                goes_on: Some(self),
                ..Taken::default()
            };
        }
        match ring.take(self.0) {
            Ok(output) => Taken {
                result: Some(Box::new(output)),
                ..Taken::default()
            },
            Err(token) => Taken {
                goes_on: Some(Box::new(Many(token))),
                ..Taken::default()
            },
        }
    }

    fn cancel(&self, ring: &mut Ring<Any>) -> Result<(), Error> {
        ring.cancel(&self.0)
    }

    fn detach(self: Box<Self>, ring: &mut Ring<Any>) {
        ring.detach(self.0);
    }
}
