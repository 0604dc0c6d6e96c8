//! Both queues over memory of the test's own, with the test as the kernel.

mod completion;
mod submission;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use uring_sys::{io_cqring_offsets, io_sqring_offsets, io_uring_cqe, io_uring_sqe};

use super::{CompletionQueue, CompletionSize, RingLayout, SubmissionQueue};
use crate::entry::{Entry, EntrySize, FILLER};
use crate::flags::SetupFlags;

/// What no test writes on purpose.
const GARBAGE: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Starts from which a queue of eight soon crosses 2^32, and one that does not.
const STARTS: [u32; 4] = [0, u32::MAX - 3, u32::MAX, u32::MAX - 11];

const CAPACITY: u32 = 8;

const SQ: io_sqring_offsets = io_sqring_offsets {
    head: 64,
    tail: 4,
    ring_mask: 8,
    ring_entries: 12,
    flags: 128,
    dropped: 20,
    array: 1024,
    resv1: 0,
    user_addr: 0,
};

const CQ: io_cqring_offsets = io_cqring_offsets {
    head: 192,
    tail: 196,
    ring_mask: 200,
    ring_entries: 204,
    overflow: 208,
    cqes: 512,
    flags: 212,
    resv1: 0,
    user_addr: 0,
};

/// Memory that is only ever reached through its address, as the kernel reaches it.
struct Memory(NonNull<[u64]>);

impl Memory {
    fn new(bytes: usize) -> Memory {
        let words = vec![GARBAGE; bytes / 8].into_boxed_slice();
        Memory(NonNull::from(Box::leak(words)))
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.0.len() * 8);
        // SAFETY: the offset lies inside the memory.
        unsafe { self.0.cast::<u8>().add(offset) }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        let word = self.at(usize::try_from(offset).unwrap()).cast::<u32>();
        // SAFETY: the offsets are multiples of four; both sides of the queues use atomics.
        unsafe { AtomicU32::from_ptr(word.as_ptr()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was leaked from a box in `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The kernel's side of both queues.
struct Kernel {
    rings: Memory,
    entries: Memory,
    entry_size: EntrySize,
    completion_size: CompletionSize,
}

/// What the kernel finds in a slot.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    user_data: u64,
    opcode: u8,
    flags: u8,
}

impl Kernel {
    fn new(start: u32, entry_size: EntrySize, completion_size: CompletionSize) -> Kernel {
        let kernel = Kernel {
            rings: Memory::new(2048),
            entries: Memory::new(128 * 8),
            entry_size,
            completion_size,
        };
        for offset in [SQ.head, SQ.tail, CQ.head, CQ.tail] {
            kernel.rings.word(offset).store(start, Ordering::Relaxed);
        }
        for offset in [SQ.flags, CQ.overflow] {
            kernel.rings.word(offset).store(0, Ordering::Relaxed);
        }
        kernel
            .rings
            .word(SQ.ring_entries)
            .store(CAPACITY, Ordering::Relaxed);
        kernel
    }

    fn layout(&self) -> RingLayout<'static> {
        RingLayout {
            rings: self.rings.at(0),
            sq: &SQ,
            cq: &CQ,
        }
    }

    fn submission_queue(&self, flags: SetupFlags) -> SubmissionQueue {
        // SAFETY: the offsets lie inside the memory, which the test keeps until the queue is gone.
        unsafe {
            SubmissionQueue::new(
                &self.layout(),
                self.entries.at(0),
                CAPACITY,
                self.entry_size,
                flags,
            )
        }
    }

    fn completion_queue(&self) -> CompletionQueue {
        // SAFETY: as for the submission queue.
        unsafe { CompletionQueue::new(&self.layout(), CAPACITY, self.completion_size) }
    }

    fn sqe(&self, index: u32) -> NonNull<u8> {
        let index = usize::try_from(index & (CAPACITY - 1)).unwrap();
        self.entries.at(index << self.entry_size.shift())
    }

    fn read(&self, index: u32) -> Found {
        // SAFETY: a slot of the array; every bit pattern is an entry.
        let sqe = unsafe { self.sqe(index).cast::<io_uring_sqe>().read() };
        Found {
            user_data: sqe.user_data,
            opcode: sqe.opcode,
            flags: sqe.flags,
        }
    }

    /// The second 64 bytes of the entry at `index`.
    fn second_half(&self, index: u32) -> [u64; 8] {
        // SAFETY: the callers ask for 128-byte entries only, which lie inside the array.
        unsafe { self.sqe(index).add(64).cast::<[u64; 8]>().read() }
    }

    fn visible(&self) -> u32 {
        let tail = self.rings.word(SQ.tail).load(Ordering::Acquire);
        tail.wrapping_sub(self.rings.word(SQ.head).load(Ordering::Relaxed))
    }

    /// Takes at most `most` of the slots that were published.
    fn consume(&self, most: u32) -> Vec<Found> {
        let head = self.rings.word(SQ.head).load(Ordering::Relaxed);
        let count = self.visible().min(most);
        let found = (0..count)
            .map(|offset| self.read(head.wrapping_add(offset)))
            .collect();
        let head = head.wrapping_add(count);
        self.rings.word(SQ.head).store(head, Ordering::Release);
        found
    }

    fn completion_room(&self) -> u32 {
        let tail = self.rings.word(CQ.tail).load(Ordering::Relaxed);
        CAPACITY - tail.wrapping_sub(self.rings.word(CQ.head).load(Ordering::Acquire))
    }

    /// Posts a completion as `io_get_cqe` does: one that would wrap is preceded by a filler.
    fn post(&self, user_data: u64, flags: u32, extra: Option<[u64; 2]>) {
        let mixed = self.completion_size == CompletionSize::Mixed;
        let tail = self.rings.word(CQ.tail).load(Ordering::Relaxed);
        if mixed && extra.is_some() && tail & (CAPACITY - 1) == CAPACITY - 1 {
            assert!(self.completion_room() >= 3, "no room for a filler");
            self.post_one(GARBAGE, uring_sys::IORING_CQE_F_SKIP, None);
        }
        match extra {
            Some(_) if mixed => self.post_one(user_data, flags | uring_sys::IORING_CQE_F_32, extra),
            _ => self.post_one(user_data, flags, extra),
        }
    }

    fn post_one(&self, user_data: u64, flags: u32, extra: Option<[u64; 2]>) {
        let mixed = self.completion_size == CompletionSize::Mixed;
        let slots = if mixed && extra.is_some() { 2 } else { 1 };
        assert!(
            self.completion_room() >= slots,
            "the completion queue is full"
        );
        let tail = self.rings.word(CQ.tail).load(Ordering::Relaxed);
        let index = usize::try_from(tail & (CAPACITY - 1)).unwrap();
        let offset = usize::try_from(CQ.cqes).unwrap() + (index << self.completion_size.shift());
        let cqe = self.rings.at(offset);
        // SAFETY: a slot of the array, and for a large completion the 16 bytes behind it, which lie inside too.
        unsafe {
            cqe.cast::<io_uring_cqe>().write(io_uring_cqe {
                user_data,
                res: 7,
                flags,
                ..io_uring_cqe::default()
            });
            if let Some(extra) = extra {
                cqe.add(16).cast::<[u64; 2]>().write(extra);
            }
        }
        let tail = tail.wrapping_add(slots);
        self.rings.word(CQ.tail).store(tail, Ordering::Release);
    }
}

fn small(user_data: u64) -> Entry {
    let mut entry = Entry::new(uring_sys::IORING_OP_NOP);
    entry.set_user_data(user_data);
    entry
}

fn large(user_data: u64) -> Entry {
    let mut entry = Entry::new(uring_sys::IORING_OP_NOP128);
    entry.set_user_data(user_data);
    entry
}

fn numbers(found: &[Found]) -> Vec<u64> {
    found.iter().map(|found| found.user_data).collect()
}

/// Places entries as long as there is room, each with the next number.
fn fill(queue: &mut SubmissionQueue, next: &mut u64) {
    let limit = *next + u64::from(CAPACITY);
    while queue.has_room(1) {
        assert!(*next < limit, "there is room without end");
        queue.place(&small(*next), false);
        *next += 1;
    }
}

fn plain(start: u32) -> Kernel {
    Kernel::new(start, EntrySize::Normal, CompletionSize::Normal)
}
