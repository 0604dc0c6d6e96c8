//! Where operations live while the kernel works on them.
//!
//! Storage is raw memory at a fixed address: no reference ever covers a whole slot, since the kernel writes into parts of it. An
//! operation moves in before it is prepared and out after its last completion, and not in between (DESIGN 6.1, 6.2).

mod announced;
mod burial;
mod claiming;
mod landing;
mod quiet;
mod repeating;

use std::alloc::{Layout, handle_alloc_error};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::items::{Items, NO_ITEM};
use crate::engine::storage::{ErasedCalls, Storage, store};
use crate::entry::TRACKED;
use crate::op::{Completes, Operation};
use announced::Announce;
pub(crate) use burial::Remains;
use quiet::Ends;

#[repr(C)]
struct Slot {
    state: State,
    /// Which scope the operation belongs to; 0 is none.
    depth: u16,
    /// Whether nobody will claim the result.
    orphan: bool,
    completes: Times,
    announce: Announce,
    result: i32,
    flags: u32,
    /// In a free slot the next free one, else the first item that was not taken. Where there are no items: what the last completion says
    /// beyond result and flags.
    link: u32,
    /// In a slot in use the last item that was not taken.
    last_item: u32,
    sequence: u64,
    calls: &'static ErasedCalls,
    storage: Storage,
}

impl Slot {
    fn unused() -> Slot {
        Slot {
            state: State::Free,
            depth: 0,
            orphan: false,
            completes: Times::Once,
            announce: Announce::Never,
            result: 0,
            flags: 0,
            link: NONE,
            last_item: NO_ITEM,
            sequence: 0,
            calls: ErasedCalls::NONE,
            storage: Storage::uninit(),
        }
    }
}

/// Whether there are items that nobody has taken.
///
/// # Safety
///
/// `slot` is a slot whose header is initialised.
unsafe fn has_items(slot: *const Slot) -> bool {
    // SAFETY: the caller vouches for the slot.
    unsafe { (*slot).completes == Times::Many && (*slot).link != NO_ITEM }
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

/// How often an operation completes; see [`Completes`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    /// Once, or not at all: a member of a chain that skips completions.
    Quiet,
    Notified,
    Many,
}

impl Times {
    const fn of<O: Operation>() -> Times {
        match O::COMPLETES {
            Completes::Once => Times::Once,
            Completes::Notified => Times::Notified,
            Completes::Many(_) => Times::Many,
        }
    }
}

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u32,
    /// Unique in the process, so that it proves ring, slot and generation in one compare.
    pub(crate) sequence: NonZeroU64,
}

impl Place {
    /// The slot, to find something by that is kept beside it.
    pub(crate) fn slot(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }

    /// How the completion of the operation here is told.
    #[inline]
    pub(crate) fn user_data(self) -> u64 {
        let [generation, _] = halves(self.sequence.get());
        TRACKED | (u64::from(generation & GENERATION) << 32) | u64::from(self.index)
    }
}

/// A slot that holds nothing and is not in the list of free ones any more.
pub(crate) struct Vacant(u32);

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
    /// Operations in flight with items that nobody will take.
    littered: Vec<u32>,
    items: Items,
    quiet: Option<Ends>,
    /// Operations that have landed with another of their chain, for those who watch slots.
    settled: Vec<u32>,
    /// Operations that have gone on and are to be told of, oldest first.
    announced: VecDeque<Place>,
    /// A completion that is not the last has come.
    heard_more: bool,
    /// The lowest sequence number of a multishot operation that has ended as one does whose completion found no room.
    stopped: u64,
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
            littered: Vec::new(),
            items: Items::default(),
            quiet: None,
            settled: Vec::new(),
            announced: VecDeque::new(),
            heard_more: false,
            stopped: u64::MAX,
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
        match self.take_slot() {
            Some(index) => Ok(self.admit_at(index, op, depth)),
            None => Err(op),
        }
    }

    /// The same, into a slot that was [taken](Slots::take_slot).
    #[inline]
    pub(crate) fn admit_at<O: Operation>(
        &mut self,
        index: Vacant,
        op: O,
        depth: u16,
    ) -> (Place, *mut O) {
        let Vacant(index) = index;
        let sequence = self.take_sequence();
        let slot = self.slot(index);
        // SAFETY: the slot is free and ours; its storage is large enough for what `store` puts there.
        let address = unsafe {
            (*slot).depth = depth;
            (*slot).orphan = false;
            (*slot).announce = Announce::Never;
            (*slot).completes = const { Times::of::<O>() };
            (*slot).link = NO_ITEM;
            (*slot).last_item = NO_ITEM;
            (*slot).sequence = sequence.get();
            (*slot).calls = const { &ErasedCalls::of::<O>() };
            (*slot).state = State::Flying;
            store(&raw mut (*slot).storage, op)
        };
        if let Some(level) = self.levels.get_mut(usize::from(depth)) {
            level.flying += 1;
            level.kept += 1;
        }
        (Place { index, sequence }, address)
    }

    /// A slot that holds nothing.
    #[inline]
    pub(crate) fn take_slot(&mut self) -> Option<Vacant> {
        let index = self.free;
        if index != NONE {
            // SAFETY: the free list holds slots that were used before, so their header is initialised.
            self.free = unsafe { (*self.slot(index)).link };
            Some(Vacant(index))
        } else if self.used < self.len {
            self.used += 1;
            // SAFETY: the slot is inside the allocation, and `write` does not look at what was there.
            unsafe { self.slot(self.used - 1).write(Slot::unused()) };
            Some(Vacant(self.used - 1))
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
            .is_some_and(|slot| unsafe { has_items(slot) })
    }

    /// Frees a slot whose operation has been moved out.
    #[inline]
    fn release(&mut self, index: u32) {
        let slot = self.slot(index);
        // SAFETY: the header is initialised; the storage is not looked at any more.
        unsafe {
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

    /// Operations in flight at `depth` or deeper.
    pub(crate) fn flying(&self, depth: u16) -> u32 {
        self.levels
            .iter()
            .skip(usize::from(depth))
            .map(|level| level.flying)
            .sum()
    }

    /// Whether there is nothing at `depth` or deeper, in flight or unclaimed.
    #[inline]
    pub(crate) fn has_none(&self, depth: u16) -> bool {
        let mut levels = self.levels.iter().skip(usize::from(depth));
        levels.all(|level| level.flying | level.kept == 0)
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

    /// Whether an operation has completed, but not for the last time, since this was asked before.
    pub(crate) fn has_heard_more(&mut self) -> bool {
        std::mem::take(&mut self.heard_more)
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
                    && ((*slot).completes == Times::Many || !only_multishot);
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

#[cfg(test)]
mod tests;
