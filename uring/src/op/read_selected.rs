//! Reading into a buffer that the kernel chooses.

use std::io;

use crate::buffers::{BufferGroup, BufferRing, RawBufferGroup, Selection};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::multishot::brings_bytes;
use crate::op::transfer::Transfer;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, entry_len,
    sealed,
};
use crate::resource::{Target, Untracked};

/// Reads from a file, socket or pipe into a buffer of a group, which is taken when there is something to read.
///
/// Without a buffer left in the group it completes with `ENOBUFS`.
///
/// Since Linux 5.7.
///
/// ```
/// use uring::op::ReadSelected;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let buffers = ring.buffer_ring(2, 4096)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let done = ring.call(ReadSelected::new(&file, &buffers).limit(5))?;
/// assert_eq!(&done.result?[..], b"Linux");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_read(3)`, `IOSQE_BUFFER_SELECT` in `io_uring_enter(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_read")]
#[doc(alias = "IOSQE_BUFFER_SELECT")]
#[doc(alias = "IORING_OP_READ")]
#[must_use]
pub struct ReadSelected<T, G: BufferGroup = BufferRing> {
    target: T,
    selection: Selection<G>,
    offset: u64,
    limit: usize,
}

impl<T: Target, G: BufferGroup> ReadSelected<T, G> {
    /// Reads at the file's current position, as much as fits into a buffer.
    pub const fn new(target: T, buffers: G) -> ReadSelected<T, G> {
        ReadSelected {
            target,
            selection: Selection::new(buffers),
            offset: Transfer::CURRENT.offset,
            limit: usize::MAX,
        }
    }

    /// Reads at that byte of the file, and leaves its position as it is.
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Reads at most that many bytes.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// What an operation gives back that has taken a buffer.
#[derive(Debug)]
#[must_use]
pub struct Selected<T, L> {
    /// What was put into the buffer. No bytes are the end of the file.
    pub result: io::Result<L>,
    /// The target.
    pub target: T,
}

impl<T, G: BufferGroup> sealed::Sealed for ReadSelected<T, G> {}

// SAFETY: the buffer is the group's, which the operation keeps.
unsafe impl<T: Target, G: BufferGroup> Operation for ReadSelected<T, G> {
    type Output = Selected<T, G::Lease>;
    const OPCODE: u8 = uring_sys::IORING_OP_READ;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_len(entry_len(this.limit));
        entry.set_off(this.offset);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller. A failed operation may have taken a buffer too, which goes back.
        let lease = unsafe { self.selection.lease(completion) };
        Selected {
            result: completion.result().map(|_| lease),
            target: self.target,
        }
    }
}

// SAFETY: target and group are untracked.
unsafe impl<T: Target + Untracked> RawOperation for ReadSelected<T, RawBufferGroup> {}

/// Reads again and again, each time that there is something, into another buffer of a group.
///
/// For sockets, pipes and the like; a regular file is refused with `EBADFD`. Its token [yields](crate::Ring::wait_item) what was read each time. It ends
/// at the end of the stream, with `ENOBUFS` when the group has no buffer left, when it is cancelled, and when completions overflow; to go on,
/// push it again.
///
/// Since Linux 6.7; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::io::Write;
/// use uring::op::{EndReason, ReadMultishot};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let buffers = ring.buffer_ring(4, 1024)?;
/// let reads = ring.push(ReadMultishot::new(reader, buffers))?;
/// writer.write_all(b"one")?;
/// # let Some(_first) = ring.wait_item(&reads)? else { return Ok(()) };
/// writer.write_all(b"two")?;
/// let second = ring.wait_item(&reads)?.expect("the writer is open");
/// assert_eq!(&second[..], b"two");
/// drop(writer);
/// assert!(ring.wait_item(&reads)?.is_none());
/// assert!(matches!(ring.wait(reads)?.reason, EndReason::Finished));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_read_multishot(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_read_multishot")]
#[doc(alias = "IORING_OP_READ_MULTISHOT")]
#[must_use]
pub struct ReadMultishot<T, G: BufferGroup = BufferRing> {
    target: T,
    selection: Selection<G>,
}

impl<T: Target, G: BufferGroup> ReadMultishot<T, G> {
    /// Reads whatever comes.
    pub const fn new(target: T, buffers: G) -> ReadMultishot<T, G> {
        ReadMultishot {
            target,
            selection: Selection::new(buffers),
        }
    }
}

impl<T, G: BufferGroup> sealed::Sealed for ReadMultishot<T, G> {}

// SAFETY: as for `ReadSelected`.
unsafe impl<T: Target, G: BufferGroup> Operation for ReadMultishot<T, G> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_READ_MULTISHOT;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_off(Transfer::CURRENT.offset);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; an item of no bytes is a buffer that was taken for nothing.
        unsafe { Ended::giving_back(self, completion) }
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, G: BufferGroup> Multishot for ReadMultishot<T, G> {
    type Item = G::Lease;

    unsafe fn item(this: *const Self, completion: Completion) -> G::Lease {
        // SAFETY: the caller vouches for `this` and for the completion.
        unsafe { (*this).selection.lease(completion) }
    }

    fn is_item(last: &Completion) -> bool {
        brings_bytes(last)
    }

    fn end(last: &Completion) -> EndReason {
        EndReason::of_stream(last)
    }
}

// SAFETY: target and group are untracked.
unsafe impl<T: Target + Untracked> RawOperation for ReadMultishot<T, RawBufferGroup> {}
