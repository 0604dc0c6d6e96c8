//! The submission queue: entries go in at the tail, the kernel takes them at the head.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::entry::{Entry, EntrySize};
use crate::flags::SetupFlags;
use crate::queue::{Hand, RingLayout};

/// Our side of the submission queue.
///
/// The tail is kept here and stored into the shared ring once per submission. Indices run freely over the whole of `u32` and
/// are only ever compared by wrapping subtraction (DESIGN 6.5).
pub(crate) struct SubmissionQueue {
    shared_head: NonNull<AtomicU32>,
    shared_tail: NonNull<AtomicU32>,
    shared_flags: NonNull<AtomicU32>,
    shared_entries: NonNull<AtomicU32>,
    entries: NonNull<u8>,
    capacity: u32,
    mask: u32,
    size: EntrySize,
    /// Entries before this one have been taken by the kernel, as far as we have looked.
    head: u32,
    /// Where the next entry goes.
    tail: u32,
    /// How many slots may be written without looking at anything else, at most: all of them, or none where an entry may have another size than
    /// 64 bytes.
    plain_capacity: u32,
    /// Up to this place they may be.
    end: u32,
    /// In a mixed queue, how the last entry is tied to the next one (`IOSQE_IO_LINK`, `IOSQE_IO_HARDLINK`).
    link: u8,
    mode: Mode,
}

/// Who takes the entries, and from where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `io_uring_enter`, from the shared head on.
    Enter,
    /// `io_uring_enter`, always from the first entry on (`IORING_SETUP_SQ_REWIND`).
    Rewind,
    /// A kernel thread, at any time (`IORING_SETUP_SQPOLL`).
    KernelThread,
}

/// What has to be said to the kernel to have everything in the queue submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Submission {
    /// Slots of the queue that the kernel has not taken yet.
    pub(crate) count: u32,
    /// A kernel thread takes them by itself.
    pub(crate) by_thread: bool,
    /// It sleeps, and must be woken.
    pub(crate) wake: bool,
}

impl SubmissionQueue {
    /// Takes over the queue of a new ring.
    ///
    /// # Safety
    ///
    /// `layout` is as the kernel reported it for a ring that nobody else drives; `entries` is its entry array of `capacity`
    /// slots of `size`; both stay mapped as long as the queue is used.
    pub(crate) unsafe fn new(
        layout: &RingLayout<'_>,
        entries: NonNull<u8>,
        capacity: u32,
        size: EntrySize,
        flags: SetupFlags,
    ) -> SubmissionQueue {
        // SAFETY: all five offsets are the kernel's own for this ring.
        let (shared_head, shared_tail, shared_flags, shared_entries) = unsafe {
            (
                layout.word(layout.sq.head),
                layout.word(layout.sq.tail),
                layout.word(layout.sq.flags),
                layout.word(layout.sq.ring_entries),
            )
        };
        if !flags.contains(SetupFlags::NO_SQARRAY) {
            // SAFETY: the array of `capacity` indices lies where the kernel reported it.
            unsafe { fill_identity(layout.word(layout.sq.array), capacity) };
        }
        let mode = if flags.contains(SetupFlags::SQPOLL) {
            Mode::KernelThread
        } else if flags.contains(SetupFlags::SQ_REWIND) {
            Mode::Rewind
        } else {
            Mode::Enter
        };
        // SAFETY: the word lies inside the mapping.
        let head = unsafe { shared_head.as_ref() }.load(Ordering::Relaxed);
        let mut queue = SubmissionQueue {
            shared_head,
            shared_tail,
            shared_flags,
            shared_entries,
            entries,
            capacity,
            mask: capacity - 1,
            size,
            head,
            tail: head,
            plain_capacity: if size == EntrySize::Normal {
                capacity
            } else {
                0
            },
            end: head,
            link: 0,
            mode,
        };
        queue.renew_end();
        queue
    }

    pub(crate) fn size(&self) -> EntrySize {
        self.size
    }

    /// Slots written and not yet taken by the kernel, as far as we have looked.
    pub(crate) fn pending(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Slots written and not yet taken by the kernel, which a thread may have done at any time.
    pub(crate) fn unsubmitted(&self) -> u32 {
        match self.mode {
            Mode::Enter | Mode::Rewind => self.pending(),
            Mode::KernelThread => {
                // SAFETY: the word lies inside the ring's mapping, which lives as long as the queue.
                let head = unsafe { self.shared_head.as_ref() }.load(Ordering::Relaxed);
                self.tail.wrapping_sub(head)
            }
        }
    }

    /// Whether `slots` more fit; looks at the shared head only if they seem not to.
    #[inline]
    pub(crate) fn has_room(&mut self, slots: u32) -> bool {
        if self.free() >= slots {
            return true;
        }
        self.refresh_head();
        self.free() >= slots
    }

    /// Slots that may be written. None if the shared head cannot be the kernel's: its memory is lost then (H33).
    #[inline]
    fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.pending())
    }

    /// The head or the tail has changed otherwise than by [`place_plain`](SubmissionQueue::place_plain).
    #[inline]
    fn renew_end(&mut self) {
        self.end = self.tail.wrapping_add(self.free().min(self.plain_capacity));
    }

    /// Whether all there is to a push of an entry is to [place it](SubmissionQueue::place_plain).
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.tail != self.end
    }

    /// Writes an entry of 64 bytes at the tail of a queue that [is open](SubmissionQueue::is_open).
    #[inline]
    pub(crate) fn place_plain(&mut self, entry: &Entry) {
        debug_assert!(self.is_open() && self.free() >= 1);
        let at = usize::try_from(self.tail & self.mask).unwrap_or(0);
        // SAFETY: as in `write`; in an open queue all slots are 64 bytes.
        unsafe { self.entries.cast::<Entry>().add(at).write(*entry) };
        self.tail = self.tail.wrapping_add(1);
    }

    /// Whether a kernel thread takes the entries.
    pub(crate) fn is_thread_driven(&self) -> bool {
        self.mode == Mode::KernelThread
    }

    /// How many slots an entry takes at the current position, filler included.
    #[inline]
    pub(crate) fn slots_for(&self, large: bool) -> u32 {
        if large && self.size == EntrySize::Mixed {
            // A large entry may not wrap (Q6): a filler takes the last slot of the array.
            if self.tail & self.mask == self.mask {
                3
            } else {
                2
            }
        } else {
            1
        }
    }

    /// Takes the tail in hand; does not look for room if it may not look at the queue.
    #[inline]
    pub(crate) fn take_in_hand(&mut self, may_look: bool) -> Hand {
        if may_look && !self.is_open() {
            self.refresh_head();
        }
        Hand {
            entries: self.entries.cast(),
            mask: self.mask,
            tail: self.tail,
            end: self.end,
        }
    }

    /// Notes what was written with it, which is [open](SubmissionQueue::is_open) slots.
    #[inline]
    pub(crate) fn put_back(&mut self, hand: Hand) {
        self.tail = hand.tail();
    }

    /// Writes the second half of the entry that was placed last, if it has one.
    pub(crate) fn write_second_half(&mut self, half: [u8; 64], large: bool) {
        let last = self.slot(self.tail.wrapping_sub(1)).cast::<[u8; 64]>();
        // SAFETY: the last slot is inside the entry array, and the kernel does not look there until the tail is published; where slots are
        // large it is two halves, and where they are mixed it is the second half of a large entry.
        unsafe {
            match self.size {
                EntrySize::Large => last.add(1).write(half),
                EntrySize::Mixed if large => last.write(half),
                EntrySize::Normal | EntrySize::Mixed => {}
            }
        }
    }

    /// Writes an entry at the tail. It becomes visible to the kernel with [`SubmissionQueue::publish`].
    #[inline]
    pub(crate) fn place(&mut self, entry: &Entry, large: bool) {
        if self.size == EntrySize::Mixed {
            return self.place_mixed(entry, large);
        }
        debug_assert!(self.free() >= 1);
        self.write(entry, large);
        self.tail = self.tail.wrapping_add(1);
        if self.size == EntrySize::Large {
            self.renew_end();
        }
    }

    fn place_mixed(&mut self, entry: &Entry, large: bool) {
        let slots = self.slots_for(large);
        debug_assert!(self.free() >= slots);
        if slots == 3 {
            let mut filler = Entry::filler();
            // Without the tie a filler in the middle of a chain would end it.
            filler.add_flags(self.link);
            self.write(&filler, false);
            self.tail = self.tail.wrapping_add(1);
        }
        self.write(entry, large);
        self.link = entry.link();
        self.tail = self.tail.wrapping_add(slots.min(2));
        self.renew_end();
    }

    #[inline]
    fn write(&mut self, entry: &Entry, large: bool) {
        let at = usize::try_from(self.tail & self.mask).unwrap_or(0);
        let entries = self.entries.cast::<Entry>();
        // SAFETY: the slot is inside the entry array, aligned, and between tail and head + capacity, where the kernel does not look
        // until the tail is published; a large entry has its second half inside the array too.
        unsafe {
            if self.size == EntrySize::Large {
                entries.add(2 * at).write(*entry);
                entries.add(2 * at + 1).write_bytes(0, 1);
            } else {
                entries.add(at).write(*entry);
                if large {
                    entries.add(at + 1).write_bytes(0, 1);
                }
            }
        }
    }

    fn slot(&self, index: u32) -> NonNull<u8> {
        let index = usize::try_from(index & self.mask).unwrap_or(0);
        // SAFETY: the masked index is below the capacity, so the slot lies inside the entry array.
        unsafe { self.entries.add(index << self.size.shift()) }
    }

    /// Makes everything written visible to the kernel and says what is to be submitted.
    #[inline]
    pub(crate) fn publish(&mut self) -> Submission {
        match self.mode {
            Mode::Enter => {
                self.store_tail();
                Submission {
                    count: self.pending(),
                    by_thread: false,
                    wake: false,
                }
            }
            Mode::Rewind => Submission {
                count: self.pending(),
                by_thread: false,
                wake: false,
            },
            Mode::KernelThread => self.publish_to_thread(),
        }
    }

    fn publish_to_thread(&mut self) -> Submission {
        self.store_tail();
        // The thread sets NEED_WAKEUP, then looks at the tail once more; we store the tail, then look at the flag. Without
        // a full barrier on both sides each can miss the other (Q3, DESIGN 6.6).
        fence(Ordering::SeqCst);
        let wake = self.flags() & uring_sys::IORING_SQ_NEED_WAKEUP != 0;
        self.refresh_head();
        Submission {
            count: self.pending(),
            by_thread: true,
            wake,
        }
    }

    /// Whether the kernel is told of entries by nothing but the tail and a call.
    pub(crate) fn is_entered(&self) -> bool {
        self.mode == Mode::Enter
    }

    /// [`publish`](SubmissionQueue::publish) where the queue [is entered](SubmissionQueue::is_entered): gives the number of slots that the kernel
    /// has not taken.
    #[inline]
    pub(crate) fn publish_to_enter(&mut self) -> u32 {
        debug_assert!(self.is_entered());
        self.store_tail();
        self.pending()
    }

    /// Whether the kernel has taken everything, which is noted then, and only then.
    #[inline]
    pub(crate) fn take_note_of_all(&mut self) -> bool {
        // SAFETY: as in `store_tail`. Acquire: as in `refresh_head`.
        let head = unsafe { self.shared_head.as_ref() }.load(Ordering::Acquire);
        if head != self.tail {
            return false;
        }
        self.head = head;
        self.end = head.wrapping_add(self.plain_capacity);
        true
    }

    #[inline]
    fn store_tail(&self) {
        // SAFETY: the word lies inside the ring's mapping, which lives as long as the queue.
        unsafe { self.shared_tail.as_ref() }.store(self.tail, Ordering::Release);
    }

    /// Notes what the kernel took of `asked` slots; gives the number by which *its* head moved.
    #[inline]
    pub(crate) fn taken(&mut self, reported: u32) -> u32 {
        match self.mode {
            Mode::Rewind => {
                self.rewind(reported.min(self.pending()));
                reported
            }
            Mode::Enter | Mode::KernelThread => {
                let before = self.head;
                self.refresh_head();
                self.head.wrapping_sub(before)
            }
        }
    }

    /// Moves what the kernel left to the front of the array, where it begins again next time.
    fn rewind(&mut self, taken: u32) {
        let left = self.pending() - taken;
        if left > 0 {
            let bytes = usize::try_from(left).unwrap_or(0) << self.size.shift();
            // SAFETY: `taken + left` slots were written at the front of the array; the kernel reads them only in `enter`.
            unsafe {
                std::ptr::copy(self.slot(taken).as_ptr(), self.entries.as_ptr(), bytes);
            }
        }
        self.head = 0;
        self.tail = left;
        self.renew_end();
    }

    #[inline]
    fn refresh_head(&mut self) {
        if self.mode != Mode::Rewind {
            // SAFETY: as in `store_tail`. Acquire: the kernel is done reading the slots before this head.
            self.head = unsafe { self.shared_head.as_ref() }.load(Ordering::Acquire);
            self.renew_end();
        }
    }

    /// The ring's flag word (`IORING_SQ_*`).
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: as in `store_tail`.
        unsafe { self.shared_flags.as_ref() }.load(Ordering::Relaxed)
    }

    /// Whether the shared words still are what the kernel wrote at setup (H33).
    pub(crate) fn memory_is_intact(&self) -> bool {
        // SAFETY: as in `store_tail`.
        unsafe { self.shared_entries.as_ref() }.load(Ordering::Relaxed) == self.capacity
    }

    /// Makes the memory look lost, which it is once the kernel has taken other memory instead.
    pub(crate) fn give_up(&mut self) {
        // SAFETY: as in `store_tail`.
        unsafe { self.shared_entries.as_ref() }.store(0, Ordering::Relaxed);
    }

    /// Takes back what the kernel has not seen, oldest first, giving each entry's `user_data`.
    ///
    /// With a kernel thread everything published is the kernel's, so there is nothing to take back.
    pub(crate) fn retract(&mut self, mut each: impl FnMut(u64)) {
        if self.mode == Mode::KernelThread {
            return;
        }
        self.refresh_head();
        // A head that is not the kernel's would take back what the kernel has (H33).
        if !self.memory_is_intact() || self.pending() > self.capacity {
            return;
        }
        let mut at = self.head;
        while at != self.tail {
            // SAFETY: slots between head and tail hold entries that we wrote and the kernel reads only in `enter`.
            let entry = unsafe { self.slot(at).cast::<Entry>().read() };
            each(entry.user_data());
            let slots = if entry.is_large() && self.size == EntrySize::Mixed {
                2
            } else {
                1
            };
            at = at.wrapping_add(slots);
        }
        self.tail = self.head;
        self.renew_end();
        if self.mode == Mode::Enter {
            self.store_tail();
        }
    }
}

/// Each slot of the indirection array names its own entry, once and for all.
///
/// # Safety
///
/// `array` is the ring's array of `capacity` indices.
unsafe fn fill_identity(array: NonNull<AtomicU32>, capacity: u32) {
    for index in 0..capacity {
        let at = usize::try_from(index).unwrap_or(0);
        // SAFETY: `at` is below the capacity of the array.
        unsafe { array.add(at).as_ref() }.store(index, Ordering::Relaxed);
    }
}
