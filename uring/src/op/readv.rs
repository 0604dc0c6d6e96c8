//! Reading into several buffers.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::transfer::Transfer;
use crate::op::{Operation, RawOperation, RwFlags, Transferred, admit_target, count, sealed};
use crate::resource::{Target, Untracked, VectoredMut};

/// Reads from a file, socket or pipe into several buffers, one after the other.
///
/// Of `Vec`s each is filled from its beginning, up to its capacity, and its length becomes the number of bytes read into it. At most 2 GiB
/// less a page are read at a time, into at most 1024 buffers (`EINVAL`).
///
/// Since Linux 5.1; at the current position since 5.6.
///
/// ```
/// use uring::IoVecs;
/// use uring::op::ReadV;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let bufs = IoVecs::from(vec![vec![0; 6], vec![0; 7]]);
/// let token = ring.push(ReadV::new(file, bufs).at(0))?;
/// let done = ring.wait(token)?;
/// assert_eq!(done.result?, 13);
/// assert_eq!(done.buf.into_bufs(), [&b"Linux "[..], b"version"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_readv(3)`, `io_uring_prep_readv2(3)`, `preadv2(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_readv")]
#[doc(alias = "io_uring_prep_readv2")]
#[doc(alias = "IORING_OP_READV")]
#[must_use]
pub struct ReadV<T, V> {
    target: T,
    bufs: V,
    transfer: Transfer,
}

impl<T: Target, V: VectoredMut> ReadV<T, V> {
    /// Reads at the file's current position, as much as fits.
    pub const fn new(target: T, bufs: V) -> ReadV<T, V> {
        ReadV {
            target,
            bufs,
            transfer: Transfer::CURRENT,
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
}

impl<T, V> sealed::Sealed for ReadV<T, V> {}

// SAFETY: vectors and memory stay where they are as long as the value lives (contract of `VectoredMut`).
unsafe impl<T: Target, V: VectoredMut> Operation for ReadV<T, V> {
    type Output = Transferred<T, V>;
    const OPCODE: u8 = uring_sys::IORING_OP_READV;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let (vectors, len) = this.bufs.io_vecs_mut();
        this.transfer.fill(&this.target, vectors, len, entry);
    }

    #[inline]
    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = count(completion);
        if let Ok(filled) = result {
            // SAFETY: the kernel has written that many bytes, from the first buffer on.
            unsafe { self.bufs.set_filled(filled) };
        }
        Transferred {
            result,
            buf: self.bufs,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, V: VectoredMut + Untracked> RawOperation for ReadV<T, V> {}
