//! The one ring behind all handles: queues, operations in flight, and the calls that drive them.
//!
//! [`Core`] knows the ring by its [`Name`] only. What that name rests on, a descriptor or a slot of the thread's table, is in
//! the handle; the types around it see to it that a `Core` named by index stays on its thread.

mod awaited;
mod behind_drain;
mod buffers;
mod cancel;
mod claim;
mod drain;
mod enter;
mod items;
mod quiet;
mod register;
mod registered_waits;
mod slots;
mod storage;
mod waits;
mod wakers;

pub(crate) use awaited::Landed;
pub(crate) use behind_drain::notifies;
pub use drain::leaked_operations;
pub(crate) use enter::{Deadline, Terms, Wait};

pub(crate) use register::{release_slot, size, unregister_slot};
pub(crate) use slots::{Place, Remains};

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;

use crate::buffers::Buffers;
use crate::completion::Completion;
#[cfg(uring_coverage)]
use crate::coverage::{InFlight, Reached};
use crate::direct::DirectTable;
use crate::entry::{Entry, TRACKED};
use crate::error::{Call, Error, Hint};
use crate::fork::Process;
use crate::handle::Descriptor;
#[cfg(uring_coverage)]
use crate::handle::HandleKind;
use crate::memory::Mapping;
use crate::op::{Multishot, Operation};
use crate::personality::Personalities;
use crate::push::Push;
use crate::queue::{CompletionQueue, Hand, SubmissionQueue};
use crate::resource::BufferTable;
use crate::restrictions::Restrictions;
use crate::setup::Setup;
use crate::syscall::Name;
use crate::time::WaitClock;
use registered_waits::RegisteredWaits;
use slots::Slots;
use wakers::Wakers;

/// A ring, whatever its handle.
pub struct Core {
    sq: SubmissionQueue,
    cq: CompletionQueue,
    /// Leaked instead of freed when the kernel may still write to what is in them.
    slots: ManuallyDrop<Slots>,
    /// Completions of raw operations that arrived while somebody waited for something else.
    backlog: VecDeque<Completion>,
    name: Name,
    process: Process,
    setup: Setup,
    id: u64,
    direct: Option<DirectTable>,
    /// Chains in the queue whose completions are left out.
    quiet: Vec<quiet::Span>,
    /// Cancellations of the library's own whose completions have not been seen.
    answers_due: u32,
    registered: Option<BufferTable>,
    buffers: Buffers,
    personalities: Personalities,
    restrictions: Option<Box<Restrictions>>,
    /// There was a drain, and the kernel may still hold entries back for it.
    drained: bool,
    /// There was a zero-copy send.
    notified: bool,
    /// A cancellation was refused, so waiting for the cancelled may take for ever.
    cancel_refused: bool,
    /// Destructors wait until the drain is over: one that unwinds out of it would leave operations in flight.
    draining: bool,
    /// Destructors wait until whoever shares the ring has let go of it: see `awaited`.
    shared: bool,
    /// What was cancelled because nobody awaits it any more, and may not have been found.
    abandoned: Vec<Place>,
    wakers: Wakers,
    /// What the ring was made with, and may still go by; looked at before calls that would change another's ring.
    descriptor: Option<Descriptor>,
    /// By which limits of waits are counted.
    clock: WaitClock,
    /// What goes with each call that waits.
    wait_flags: u32,
    waits: Option<RegisteredWaits>,
    /// The slot of the thread's table to give back at the end.
    index: Option<u8>,
    #[cfg(uring_coverage)]
    flying: InFlight,
    /// Unmapped last.
    memory: Vec<Mapping>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// SAFETY: the queues and slots are memory that this value alone uses; nothing in it is tied to a thread. A name by index is, and the
// handle that goes with it is `!Send`; so is what bound rings keep.
unsafe impl Send for Core {}

/// Frees a slot whose operation was never prepared, so that no drain waits for it. The operation is leaked: it is its resources whose
/// code has unwound.
struct WithdrawOnUnwind<'a>(&'a mut Slots, Place);

impl Drop for WithdrawOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.withdraw(self.1);
    }
}

/// What a new ring is made of.
pub(crate) struct Parts {
    pub(crate) sq: SubmissionQueue,
    pub(crate) cq: CompletionQueue,
    pub(crate) memory: Vec<Mapping>,
    pub(crate) process: Process,
    pub(crate) setup: Setup,
}

impl Core {
    /// A ring that is reached by `name`, with room for `slots` operations in flight.
    pub(crate) fn new(parts: Parts, slots: u32, name: Name, index: Option<u8>) -> Box<Core> {
        Box::new(Core {
            sq: parts.sq,
            cq: parts.cq,
            slots: ManuallyDrop::new(Slots::new(slots)),
            backlog: VecDeque::new(),
            name,
            process: parts.process,
            setup: parts.setup,
            id: crate::id::next(),
            direct: None,
            quiet: Vec::new(),
            answers_due: 0,
            registered: None,
            buffers: Buffers::new(),
            personalities: Personalities::default(),
            restrictions: None,
            drained: false,
            notified: false,
            cancel_refused: false,
            draining: false,
            shared: false,
            abandoned: Vec::new(),
            wakers: Wakers::default(),
            descriptor: None,
            clock: WaitClock::Monotonic,
            wait_flags: 0,
            waits: None,
            index,
            #[cfg(uring_coverage)]
            flying: InFlight::new(),
            memory: parts.memory,
        })
    }

    /// The same ring, with new queues. Nothing is in the old ones.
    pub(crate) fn move_to(&mut self, parts: Parts) {
        self.sq = parts.sq;
        self.cq = parts.cq;
        self.setup = parts.setup;
        self.memory = parts.memory;
    }

    /// The kernel has other queues by now: from here on every call says that they are lost.
    pub(crate) fn give_queues_up(&mut self) {
        self.sq.give_up();
    }

    pub(crate) fn descriptor(&self) -> Option<Descriptor> {
        self.descriptor
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// The descriptor that the ring has from the beginning.
    pub(crate) fn set_descriptor(&mut self, descriptor: Descriptor) {
        self.descriptor = Some(descriptor);
    }

    /// Another way to reach the same ring, after a transition.
    pub(crate) fn rename(&mut self, name: Name, index: Option<u8>) {
        self.name = name;
        self.index = index;
    }

    #[cfg(uring_coverage)]
    pub(crate) fn reached_by(&self, kind: HandleKind) -> Reached {
        Reached::of(kind, self.descriptor.is_some())
    }

    /// Whether an operation is in flight or a result unclaimed.
    pub(crate) fn keeps_something(&self) -> bool {
        !self.slots.is_empty()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.slots.flying(0)
    }

    pub(crate) fn slot_capacity(&self) -> u32 {
        self.slots.capacity()
    }

    pub(crate) fn pending(&self) -> u32 {
        if self.process.is_current() {
            self.sq.unsubmitted()
        } else {
            self.sq.pending()
        }
    }

    pub(crate) fn dropped_completions(&self) -> u32 {
        // The queues of a forked child's copy may not be mapped there.
        if self.process.is_current() {
            self.cq.dropped()
        } else {
            0
        }
    }

    /// How many the kernel has to be waited for until there are `completions`, counting those that were put aside, and not counting what
    /// nobody gets to see.
    pub(crate) fn still_to_come(&self, completions: u32) -> u32 {
        let put_aside = u32::try_from(self.backlog.len()).unwrap_or(u32::MAX);
        match completions.saturating_sub(put_aside) {
            0 => 0,
            missing => missing.saturating_add(self.answers_due),
        }
    }

    /// Refuses to lend memory to operations whose completions could not be seen (H33).
    #[inline]
    pub(crate) fn check_memory(&self, call: Call) -> Result<(), Error> {
        self.check_process(call)?;
        if self.sq.memory_is_intact() {
            Ok(())
        } else {
            Err(Error::refused(call, Hint::RingMemoryLost))
        }
    }

    /// Refuses to work on a copy that came through `fork`.
    #[inline]
    pub(crate) fn check_process(&self, call: Call) -> Result<(), Error> {
        if self.process.is_current() {
            Ok(())
        } else {
            Err(Error::refused(call, Hint::Forked))
        }
    }

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
    fn enqueue(&mut self, entry: &mut Entry, large: bool, second_half: Option<[u8; 64]>) {
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
        let mut entry = Entry::new(O::OPCODE);
        push.apply(&mut entry);
        let unprepared = WithdrawOnUnwind(&mut self.slots, place);
        // SAFETY: the operation is at the address at which it stays until it is moved out after its last completion.
        unsafe { O::prepare(address, &mut entry) };
        // SAFETY: as above; the kernel does not know of it yet.
        let second_half = unsafe { O::second_half(address) };
        std::mem::forget(unprepared);
        entry.set_user_data(place.user_data());
        self.note_drain::<O>(push);
        self.enqueue(&mut entry, O::LARGE, second_half);
        Ok(place)
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
        self.enqueue(&mut entry, O::LARGE, second_half);
    }

    /// The queue's tail, to push raw operations with. Where there is more to be done for a push than to write an entry there is no room.
    #[inline]
    pub(crate) fn take_in_hand(&mut self) -> Hand {
        // The queues of a forked child's copy may not be mapped there.
        if !self.process.is_current() || cfg!(uring_coverage) {
            return Hand::NONE;
        }
        self.sq.take_in_hand()
    }

    /// Whether this is the process that the ring is of.
    #[inline]
    pub(crate) fn is_at_home(&self) -> bool {
        self.process.is_current()
    }

    #[inline]
    pub(crate) fn put_back(&mut self, hand: Hand) {
        self.sq.put_back(hand);
    }

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

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(crate) fn buffers_mut(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    pub(crate) fn completion_queue(&self) -> &CompletionQueue {
        &self.cq
    }

    pub(crate) fn restrictions(&self) -> Option<&Restrictions> {
        self.restrictions.as_deref()
    }

    pub(crate) fn set_restrictions(&mut self, restrictions: Restrictions) {
        self.restrictions = Some(Box::new(restrictions));
    }

    pub(crate) fn personalities(&self) -> &Personalities {
        &self.personalities
    }

    pub(crate) fn personalities_mut(&mut self) -> &mut Personalities {
        &mut self.personalities
    }

    pub(crate) fn direct(&self) -> Option<&DirectTable> {
        self.direct.as_ref()
    }

    pub(crate) fn direct_mut(&mut self) -> Option<&mut DirectTable> {
        self.direct.as_mut()
    }

    pub(crate) fn set_direct(&mut self, table: Option<DirectTable>) {
        self.direct = table;
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
