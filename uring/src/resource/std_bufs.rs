//! Buffers of std's types.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::Arc;

use crate::resource::{Buf, BufMut};

/// One implementation for each type whose bytes are elsewhere; coherence does not let a generic one stand beside those of other crates.
macro_rules! bufs {
    ($([$($generic:tt)*] $owner:ty),+ $(,)?) => { $(
        // SAFETY: std's type owns heap memory, shares it, or borrows memory: while it lives nobody else writes to its bytes, which do not
        // move with it. Asking for them does nothing else.
        unsafe impl<$($generic)*> Buf for $owner {
            fn as_ptr(&self) -> *const u8 {
                (**self).as_ptr()
            }

            fn len(&self) -> usize {
                (**self).len()
            }
        }
    )+ };
}

bufs!(
    [] Vec<u8>,
    [] Box<[u8]>,
    [const N: usize] Box<[u8; N]>,
    [] Arc<[u8]>,
    [] Rc<[u8]>,
    [] Cow<'_, [u8]>,
    [] &[u8],
    [const N: usize] &[u8; N],
    [] &mut [u8],
    [const N: usize] &mut [u8; N],
    [] String,
    [] Box<str>,
    [] Arc<str>,
    [] Rc<str>,
    [] Cow<'_, str>,
    [] &str,
);

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

    unsafe fn set_filled_from(&mut self, start: usize, filled: usize) {
        let gap = start.saturating_sub(self.len());
        // SAFETY: the vector's bytes are initialised up to its length, those behind it up to `start` here, and the caller vouches for
        // the rest; all are within the capacity.
        unsafe {
            self.as_mut_ptr().add(start - gap).write_bytes(0, gap);
            self.set_len(self.len().max(start + filled));
        }
    }
}

// SAFETY: the exclusive borrow keeps the vector as it is, and its memory in place and out of everybody else's hands.
unsafe impl BufMut for &mut Vec<u8> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        Vec::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: passed on to the caller.
        unsafe { BufMut::set_filled(*self, filled) };
    }

    unsafe fn set_filled_from(&mut self, start: usize, filled: usize) {
        // SAFETY: passed on to the caller.
        unsafe { BufMut::set_filled_from(*self, start, filled) };
    }
}

/// One implementation for each type that keeps no account of what it holds.
macro_rules! whole_bufs {
    ($([$($generic:tt)*] $owner:ty),+ $(,)?) => { $(
        // SAFETY: heap memory owned by the value, or memory that is exclusively borrowed.
        unsafe impl<$($generic)*> BufMut for $owner {
            fn as_mut_ptr(&mut self) -> *mut u8 {
                <[_]>::as_mut_ptr(&mut **self).cast()
            }

            fn capacity(&self) -> usize {
                <[_]>::len(&**self)
            }

            unsafe fn set_filled(&mut self, _: usize) {}
        }
    )+ };
}

whole_bufs!(
    [] Box<[u8]>,
    [const N: usize] Box<[u8; N]>,
    [] &mut [u8],
    [const N: usize] &mut [u8; N],
    [] Box<[MaybeUninit<u8>]>,
    [] &mut [MaybeUninit<u8>],
    [const N: usize] &mut [MaybeUninit<u8>; N],
);
