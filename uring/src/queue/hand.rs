//! A submission queue's tail in hand, so that many entries can be written without going through the queue.

use std::ptr::NonNull;

use crate::entry::{Entry, EntrySize};
use crate::queue::SubmissionQueue;

/// Where the next entries go. It is a copy: nothing is pushed before it is [put back](SubmissionQueue::put_back).
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    entries: NonNull<Entry>,
    /// How many 64-byte pieces a slot has, as a power of two.
    shift: u32,
    mask: u32,
    tail: u32,
    /// How many slots may be written, and how many might be at first.
    room: u32,
    room_at_first: u32,
}

impl SubmissionQueue {
    /// Takes the tail in hand. With entries of mixed sizes, where what comes next depends on what was last, there is no room in it.
    pub(crate) fn take_in_hand(&mut self) -> Hand {
        let room = match self.size() {
            EntrySize::Mixed => 0,
            EntrySize::Normal | EntrySize::Large => self.room(),
        };
        Hand {
            entries: self.entries().cast(),
            shift: self.size().shift() - EntrySize::Normal.shift(),
            mask: self.mask(),
            tail: self.tail(),
            room,
            room_at_first: room,
        }
    }

    /// Notes what was pushed meanwhile.
    #[inline]
    pub(crate) fn put_back(&mut self, hand: Hand) {
        self.advance(hand.room_at_first - hand.room);
    }
}

impl Hand {
    /// One that nothing can be pushed with.
    pub(crate) const NONE: Hand = Hand {
        entries: NonNull::dangling(),
        shift: 0,
        mask: 0,
        tail: 0,
        room: 0,
        room_at_first: 0,
    };

    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Writes an entry. There is room.
    #[inline]
    pub(crate) fn place(&mut self, entry: &Entry) {
        debug_assert!(self.has_room());
        let at = usize::try_from(self.tail & self.mask).unwrap_or(0) << self.shift;
        // SAFETY: the slot is inside the entry array, and between tail and head + capacity, where the kernel does not look until the tail
        // is published.
        unsafe {
            self.entries.add(at).write(*entry);
            if self.shift > 0 {
                self.entries.add(at + 1).write_bytes(0, 1);
            }
        }
        self.tail = self.tail.wrapping_add(1);
        self.room -= 1;
    }
}
