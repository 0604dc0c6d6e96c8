//! The completion queue: the kernel puts completions in at the tail, we take them at the head.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::completion::Completion;
use crate::queue::RingLayout;

/// Our side of the completion queue. Completions are copied out; the head is stored once per batch.
pub(crate) struct CompletionQueue {
    shared_head: NonNull<AtomicU32>,
    shared_tail: NonNull<AtomicU32>,
    shared_overflow: NonNull<AtomicU32>,
    /// Where the kernel looks for what we want of it; older kernels do not.
    shared_flags: Option<NonNull<AtomicU32>>,
    completions: NonNull<u8>,
    capacity: u32,
    mask: u32,
    size: CompletionSize,
    /// Whether it is not the normal one.
    is_sized: bool,
    /// The next completion to take.
    head: u32,
}

/// How large completions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionSize {
    /// 16 bytes each.
    #[default]
    Normal,
    /// 32 bytes each (`IORING_SETUP_CQE32`, Linux 5.19).
    #[doc(alias = "IORING_SETUP_CQE32")]
    Large,
    /// 16 bytes, and 32 where the operation asks for it (`IORING_SETUP_CQE_MIXED`, Linux 6.18).
    ///
    /// The kernel counts in 16 bytes: to a call that waits for a number of completions, a large one is two.
    #[doc(alias = "IORING_SETUP_CQE_MIXED")]
    Mixed,
}

impl CompletionSize {
    /// The size of a slot of the queue, as a power of two.
    pub(crate) const fn shift(self) -> u32 {
        match self {
            CompletionSize::Normal | CompletionSize::Mixed => 4,
            CompletionSize::Large => 5,
        }
    }
}

impl CompletionQueue {
    /// Takes over the queue of a new ring.
    ///
    /// # Safety
    ///
    /// `layout` is as the kernel reported it for a ring that nobody else drives, with `capacity` completions of `size`; it
    /// stays mapped as long as the queue is used.
    pub(crate) unsafe fn new(
        layout: &RingLayout<'_>,
        capacity: u32,
        size: CompletionSize,
    ) -> CompletionQueue {
        // SAFETY: all four offsets are the kernel's own for this ring.
        let (shared_head, shared_tail, shared_overflow, completions) = unsafe {
            (
                layout.word(layout.cq.head),
                layout.word(layout.cq.tail),
                layout.word(layout.cq.overflow),
                layout.bytes(layout.cq.cqes),
            )
        };
        // SAFETY: as above; no kernel that has the word has it at the beginning.
        let shared_flags = (layout.cq.flags != 0).then(|| unsafe { layout.word(layout.cq.flags) });
        // SAFETY: the word lies inside the mapping.
        let head = unsafe { shared_head.as_ref() }.load(Ordering::Relaxed);
        CompletionQueue {
            shared_head,
            shared_tail,
            shared_overflow,
            shared_flags,
            completions,
            capacity,
            mask: capacity - 1,
            size,
            is_sized: size != CompletionSize::Normal,
            head,
        }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots of the queue that hold something to take.
    #[inline]
    pub(crate) fn ready(&self) -> u32 {
        self.tail(self.head).wrapping_sub(self.head)
    }

    /// The same, noting nothing; zero if the memory was lost.
    pub(crate) fn waiting(&self) -> u32 {
        // SAFETY: as in `dropped`. Nothing is read by this tail.
        let tail = unsafe { self.shared_tail.as_ref() }.load(Ordering::Relaxed);
        let waiting = tail.wrapping_sub(self.head);
        if waiting <= self.capacity { waiting } else { 0 }
    }

    /// Completions that the kernel dropped for want of room and memory, ever.
    pub(crate) fn dropped(&self) -> u32 {
        // SAFETY: the word lies inside the ring's mapping, which lives as long as the queue.
        unsafe { self.shared_overflow.as_ref() }.load(Ordering::Relaxed)
    }

    /// Whether the kernel adds to an eventfd.
    pub(crate) fn is_eventfd_enabled(&self) -> bool {
        // SAFETY: as in `dropped`. We alone store the word.
        let flags = self
            .shared_flags
            .map(|flags| unsafe { flags.as_ref() }.load(Ordering::Relaxed));
        flags.is_none_or(|flags| flags & uring_sys::IORING_CQ_EVENTFD_DISABLED == 0)
    }

    /// Lets the kernel add to an eventfd, or not; `false` where it does not ask.
    pub(crate) fn set_eventfd_enabled(&self, enabled: bool) -> bool {
        let Some(flags) = self.shared_flags else {
            return false;
        };
        let disabled = uring_sys::IORING_CQ_EVENTFD_DISABLED;
        // SAFETY: as in `dropped`. It goes with no other data, so no order has to be kept.
        let flags = unsafe { flags.as_ref() };
        if enabled {
            flags.fetch_and(!disabled, Ordering::Relaxed);
        } else {
            flags.fetch_or(disabled, Ordering::Relaxed);
        }
        true
    }

    /// Whether there are at least that many slots to take. A tail that cannot be the kernel's says no.
    #[inline]
    pub(crate) fn has_come(&self, slots: u32) -> bool {
        let ready = self.shared_tail().wrapping_sub(self.head);
        ready <= self.capacity && ready >= slots
    }

    /// Whether some may be larger than 16 bytes, or fillers: then they are to be taken with [`Arrived::next`].
    #[inline]
    pub(crate) fn is_sized(&self) -> bool {
        self.is_sized
    }

    /// What is to be taken now, by a fresh look.
    #[inline]
    pub(crate) fn look(&self) -> Arrived {
        let head = self.head;
        Arrived {
            completions: self.completions,
            mask: self.mask,
            size: self.size,
            is_sized: self.is_sized,
            head,
            tail: self.tail(head),
        }
    }

    /// Gives the slots before `head`, where [`Arrived::head`] is or was, back to the kernel.
    #[inline]
    pub(crate) fn release(&mut self, head: u32) {
        self.head = head;
        // SAFETY: as in `dropped`. Release: our reads of the slots are over before the kernel sees them free.
        unsafe { self.shared_head.as_ref() }.store(head, Ordering::Release);
    }

    /// Takes the next completion, if there is one, and gives its slot back.
    #[cfg(test)]
    pub(crate) fn take(&mut self) -> Option<Completion> {
        let mut arrived = self.look();
        let taken = arrived.next();
        self.release(arrived.head());
        taken
    }

    #[inline]
    fn shared_tail(&self) -> u32 {
        // SAFETY: as in `dropped`. Acquire: what the kernel wrote before this tail is visible.
        unsafe { self.shared_tail.as_ref() }.load(Ordering::Acquire)
    }

    #[inline]
    fn tail(&self, head: u32) -> u32 {
        let tail = self.shared_tail();
        // A tail that cannot be the kernel's is that of memory that was lost (H33): there is nothing to take.
        if tail.wrapping_sub(head) <= self.capacity {
            tail
        } else {
            head
        }
    }
}

/// Completions that have come, in a copy of their own of all that is needed to take them. None counts as taken before the copy is
/// [given back](CompletionQueue::release).
#[derive(Clone, Copy)]
pub(crate) struct Arrived {
    completions: NonNull<u8>,
    mask: u32,
    size: CompletionSize,
    is_sized: bool,
    head: u32,
    tail: u32,
}

impl Arrived {
    /// Everything before this place has been taken.
    #[inline]
    pub(crate) fn head(&self) -> u32 {
        self.head
    }

    /// Takes the next completion without looking at it, where [sizes do not differ](CompletionQueue::is_sized).
    #[inline]
    pub(crate) fn next_plain<'q>(&mut self) -> Option<Taken<'q>> {
        debug_assert!(!self.is_sized);
        if self.head == self.tail {
            return None;
        }
        let at = usize::try_from(self.head & self.mask).unwrap_or(0);
        self.head = self.head.wrapping_add(1);
        // SAFETY: the slot is below the capacity.
        let slot = unsafe { self.completions.cast::<uring_sys::io_uring_cqe>().add(at) };
        Some(Taken {
            slot,
            after: self.head,
            arrived: PhantomData,
        })
    }

    /// Takes the next completion; fillers are passed over.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Completion> {
        if self.is_sized {
            let (completion, head) = self.next_sized();
            self.head = head;
            return completion;
        }
        self.next_plain().map(Taken::read)
    }

    /// The same where sizes differ: the further bytes of a large completion are read. Gives the next place too.
    ///
    /// By value, so that the copy can be in registers where sizes do not differ.
    fn next_sized(self) -> (Option<Completion>, u32) {
        let mut head = self.head;
        while head != self.tail {
            // SAFETY: as in `next_plain`.
            let mut completion = unsafe { read(self.slot(head)) };
            let large = self.size == CompletionSize::Large
                || completion.flags & uring_sys::IORING_CQE_F_32 != 0;
            if large {
                // SAFETY: see `Taken::slot`; a large completion has its further 16 bytes right behind (it never wraps, Q6).
                completion.extra = unsafe { self.slot(head).add(16).cast::<[u64; 2]>().read() };
            }
            let slots = if large && self.size == CompletionSize::Mixed {
                2
            } else {
                1
            };
            head = head.wrapping_add(slots);
            if completion.flags & uring_sys::IORING_CQE_F_SKIP == 0 {
                return (Some(completion), head);
            }
        }
        (None, head)
    }

    fn slot(self, index: u32) -> NonNull<u8> {
        let index = usize::try_from(index & self.mask).unwrap_or(0);
        // SAFETY: the masked index is below the capacity, so the slot lies inside the completion array.
        unsafe { self.completions.add(index << self.size.shift()) }
    }
}

/// A completion of 16 bytes where the kernel has put it. It has been taken, and its slot was not given back.
#[derive(Clone, Copy)]
pub(crate) struct Taken<'a> {
    /// Between head and the tail that was loaded with acquire: the kernel has written it and does not touch it again until the published head has
    /// passed it.
    slot: NonNull<uring_sys::io_uring_cqe>,
    after: u32,
    arrived: PhantomData<&'a Arrived>,
}

impl Taken<'_> {
    /// The place after it.
    #[inline]
    pub(crate) fn after(self) -> u32 {
        self.after
    }

    #[inline]
    pub(crate) fn user_data(self) -> u64 {
        // SAFETY: see `slot`.
        unsafe { (*self.slot.as_ptr()).user_data }
    }

    /// Number, result and flags.
    #[inline]
    pub(crate) fn parts(self) -> (u64, i32, u32) {
        let Completion {
            user_data,
            result,
            flags,
            ..
        } = self.read();
        (user_data, result, flags)
    }

    #[inline]
    pub(crate) fn read(self) -> Completion {
        // SAFETY: see `slot`.
        unsafe { read(self.slot.cast()) }
    }
}

/// Copies the first 16 bytes of a completion.
///
/// # Safety
///
/// `slot` holds a completion that the kernel has finished writing.
#[inline]
unsafe fn read(slot: NonNull<u8>) -> Completion {
    // SAFETY: the caller vouches for the slot; the three fields are read where the kernel's struct has them.
    unsafe {
        let cqe = slot.cast::<uring_sys::io_uring_cqe>().as_ptr();
        Completion::new((*cqe).user_data, (*cqe).res, (*cqe).flags)
    }
}
