//! Path names that an operation may still read after it was pushed.

use std::ffi::{CStr, CString, c_char};

use crate::resource::Untracked;

/// A path name for the kernel, ending in a zero byte.
///
/// Implemented for [`CString`] and `&CStr` (and so for `c"literals"`), and for [`RawPath`].
///
/// # Safety
///
/// [`as_ptr`](Path::as_ptr) points to a string that ends in a zero byte, stays where it is when the value is moved, and neither changes
/// nor goes away as long as the value lives. It does not panic and does not call into this library.
pub unsafe trait Path {
    /// The address of the first byte.
    fn as_ptr(&self) -> *const c_char;
}

// SAFETY: the string is on the heap and owned by the value.
unsafe impl Path for CString {
    fn as_ptr(&self) -> *const c_char {
        CStr::as_ptr(self)
    }
}

// SAFETY: the borrow keeps the string in place and unchanged.
unsafe impl Path for &CStr {
    fn as_ptr(&self) -> *const c_char {
        CStr::as_ptr(self)
    }
}

/// The bare address of a path name.
#[derive(Clone, Copy, Debug)]
pub struct RawPath(*const c_char);

impl RawPath {
    /// The path at that address.
    ///
    /// # Safety
    ///
    /// A string that ends in a zero byte stays there unchanged until the last completion of each operation pushed with it has been
    /// reaped.
    #[must_use]
    pub const unsafe fn new(path: *const c_char) -> RawPath {
        RawPath(path)
    }
}

// SAFETY: the promise of `RawPath::new`.
unsafe impl Path for RawPath {
    fn as_ptr(&self) -> *const c_char {
        self.0
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawPath {}
