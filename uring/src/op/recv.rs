//! Receiving into one buffer.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::send::MessageFlags;
use crate::op::{Operation, RawOperation, Transferred, admit_target, count, entry_len, sealed};
use crate::resource::{BufMut, Target, Untracked};

/// Receives from a socket into a buffer.
///
/// A `Vec` is filled from its beginning, up to its capacity, and its length becomes the number of bytes received; a slice keeps its
/// length. Of a datagram that is longer the rest is lost. Zero bytes are the end of a stream.
///
/// Since Linux 5.6.
///
/// ```
/// use std::io::Write as _;
/// use std::os::unix::net::UnixStream;
/// use uring::op::Recv;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (mut one, other) = UnixStream::pair()?;
/// one.write_all(b"hello")?;
/// let done = ring.call(Recv::new(other, Vec::with_capacity(64)))?;
/// assert_eq!((done.result?, &done.buf[..]), (5, &b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_recv(3)`, `recv(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_recv")]
#[doc(alias = "IORING_OP_RECV")]
#[must_use]
pub struct Recv<T, B> {
    target: T,
    buf: B,
    limit: usize,
    flags: MessageFlags,
}

impl<T: Target, B: BufMut> Recv<T, B> {
    /// Receives as much as fits.
    pub fn new(target: T, buf: B) -> Recv<T, B> {
        Recv {
            target,
            buf,
            limit: usize::MAX,
            flags: MessageFlags::default(),
        }
    }

    /// Receives at most that many bytes.
    pub fn limit(self, limit: usize) -> Self {
        Recv { limit, ..self }
    }

    /// Adds flags of `recv(2)` (`MSG_PEEK`, `MSG_WAITALL`, `MSG_DONTWAIT`, …).
    ///
    /// `MSG_TRUNC` is left out: under it bytes are counted that were not written to the buffer. [`RecvMsg`](crate::op::RecvMsg) tells that a
    /// message did not fit.
    pub fn flags(self, flags: i32) -> Self {
        Recv {
            flags: self.flags.receiving(flags),
            ..self
        }
    }

    /// Waits for data before it tries: for when none is expected to be there. Since Linux 5.19; older kernels complete with
    /// `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        Recv {
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST),
            ..self
        }
    }
}

impl<T, B> sealed::Sealed for Recv<T, B> {}

// SAFETY: the buffer's memory stays where it is as long as the value lives (contract of `BufMut`).
unsafe impl<T: Target, B: BufMut> Operation for Recv<T, B> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECV;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        entry.set_target(this.target.target());
        entry.set_pointer(this.buf.as_mut_ptr().cast_const());
        entry.set_len(entry_len(this.buf.capacity().min(this.limit)));
        this.flags.prepare(entry);
    }

    #[inline]
    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = count(completion);
        if let Ok(filled) = result {
            let filled = filled.min(self.buf.capacity());
            // SAFETY: the kernel has written that many bytes from the buffer's beginning; the flag that would make it count others
            // is never set.
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
unsafe impl<T: Target + Untracked, B: BufMut + Untracked> RawOperation for Recv<T, B> {}
