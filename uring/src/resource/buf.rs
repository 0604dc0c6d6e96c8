//! Memory that the kernel reads from or writes to.

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use crate::resource::Untracked;

/// Memory that an operation may read from.
///
/// Implemented for owned memory (`Vec<u8>`, `Box<[u8]>`, shared slices), `&'static` and, in a [scope](crate::Ring::scope), borrowed
/// slices, and for [`RawBuf`].
///
/// # Safety
///
/// As long as the value lives, the `len` bytes at `as_ptr` are initialised, readable, not written by anybody, and stay where
/// they are even when the value itself is moved. Both methods give the same answer each time, do not panic and do not call into this
/// library.
pub unsafe trait Buf {
    /// The address of the first byte.
    fn as_ptr(&self) -> *const u8;
    /// The number of bytes to be read by the operation.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Memory that an operation may write to.
///
/// Implemented for owned memory (`Vec<u8>`, filled from its beginning up to its capacity; `Box<[u8]>`), in a
/// [scope](crate::Ring::scope) for `&mut [u8]`, and for [`RawBuf`].
///
/// # Safety
///
/// As long as the value lives, the `capacity` bytes at `as_mut_ptr` are writable, used by nobody else, and stay where they are
/// even when the value itself is moved. No method panics or calls into this library.
pub unsafe trait BufMut {
    /// The address of the first byte.
    fn as_mut_ptr(&mut self) -> *mut u8;
    /// The number of bytes that the operation may write.
    fn capacity(&self) -> usize;
    /// Notes that the first `filled` bytes have been written.
    ///
    /// # Safety
    ///
    /// They have.
    unsafe fn set_filled(&mut self, filled: usize);
}

// SAFETY: heap memory owned by the value; `len` bytes are initialised.
unsafe impl Buf for Vec<u8> {
    fn as_ptr(&self) -> *const u8 {
        Vec::as_ptr(self)
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

// SAFETY: heap memory owned by the value.
unsafe impl BufMut for Vec<u8> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        Vec::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: the caller vouches that the first `filled` bytes were written; they are within the capacity.
        unsafe { self.set_len(filled) };
    }
}

// SAFETY: heap memory owned by the value.
unsafe impl Buf for Box<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: heap memory owned by the value, initialised throughout.
unsafe impl BufMut for Box<[u8]> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        <[u8]>::len(self)
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: heap memory kept alive by the value; nobody writes to what is shared.
unsafe impl Buf for Arc<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: as for `Arc<[u8]>`.
unsafe impl Buf for Rc<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: the borrow keeps the memory in place and unwritten.
unsafe impl Buf for &[u8] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: as for `&[u8]`.
unsafe impl<const N: usize> Buf for &[u8; N] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(*self)
    }

    fn len(&self) -> usize {
        N
    }
}

// SAFETY: as for `&[u8]`.
unsafe impl Buf for &str {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }

    fn len(&self) -> usize {
        str::len(self)
    }
}

// SAFETY: the exclusive borrow keeps the memory in place and out of everybody else's hands.
unsafe impl Buf for &mut [u8] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: as above; the memory is initialised throughout.
unsafe impl BufMut for &mut [u8] {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        <[u8]>::len(self)
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// A bare address and a length: nothing is kept alive.
#[derive(Clone, Copy, Debug)]
pub struct RawBuf {
    start: NonNull<u8>,
    len: usize,
}

impl RawBuf {
    /// The `len` bytes at `start`.
    ///
    /// # Safety
    ///
    /// Until the last completion of each operation pushed with it has been reaped, the memory stays valid for what the operation does
    /// (reads for a write, writes for a read) and is used by nobody else in a way that conflicts.
    #[must_use]
    pub const unsafe fn new(start: NonNull<u8>, len: usize) -> RawBuf {
        RawBuf { start, len }
    }
}

// SAFETY: the promise of `RawBuf::new`.
unsafe impl Buf for RawBuf {
    fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: the promise of `RawBuf::new`.
unsafe impl BufMut for RawBuf {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn capacity(&self) -> usize {
        self.len
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawBuf {}
