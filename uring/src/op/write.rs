//! Writing from one buffer.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::transfer::Transfer;
use crate::op::{
    Operation, RawOperation, RwFlags, Transferred, admit_target, count, entry_len, sealed,
};
use crate::resource::{Buf, Target, Untracked};

/// Writes a buffer to a file, socket or pipe.
///
/// At most 2 GiB less a page are written at a time.
///
/// Since Linux 5.6.
///
/// ```
/// use uring::op::Write;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let done = ring.call(Write::new(std::io::stdout(), "hello\n"))?;
/// assert_eq!(done.result?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_write(3)`, `write(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_write")]
#[doc(alias = "IORING_OP_WRITE")]
#[must_use]
pub struct Write<T, B> {
    target: T,
    buf: B,
    transfer: Transfer,
    skip: usize,
}

impl<T: Target, B: Buf> Write<T, B> {
    /// Writes the whole buffer at the file's current position.
    pub const fn new(target: T, buf: B) -> Write<T, B> {
        Write {
            target,
            buf,
            transfer: Transfer::CURRENT,
            skip: 0,
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

    /// Marks the data as being of that stream, which the device keeps apart from others.
    ///
    /// Since Linux 6.16, on devices with write streams, with `O_DIRECT`; a stream that the device does not have makes the operation
    /// complete with `EINVAL`. Older kernels write as ever.
    #[doc(alias = "write_stream")]
    pub fn stream(mut self, stream: u8) -> Self {
        self.transfer.stream = stream;
        self
    }

    /// Leaves out that many bytes at the beginning of the buffer: what an earlier write has written already.
    pub fn skip(self, bytes: usize) -> Self {
        Write {
            skip: bytes,
            ..self
        }
    }
}

impl<T, B> sealed::Sealed for Write<T, B> {}

// SAFETY: the buffer's memory stays where it is as long as the value lives (contract of `Buf`).
unsafe impl<T: Target, B: Buf> Operation for Write<T, B> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_WRITE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    /// A write that falls short has failed where others follow it.
    fn success(&self) -> Option<i32> {
        let skip = self.skip.min(self.buf.len());
        i32::try_from(entry_len(self.buf.len() - skip)).ok()
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        let skip = this.skip.min(this.buf.len());
        let start = this.buf.as_ptr().wrapping_add(skip);
        this.transfer
            .fill(&this.target, start, this.buf.len() - skip, entry);
    }

    #[inline]
    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.buf,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, B: Buf + Untracked> RawOperation for Write<T, B> {}
