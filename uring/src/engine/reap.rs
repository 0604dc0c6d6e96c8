//! Completions on their way out of their queue, to slots and to those who ask for them.

use crate::completion::Completion;
use crate::engine::{Core, Place};
use crate::entry::TRACKED;
use crate::error::Error;
use crate::op::{Completes, Multishot, Operation};
use crate::queue::{Arrived, Taken};

/// The queue gets its head back when this ends, however that comes; then what nobody wants is dropped.
struct ReleaseAtEnd<'a> {
    core: &'a mut Core,
    head: u32,
}

impl Drop for ReleaseAtEnd<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.cq.release(self.head);
        self.core.slots.bury();
    }
}

#[cfg(uring_coverage)]
fn account(core: &mut Core, completion: &Completion) {
    let reached = core.name.reached();
    core.flying.completed(completion, reached);
}

/// Takes a completion in among others that are not for the ring to keep. It is read here, so that those need not be in memory to be looked at.
#[inline(never)]
fn take_in(core: &mut Core, taken: Taken<'_>) {
    #[cfg(uring_coverage)]
    account(core, &taken.read());
    core.take_completion_in(taken.read());
}

impl Core {
    /// Takes in everything that the completion queue holds. Completions of raw operations are put aside.
    #[inline]
    pub(crate) fn reap(&mut self) {
        let head = if self.cq.is_sized() {
            self.take_in_all_sizes()
        } else {
            let mut arrived = self.cq.look();
            while let Some(taken) = arrived.next_plain() {
                let (user_data, result, flags) = taken.parts();
                let landed = !cfg!(uring_coverage)
                    && user_data & TRACKED != 0
                    && self.slots.land_plainly(user_data, result, flags);
                if landed {
                    self.wakers.landed(user_data);
                } else {
                    take_in(self, taken);
                }
            }
            arrived.head()
        };
        self.cq.release(head);
        if !self.draining && !self.shared {
            self.slots.bury();
        }
    }

    /// Gives the place after the last.
    #[inline(never)]
    fn take_in_all_sizes(&mut self) -> u32 {
        let mut arrived = self.cq.look();
        while let Some(completion) = self.take_next(&mut arrived) {
            self.take_completion_in(completion);
        }
        arrived.head()
    }

    #[inline]
    fn take_completion_in(&mut self, completion: Completion) {
        if completion.user_data & TRACKED == 0 {
            self.backlog.push_back(completion);
        } else {
            self.land(completion);
        }
    }

    #[inline]
    fn take_next(&mut self, arrived: &mut Arrived) -> Option<Completion> {
        let taken = arrived.next();
        #[cfg(uring_coverage)]
        if let Some(completion) = &taken {
            account(self, completion);
        }
        taken
    }

    #[inline]
    fn land(&mut self, completion: Completion) {
        if completion.user_data == crate::entry::IGNORED {
            self.answers_due = self.answers_due.saturating_sub(1);
            // EINVAL: older kernels take no cancellation with the flags that the ring's restrictions require.
            self.cancel_refused |= matches!(-completion.result, libc::EACCES | libc::EINVAL);
        } else {
            self.slots.land(completion);
            self.wakers.landed(completion.user_data);
            while let Some(index) = self.slots.next_settled() {
                self.wakers.landed(u64::from(index));
            }
        }
    }

    /// Gives each completion of a raw operation that has come to `each`; takes the others in. The queue's head is stored once, at the end, also
    /// when `each` unwinds. If there is none, the kernel is entered for those that wait in it.
    #[inline]
    pub(crate) fn reap_each(&mut self, mut each: impl FnMut(Completion)) -> Result<usize, Error> {
        if !self.backlog.is_empty() || self.cq.is_sized() {
            return self.reap_each_of_all(each);
        }
        let mut arrived = self.cq.look();
        let mut given = 0;
        {
            let mut end = ReleaseAtEnd {
                head: arrived.head(),
                core: self,
            };
            while let Some(taken) = arrived.next_plain() {
                end.head = taken.after();
                if taken.user_data() & TRACKED == 0 {
                    #[cfg(uring_coverage)]
                    account(end.core, &taken.read());
                    given += 1;
                    each(taken.read());
                } else {
                    take_in(end.core, taken);
                }
            }
        }
        if given > 0 {
            Ok(given)
        } else {
            self.reap_each_of_all(each)
        }
    }

    /// The same wherever they are and however large.
    #[cold]
    fn reap_each_of_all(&mut self, mut each: impl FnMut(Completion)) -> Result<usize, Error> {
        let given = self.reap_each_that_is_there(&mut each);
        if given > 0 {
            return Ok(given);
        }
        self.collect()?;
        Ok(self.reap_each_that_is_there(&mut each))
    }

    fn reap_each_that_is_there(&mut self, each: &mut impl FnMut(Completion)) -> usize {
        let mut given = 0;
        while let Some(completion) = self.backlog.pop_front() {
            given += 1;
            each(completion);
        }
        let mut arrived = self.cq.look();
        let mut end = ReleaseAtEnd {
            head: arrived.head(),
            core: self,
        };
        while let Some(completion) = end.core.take_next(&mut arrived) {
            end.head = arrived.head();
            if completion.user_data & TRACKED == 0 {
                given += 1;
                each(completion);
            } else {
                end.core.land(completion);
            }
        }
        given
    }

    /// The next completion of a raw operation, if it is the next of all and as small as most.
    #[inline]
    pub(crate) fn next_raw(&mut self) -> Option<Completion> {
        if !self.backlog.is_empty() || self.cq.is_sized() {
            return None;
        }
        let taken = self.cq.look().next_plain()?;
        if taken.user_data() & TRACKED != 0 {
            return None;
        }
        let completion = taken.read();
        #[cfg(uring_coverage)]
        account(self, &completion);
        self.cq.release(taken.after());
        Some(completion)
    }

    /// The next completion of a raw operation, wherever it is and however large. Those of others that have come are taken in.
    #[cold]
    pub(crate) fn next_raw_of_all(&mut self) -> Result<Option<Completion>, Error> {
        if self.backlog.is_empty() {
            self.reap();
        }
        if self.backlog.is_empty() {
            self.collect()?;
        }
        Ok(self.backlog.pop_front())
    }

    pub(crate) fn knows(&self, place: Place) -> bool {
        self.slots.knows(place)
    }

    #[inline]
    pub(crate) fn has_landed(&self, place: Place) -> bool {
        self.slots.has_landed(place)
    }

    /// Moves a landed operation out if there is no more to it than its result; otherwise it stays where it is.
    ///
    /// # Safety
    ///
    /// The operation at `place` is an `O`.
    #[inline]
    pub(crate) unsafe fn claim_plain<O: Operation>(&mut self, place: Place) -> Option<O::Output> {
        if !const { matches!(O::COMPLETES, Completes::Once) } || !self.process.is_current() {
            return None;
        }
        // SAFETY: passed on to the caller.
        let (op, completion) = unsafe { self.slots.claim_plain::<O>(place) }?;
        // SAFETY: it came out of the slot with its own last completion.
        Some(unsafe { op.complete(completion) })
    }

    /// Moves a landed operation out.
    ///
    /// # Safety
    ///
    /// The operation at `place` is an `O`.
    #[inline]
    pub(crate) unsafe fn claim<O: Operation>(&mut self, place: Place) -> Option<O::Output> {
        // SAFETY: passed on to the caller.
        let (op, completion) = unsafe { self.slots.claim::<O>(place) }?;
        // SAFETY: it came out of the slot with its own last completion.
        Some(unsafe { op.complete(completion) })
    }

    /// The next item of a multishot operation that has come.
    pub(crate) fn next_item<O: Multishot>(&mut self, place: Place) -> Option<O::Item> {
        let (op, completion) = self.slots.take_item::<O>(place)?;
        // SAFETY: the operation is in its slot until its last completion is claimed, which a place that is found proves has
        // not happened.
        Some(unsafe { O::item(op, completion) })
    }

    pub(crate) fn has_item(&self, place: Place) -> bool {
        self.slots.has_item(place)
    }

    /// Nobody will claim the operation; it is dropped when its last completion has come.
    pub(crate) fn orphan(&mut self, place: Place) {
        self.slots.orphan(place);
        self.slots.bury();
    }
}
