//! Memory that the kernel reads from or writes to.

use std::ptr::NonNull;

use crate::resource::Untracked;

/// Memory that an operation may read from.
///
/// Implemented for owned memory (`Vec<u8>`, `String`, `Box<[u8]>`, `Box<[u8; N]>`, `Cow`), shared memory (`Arc`, `Rc`), for `&'static` and,
/// in a [scope](crate::Ring::scope), borrowed slices and strings, for a [`Slice`](crate::Slice) of each, and for [`RawBuf`]. An array by
/// value is none: it moves with what holds it. [`Vectored`](crate::Vectored) is for several buffers at once.
///
/// Implementing it for a type of one's own is a promise:
///
/// ```
/// use std::sync::Arc;
/// use uring::op::Write;
///
/// /// A part of a message that several writers share.
/// #[derive(Clone)]
/// struct Part {
///     message: Arc<[u8]>,
///     start: usize,
///     len: usize,
/// }
///
/// // SAFETY: the part is within the message (whoever makes one sees to it), which the reference keeps alive and in place, and which
/// // nobody can write to while it is shared. Both methods do nothing but arithmetic.
/// unsafe impl uring::Buf for Part {
///     fn as_ptr(&self) -> *const u8 {
///         self.message.as_ptr().wrapping_add(self.start)
///     }
///
///     fn len(&self) -> usize {
///         self.len
///     }
/// }
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let (one, other) = std::os::unix::net::UnixStream::pair()?;
/// let part = Part { message: Arc::from(*b"to one and to the other"), start: 3, len: 3 };
/// let written = ring.push(Write::new(one, part.clone()))?;
/// assert_eq!(ring.wait(written)?.result?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
/// Implemented for owned memory (`Vec<u8>`, filled from its beginning up to its capacity; `Box<[u8]>`, `Box<[u8; N]>`), in a
/// [scope](crate::Ring::scope) for `&mut [u8]`, `&mut [u8; N]` and `&mut Vec<u8>`, for a [`Slice`](crate::Slice) of each, and for
/// [`RawBuf`]. Slices of [`MaybeUninit`](std::mem::MaybeUninit) are filled too, and stay such: the operation's result tells how much is
/// initialised now.
///
/// Memory that is not initialised is never shown: what tells how much is, is [`set_filled`](BufMut::set_filled). A type of one's own
/// does as much:
///
/// ```
/// use uring::op::Read;
///
/// /// Memory that is given out once and comes back filled.
/// struct Page {
///     bytes: Box<[u8]>,
///     filled: usize,
/// }
///
/// // SAFETY: heap memory owned by the value, and as long as it says. No method does more than return and set.
/// unsafe impl uring::BufMut for Page {
///     fn as_mut_ptr(&mut self) -> *mut u8 {
///         self.bytes.as_mut_ptr()
///     }
///
///     fn capacity(&self) -> usize {
///         self.bytes.len()
///     }
///
///     unsafe fn set_filled(&mut self, filled: usize) {
///         self.filled = filled;
///     }
/// }
///
/// # let mut ring = uring::Ring::best(8)?;
/// let page = Page { bytes: vec![0; 4096].into(), filled: 0 };
/// let token = ring.push(Read::new(std::fs::File::open("/proc/version")?, page).limit(5))?;
/// let page = ring.wait(token)?.buf;
/// assert_eq!(&page.bytes[..page.filled], b"Linux");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Safety
///
/// As long as the value lives, the `capacity` bytes at `as_mut_ptr` are writable, used by nobody else, and stay where they are
/// even when the value itself is moved. Asked again while nothing was noted, both give the same answer. No method panics or calls into
/// this library.
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
    /// Notes that `filled` bytes from `start` on have been written, and that the rest is as it was.
    ///
    /// What keeps no account of what it holds has nothing to do here.
    ///
    /// # Safety
    ///
    /// They have, and they are within the capacity.
    unsafe fn set_filled_from(&mut self, start: usize, filled: usize) {
        let _ = (start, filled);
    }
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
