//! Several buffers at once.

use std::io::{IoSlice, IoSliceMut};
use std::ptr::NonNull;

use crate::resource::{Buf, BufMut, Untracked};

/// Several pieces of memory that an operation may read from, one after the other.
///
/// Implemented for [`IoVecs`] of a [`Buf`], in a [scope](crate::Ring::scope) for `&[IoSlice]` and `&mut [IoSlice]`, and for [`RawIoVecs`].
/// Linux takes at most 1024 pieces.
///
/// # Safety
///
/// What `io_vecs` gives stays where it is, unchanged, until it is called again or the value is dropped, even when the value is moved; the
/// memory that it names is as [`Buf`] wants it. It does not panic and does not call into this library.
pub unsafe trait Vectored {
    /// The address of the first vector, and how many there are.
    fn io_vecs(&mut self) -> (*const libc::iovec, usize);
}

/// Several pieces of memory that an operation may write to, one after the other.
///
/// Implemented for [`IoVecs`] of a [`BufMut`], in a [scope](crate::Ring::scope) for `&mut [IoSliceMut]`, and for [`RawIoVecs`]. Linux takes
/// at most 1024 pieces.
///
/// # Safety
///
/// As for [`Vectored`], with memory as [`BufMut`] wants it.
pub unsafe trait VectoredMut {
    /// The address of the first vector, and how many there are.
    fn io_vecs_mut(&mut self) -> (*const libc::iovec, usize);
    /// Notes that the first `filled` bytes have been written, of all pieces together.
    ///
    /// # Safety
    ///
    /// They have.
    unsafe fn set_filled(&mut self, filled: usize);
}

/// Buffers that one operation works on, one after the other, with the array of vectors that it takes.
///
/// The array is made once and used again by each operation that the buffers go through.
///
/// ```
/// use uring::IoVecs;
///
/// let bufs = IoVecs::from(vec!["one ", "and ", "two"]);
/// assert_eq!(bufs.bufs()[2], "two");
/// assert_eq!(bufs.into_bufs().concat(), "one and two");
/// ```
#[derive(Debug)]
#[doc(alias = "iovec")]
pub struct IoVecs<B> {
    bufs: Vec<B>,
    vectors: Box<[Vector]>,
}

/// A `struct iovec` whose address is a number, so that it moves between threads as its buffer does.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Vector {
    address: usize,
    len: usize,
}

impl Vector {
    pub(crate) fn new(start: *const u8, len: usize) -> Vector {
        Vector {
            address: start.expose_provenance(),
            len,
        }
    }
}

const _: () = assert!(
    size_of::<Vector>() == size_of::<libc::iovec>()
        && align_of::<Vector>() == align_of::<libc::iovec>()
        && std::mem::offset_of!(Vector, len) == std::mem::offset_of!(libc::iovec, iov_len)
);

impl<B> From<Vec<B>> for IoVecs<B> {
    fn from(bufs: Vec<B>) -> IoVecs<B> {
        let unset = Vector { address: 0, len: 0 };
        IoVecs {
            vectors: vec![unset; bufs.len()].into(),
            bufs,
        }
    }
}

impl<B> IoVecs<B> {
    /// The buffers.
    #[must_use]
    pub fn bufs(&self) -> &[B] {
        &self.bufs
    }

    /// The buffers, given back.
    #[must_use]
    pub fn into_bufs(self) -> Vec<B> {
        self.bufs
    }

    fn set(&mut self, mut vector: impl FnMut(&mut B) -> Vector) -> (*const libc::iovec, usize) {
        for (place, buf) in self.vectors.iter_mut().zip(&mut self.bufs) {
            *place = vector(buf);
        }
        (self.vectors.as_ptr().cast(), self.vectors.len())
    }
}

// SAFETY: the array is on the heap and owned by the value, as the buffers are; they keep the contract of `Buf`.
unsafe impl<B: Buf> Vectored for IoVecs<B> {
    fn io_vecs(&mut self) -> (*const libc::iovec, usize) {
        self.set(|buf| Vector::new(buf.as_ptr(), buf.len()))
    }
}

// SAFETY: as above, with `BufMut`.
unsafe impl<B: BufMut> VectoredMut for IoVecs<B> {
    fn io_vecs_mut(&mut self) -> (*const libc::iovec, usize) {
        self.set(|buf| Vector::new(buf.as_mut_ptr(), buf.capacity()))
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        let mut left = filled;
        for buf in &mut self.bufs {
            let here = left.min(buf.capacity());
            // SAFETY: pieces are filled in order, so these bytes are among those that the caller vouches for.
            unsafe { buf.set_filled(here) };
            left -= here;
        }
    }
}

// SAFETY: `IoSlice` is a vector (std's guarantee); the borrows keep array and memory in place and unwritten.
unsafe impl Vectored for &[IoSlice<'_>] {
    fn io_vecs(&mut self) -> (*const libc::iovec, usize) {
        (self.as_ptr().cast(), self.len())
    }
}

// SAFETY: as above.
unsafe impl Vectored for &mut [IoSlice<'_>] {
    fn io_vecs(&mut self) -> (*const libc::iovec, usize) {
        (self.as_ptr().cast(), self.len())
    }
}

// SAFETY: `IoSliceMut` is a vector (std's guarantee); the exclusive borrows keep array and memory in place and out of everybody else's
// hands.
unsafe impl VectoredMut for &mut [IoSliceMut<'_>] {
    fn io_vecs_mut(&mut self) -> (*const libc::iovec, usize) {
        (self.as_ptr().cast(), self.len())
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// The bare address of an array of vectors: nothing is kept alive.
#[derive(Clone, Copy, Debug)]
pub struct RawIoVecs {
    start: NonNull<libc::iovec>,
    len: usize,
}

impl RawIoVecs {
    /// The `len` vectors at `start`.
    ///
    /// # Safety
    ///
    /// Until the last completion of each operation pushed with it has been reaped, the array stays unchanged, the memory that it names
    /// stays valid for what the operation does (reads for a write, writes for a read), and that is used by nobody else in a
    /// way that conflicts.
    #[must_use]
    pub const unsafe fn new(start: NonNull<libc::iovec>, len: usize) -> RawIoVecs {
        RawIoVecs { start, len }
    }
}

// SAFETY: the promise of `RawIoVecs::new`.
unsafe impl Vectored for RawIoVecs {
    fn io_vecs(&mut self) -> (*const libc::iovec, usize) {
        (self.start.as_ptr(), self.len)
    }
}

// SAFETY: the promise of `RawIoVecs::new`.
unsafe impl VectoredMut for RawIoVecs {
    fn io_vecs_mut(&mut self) -> (*const libc::iovec, usize) {
        (self.start.as_ptr(), self.len)
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawIoVecs {}
