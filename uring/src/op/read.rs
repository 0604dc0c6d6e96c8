//! Reading into one buffer.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::transfer::Transfer;
use crate::op::{Operation, RawOperation, RwFlags, admit_target, count, sealed};
use crate::resource::{BufMut, Target, Untracked};

/// Reads from a file, socket or pipe into a buffer.
///
/// A `Vec` is filled from its beginning, up to its capacity, and its length becomes the number of bytes read; a slice keeps its length. At most
/// 2 GiB less a page are read at a time.
///
/// Since Linux 5.6.
///
/// ```
/// use uring::op::Read;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let done = ring.call(Read::new(&file, Vec::with_capacity(4096)))?;
/// assert_eq!(done.result?, done.buf.len());
/// assert!(done.buf.starts_with(b"Linux version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_read(3)`, `read(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_read")]
#[doc(alias = "IORING_OP_READ")]
#[must_use]
pub struct Read<T, B> {
    target: T,
    buf: B,
    transfer: Transfer,
    limit: usize,
}

impl<T: Target, B: BufMut> Read<T, B> {
    /// Reads at the file's current position, as much as fits.
    pub const fn new(target: T, buf: B) -> Read<T, B> {
        Read {
            target,
            buf,
            transfer: Transfer::CURRENT,
            limit: usize::MAX,
        }
    }

    /// Reads at that byte of the file, and leaves its position as it is.
    pub fn at(mut self, offset: u64) -> Self {
        self.transfer.offset = offset;
        self
    }

    /// Reads in that way.
    #[doc(alias = "rw_flags")]
    pub fn flags(mut self, flags: RwFlags) -> Self {
        self.transfer.flags = flags;
        self
    }

    /// Reads at most that many bytes.
    pub fn limit(self, limit: usize) -> Self {
        Read { limit, ..self }
    }
}

/// What a read or write gives back.
#[derive(Debug)]
#[must_use]
pub struct Transferred<T, B> {
    /// How many bytes were transferred; fewer than asked for is no error. Zero is the end of the file.
    pub result: io::Result<usize>,
    /// The buffer.
    pub buf: B,
    /// The target.
    pub target: T,
}

impl<T, B> sealed::Sealed for Read<T, B> {}

// SAFETY: the buffer's memory stays where it is as long as the value lives (contract of `BufMut`).
unsafe impl<T: Target, B: BufMut> Operation for Read<T, B> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_READ;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let (start, len) = (this.buf.as_mut_ptr(), this.buf.capacity().min(this.limit));
        this.transfer
            .fill(&this.target, start.cast_const(), len, entry);
    }

    #[inline]
    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = count(completion);
        if let Ok(filled) = result {
            // SAFETY: the kernel has written that many bytes from the buffer's beginning.
            unsafe { self.buf.set_filled(filled) };
        }
        Transferred {
            result,
            buf: self.buf,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, B: BufMut + Untracked> RawOperation for Read<T, B> {}
