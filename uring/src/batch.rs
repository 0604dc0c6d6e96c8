//! Many raw operations at once.

use std::fmt;

use crate::chain::{Chain, RawLinks};
use crate::engine::{Core, notifies, repeats};
use crate::entry::{Entry, TRACKED};
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::op::RawOperation;
use crate::push::Push;
use crate::queue::Hand;
use crate::ring::Ring;
use crate::token::{PushError, Refused};

/// Where the raw operations of a [batch](Ring::batch) are pushed.
pub struct Batch<'q> {
    core: &'q mut Core,
    /// The queue's tail, which the core does not know of until it is given back.
    hand: Hand,
}

impl<H: Handle> Ring<H> {
    /// Runs `body`, which may push raw operations, with the queue in hand: what is looked up for each push otherwise is looked up once.
    ///
    /// ```
    /// use uring::op::Nop;
    ///
    /// # let mut ring = uring::Ring::best(32)?;
    /// ring.batch(|batch| -> Result<(), uring::Error> {
    ///     for number in 0..20 {
    ///         batch.push_raw(Nop::new(), number)?;
    ///     }
    ///     Ok(())
    /// })?;
    /// ring.submit_and_wait(20)?;
    /// assert_eq!(ring.for_each(|completion| assert_eq!(completion.raw_result(), 0))?, 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The batch stays where it is, so that what was pushed cannot be lost:
    ///
    /// ```compile_fail,E0521
    /// # let mut ring = uring::Ring::best(8)?;
    /// # let mut other = uring::Ring::best(8)?;
    /// ring.batch(|one| other.batch(|two| std::mem::swap(one, two)));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// and so does the ring:
    ///
    /// ```compile_fail,E0499
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.batch(|batch| ring.submit());
    /// # Ok::<(), uring::Error>(())
    /// ```
    #[inline]
    pub fn batch<R>(&mut self, body: impl for<'q> FnOnce(&mut Batch<'q>) -> R) -> R {
        let core = self.core_mut();
        let hand = core.take_in_hand();
        // Dropping it gives the tail back, also when `body` unwinds; it is borrowed to `body`, so it is dropped here.
        let mut batch = Batch { core, hand };
        body(&mut batch)
    }
}

impl Batch<'_> {
    /// Pushes a raw operation, submitting what is in the queue first if it is full. See [`Ring::push_raw`].
    ///
    /// # Errors
    ///
    /// See [`Ring::push_raw`].
    #[inline]
    pub fn push_raw<O: RawOperation>(&mut self, op: O, user_data: u64) -> Result<(), PushError<O>> {
        self.push_raw_with(op, user_data, Push::new())
    }

    /// Pushes a raw operation with options.
    ///
    /// # Errors
    ///
    /// See [`Ring::push_raw`].
    #[inline]
    pub fn push_raw_with<O: RawOperation>(
        &mut self,
        mut op: O,
        user_data: u64,
        push: Push,
    ) -> Result<(), PushError<O>> {
        let common = !O::LARGE
            && !notifies::<O>()
            && !repeats::<O>()
            && !push.drains()
            && user_data & TRACKED == 0
            && self.hand.has_room();
        if !common || !self.core.is_at_home() {
            return self.push_slowly(op, user_data, push);
        }
        let admitted = op.admit(self.core.id());
        if let Err(hint) = admitted.and_then(|()| self.core.admit_push(push)) {
            return Err(Refused::new(op, Error::refused(Call::Push, hint)));
        }
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        // SAFETY: as in `Core::place_raw`.
        unsafe { O::prepare(&raw mut op, &mut entry) };
        entry.set_user_data(user_data);
        self.hand.place(&entry);
        Ok(())
    }

    /// Pushes a chain of operations that own nothing. See [`Ring::push_raw_chain`].
    ///
    /// # Errors
    ///
    /// See [`Ring::push_raw_chain`].
    pub fn push_raw_chain<L: RawLinks>(
        &mut self,
        chain: Chain<L>,
        numbers: L::Numbers,
    ) -> Result<(), PushError<Chain<L>>> {
        self.core
            .put_back(std::mem::replace(&mut self.hand, Hand::NONE));
        let pushed = chain.push_raw(self.core, numbers);
        self.hand = self.core.take_in_hand();
        pushed
    }

    #[cold]
    fn push_slowly<O: RawOperation>(
        &mut self,
        op: O,
        user_data: u64,
        push: Push,
    ) -> Result<(), PushError<O>> {
        if user_data & TRACKED != 0 {
            return Err(Refused::new(op, refused_user_data()));
        }
        self.core
            .put_back(std::mem::replace(&mut self.hand, Hand::NONE));
        let pushed = self.core.push_raw(op, push, user_data);
        self.hand = self.core.take_in_hand();
        pushed
    }
}

/// The top bit is the ring's own, since with it a completion could be taken for one of an operation that the ring keeps (M15).
#[cold]
pub(crate) fn refused_user_data() -> Error {
    let hint = Hint::contradiction(&"the top bit of user_data is the ring's own");
    Error::refused(Call::Push, hint)
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.core.put_back(self.hand);
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
