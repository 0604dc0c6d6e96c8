//! Buffers that are registered with a ring.

use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::slice;

use crate::op::sealed;
use crate::resource::buffer_table::Lease;
use crate::resource::vectored::Vector;
use crate::resource::{Buf, BufMut, Slice, Untracked, Vectored};

/// A buffer that is registered with a ring, or a part of one: the caller's alone until it is dropped.
///
/// [`ReadFixed`](crate::op::ReadFixed) and its like work on it without the kernel looking its memory up each time; other operations take it
/// as any buffer. Another ring refuses it in the former, unless it [has the same memory](crate::Ring::registered_buf_here). Dropping it lets the
/// ring [give it out](crate::Ring::registered_buf) again. It may outlive its ring.
#[derive(Debug)]
pub struct RegisteredBuf {
    lease: Lease,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is the only one that leads to its bytes, apart from operations that own it or borrow it.
unsafe impl Send for RegisteredBuf {}
// SAFETY: as above; a shared one only reads.
unsafe impl Sync for RegisteredBuf {}

impl RegisteredBuf {
    /// The whole of a buffer that nobody else has.
    pub(crate) fn whole(lease: Lease) -> RegisteredBuf {
        let bytes = lease.bytes();
        RegisteredBuf {
            start: bytes.cast(),
            len: bytes.len(),
            lease,
        }
    }

    /// The same bytes in another ring, where `find` knows them.
    pub(crate) fn moved(
        self,
        find: impl FnOnce(&Lease) -> Option<Lease>,
    ) -> Result<RegisteredBuf, RegisteredBuf> {
        match find(&self.lease) {
            Some(lease) => Ok(RegisteredBuf { lease, ..self }),
            None => Err(self),
        }
    }

    /// Its index in the ring's table of buffers.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.lease.index()
    }

    /// The length of what there is of it in this process.
    fn here(&self) -> usize {
        if self.lease.is_here() { self.len } else { 0 }
    }

    /// The first `mid` bytes, and the others; all is the first if there are fewer. They may be in flight at the same time.
    #[must_use]
    pub fn split_at(self, mid: usize) -> (RegisteredBuf, RegisteredBuf) {
        let mid = mid.min(self.len);
        let rest = RegisteredBuf {
            // SAFETY: within the buffer, or its end.
            start: unsafe { self.start.add(mid) },
            len: self.len - mid,
            lease: self.lease.clone(),
        };
        let first = RegisteredBuf { len: mid, ..self };
        (first, rest)
    }
}

impl Deref for RegisteredBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: initialised memory that nobody writes to while this is borrowed.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.here()) }
    }
}

impl DerefMut for RegisteredBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: initialised memory that nobody else uses while this is exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.here()) }
    }
}

// SAFETY: the memory stays as long as the value lives, and only its owner writes to it.
unsafe impl Buf for RegisteredBuf {
    fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; it is initialised throughout.
unsafe impl BufMut for RegisteredBuf {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn capacity(&self) -> usize {
        self.len
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// Which of its ring's buffers some memory is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferName {
    index: u16,
    /// Not known where the caller has promised.
    ring: Option<u64>,
}

impl BufferName {
    /// The buffer with that index, of whichever ring it is pushed to.
    pub(crate) const fn raw(index: u16) -> BufferName {
        BufferName { index, ring: None }
    }

    pub(crate) const fn index(self) -> u16 {
        self.index
    }

    pub(crate) fn belongs_to(self, ring: u64) -> bool {
        self.ring.is_none_or(|of| of == ring)
    }
}

/// Registered memory in one piece: [`RegisteredBuf`], borrowed or owned, a [`Slice`] of one, or by promise [`RawRegisteredBuf`]. Sealed.
pub trait Fixed: sealed::Sealed {
    #[doc(hidden)]
    fn buffer(&self) -> BufferName;
    /// Where it begins, and its length.
    #[doc(hidden)]
    fn memory(&self) -> (*mut u8, usize);
}

/// Registered memory that nobody else uses, so that operations may write to it. Sealed.
pub trait FixedMut: sealed::Sealed {}

impl sealed::Sealed for RegisteredBuf {}
impl sealed::Sealed for &RegisteredBuf {}
impl sealed::Sealed for &mut RegisteredBuf {}
impl<F: Fixed> sealed::Sealed for Slice<F> {}
impl sealed::Sealed for RawRegisteredBuf {}

impl FixedMut for RegisteredBuf {}
impl FixedMut for &mut RegisteredBuf {}
impl<F: Fixed + FixedMut> FixedMut for Slice<F> {}
impl FixedMut for RawRegisteredBuf {}

impl Fixed for RegisteredBuf {
    fn buffer(&self) -> BufferName {
        BufferName {
            index: self.lease.index(),
            ring: Some(self.lease.ring()),
        }
    }

    fn memory(&self) -> (*mut u8, usize) {
        (self.start.as_ptr(), self.len)
    }
}

impl Fixed for &RegisteredBuf {
    fn buffer(&self) -> BufferName {
        Fixed::buffer(*self)
    }

    fn memory(&self) -> (*mut u8, usize) {
        Fixed::memory(*self)
    }
}

impl Fixed for &mut RegisteredBuf {
    fn buffer(&self) -> BufferName {
        Fixed::buffer(*self)
    }

    fn memory(&self) -> (*mut u8, usize) {
        Fixed::memory(*self)
    }
}

impl<F: Fixed> Fixed for Slice<F> {
    fn buffer(&self) -> BufferName {
        self.get_ref().buffer()
    }

    fn memory(&self) -> (*mut u8, usize) {
        let (whole, len) = self.get_ref().memory();
        let (start, len) = self.within(len);
        (whole.wrapping_add(start), len)
    }
}

/// A bare address in a registered buffer: nothing is kept alive.
#[derive(Clone, Copy, Debug)]
pub struct RawRegisteredBuf {
    index: u16,
    start: NonNull<u8>,
    len: usize,
}

impl RawRegisteredBuf {
    /// The `len` bytes at `start`, in the buffer with that index.
    ///
    /// # Safety
    ///
    /// Until the last completion of each operation pushed with it has been reaped, the ring that it is pushed to has a buffer with that
    /// index, the memory stays valid, and it is used by nobody else in a way that conflicts. Memory outside the buffer makes the operation
    /// complete with `EFAULT`.
    #[must_use]
    pub const unsafe fn new(index: u16, start: NonNull<u8>, len: usize) -> RawRegisteredBuf {
        RawRegisteredBuf { index, start, len }
    }
}

impl Fixed for RawRegisteredBuf {
    fn buffer(&self) -> BufferName {
        BufferName::raw(self.index)
    }

    fn memory(&self) -> (*mut u8, usize) {
        (self.start.as_ptr(), self.len)
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawRegisteredBuf {}

/// Several pieces of one registered buffer, one after the other.
#[derive(Debug)]
pub struct FixedVecs<F> {
    buf: F,
    vectors: Box<[Vector]>,
}

impl<F: Fixed> FixedVecs<F> {
    /// Those ranges of `buf`, in that order. What is beyond its end is left out.
    pub fn new(buf: F, ranges: impl IntoIterator<Item = Range<usize>>) -> FixedVecs<F> {
        let (start, len) = buf.memory();
        let vector = |range: Range<usize>| {
            let from = range.start.min(len);
            let until = range.end.clamp(from, len);
            Vector::new(start.wrapping_add(from), until - from)
        };
        FixedVecs {
            vectors: ranges.into_iter().map(vector).collect(),
            buf,
        }
    }

    /// The buffer, given back.
    pub fn into_inner(self) -> F {
        self.buf
    }
}

// SAFETY: the array is on the heap and owned by the value; registered memory stays where it is, and only its owner writes to it.
unsafe impl<F: Fixed> Vectored for FixedVecs<F> {
    fn io_vecs(&mut self) -> (*const libc::iovec, usize) {
        (self.vectors.as_ptr().cast(), self.vectors.len())
    }
}

impl<F> sealed::Sealed for FixedVecs<F> {}
impl<F: Fixed + FixedMut> FixedMut for FixedVecs<F> {}

/// Registered memory that is read and written at once: in one piece ([`Fixed`]) or in several ([`FixedVecs`], since Linux 6.15). Sealed.
pub trait FixedMemory: sealed::Sealed {
    #[doc(hidden)]
    const READ: u8;
    #[doc(hidden)]
    const WRITE: u8;

    #[doc(hidden)]
    fn name(&self) -> BufferName;
    /// The address and the length that the entry takes.
    #[doc(hidden)]
    fn place(&self) -> (*const (), usize);
}

impl<F: Fixed> FixedMemory for F {
    const READ: u8 = uring_sys::IORING_OP_READ_FIXED;
    const WRITE: u8 = uring_sys::IORING_OP_WRITE_FIXED;

    fn name(&self) -> BufferName {
        self.buffer()
    }

    fn place(&self) -> (*const (), usize) {
        let (start, len) = self.memory();
        (start.cast_const().cast(), len)
    }
}

impl<F: Fixed> FixedMemory for FixedVecs<F> {
    const READ: u8 = uring_sys::IORING_OP_READV_FIXED;
    const WRITE: u8 = uring_sys::IORING_OP_WRITEV_FIXED;

    fn name(&self) -> BufferName {
        self.buf.buffer()
    }

    fn place(&self) -> (*const (), usize) {
        (self.vectors.as_ptr().cast(), self.vectors.len())
    }
}
