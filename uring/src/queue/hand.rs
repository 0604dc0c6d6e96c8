//! A submission queue's tail in hand, so that many entries can be written without going through the queue.

use std::ptr::NonNull;

use crate::entry::Entry;

/// A copy of where the next entries go: the queue knows of what was written when it is [put back](super::SubmissionQueue::put_back).
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    pub(super) entries: NonNull<Entry>,
    pub(super) mask: u32,
    pub(super) tail: u32,
    /// Before this place slots may be written.
    pub(super) end: u32,
}

impl Hand {
    #[inline]
    pub(super) fn tail(self) -> u32 {
        self.tail
    }

    /// The same with no room in it.
    #[inline]
    pub(crate) fn closed(self) -> Hand {
        Hand {
            end: self.tail,
            ..self
        }
    }

    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.tail != self.end
    }

    /// Writes an entry. There is room.
    #[inline]
    pub(crate) fn place(&mut self, entry: &Entry) {
        debug_assert!(self.has_room());
        let at = usize::try_from(self.tail & self.mask).unwrap_or(0);
        // SAFETY: the slot is inside the entry array, and before the end, so the kernel does not look there until the tail is published.
        unsafe { self.entries.add(at).write(*entry) };
        self.tail = self.tail.wrapping_add(1);
    }
}
