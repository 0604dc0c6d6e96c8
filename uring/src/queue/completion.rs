//! The completion queue: the kernel puts completions in at the tail, we take them at the head.

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
    /// The next completion to take.
    head: u32,
    /// The kernel's tail, as far as we have looked.
    tail: u32,
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
            head,
            tail: head,
        }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots of the queue that hold something to take.
    #[inline]
    pub(crate) fn ready(&mut self) -> u32 {
        self.refresh_tail();
        self.tail.wrapping_sub(self.head)
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

    /// Where the completions that have come begin and end; `None` if there are none.
    #[inline]
    pub(crate) fn batch(&mut self) -> Option<(u32, u32)> {
        if self.head == self.tail {
            self.refresh_tail();
        }
        (self.head != self.tail).then_some((self.head, self.tail))
    }

    /// Takes the completion at `head`, which [`batch`](CompletionQueue::batch) gave or the call before this one; gives the next
    /// place too. Its slot is given back with [`CompletionQueue::publish`]. There is nothing in a filler.
    #[inline]
    pub(crate) fn take_at(&mut self, head: u32) -> (Option<Completion>, u32) {
        if self.size != CompletionSize::Normal {
            return self.take_sized(head);
        }
        let at = usize::try_from(head & self.mask).unwrap_or(0);
        // SAFETY: the slot is below the capacity, and between head and the tail that was loaded with acquire: the kernel has written it
        // and does not touch it again until the published head has passed it.
        let completion = unsafe { read(self.completions.cast::<[u64; 2]>().add(at).cast()) };
        self.head = head.wrapping_add(1);
        (Some(completion), self.head)
    }

    /// The same where sizes differ: the further bytes of a large completion are read.
    fn take_sized(&mut self, head: u32) -> (Option<Completion>, u32) {
        // SAFETY: as in `take_at`.
        let mut completion = unsafe { read(self.slot(head)) };
        let large = self.size == CompletionSize::Large
            || completion.flags & uring_sys::IORING_CQE_F_32 != 0;
        if large {
            // SAFETY: as in `take_at`; a large completion has its further 16 bytes right behind (it never wraps, Q6).
            completion.extra = unsafe { self.slot(head).add(16).cast::<[u64; 2]>().read() };
        }
        let slots = if large && self.size == CompletionSize::Mixed {
            2
        } else {
            1
        };
        self.head = head.wrapping_add(slots);
        let filler = completion.flags & uring_sys::IORING_CQE_F_SKIP != 0;
        ((!filler).then_some(completion), self.head)
    }

    /// Takes the next completion, where each is waited for.
    #[cfg(test)]
    pub(crate) fn take(&mut self) -> Option<Completion> {
        loop {
            let (head, _) = self.batch()?;
            if let (Some(completion), _) = self.take_at(head) {
                return Some(completion);
            }
        }
    }

    /// Gives the slots of everything taken back to the kernel.
    #[inline]
    pub(crate) fn publish(&self) {
        // SAFETY: as in `dropped`. Release: our reads of the slots are over before the kernel sees them free.
        unsafe { self.shared_head.as_ref() }.store(self.head, Ordering::Release);
    }

    #[inline]
    fn refresh_tail(&mut self) {
        // SAFETY: as in `dropped`. Acquire: what the kernel wrote before this tail is visible.
        let tail = unsafe { self.shared_tail.as_ref() }.load(Ordering::Acquire);
        // A tail that cannot be the kernel's is that of memory that was lost (H33): there is nothing to take.
        self.tail = if tail.wrapping_sub(self.head) <= self.capacity {
            tail
        } else {
            self.head
        };
    }

    fn slot(&self, index: u32) -> NonNull<u8> {
        let index = usize::try_from(index & self.mask).unwrap_or(0);
        // SAFETY: the masked index is below the capacity, so the slot lies inside the completion array.
        unsafe { self.completions.add(index << self.size.shift()) }
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
