//! The two queues that the kernel and we share: every atomic access and its ordering is here.

mod completion;
mod hand;
mod refill;
mod submission;

pub use completion::CompletionSize;

pub(crate) use completion::{Arrived, CompletionQueue, Taken};
pub(crate) use hand::Hand;
pub(crate) use refill::RefillQueue;
pub(crate) use submission::SubmissionQueue;

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use uring_sys::{io_cqring_offsets, io_sqring_offsets};

/// Where the parts of the shared rings lie, as the kernel reported it.
pub(crate) struct RingLayout<'a> {
    /// The mapping that holds the indices and the completions.
    pub(crate) rings: NonNull<u8>,
    pub(crate) sq: &'a io_sqring_offsets,
    pub(crate) cq: &'a io_cqring_offsets,
}

impl RingLayout<'_> {
    /// The shared word at `offset`.
    ///
    /// # Safety
    ///
    /// `offset` was reported by the kernel for this ring, so it lies inside the mapping and is aligned.
    unsafe fn word(&self, offset: u32) -> NonNull<AtomicU32> {
        // SAFETY: the caller vouches for the offset.
        unsafe { self.bytes(offset) }.cast()
    }

    /// The address at `offset`.
    ///
    /// # Safety
    ///
    /// As for [`RingLayout::word`].
    unsafe fn bytes(&self, offset: u32) -> NonNull<u8> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        // SAFETY: the caller vouches for the offset.
        unsafe { self.rings.add(offset) }
    }
}

#[cfg(test)]
mod tests;
