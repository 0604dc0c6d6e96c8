//! Completions on their way out of their queue, to slots and to those who ask for them.

use crate::completion::Completion;
use crate::engine::{Core, Place};
use crate::entry::TRACKED;
use crate::op::{Multishot, Operation};

impl Core {
    /// Takes the completion at `head` out of the queue, and gives the next place.
    #[inline]
    fn take_at(&mut self, head: u32) -> (Option<Completion>, u32) {
        let taken = self.cq.take_at(head);
        #[cfg(uring_coverage)]
        if let (Some(completion), _) = &taken {
            self.flying.completed(completion, self.name.reached());
        }
        taken
    }

    /// Takes in everything that the completion queue holds. Completions of raw operations are put aside.
    #[inline]
    pub(crate) fn reap(&mut self) {
        while let Some((mut head, tail)) = self.cq.batch() {
            while head != tail {
                let completion;
                (completion, head) = self.take_at(head);
                match completion {
                    Some(completion) if completion.user_data & TRACKED == 0 => {
                        self.backlog.push_back(completion);
                    }
                    Some(completion) => self.land(completion),
                    None => {}
                }
            }
        }
        self.cq.publish();
        if !self.draining && !self.shared {
            self.slots.bury();
        }
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

    /// Gives each completion of a raw operation to `each`; takes the others in. The queue's head is stored once, at the end, also when
    /// `each` unwinds.
    #[inline]
    pub(crate) fn reap_each(&mut self, mut each: impl FnMut(Completion)) -> usize {
        struct PublishAtEnd<'a>(&'a mut Core);
        impl Drop for PublishAtEnd<'_> {
            fn drop(&mut self) {
                self.0.cq.publish();
                self.0.slots.bury();
            }
        }
        let core = PublishAtEnd(self);
        let mut given = 0;
        while let Some(completion) = core.0.backlog.pop_front() {
            given += 1;
            each(completion);
        }
        while let Some((mut head, tail)) = core.0.cq.batch() {
            while head != tail {
                let completion;
                (completion, head) = core.0.take_at(head);
                match completion {
                    Some(completion) if completion.user_data & TRACKED == 0 => {
                        given += 1;
                        each(completion);
                    }
                    Some(completion) => core.0.land(completion),
                    None => {}
                }
            }
        }
        given
    }

    /// The next completion of a raw operation that has arrived.
    pub(crate) fn next_raw(&mut self) -> Option<Completion> {
        if self.backlog.is_empty() {
            self.reap();
        }
        self.backlog.pop_front()
    }

    pub(crate) fn knows(&self, place: Place) -> bool {
        self.slots.knows(place)
    }

    #[inline]
    pub(crate) fn has_landed(&self, place: Place) -> bool {
        self.slots.has_landed(place)
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
