//! The queue by which the kernel is given buffers back that it has filled without copying.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use uring_sys::{io_uring_zcrx_offsets, io_uring_zcrx_rqe, zcrx_stats};

use crate::memory::Mapping;

/// We store the tail, and the kernel the head; nobody else stores either.
pub(crate) struct RefillQueue {
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    entries: NonNull<io_uring_zcrx_rqe>,
    /// The kernel's counts, if it keeps any: nobody else stores them.
    statistics: Option<NonNull<[AtomicU64; 2]>>,
    count: u32,
    next: u32,
    _memory: Mapping,
}

/// Room for the indices before the entries: more than the cache line that the kernel takes for them.
const HEADER: usize = 1024;

impl RefillQueue {
    /// The memory that a queue of so many entries takes, and behind them the statistics, if there are any.
    pub(crate) fn size(count: u32, statistics: bool) -> usize {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let statistics = if statistics {
            size_of::<zcrx_stats>()
        } else {
            0
        };
        HEADER
            .saturating_add(count.saturating_mul(size_of::<io_uring_zcrx_rqe>()))
            .saturating_add(statistics)
    }

    /// The queue of `count` entries, a power of two, in memory of at least that size; none if the offsets are not within it.
    pub(crate) fn new(
        memory: Mapping,
        offsets: &io_uring_zcrx_offsets,
        count: u32,
        statistics: bool,
    ) -> Option<RefillQueue> {
        let within = |offset: u32, len: usize, align: usize| {
            let offset = usize::try_from(offset).ok()?;
            let ends_within = offset.checked_add(len)? <= RefillQueue::size(count, statistics);
            // SAFETY: within the mapping.
            (ends_within && offset % align == 0).then(|| unsafe { memory.start().add(offset) })
        };
        let word = |offset| within(offset, size_of::<u32>(), align_of::<u32>());
        let queue = RefillQueue::size(count, false);
        let entries = within(
            offsets.rqes,
            queue - HEADER,
            align_of::<io_uring_zcrx_rqe>(),
        )?;
        let (head, tail) = (word(offsets.head)?, word(offsets.tail)?);
        let counts = statistics.then(|| {
            within(
                u32::try_from(queue).ok()?,
                size_of::<zcrx_stats>(),
                align_of::<AtomicU64>(),
            )
        });
        let counts = match counts {
            Some(counts) => Some(counts?.cast()),
            None => None,
        };
        count.is_power_of_two().then(|| RefillQueue {
            head: head.cast(),
            tail: tail.cast(),
            entries: entries.cast(),
            statistics: counts,
            count,
            next: 0,
            _memory: memory,
        })
    }

    /// How often the kernel had to copy, and how many bytes.
    pub(crate) fn statistics(&self) -> Option<(u64, u64)> {
        // SAFETY: in the mapping, which lives as long as this; the kernel stores them atomically.
        let [copies, bytes] = unsafe { self.statistics?.as_ref() };
        Some((
            copies.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        ))
    }

    /// Gives a buffer back, if there is room.
    pub(crate) fn push(&mut self, entry: io_uring_zcrx_rqe) -> bool {
        // SAFETY: both words are in the mapping, which lives as long as this; the kernel accesses them atomically.
        let (head, tail) = unsafe { (self.head.as_ref(), self.tail.as_ref()) };
        // Acquire: the kernel has read the entry that is overwritten.
        if self.next.wrapping_sub(head.load(Ordering::Acquire)) >= self.count {
            return false;
        }
        let at = usize::try_from(self.next & (self.count - 1)).unwrap_or(0);
        // SAFETY: within the entries, and the kernel does not read it before the tail is past it.
        unsafe { self.entries.add(at).write(entry) };
        self.next = self.next.wrapping_add(1);
        // Release: the entry is there before the tail.
        tail.store(self.next, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::Process;

    #[test]
    fn it_is_full_until_the_kernel_has_taken_something() {
        let offsets = io_uring_zcrx_offsets {
            head: 0,
            tail: 4,
            rqes: 64,
            ..io_uring_zcrx_offsets::default()
        };
        let memory =
            || Mapping::private(RefillQueue::size(2, true), Process::current().unwrap()).unwrap();
        let outside = io_uring_zcrx_offsets {
            rqes: 2048,
            ..offsets
        };
        assert!(RefillQueue::new(memory(), &outside, 2, false).is_none());
        assert!(RefillQueue::new(memory(), &offsets, 3, false).is_none());
        let mut queue = RefillQueue::new(memory(), &offsets, 2, true).unwrap();
        let entry = |off| io_uring_zcrx_rqe {
            off,
            ..io_uring_zcrx_rqe::default()
        };
        assert!(queue.push(entry(7)) && queue.push(entry(8)) && !queue.push(entry(9)));
        // SAFETY: nobody else has the memory.
        unsafe { queue.head.as_ref() }.store(1, Ordering::Release);
        assert!(queue.push(entry(9)) && !queue.push(entry(10)));
        // SAFETY: as above.
        let (first, second) = unsafe { (queue.entries.read(), queue.entries.add(1).read()) };
        assert_eq!((first.off, second.off), (9, 8));
        // SAFETY: as above.
        let counts = unsafe { queue.statistics.unwrap().as_ref() };
        counts[1].store(3, Ordering::Relaxed);
        assert_eq!(queue.statistics(), Some((0, 3)));
        let bare = RefillQueue::new(memory(), &offsets, 2, false).unwrap();
        assert_eq!(bare.statistics(), None);
    }
}
