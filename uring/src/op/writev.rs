//! Writing from several buffers.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::transfer::Transfer;
use crate::op::{Operation, RawOperation, RwFlags, Transferred, admit_target, count, sealed};
use crate::resource::{Target, Untracked, Vectored};

/// Writes several buffers to a file, socket or pipe, one after the other.
///
/// At most 2 GiB less a page are written at a time, from at most 1024 buffers (`EINVAL`).
///
/// Since Linux 5.1; at the current position since 5.6.
///
/// ```
/// use std::io::IoSlice;
/// use uring::op::WriteV;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let lines = [IoSlice::new(b"one\n"), IoSlice::new(b"two\n")];
/// let done = ring.call(WriteV::new(std::io::stdout(), &lines[..]))?;
/// assert_eq!(done.result?, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_writev(3)`, `io_uring_prep_writev2(3)`, `pwritev2(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_writev")]
#[doc(alias = "io_uring_prep_writev2")]
#[doc(alias = "IORING_OP_WRITEV")]
#[must_use]
pub struct WriteV<T, V> {
    target: T,
    bufs: V,
    transfer: Transfer,
}

impl<T: Target, V: Vectored> WriteV<T, V> {
    /// Writes all of them at the file's current position.
    pub const fn new(target: T, bufs: V) -> WriteV<T, V> {
        WriteV {
            target,
            bufs,
            transfer: Transfer::CURRENT,
        }
    }

    /// Writes at that byte of the file, and leaves its position as it is.
    pub fn at(mut self, offset: u64) -> Self {
        self.transfer.offset = offset;
        self
    }

    /// Writes in that way.
    #[doc(alias = "rw_flags")]
    pub fn flags(mut self, flags: RwFlags) -> Self {
        self.transfer.flags = flags;
        self
    }

    /// Marks the data as being of that stream. See [`Write::stream`](crate::op::Write::stream).
    #[doc(alias = "write_stream")]
    pub fn stream(mut self, stream: u8) -> Self {
        self.transfer.stream = stream;
        self
    }
}

impl<T, V> sealed::Sealed for WriteV<T, V> {}

// SAFETY: vectors and memory stay where they are as long as the value lives (contract of `Vectored`).
unsafe impl<T: Target, V: Vectored> Operation for WriteV<T, V> {
    type Output = Transferred<T, V>;
    const OPCODE: u8 = uring_sys::IORING_OP_WRITEV;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let (vectors, len) = this.bufs.io_vecs();
        this.transfer.fill(&this.target, vectors, len, entry);
    }

    #[inline]
    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.bufs,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, V: Vectored + Untracked> RawOperation for WriteV<T, V> {}
