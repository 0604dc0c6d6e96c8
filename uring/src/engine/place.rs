//! Operations on their way into the submission queue: is there room, and what does the kernel find there.

use crate::engine::slots::Slots;
use crate::engine::{Core, Place, Vacant, notifies, repeats};
use crate::entry::Entry;
use crate::error::{Call, Error, Hint};
use crate::op::Operation;
use crate::push::Push;
use crate::queue::Hand;

/// Frees a slot whose operation was never prepared, so that no drain waits for it. The operation is leaked: it is its resources whose
/// code has unwound.
struct WithdrawOnUnwind<'a>(&'a mut Slots, Place);

impl Drop for WithdrawOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.withdraw(self.1);
    }
}

impl Core {
    /// Whether `slots` more operations of which `large` take 128 bytes can go in at once, without submitting.
    fn check_room(&mut self, operations: u32, large: bool) -> Result<(), Hint> {
        if large && self.sq.size() == crate::EntrySize::Normal {
            return Err(Hint::EntryTooLarge);
        }
        // A chain is at most as long as its count of operations at two slots each, and a filler.
        let entries = if operations == 1 {
            self.sq.slots_for(large)
        } else if large {
            2 * operations + 1
        } else {
            operations
        };
        if !self.sq.has_room(entries) {
            Err(Hint::QueueFull)
        } else {
            Ok(())
        }
    }

    /// Makes room for the operations of one push, by submitting if `submit` allows it.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        operations: u32,
        tracked: u32,
        large: bool,
        submit: bool,
    ) -> Result<(), Error> {
        let common = operations == 1
            && !large
            && self.process.is_current()
            && (tracked == 0 || self.slots.has_room(tracked))
            && self.sq.has_room(1);
        if common {
            Ok(())
        } else {
            self.make_more_room(operations, tracked, large, submit)
        }
    }

    #[cold]
    fn make_more_room(
        &mut self,
        operations: u32,
        tracked: u32,
        large: bool,
        submit: bool,
    ) -> Result<(), Error> {
        self.check_process(Call::Push)?;
        if !self.slots.has_room(tracked) {
            self.reap();
            if !self.slots.has_room(tracked) {
                return Err(Error::refused(Call::Push, Hint::NoSlot));
            }
        }
        match self.check_room(operations, large) {
            Ok(()) => Ok(()),
            Err(Hint::QueueFull) if submit => self.make_room_by_submitting(operations, large),
            Err(hint) => Err(Error::refused(Call::Push, hint)),
        }
    }

    fn make_room_by_submitting(&mut self, operations: u32, large: bool) -> Result<(), Error> {
        loop {
            self.submit_for_room()?;
            match self.check_room(operations, large) {
                // Waiting for a submission thread ends with the first entry that it takes, or with a signal.
                Err(Hint::QueueFull) if self.sq.is_thread_driven() && self.sq.pending() > 0 => {
                    self.collect()?;
                    std::thread::yield_now();
                }
                checked => return checked.map_err(|hint| Error::refused(Call::Push, hint)),
            }
        }
    }

    /// Puts an entry into the queue. Room has been made.
    #[inline]
    pub(super) fn enqueue(
        &mut self,
        entry: &mut Entry,
        large: bool,
        second_half: Option<[u8; 64]>,
    ) {
        if large && self.sq.size() == crate::EntrySize::Mixed {
            entry.name_for_mixed_queue();
        }
        #[cfg(uring_coverage)]
        self.flying.pushed(entry);
        self.sq.place(entry, large);
        if let Some(half) = second_half {
            self.sq.write_second_half(half, large);
        }
    }

    /// Puts a tracked operation into the queue. Room has been made and the operation admitted.
    #[inline]
    pub(crate) fn place<O: Operation>(
        &mut self,
        op: O,
        push: Push,
        depth: u16,
    ) -> Result<Place, O> {
        let (place, address) = self.slots.admit(op, depth)?;
        // SAFETY: it has just been admitted.
        let mut entry = unsafe { self.prepare::<O>(place, address, push) };
        // SAFETY: as in `prepare`; the kernel does not know of it yet.
        let second_half = unsafe { O::second_half(address) };
        self.note_drain::<O>(push);
        self.enqueue(&mut entry, O::LARGE, second_half);
        Ok(place)
    }

    /// Puts a tracked operation into a slot that was taken, and into the queue, where the push [is plain](Core::is_plain).
    #[inline]
    pub(super) fn place_tracked_plain<O: Operation>(
        &mut self,
        vacant: Vacant,
        op: O,
        push: Push,
        depth: u16,
    ) -> Place {
        let (place, address) = self.slots.admit_at(vacant, op, depth);
        // SAFETY: it has just been admitted.
        let entry = unsafe { self.prepare::<O>(place, address, push) };
        self.enqueue_plain(&entry);
        place
    }

    /// The entry of an operation that is in its slot.
    ///
    /// # Safety
    ///
    /// The slots have just admitted the operation to `place`, which is at `address`.
    #[inline]
    unsafe fn prepare<O: Operation>(&mut self, place: Place, address: *mut O, push: Push) -> Entry {
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        let unprepared = WithdrawOnUnwind(&mut self.slots, place);
        // SAFETY: the operation is at the address at which it stays until it is moved out after its last completion.
        unsafe { O::prepare(address, &mut entry) };
        std::mem::forget(unprepared);
        entry.set_user_data(place.user_data());
        entry
    }

    /// Whether a push is no more than an entry of 64 bytes in the queue.
    #[inline]
    pub(super) fn is_plain<O: Operation>(&self, push: Push) -> bool {
        let is_small = const { !O::LARGE && !notifies::<O>() };
        is_small && push.is_plain() && self.sq.is_open() && self.process.is_current()
    }

    /// [`place_raw`](Core::place_raw) where the push [is plain](Core::is_plain).
    #[inline]
    pub(super) fn place_plain<O: Operation>(&mut self, mut op: O, push: Push, user_data: u64) {
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        // SAFETY: as in `place_raw`.
        unsafe { O::prepare(&raw mut op, &mut entry) };
        entry.set_user_data(user_data);
        self.enqueue_plain(&entry);
    }

    /// [`enqueue`](Core::enqueue) where the push [is plain](Core::is_plain).
    #[inline]
    fn enqueue_plain(&mut self, entry: &Entry) {
        #[cfg(uring_coverage)]
        self.flying.pushed(entry);
        self.sq.place_plain(entry);
    }

    /// Puts an operation into the queue that nothing is kept of. Room has been made.
    #[inline]
    pub(crate) fn place_raw<O: Operation>(&mut self, mut op: O, push: Push, user_data: u64) {
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        // SAFETY: a raw operation has no pointers into itself, so it may go away again (contract of `RawOperation`).
        unsafe { O::prepare(&raw mut op, &mut entry) };
        // SAFETY: as above.
        let second_half = unsafe { O::second_half(&raw const op) };
        entry.set_user_data(user_data);
        self.note_drain::<O>(push);
        if repeats::<O>() {
            self.repeated_raw = true;
        }
        self.enqueue(&mut entry, O::LARGE, second_half);
    }

    /// The queue's tail, to push raw operations with. Where there is more to be done for a push than to write an entry there is no room.
    #[inline]
    pub(crate) fn take_in_hand(&mut self) -> Hand {
        let hand = self.sq.take_in_hand(self.process.is_current());
        if cfg!(uring_coverage) {
            hand.closed()
        } else {
            hand
        }
    }

    #[inline]
    pub(crate) fn put_back(&mut self, hand: Hand) {
        self.sq.put_back(hand);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::op::{Nop, Read};
    use crate::{BufMut, Ring};

    struct Unwinds;

    // SAFETY: it breaks the contract, which forbids panics, to show that even then nothing is left behind.
    unsafe impl BufMut for Unwinds {
        fn as_mut_ptr(&mut self) -> *mut u8 {
            panic!("asked for its address");
        }

        fn capacity(&self) -> usize {
            0
        }

        unsafe fn set_filled(&mut self, _: usize) {}
    }

    #[test]
    fn a_push_that_unwinds_leaves_nothing_behind() {
        let mut ring = Ring::new(2).unwrap();
        for _ in 0..100 {
            let read = Read::new(std::io::stdin(), Unwinds);
            let pushed = catch_unwind(AssertUnwindSafe(|| ring.push(read).map(drop).is_ok()));
            assert!(pushed.is_err());
        }
        assert_eq!((ring.in_flight(), ring.pending()), (0, 0));
        ring.call(Nop::new()).unwrap().unwrap();
    }
}
