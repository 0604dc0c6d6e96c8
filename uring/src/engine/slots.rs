//! Where operations live while the kernel works on them.
//!
//! Storage is raw memory at a fixed address: no reference ever covers a whole slot, since the kernel writes into parts of it. An
//! operation moves in before it is prepared and out after its last completion, and not in between (DESIGN 6.1, 6.2).

use std::alloc::{Layout, handle_alloc_error};
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::completion::Completion;
use crate::engine::items::Items;
use crate::engine::storage::{Bury, Storage, bury, bury_nothing, locate, retrieve, store};
use crate::entry::TRACKED;
use crate::op::Operation;

#[repr(C)]
struct Slot {
    state: State,
    /// Which scope the operation belongs to; 0 is none.
    depth: u16,
    /// Whether nobody will claim the result.
    orphan: bool,
    multishot: bool,
    result: i32,
    flags: u32,
    /// In a free slot the next free one, else the first item that was not taken.
    link: u32,
    /// In a slot in use the last item that was not taken.
    last_item: u32,
    sequence: u64,
    bury: Bury,
    storage: Storage,
}

impl Slot {
    fn unused() -> Slot {
        Slot {
            state: State::Free,
            depth: 0,
            orphan: false,
            multishot: false,
            result: 0,
            flags: 0,
            link: NONE,
            last_item: NONE,
            sequence: 0,
            bury: bury_nothing,
            storage: Storage::uninit(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// The kernel has it, or will.
    Flying,
    /// The last completion has come; nobody has claimed it yet.
    Landed,
    /// Landed and given up: waits for its resources to be dropped.
    Corpse,
}

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u32,
    /// Unique in the process, so that it proves ring, slot and generation in one compare.
    pub(crate) sequence: NonZeroU64,
}

impl Place {
    /// How the completion of the operation here is told.
    #[inline]
    pub(crate) fn user_data(self) -> u64 {
        let [generation, _] = halves(self.sequence.get());
        TRACKED | (u64::from(generation & GENERATION) << 32) | u64::from(self.index)
    }
}

/// The bits of a sequence number that a completion carries. They may repeat: a slot is not used again before its last completion.
const GENERATION: u32 = 0x7fff_ffff;

/// Of how many sequence numbers a ring takes possession at a time.
const SEQUENCE_BLOCK: u64 = 1 << 16;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(SEQUENCE_BLOCK);

/// All operations of one ring.
pub(crate) struct Slots {
    slots: NonNull<Slot>,
    len: u32,
    /// Slots that have ever been used, which are the initialised ones.
    used: u32,
    free: u32,
    next_sequence: u64,
    /// By the depth of the scope that operations belong to; 0 is none.
    levels: Vec<Level>,
    corpses: Vec<u32>,
    items: Items,
}

/// How many operations there are at one depth.
#[derive(Clone, Copy, Default)]
struct Level {
    flying: u32,
    /// In flight, or landed and neither claimed nor buried.
    kept: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl Slots {
    pub(crate) fn new(len: u32) -> Slots {
        let layout = layout(len);
        // SAFETY: the layout is not empty: a ring has at least one slot.
        let slots = unsafe { std::alloc::alloc(layout) };
        let Some(slots) = NonNull::new(slots.cast::<Slot>()) else {
            handle_alloc_error(layout)
        };
        Slots {
            slots,
            len,
            used: 0,
            free: NONE,
            next_sequence: 0,
            levels: vec![Level::default(); 4],
            corpses: Vec::new(),
            items: Items::default(),
        }
    }

    /// How many operations may be kept at a time.
    pub(crate) fn capacity(&self) -> u32 {
        self.len
    }

    #[inline]
    fn slot(&self, index: u32) -> *mut Slot {
        debug_assert!(index < self.used);
        // SAFETY: every index that comes here is below `used` (checked where it comes from outside), and so below `len`.
        unsafe { self.slots.add(usize::try_from(index).unwrap_or(0)) }.as_ptr()
    }

    #[inline]
    pub(crate) fn has_room(&self, slots: u32) -> bool {
        if slots <= self.len - self.used || (slots == 1 && self.free != NONE) {
            return true;
        }
        self.len - self.kept(0) >= slots
    }

    /// Moves an operation in. Gives its place, and its address, which is the one to prepare it at.
    #[inline]
    pub(crate) fn admit<O: Operation>(&mut self, op: O, depth: u16) -> Result<(Place, *mut O), O> {
        let Some(index) = self.take_slot() else {
            return Err(op);
        };
        let sequence = self.take_sequence();
        let slot = self.slot(index);
        // SAFETY: the slot is free and ours; its storage is large enough for what `store` puts there.
        let address = unsafe {
            (*slot).depth = depth;
            (*slot).orphan = false;
            (*slot).multishot = O::MULTISHOT;
            (*slot).link = NONE;
            (*slot).last_item = NONE;
            (*slot).sequence = sequence.get();
            (*slot).bury = bury::<O>;
            (*slot).state = State::Flying;
            store(&raw mut (*slot).storage, op)
        };
        if let Some(level) = self.levels.get_mut(usize::from(depth)) {
            level.flying += 1;
            level.kept += 1;
        }
        Ok((Place { index, sequence }, address))
    }

    /// A slot that holds nothing.
    #[inline]
    fn take_slot(&mut self) -> Option<u32> {
        let index = self.free;
        if index != NONE {
            // SAFETY: the free list holds slots that were used before, so their header is initialised.
            self.free = unsafe { (*self.slot(index)).link };
            Some(index)
        } else if self.used < self.len {
            self.used += 1;
            // SAFETY: the slot is inside the allocation, and `write` does not look at what was there.
            unsafe { self.slot(self.used - 1).write(Slot::unused()) };
            Some(self.used - 1)
        } else {
            None
        }
    }

    #[inline]
    fn take_sequence(&mut self) -> NonZeroU64 {
        if self.next_sequence % SEQUENCE_BLOCK == 0 {
            self.next_sequence = NEXT_BLOCK.fetch_add(SEQUENCE_BLOCK, Ordering::Relaxed);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        // 2^64 numbers do not run out; the block numbers start above zero.
        NonZeroU64::new(sequence).unwrap_or(NonZeroU64::MAX)
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
                return self.land_more(slot, completion);
            }
            (*slot).result = completion.result;
            (*slot).flags = completion.flags;
            (*slot).state = State::Landed;
            let depth = usize::from((*slot).depth);
            if let Some(level) = self.levels.get_mut(depth) {
                level.flying -= 1;
            }
            if (*slot).orphan {
                self.give_up(low);
            }
        }
    }

    /// A completion that is not the last: an item of a multishot operation, or the first of two.
    ///
    /// # Safety
    ///
    /// `slot` is a slot of these.
    #[cold]
    unsafe fn land_more(&mut self, slot: *mut Slot, completion: Completion) {
        // SAFETY: the caller vouches for the slot.
        unsafe {
            if !(*slot).multishot || (*slot).orphan {
                return;
            }
            let item = self.items.store(completion);
            if (*slot).link == NONE {
                (*slot).link = item;
            } else {
                self.items.append((*slot).last_item, item);
            }
            (*slot).last_item = item;
        }
    }

    /// The slot that `place` names, if it is still the same operation.
    #[inline]
    fn find(&self, place: Place) -> Option<*mut Slot> {
        if place.index >= self.used {
            return None;
        }
        let slot = self.slot(place.index);
        // SAFETY: the header of a slot is always initialised.
        (unsafe { (*slot).sequence } == place.sequence.get()).then_some(slot)
    }

    /// Whether `place` names an operation of this ring that nobody has claimed or given up.
    pub(crate) fn knows(&self, place: Place) -> bool {
        self.find(place).is_some()
    }

    /// Whether its last completion has come.
    #[inline]
    pub(crate) fn has_landed(&self, place: Place) -> bool {
        // SAFETY: as in `find`.
        self.find(place)
            .is_some_and(|slot| unsafe { (*slot).state } == State::Landed)
    }

    /// Whether a multishot operation has an item that was not taken.
    pub(crate) fn has_item(&self, place: Place) -> bool {
        // SAFETY: as in `find`.
        self.find(place)
            .is_some_and(|slot| unsafe { (*slot).multishot && (*slot).link != NONE })
    }

    /// Moves an operation out whose last completion has come, and frees its slot.
    ///
    /// # Safety
    ///
    /// The operation at `place` is an `O`.
    #[inline]
    pub(crate) unsafe fn claim<O: Operation>(&mut self, place: Place) -> Option<(O, Completion)> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised; the storage holds an `O` that the kernel has finished with.
        unsafe {
            if (*slot).state != State::Landed {
                return None;
            }
            let op = retrieve::<O>((&raw mut (*slot).storage).cast());
            let completion = Completion::new(0, (*slot).result, (*slot).flags);
            self.release(place.index);
            Some((op, completion))
        }
    }

    /// The next item of a multishot operation, and the address of the operation.
    pub(crate) fn take_item<O: Operation>(
        &mut self,
        place: Place,
    ) -> Option<(*const O, Completion)> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised; the storage holds the operation, which is not moved.
        unsafe {
            if (*slot).link == NONE || !(*slot).multishot {
                return None;
            }
            let (completion, next) = self.items.remove((*slot).link);
            (*slot).link = next;
            Some((locate::<O>(&raw mut (*slot).storage), completion))
        }
    }

    /// Frees a slot whose operation has been moved out.
    #[inline]
    fn release(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header is initialised; the storage is not looked at any more.
        unsafe {
            if (*slot).multishot {
                self.items.remove_all((*slot).link);
            }
            if let Some(level) = self.levels.get_mut(usize::from((*slot).depth)) {
                level.kept -= 1;
            }
            (*slot).sequence = 0;
            (*slot).state = State::Free;
            (*slot).link = self.free;
        }
        self.free = index;
    }

    /// Frees the slot of an operation that the kernel will never see, without dropping the operation.
    #[cold]
    pub(crate) fn withdraw(&mut self, place: Place) {
        let Some(slot) = self.find(place) else { return };
        // SAFETY: the header is initialised.
        let depth = usize::from(unsafe { (*slot).depth });
        if let Some(level) = self.levels.get_mut(depth) {
            level.flying -= 1;
        }
        self.release(place.index);
    }

    /// Nobody will claim the operation: it is buried when its last completion has come.
    pub(crate) fn orphan(&mut self, place: Place) {
        let Some(slot) = self.find(place) else { return };
        // SAFETY: the header is initialised.
        unsafe {
            (*slot).orphan = true;
            if (*slot).state == State::Landed {
                self.give_up(place.index);
            }
        }
    }

    fn give_up(&mut self, index: u32) {
        // SAFETY: the header is initialised.
        unsafe { (*self.slot(index)).state = State::Corpse };
        self.corpses.push(index);
    }

    /// Gives up everything at `depth` or deeper that has landed and nobody claimed.
    pub(crate) fn give_up_landed(&mut self, depth: u16) {
        if self.kept(depth) == 0 {
            return;
        }
        for index in 0..self.used {
            let slot = self.slot(index);
            // SAFETY: the header is initialised.
            if unsafe { (*slot).state == State::Landed && (*slot).depth >= depth } {
                self.give_up(index);
            }
        }
    }

    /// Drops the resources of everything that was given up.
    ///
    /// A slot is free before its destructors run, and a panic in one does not keep the others from running (DESIGN 6.8).
    #[inline]
    pub(crate) fn bury(&mut self) {
        if !self.corpses.is_empty() {
            Burial(self).finish();
        }
    }

    /// Takes an operation that was given up out of its slot, for its resources to be dropped when nothing is borrowed.
    pub(crate) fn exhume(&mut self) -> Option<Remains> {
        self.corpses.pop().map(|index| self.exhume_one(index))
    }

    fn exhume_one(&mut self, index: u32) -> Remains {
        let slot = self.slot(index);
        // SAFETY: the slot holds an operation that the kernel has finished with; its bytes are copied out and the slot is
        // freed, so from here on the copy is the operation.
        let remains = unsafe {
            Remains {
                storage: (&raw const (*slot).storage).read(),
                bury: (*slot).bury,
                completion: Completion::new(0, (*slot).result, (*slot).flags),
            }
        };
        self.release(index);
        remains
    }

    /// Operations in flight at `depth` or deeper.
    pub(crate) fn flying(&self, depth: u16) -> u32 {
        self.levels
            .iter()
            .skip(usize::from(depth))
            .map(|level| level.flying)
            .sum()
    }

    /// Operations at `depth` or deeper that were neither claimed nor buried.
    fn kept(&self, depth: u16) -> u32 {
        self.levels
            .iter()
            .skip(usize::from(depth))
            .map(|level| level.kept)
            .sum()
    }

    /// Whether no operation is kept, in flight or unclaimed.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept(0) == 0
    }

    /// Opens a scope at `depth`.
    pub(crate) fn open_depth(&mut self, depth: u16) {
        let needed = usize::from(depth) + 1;
        if self.levels.len() < needed {
            self.levels.resize(needed, Level::default());
        }
    }

    /// The `user_data` of each operation in flight at `depth` or deeper, or of each that would go on for ever.
    pub(crate) fn flying_user_data(
        &self,
        depth: u16,
        only_multishot: bool,
    ) -> impl Iterator<Item = u64> + use<'_> {
        (0..self.used).filter_map(move |index| {
            let slot = self.slot(index);
            // SAFETY: the header is initialised.
            unsafe {
                let flies = (*slot).state == State::Flying
                    && (*slot).depth >= depth
                    && ((*slot).multishot || !only_multishot);
                let sequence = NonZeroU64::new((*slot).sequence)?;
                flies.then(|| Place { index, sequence }.user_data())
            }
        })
    }

    /// The `user_data` of an operation that is in flight.
    pub(crate) fn flying_at(&self, place: Place) -> Option<u64> {
        let slot = self.find(place)?;
        // SAFETY: the header is initialised.
        (unsafe { (*slot).state } == State::Flying).then(|| place.user_data())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: the allocation was made with this layout. Whoever drops the slots has drained the ring, or is a forked
        // child whose copy no kernel works on; operations still inside are leaked.
        unsafe { std::alloc::dealloc(self.slots.as_ptr().cast(), layout(self.len)) };
    }
}

/// Buries what is left even if one burial unwinds; a second panic aborts, as everywhere in Rust.
struct Burial<'a>(&'a mut Slots);

impl Burial<'_> {
    fn finish(&mut self) {
        while let Some(index) = self.0.corpses.pop() {
            drop(self.0.exhume_one(index));
        }
    }
}

impl Drop for Burial<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An operation out of its slot that nobody claims. Dropping it runs its destructors.
pub(crate) struct Remains {
    storage: Storage,
    bury: Bury,
    completion: Completion,
}

impl Drop for Remains {
    fn drop(&mut self) {
        // SAFETY: the storage is a copy of a slot's whose operation the kernel has finished with, and this is the end of it.
        unsafe { (self.bury)((&raw mut self.storage).cast(), self.completion) };
    }
}

fn layout(len: u32) -> Layout {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    match Layout::array::<Slot>(len) {
        Ok(layout) => layout,
        Err(_) => unreachable!("a ring has at most 65536 completions, and so slots"),
    }
}

#[inline]
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}
