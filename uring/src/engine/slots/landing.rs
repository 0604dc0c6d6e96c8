//! What a completion does to the slot that it is for.

use super::announced::Announce;
use super::{GENERATION, halves};
use super::{Slot, Slots, State, Times};
use crate::completion::Completion;
use crate::engine::items::NO_ITEM;

impl Slots {
    /// [`land`](Slots::land) for the only completion of an operation, if that is all there is to it; otherwise nothing is done.
    #[inline]
    pub(crate) fn land_plainly(&mut self, user_data: u64, result: i32, flags: u32) -> bool {
        let [low, high] = halves(user_data);
        if low >= self.used {
            return false;
        }
        let slot = self.slot(low);
        // SAFETY: as in `land`.
        unsafe {
            let [generation, _] = halves((*slot).sequence);
            let plain = generation | !GENERATION == high
                && (*slot).state == State::Flying
                && (*slot).completes == Times::Once
                && (*slot).announce == Announce::Never
                && !(*slot).orphan
                && flags & uring_sys::IORING_CQE_F_MORE == 0;
            if !plain {
                return false;
            }
            (*slot).result = result;
            (*slot).flags = flags;
            (*slot).state = State::Landed;
            if let Some(level) = self.levels.get_mut(usize::from((*slot).depth)) {
                level.flying -= 1;
            }
        }
        true
    }

    /// Takes in a completion that carries a tracked `user_data`.
    ///
    /// One that does not fit an operation in flight is passed over: late, repeated or forged completions reach nobody
    /// (DESIGN 6.4).
    #[inline]
    pub(crate) fn land(&mut self, completion: Completion) {
        let [low, high] = halves(completion.user_data);
        if low >= self.used {
            return;
        }
        let slot = self.slot(low);
        // SAFETY: the header of a slot is always initialised, and only this thread uses it.
        unsafe {
            let [generation, _] = halves((*slot).sequence);
            let same = generation & GENERATION == high & GENERATION;
            if (*slot).state != State::Flying || !same {
                return;
            }
            if completion.has_more() {
                return self.land_more(low, completion);
            }
            if (*slot).completes == Times::Once && completion.extra == [0; 2] {
                (*slot).result = completion.result;
                (*slot).flags = completion.flags;
            } else {
                self.note_last(slot, completion);
            }
        }
        self.has_completed(low);
    }

    /// Its last completion has come, or stands fixed without that.
    #[inline]
    pub(super) fn has_completed(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header of a slot is always initialised.
        unsafe {
            (*slot).state = State::Landed;
            let depth = usize::from((*slot).depth);
            if let Some(level) = self.levels.get_mut(depth) {
                level.flying -= 1;
            }
            if (*slot).orphan {
                self.give_up(index);
            } else if (*slot).announce == Announce::Next {
                self.tell(index);
            }
        }
    }

    /// A completion that is not the last: an item of a multishot operation, or the first of two.
    #[cold]
    fn land_more(&mut self, index: u32, completion: Completion) {
        self.heard_more = true;
        let slot = self.slot(index);
        // SAFETY: the header of a slot is always initialised.
        unsafe {
            match (*slot).completes {
                Times::Once | Times::Quiet => {}
                Times::Notified => {
                    (*slot).result = completion.result;
                    (*slot).flags = completion.flags;
                }
                Times::Many => {
                    if (*slot).orphan && (*slot).link == NO_ITEM {
                        self.littered.push(index);
                    }
                    self.add_item(slot, completion);
                    if (*slot).announce == Announce::Next && !(*slot).orphan {
                        self.tell(index);
                    }
                }
            }
        }
    }

    /// Keeps of the last completion what is more than a result and flags, or else than in most.
    ///
    /// # Safety
    ///
    /// `slot` is one of these.
    #[cold]
    unsafe fn note_last(&mut self, slot: *mut Slot, completion: Completion) {
        // SAFETY: the caller vouches for the slot.
        unsafe {
            if (*slot).completes == Times::Quiet {
                self.settle_quiet_chain(slot);
            }
            let notifies = (*slot).completes == Times::Notified && completion.is_notification();
            if notifies {
                (*slot).flags |= uring_sys::IORING_CQE_F_NOTIF;
            } else {
                (*slot).result = completion.result;
                (*slot).flags = completion.flags;
            }
            if (*slot).completes == Times::Many {
                // Timeouts give the same number for each repetition.
                if completion.result >= 0 || completion.result == -libc::ETIME {
                    self.stopped = self.stopped.min((*slot).sequence);
                }
            }
            let keep = match (*slot).completes {
                Times::Once | Times::Quiet => completion.extra != [0; 2],
                Times::Notified => notifies,
                Times::Many => ((*slot).calls.is_item)(&completion),
            };
            if keep {
                let kept = if notifies {
                    completion.as_notification()
                } else {
                    completion
                };
                self.add_item(slot, kept);
            }
        }
    }

    /// # Safety
    ///
    /// `slot` is one of these.
    unsafe fn add_item(&mut self, slot: *mut Slot, completion: Completion) {
        let item = self.items.store(completion);
        // SAFETY: the caller vouches for the slot.
        unsafe {
            if (*slot).link == NO_ITEM {
                (*slot).link = item;
            } else {
                self.items.append((*slot).last_item, item);
            }
            (*slot).last_item = item;
        }
    }
}
