//! Direct descriptors: open files in the ring's own table, which have no number that the process could see.

mod raw_slot;
mod update;

pub use raw_slot::RawDirectSlot;
pub(crate) use update::check_tag;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use uring_sys::io_uring_file_index_range;

use crate::engine::Core;
use crate::error::{Call, Error, Hint};

/// An open file of a ring's own table (the kernel's "fixed file").
///
/// It works in operations of that ring only; another refuses it. Dropping it closes the file with the ring's next submission,
/// [`CloseDirect`](crate::op::CloseDirect) closes it now. The table ends with its ring, whatever is still open in it.
#[derive(Debug)]
pub struct Direct {
    place: Reserved,
}

/// A reserved empty slot of a ring's file table, to open a file into. Dropping it frees it.
#[derive(Debug)]
pub struct DirectSlot {
    place: Reserved,
}

/// Whichever slot of a ring's file table is free when a file is opened, for tables whose slots the kernel
/// [gives out](crate::Ring::register_direct_allocated).
///
/// It reserves nothing: an operation that finds no free slot completes with `ENFILE`.
#[derive(Clone, Debug)]
#[doc(alias = "IORING_FILE_INDEX_ALLOC")]
pub struct AnyDirectSlot {
    table: Arc<Shared>,
}

/// Two reserved empty slots of a ring's file table that lie side by side, for a [`Pipe`](crate::op::Pipe). Dropping it frees them.
#[derive(Debug)]
pub struct DirectPair {
    first: DirectSlot,
    second: DirectSlot,
}

/// One index of the table, which comes back when dropped.
#[derive(Debug)]
struct Reserved {
    index: u32,
    holds_file: bool,
    table: Arc<Shared>,
}

/// What the ring and its direct descriptors have in common; the latter may live longer and on other threads.
///
/// Without a lock: a child forked while another thread held it would wait for ever.
#[derive(Debug)]
struct Shared {
    ring: u64,
    any_dropped: AtomicBool,
    /// Slots that somebody has, and those that were dropped and not made free yet.
    taken: AtomicU32,
    /// A bit for each slot that was dropped empty, and for each that was dropped with a file in it.
    empty: Box<[AtomicU64]>,
    full: Box<[AtomicU64]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dropped {
    index: u32,
    holds_file: bool,
}

impl Shared {
    fn new(ring: u64, len: u32) -> Shared {
        let bits = || (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Shared {
            ring,
            any_dropped: AtomicBool::new(false),
            taken: AtomicU32::new(0),
            empty: bits(),
            full: bits(),
        }
    }

    fn note(&self, dropped: Dropped) {
        let bits = if dropped.holds_file {
            &self.full
        } else {
            &self.empty
        };
        let word = usize::try_from(dropped.index / 64).unwrap_or(usize::MAX);
        if let Some(word) = bits.get(word) {
            word.fetch_or(1 << (dropped.index % 64), Ordering::Release);
            self.any_dropped.store(true, Ordering::Release);
        }
    }

    /// Gives what was noted to `each`, 64 slots at a time: the first of them, and a bit for each. What is noted meanwhile is found now or
    /// the next time.
    fn take_each(&self, mut each: impl FnMut(u32, u64, HoldsFile)) {
        self.any_dropped.store(false, Ordering::SeqCst);
        for (bits, holds_file) in [
            (&self.empty, HoldsFile(false)),
            (&self.full, HoldsFile(true)),
        ] {
            for (word, first) in bits.iter().zip((0..).step_by(64)) {
                let noted = word.swap(0, Ordering::SeqCst);
                if noted != 0 {
                    each(first, noted, holds_file);
                }
            }
        }
    }

    /// A reserved slot, in the books of the table.
    fn reserved(self: &Arc<Shared>, index: u32, holds_file: bool) -> Reserved {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Reserved {
            index,
            holds_file,
            table: Arc::clone(self),
        }
    }
}

/// Whether slots were dropped with a file in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HoldsFile(bool);

/// The slots of 64 that begin with `first` whose bit is set.
fn indices(first: u32, mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let index = (bits != 0).then(|| first + bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        index
    })
}

/// The ring's side of its file table.
pub(crate) struct DirectTable {
    shared: Arc<Shared>,
    free: Vec<u32>,
    len: u32,
    /// Whether the kernel gives the slots out, all of them.
    allocated: bool,
}

impl Direct {
    /// The index in the ring's table.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.place.index
    }

    pub(crate) fn ring(&self) -> u64 {
        self.place.table.ring
    }

    /// The slot, after the kernel has closed the file.
    pub(crate) fn emptied(self) -> DirectSlot {
        let mut place = self.place;
        place.holds_file = false;
        DirectSlot { place }
    }
}

impl DirectSlot {
    /// The index in the ring's table.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.place.index
    }

    pub(crate) fn ring(&self) -> u64 {
        self.place.table.ring
    }

    /// The file that the kernel has opened into the slot.
    pub(crate) fn filled(self) -> Direct {
        let mut place = self.place;
        place.holds_file = true;
        Direct { place }
    }
}

impl DirectPair {
    /// The index of the first in the ring's table; the second has the next.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.first.index()
    }

    pub(crate) fn ring(&self) -> u64 {
        self.first.ring()
    }

    /// The files that the kernel has opened into the slots.
    pub(crate) fn filled(self) -> (Direct, Direct) {
        (self.first.filled(), self.second.filled())
    }
}

impl AnyDirectSlot {
    pub(crate) fn ring(&self) -> u64 {
        self.table.ring
    }

    /// The file that the kernel has opened into the slot that it chose.
    pub(crate) fn filled(&self, index: u32) -> Direct {
        Direct {
            place: self.table.reserved(index, true),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let dropped = Dropped {
            index: self.index,
            holds_file: self.holds_file,
        };
        self.table.note(dropped);
    }
}

impl DirectTable {
    fn new(ring: u64, len: u32, allocated: bool) -> DirectTable {
        let given_out = if allocated { 0 } else { len };
        DirectTable {
            shared: Arc::new(Shared::new(ring, len)),
            free: (0..given_out).rev().collect(),
            len,
            allocated,
        }
    }

    #[inline]
    pub(crate) fn has_dropped(&self) -> bool {
        self.shared.any_dropped.load(Ordering::Acquire)
    }
}

/// Two neighbours out of the free slots, the lower one first.
fn take_pair(free: &mut Vec<u32>) -> Option<[u32; 2]> {
    // The lowest is the next to be given out.
    free.sort_unstable_by(|one, other| other.cmp(one));
    let at = free.windows(2).rposition(|pair| pair[0] == pair[1] + 1)?;
    let second = free.remove(at);
    let first = free.remove(at);
    Some([first, second])
}

/// One slot more than the kernel has in a table (`IORING_MAX_FIXED_FILES`): it refuses that as it does any larger number, for which no
/// memory should be filled first.
const TOO_MANY: u32 = (1 << 20) + 1;

impl Core {
    /// Gives the ring a file table with `len` empty slots, which the library gives out.
    pub(crate) fn register_direct(&mut self, len: u32) -> Result<(), Error> {
        self.register_table(len)?;
        self.set_direct(Some(DirectTable::new(self.id(), len, false)));
        Ok(())
    }

    /// Gives the ring a file table with `len` empty slots, which the kernel gives out.
    ///
    /// All of them or none: before a mend that no version tells of (7.0, and some stable series), the kernel forgets the range that it was told
    /// to keep to as soon as a file enters or leaves a slot outside of it, and gives out a slot that the library has reserved for somebody.
    pub(crate) fn register_direct_allocated(&mut self, len: u32) -> Result<(), Error> {
        self.register_table(len)?;
        let mut range = io_uring_file_index_range {
            off: 0,
            len,
            ..io_uring_file_index_range::default()
        };
        let arg = (&raw mut range).cast();
        // SAFETY: one range, read during the call only.
        let ranged = unsafe { self.register(uring_sys::IORING_REGISTER_FILE_ALLOC_RANGE, arg, 0) };
        if let Err(error) = ranged {
            // SAFETY: the opcode takes no argument; nobody knows of the table yet.
            let _ = unsafe {
                self.register(uring_sys::IORING_UNREGISTER_FILES, std::ptr::null_mut(), 0)
            };
            return Err(error);
        }
        self.set_direct(Some(DirectTable::new(self.id(), len, true)));
        Ok(())
    }

    fn register_table(&mut self, len: u32) -> Result<(), Error> {
        self.check_no_table(uring_sys::IORING_REGISTER_FILES)?;
        let len = len.min(TOO_MANY);
        let empty = vec![-1_i32; usize::try_from(len).unwrap_or(usize::MAX)];
        let arg = empty.as_ptr().cast_mut().cast();
        // SAFETY: `len` descriptors, which the kernel only reads, and only during the call.
        unsafe { self.register(uring_sys::IORING_REGISTER_FILES, arg, len) }.map(drop)
    }

    fn check_no_table(&self, opcode: u32) -> Result<(), Error> {
        let call = Call::register(opcode);
        self.check_process(call)?;
        if self.direct().is_some() {
            let hint = Hint::contradiction(&"the ring has a table of direct descriptors already");
            return Err(Error::refused(call, hint));
        }
        Ok(())
    }

    /// Whichever slot is free when a file is opened.
    pub(crate) fn any_direct_slot(&self) -> Result<AnyDirectSlot, Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_FILES);
        self.check_process(call)?;
        match self.direct() {
            Some(table) if table.allocated => Ok(AnyDirectSlot {
                table: Arc::clone(&table.shared),
            }),
            _ => {
                let hint = Hint::contradiction(
                    &"the kernel gives out no slots of this ring's table of direct descriptors: register_direct_allocated",
                );
                Err(Error::refused(call, hint))
            }
        }
    }

    /// Reserves an empty slot.
    pub(crate) fn direct_slot(&mut self) -> Result<DirectSlot, Error> {
        let [slot] = self.reserve(
            |free| free.pop().map(|index| [index]),
            &"every slot of the ring's table of direct descriptors is taken",
        )?;
        Ok(slot)
    }

    /// Reserves two empty slots side by side.
    pub(crate) fn direct_pair(&mut self) -> Result<DirectPair, Error> {
        let [first, second] = self.reserve(
            take_pair,
            &"no two slots side by side are free in the ring's table of direct descriptors",
        )?;
        Ok(DirectPair { first, second })
    }

    /// Reserves the empty slots that `take` takes out of the free ones.
    fn reserve<const N: usize>(
        &mut self,
        take: fn(&mut Vec<u32>) -> Option<[u32; N]>,
        none: &'static &'static str,
    ) -> Result<[DirectSlot; N], Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_FILES);
        self.check_process(call)?;
        let Some(table) = self.direct() else {
            let hint = Hint::contradiction(
                &"the ring has no table of direct descriptors: register_direct first",
            );
            return Err(Error::refused(call, hint));
        };
        if table.allocated {
            let hint = Hint::contradiction(
                &"the kernel gives out the slots of this table of direct descriptors: any_direct_slot",
            );
            return Err(Error::refused(call, hint));
        }
        if table.has_dropped() {
            self.close_dropped();
        }
        let taken = self
            .direct_mut()
            .and_then(|table| Some((take(&mut table.free)?, Arc::clone(&table.shared))));
        let Some((indices, shared)) = taken else {
            return Err(Error::refused(call, Hint::contradiction(none)));
        };
        Ok(indices.map(|index| DirectSlot {
            place: shared.reserved(index, false),
        }))
    }

    /// How many slots the file table has.
    pub(crate) fn direct_len(&self) -> u32 {
        self.direct().map_or(0, |table| table.len)
    }

    /// How many of them somebody has.
    pub(crate) fn direct_taken(&self) -> u32 {
        let taken = |table: &DirectTable| table.shared.taken.load(Ordering::Relaxed);
        self.direct().map_or(0, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dropped, HoldsFile, Shared, indices, take_pair};

    #[test]
    fn pairs_are_neighbours() {
        let mut free = vec![7, 0, 4, 2, 5];
        assert_eq!(take_pair(&mut free), Some([4, 5]));
        assert_eq!(free, [7, 2, 0]);
        assert_eq!(take_pair(&mut free), None);
        assert_eq!(free, [7, 2, 0]);
    }

    #[test]
    fn what_was_dropped_is_taken_once() {
        let shared = Shared::new(1, 130);
        let noted = [(0, false), (129, false), (63, true), (64, true), (66, true)];
        for (index, holds_file) in noted {
            shared.note(Dropped { index, holds_file });
        }
        let mut taken = Vec::new();
        shared.take_each(|first, bits, HoldsFile(holds_file)| {
            taken.extend(indices(first, bits).map(|index| (index, holds_file)));
        });
        assert_eq!(taken, noted);
        shared.take_each(|first, bits, _| panic!("{first} {bits:b} again"));
    }
}
