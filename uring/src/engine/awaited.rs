//! What futures need of a ring that they share.
//!
//! A waker or a destructor may use the ring that it is called from, so none is called while the ring is borrowed (M17): what has landed
//! leaves in parts that are put together, woken or dropped outside.

use std::os::fd::OwnedFd;
use std::task::Waker;

use crate::completion::Completion;
use crate::engine::{Core, Place, Remains, Wait};
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::op::{Multishot, Operation};
use crate::token::Token;

/// An operation whose last completion has come, out of its slot.
pub(crate) struct Landed<O> {
    op: O,
    completion: Completion,
}

impl<O: Operation> Landed<O> {
    pub(crate) fn complete(self) -> O::Output {
        // SAFETY: it came out of the slot with its own last completion.
        unsafe { self.op.complete(self.completion) }
    }
}

impl Core {
    /// While it is shared a ring keeps wakers and destructors for [`next_woken`](Core::next_woken) and [`exhume`](Core::exhume).
    pub(crate) fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// Moves an operation out that has landed.
    ///
    /// # Errors
    ///
    /// The token is not of this ring, or the process is a forked child.
    pub(crate) fn claim_landed<O: Operation>(
        &mut self,
        token: &Token<O>,
    ) -> Result<Option<Landed<O>>, Error> {
        self.check_awaited(token.place())?;
        // SAFETY: the token was made for an `O` in that slot.
        let claimed = unsafe { self.slots.claim::<O>(token.place()) };
        Ok(claimed.map(|(op, completion)| Landed { op, completion }))
    }

    /// The next item of a multishot operation that has come and was not taken.
    ///
    /// # Errors
    ///
    /// As for [`claim_landed`](Core::claim_landed).
    pub(crate) fn next_awaited_item<O: Multishot>(
        &mut self,
        token: &Token<O>,
    ) -> Result<Option<O::Item>, Error> {
        self.check_awaited(token.place())?;
        let Some((op, completion)) = self.slots.take_item::<O>(token.place()) else {
            return Ok(None);
        };
        // SAFETY: the operation is in its slot until its last completion is claimed, which a place that is found proves has
        // not happened.
        Ok(Some(unsafe { O::item(op, completion) }))
    }

    fn check_awaited(&self, place: Place) -> Result<(), Error> {
        self.check_process(Call::Claim)?;
        if self.knows(place) {
            Ok(())
        } else {
            Err(Error::refused(Call::Claim, Hint::WrongRing))
        }
    }

    /// See [`Wakers::watch`](super::wakers::Wakers::watch).
    pub(crate) fn watch(&mut self, place: Place, waker: Waker) -> Option<Waker> {
        self.wakers.watch(place, self.slots.capacity(), waker)
    }

    pub(crate) fn is_watched_by(&self, place: Place, waker: &Waker) -> bool {
        self.wakers.is_watched_by(place, waker)
    }

    /// Cancels an operation that nobody awaits any more; its resources are kept until its last completion. Gives the waker that it had.
    pub(crate) fn abandon(&mut self, place: Place) -> Option<Waker> {
        if !self.knows(place) {
            return None;
        }
        let waker = self.wakers.forget(place);
        // If the kernel takes no cancellation the operation goes on, and is dropped when it is done.
        let _ = self.cancel(place);
        self.slots.orphan(place);
        if self.slots.flying_at(place).is_some() {
            self.abandoned.push(place);
        }
        waker
    }

    /// Cancels again what has completed and goes on: a timeout that is over and not armed again yet is not found.
    fn cancel_abandoned(&mut self) {
        if self.abandoned.is_empty() {
            return;
        }
        let slots = &self.slots;
        self.abandoned
            .retain(|place| slots.flying_at(*place).is_some());
        if self.slots.has_heard_more() {
            for index in 0..self.abandoned.len() {
                let _ = self.cancel(self.abandoned[index]);
            }
        }
    }

    pub(crate) fn next_woken(&mut self) -> Option<Waker> {
        self.wakers.next_woken()
    }

    /// An operation that was given up and is to be dropped.
    pub(crate) fn exhume(&mut self) -> Option<Remains> {
        self.slots.exhume_next()
    }

    pub(crate) fn has_slots(&self, slots: u32) -> bool {
        self.slots.has_room(slots)
    }

    /// Submits and takes in what has come, waiting if `wait` says so. An interruption or the end of the time is no error.
    pub(crate) fn turn(&mut self, wait: Wait) -> Result<(), Error> {
        self.check_process(Call::Local)?;
        self.cancel_abandoned();
        let dropped = self
            .direct
            .as_ref()
            .is_some_and(|table| table.has_dropped());
        let nothing_to_submit = self.sq.unsubmitted() == 0 && !dropped;
        let turned = match wait {
            Wait::Not | Wait::Flush if nothing_to_submit => return self.collect(),
            wait => self.transact(wait).map(drop),
        };
        match turned {
            Ok(()) => {}
            Err(error) if error.is_interrupted() || error.is_timed_out() => {}
            Err(error) if error.is_busy() => {
                self.collect()?;
                std::thread::yield_now();
            }
            Err(error) => return Err(error),
        }
        self.reap();
        Ok(())
    }

    /// A descriptor that is readable when something has completed, if the ring's own is one.
    ///
    /// Deferred task work makes no completion before it is asked for, and wakes nobody who polls the ring (seen on Linux 6.18).
    pub(crate) fn readable_descriptor(&self) -> Result<Option<OwnedFd>, Error> {
        self.check_process(Call::Local)?;
        if self.setup.flags().contains(SetupFlags::DEFER_TASKRUN) {
            return Ok(None);
        }
        self.descriptor
            .map(|descriptor| descriptor.duplicate(Call::Local))
            .transpose()
    }
}
