//! The memory that a ring shares with the kernel.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

use uring_sys::{
    IORING_SETUP_CQE32, IORING_SETUP_NO_SQARRAY, IORING_SETUP_SQE128, io_uring_cqe,
    io_uring_params, io_uring_sqe,
};

use super::{Command, Completed, Entry};
use crate::mapping::Mapping;

/// Where a [`Command`] begins in its entry.
const COMMAND_OFFSET: usize = 48;

/// Both queues of a ring.
#[derive(Debug)]
pub(super) struct Queues {
    rings: Mapping,
    entries: Mapping,
    params: io_uring_params,
}

impl Queues {
    /// Maps what the kernel has made for the ring of this descriptor.
    pub(super) fn map(fd: &OwnedFd, params: io_uring_params) -> io::Result<Self> {
        let rings = Mapping::of_ring(fd, uring_sys::IORING_OFF_SQ_RING, rings_size(&params))?;
        let entries_size = params.sq_entries as usize * entry_size(&params);
        let entries = Mapping::of_ring(fd, uring_sys::IORING_OFF_SQES, entries_size)?;
        Ok(Self::new(rings, entries, params))
    }

    /// Takes the memory in which the kernel has put them; it is as large as `params` say.
    pub(super) const fn new(rings: Mapping, entries: Mapping, params: io_uring_params) -> Self {
        Self {
            rings,
            entries,
            params,
        }
    }

    /// Writes an entry, and the command that is its second half.
    ///
    /// # Panics
    ///
    /// The queue is full; or it has no entries with room for a command.
    pub(super) fn push(&self, entry: Entry, command: Option<&Command>) {
        let entry_size = entry_size(&self.params);
        assert!(
            command.is_none() || entry_size >= COMMAND_OFFSET + size_of::<Command>(),
            "the ring was not made with IORING_SETUP_SQE128"
        );
        let off = &self.params.sq_off;
        let tail = self.word(off.tail);
        let head = self.word(off.head).load(Ordering::Acquire);
        let position = tail.load(Ordering::Relaxed);
        let size = self.params.sq_entries;
        assert!(
            position.wrapping_sub(head) < size,
            "the submission queue is full"
        );
        let place = position & (size - 1);
        // SAFETY: `place` is below the number of entries that the mapping was made for, a command is written to entries
        // that are large enough for it, and the kernel does not look at either before the tail moves.
        unsafe {
            let start = self.entries.pointer().add(place as usize * entry_size);
            start.cast::<Entry>().write(entry);
            if let Some(command) = command {
                start.add(COMMAND_OFFSET).cast::<Command>().write(*command);
            }
        }
        if self.params.flags & IORING_SETUP_NO_SQARRAY == 0 {
            self.word(off.array + place * 4)
                .store(place, Ordering::Relaxed);
        }
        tail.store(position.wrapping_add(1), Ordering::Release);
    }

    /// Takes the next completion, if one is there.
    pub(super) fn take(&self) -> Option<Completed> {
        let off = &self.params.cq_off;
        let head = self.word(off.head);
        let position = head.load(Ordering::Relaxed);
        if position == self.word(off.tail).load(Ordering::Acquire) {
            return None;
        }
        let place = position & (self.params.cq_entries - 1);
        let size = completion_size(&self.params);
        // SAFETY: the kernel published this completion with the tail, `place` is below the queue's size, and a completion
        // has a second half where the queue's are that large.
        let completed = unsafe {
            let start = self.rings.pointer().add(off.cqes as usize);
            let start = start.add(place as usize * size);
            let completion = start.cast::<io_uring_cqe>();
            Completed {
                user_data: (&raw const (*completion.as_ptr()).user_data).read(),
                res: (&raw const (*completion.as_ptr()).res).read(),
                flags: (&raw const (*completion.as_ptr()).flags).read(),
                extra: if size > size_of::<io_uring_cqe>() {
                    start.add(size_of::<io_uring_cqe>()).cast().read()
                } else {
                    [0; 2]
                },
            }
        };
        head.store(position.wrapping_add(1), Ordering::Release);
        Some(completed)
    }

    /// The queue's word at a byte offset that the kernel gave.
    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel's offsets lie inside the mapping and are aligned to four bytes; both sides use atomics.
        unsafe { AtomicU32::from_ptr(self.rings.pointer().add(offset as usize).cast().as_ptr()) }
    }
}

const fn entry_size(params: &io_uring_params) -> usize {
    match params.flags & IORING_SETUP_SQE128 {
        0 => size_of::<io_uring_sqe>(),
        _ => 2 * size_of::<io_uring_sqe>(),
    }
}

const fn completion_size(params: &io_uring_params) -> usize {
    match params.flags & IORING_SETUP_CQE32 {
        0 => size_of::<io_uring_cqe>(),
        _ => 2 * size_of::<io_uring_cqe>(),
    }
}

fn rings_size(params: &io_uring_params) -> usize {
    let array = params.sq_off.array as usize + params.sq_entries as usize * size_of::<u32>();
    let completions =
        params.cq_off.cqes as usize + params.cq_entries as usize * completion_size(params);
    array.max(completions)
}
