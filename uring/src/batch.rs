//! Many raw operations at once.

use std::fmt;

use crate::chain::{Chain, RawLinks};
use crate::engine::{Core, notifies, repeats};
use crate::entry::{Entry, TRACKED};
use crate::error::{Call, Error, Hint};
use crate::fork::Process;
use crate::handle::Handle;
use crate::op::RawOperation;
use crate::push::Push;
use crate::queue::Hand;
use crate::ring::Ring;
use crate::token::{PushError, Refused};

/// Where the raw operations of a [batch](Ring::batch) are pushed.
pub struct Batch<'q> {
    core: &'q mut Core,
    /// A copy of where the queue's next entries go.
    hand: Hand,
    process: Process,
    id: u64,
}

impl<H: Handle> Ring<H> {
    /// Runs `body`, which may push raw operations, with the queue in hand: what is looked up for each push otherwise is looked up once.
    ///
    /// From about five operations on that saves a tenth of the instructions that pushing and reaping them takes; it changes nothing else, and
    /// [`push_raw`](Ring::push_raw) does as well in most programs.
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
    /// The batch stays with its ring:
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
        let mut batch = Batch {
            hand,
            process: core.process(),
            id: core.id(),
            core,
        };
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
        let plain = const { !O::LARGE && !notifies::<O>() && !repeats::<O>() }
            && push.is_plain()
            && user_data & TRACKED == 0
            && self.hand.has_room()
            && self.process.is_current()
            && op.admit(self.id).is_ok();
        if !plain {
            let pushed = push_slowly(self.core, op, user_data, push);
            self.hand = self.core.take_in_hand();
            return pushed;
        }
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        // SAFETY: as in `Core::place_raw`.
        unsafe { O::prepare(&raw mut op, &mut entry) };
        entry.set_user_data(user_data);
        self.hand.place(&entry);
        // At once, so that nothing has to be done at the end: were there a destructor, all of this would be in memory for it.
        self.core.put_back(self.hand);
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
        let pushed = chain.push_raw(self.core, numbers);
        self.hand = self.core.take_in_hand();
        pushed
    }
}

/// Pushes without the copy, which is not passed: what nothing points to can be kept in registers.
#[cold]
fn push_slowly<O: RawOperation>(
    core: &mut Core,
    op: O,
    user_data: u64,
    push: Push,
) -> Result<(), PushError<O>> {
    if user_data & TRACKED != 0 {
        return Err(Refused::new(op, refused_user_data()));
    }
    core.push_raw(op, push, user_data)
}

/// The top bit is the ring's own, since with it a completion could be taken for one of an operation that the ring keeps (M15).
#[cold]
pub(crate) fn refused_user_data() -> Error {
    let hint = Hint::contradiction(&"the top bit of user_data is the ring's own");
    Error::refused(Call::Push, hint)
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
