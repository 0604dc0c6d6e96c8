//! Pushing operations and redeeming their tokens: the typed face of the untyped core.

use crate::engine::{Core, Place, notifies, repeats};
use crate::error::{Call, Error, Hint};
use crate::op::{Multishot, Operation};
use crate::push::Push;
use crate::token::{PushError, Refused, Token, WaitError};

impl Core {
    /// Pushes an operation that belongs to the scope at `depth`.
    ///
    /// What an operation at depth 0 owns is `'static`, and what a deeper one borrows outlives its scope, which ends with a drain.
    #[inline]
    pub(crate) fn push<O: Operation>(
        &mut self,
        op: O,
        push: Push,
        depth: u16,
        submit: bool,
    ) -> Result<Token<O>, PushError<O>> {
        let plain = self.is_plain::<O>(push) && (depth == 0 || !self.holds_doubt());
        if plain && op.admit(self.id()).is_ok() {
            if let Some(vacant) = self.slots.take_slot() {
                let place = self.place_tracked_plain(vacant, op, push, depth);
                return Ok(Token::new(place));
            }
        }
        self.push_slowly(op, push, depth, submit)
    }

    #[cold]
    fn push_slowly<O: Operation>(
        &mut self,
        op: O,
        push: Push,
        depth: u16,
        submit: bool,
    ) -> Result<Token<O>, PushError<O>> {
        let admitted = match depth {
            0 => Ok(()),
            _ => self.admit_to_scope(push.drains()),
        };
        if let Err(error) = admitted.and_then(|()| self.admit(&op, push, 1, submit)) {
            return Err(Refused::new(op, error));
        }
        match self.place(op, push, depth) {
            Ok(place) => Ok(Token::new(place)),
            Err(op) => Err(Refused::new(op, Error::refused(Call::Push, Hint::NoSlot))),
        }
    }

    /// Pushes an operation that nothing is kept of.
    #[inline]
    pub(crate) fn push_raw<O: Operation>(
        &mut self,
        op: O,
        push: Push,
        user_data: u64,
    ) -> Result<(), PushError<O>> {
        let plain = const { !repeats::<O>() } && self.is_plain::<O>(push);
        if plain && op.admit(self.id()).is_ok() {
            self.place_plain(op, push, user_data);
            return Ok(());
        }
        self.push_raw_slowly(op, push, user_data)
    }

    #[cold]
    fn push_raw_slowly<O: Operation>(
        &mut self,
        op: O,
        push: Push,
        user_data: u64,
    ) -> Result<(), PushError<O>> {
        match self.admit(&op, push, 0, true) {
            Ok(()) => {
                self.place_raw(op, push, user_data);
                Ok(())
            }
            Err(error) => Err(Refused::new(op, error)),
        }
    }

    #[inline]
    fn admit<O: Operation>(
        &mut self,
        op: &O,
        push: Push,
        tracked: u32,
        submit: bool,
    ) -> Result<(), Error> {
        op.admit(self.id())
            .and_then(|()| self.admit_push(push))
            .map_err(|hint| Error::refused(Call::Push, hint))?;
        if notifies::<O>() {
            self.admit_notifying(push.drains())?;
        } else if push.drains() {
            self.admit_drain()?;
        }
        self.make_room(1, tracked, O::LARGE, submit)
    }

    #[inline]
    pub(crate) fn take<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, Token<O>> {
        // SAFETY: the token was made for an `O` in that slot.
        match unsafe { self.claim_plain::<O>(token.place()) } {
            Some(output) => Ok(output),
            None => self.take_slowly(token),
        }
    }

    #[inline(never)]
    fn take_slowly<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, Token<O>> {
        if !self.process.is_current() {
            return Err(token);
        }
        if !self.has_landed(token.place()) {
            // An error here shows at the next call that submits or waits; the operation has not been seen to complete.
            let _ = self.collect();
        }
        // SAFETY: the token was made for an `O` in that slot.
        unsafe { self.claim::<O>(token.place()) }.ok_or(token)
    }

    #[inline]
    pub(crate) fn wait<O: Operation>(
        &mut self,
        token: Token<O>,
    ) -> Result<O::Output, WaitError<O>> {
        // SAFETY: the token was made for an `O` in that slot.
        match unsafe { self.claim_plain::<O>(token.place()) } {
            Some(output) => Ok(output),
            None => self.wait_slowly(token),
        }
    }

    #[inline(never)]
    fn wait_slowly<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, WaitError<O>> {
        let landed = self.process.is_current() && self.has_landed(token.place());
        if !landed {
            if let Err(error) = self.wait_for(token.place()) {
                return Err(Refused::new(token, error));
            }
        }
        // SAFETY: the token was made for an `O` in that slot.
        unsafe { self.claim::<O>(token.place()) }.ok_or_else(|| Refused::new(token, wrong_ring()))
    }

    pub(crate) fn wait_for(&mut self, place: Place) -> Result<(), Error> {
        self.check_process(Call::Claim)?;
        if !self.knows(place) {
            return Err(wrong_ring());
        }
        self.wait_until(|core| core.has_landed(place))
    }

    pub(crate) fn wait_item<O: Multishot>(
        &mut self,
        place: Place,
    ) -> Result<Option<O::Item>, Error> {
        self.check_process(Call::Claim)?;
        if !self.knows(place) {
            return Err(wrong_ring());
        }
        self.wait_until(|core| core.has_item(place) || core.has_landed(place))?;
        Ok(self.next_item::<O>(place))
    }

    /// See [`Slots::announce`](super::slots::Slots::announce).
    pub(crate) fn announce(&mut self, place: Place) {
        self.slots.announce(place);
    }

    pub(crate) fn has_announced(&self, wanted: impl FnMut(Place) -> bool) -> bool {
        self.slots.has_announced(wanted)
    }

    pub(crate) fn take_announced(&mut self, wanted: impl FnMut(Place) -> bool) -> Option<Place> {
        self.slots.take_announced(wanted)
    }

    pub(crate) fn announce_again(&mut self, place: Place) {
        self.slots.announce_again(place);
    }

    pub(crate) fn take_item<O: Multishot>(&mut self, place: Place) -> Option<O::Item> {
        if self.process.is_current() && !self.has_item(place) {
            // As in `take`.
            let _ = self.collect();
        }
        self.next_item::<O>(place)
    }
}

fn wrong_ring() -> Error {
    Error::refused(Call::Claim, Hint::WrongRing)
}
