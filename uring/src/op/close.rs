//! Closing a descriptor or a direct descriptor.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::closes_direct;
use crate::completion::Completion;
use crate::direct::Direct;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_name, admit_target, done, sealed};
use crate::resource::{RawTarget, Target, TargetName, Untracked};

/// Closes a descriptor without waiting for it in the calling thread.
///
/// Dropping an [`OwnedFd`] closes too, but blocks where the last close flushes. A close that was cancelled before it began still
/// closes, by dropping.
///
/// Since Linux 5.6.
///
/// ```
/// use std::os::fd::OwnedFd;
/// use uring::op::Close;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let fd: OwnedFd = std::fs::File::open("/dev/null")?.into();
/// ring.call(Close::new(fd))??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What somebody else owns is not closed without a promise:
///
/// ```compile_fail,E0277
/// use uring::Target;
/// use uring::op::Close;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/dev/null")?;
/// ring.call(Close::new(file.target()))??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_close(3)`, `close(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_close")]
#[doc(alias = "IORING_OP_CLOSE")]
#[must_use]
pub struct Close<F = OwnedFd> {
    fd: F,
}

impl<F: Closes> Close<F> {
    /// Closes that descriptor: an [`OwnedFd`], or by promise a [`RawTarget`], which may be a direct
    /// descriptor too, since Linux 5.15; see [`CloseDirect`].
    pub const fn new(fd: F) -> Close<F> {
        Close { fd }
    }
}

/// What [`Close`] can close. Sealed.
pub trait Closes: sealed::Sealed {
    #[doc(hidden)]
    fn name(&self) -> TargetName;
    /// The kernel has closed it.
    #[doc(hidden)]
    fn closed(self);
}

impl sealed::Sealed for OwnedFd {}
impl sealed::Sealed for RawTarget {}

impl Closes for OwnedFd {
    fn name(&self) -> TargetName {
        TargetName::descriptor(self.as_raw_fd())
    }

    fn closed(self) {
        mem::forget(self);
    }
}

impl Closes for RawTarget {
    fn name(&self) -> TargetName {
        self.target()
    }

    fn closed(self) {}
}

impl<F> sealed::Sealed for Close<F> {}

// SAFETY: there is no memory to point to.
unsafe impl<F: Closes> Operation for Close<F> {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_CLOSE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        let name = self.fd.name();
        admit_name(name, ring)?;
        if name.is_direct() {
            closes_direct::KNOWN.check_closing()?;
        }
        Ok(())
    }

    fn success(&self) -> Option<i32> {
        Some(0)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let name = unsafe { (*this).fd.name() };
        if name.is_direct() {
            // An index that names nothing is not to become a descriptor.
            entry.set_file_index(u32::try_from(name.number()).map_or(u32::MAX, |index| index + 1));
        } else {
            entry.set_fd(name.number());
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // The number is let go before the file's own flush can fail. It was not if the close never began, or if the file is a ring, which
        // the kernel does not close from a ring.
        if !matches!(-completion.raw_result(), libc::ECANCELED | libc::EBADF) {
            self.fd.closed();
        }
        done(completion)
    }
}

// SAFETY: the target is untracked.
unsafe impl<F: Closes + Untracked> RawOperation for Close<F> {}

/// Closes a direct descriptor.
///
/// Dropping a [`Direct`] closes it too, with the ring's next submission. What nobody owns is closed by [`Close`] of a
/// [`RawTarget::direct`], which may be pushed raw.
///
/// Since Linux 5.15. An older kernel would close the descriptor 0 instead, so on one the push is [refused](crate::Error::is_unsupported); where that cannot be told
/// from the features of rings, a ring is made to find out, once in a process.
///
/// Source: `io_uring_prep_close_direct(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_close_direct")]
#[must_use]
pub struct CloseDirect {
    direct: Direct,
}

impl CloseDirect {
    /// Closes that direct descriptor.
    pub const fn new(direct: Direct) -> CloseDirect {
        CloseDirect { direct }
    }
}

impl sealed::Sealed for CloseDirect {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for CloseDirect {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_CLOSE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.direct, ring)?;
        closes_direct::KNOWN.check_closing()
    }

    fn success(&self) -> Option<i32> {
        Some(0)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let index = unsafe { (*this).direct.index() };
        entry.set_file_index(index + 1);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // Dropped with a file still in it, it is emptied again, which harms nothing if it was.
        if completion.raw_result() == 0 {
            drop(self.direct.emptied());
        }
        done(completion)
    }
}
