//! Removing a name.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, done, sealed};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Removes a file's name, or an empty directory.
///
/// Since Linux 5.11.
///
/// ```
/// use uring::op::UnlinkAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let done = ring.call(UnlinkAt::new(c"/no/such/file"))?;
/// assert_eq!(done.result.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_unlinkat(3)`, `unlinkat(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_unlinkat")]
#[doc(alias = "io_uring_prep_unlink")]
#[doc(alias = "IORING_OP_UNLINKAT")]
#[must_use]
pub struct UnlinkAt<P, D = Cwd> {
    path: P,
    directory: D,
    flags: i32,
}

impl<P: Path> UnlinkAt<P> {
    /// Removes a name that is not a directory's; a relative path begins at the current directory.
    pub const fn new(path: P) -> UnlinkAt<P> {
        UnlinkAt {
            path,
            directory: Cwd,
            flags: 0,
        }
    }
}

impl<P: Path, D: Target> UnlinkAt<P, D> {
    /// A relative path begins at that directory, which has to be a descriptor.
    pub fn relative_to<E: Target>(self, directory: E) -> UnlinkAt<P, E> {
        UnlinkAt {
            path: self.path,
            directory,
            flags: self.flags,
        }
    }

    /// Removes an empty directory (`rmdir(2)`).
    #[doc(alias = "AT_REMOVEDIR")]
    pub fn directory(self) -> Self {
        UnlinkAt {
            flags: libc::AT_REMOVEDIR,
            ..self
        }
    }
}

/// What [`UnlinkAt`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Unlinked<P, D> {
    /// Whether the name is gone.
    pub result: io::Result<()>,
    /// The path.
    pub path: P,
    /// The directory that the path is relative to.
    pub directory: D,
}

impl<P, D> sealed::Sealed for UnlinkAt<P, D> {}

// SAFETY: the path stays where it is as long as the value lives (contract of `Path`).
unsafe impl<P: Path, D: Target> Operation for UnlinkAt<P, D> {
    type Output = Unlinked<P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_UNLINKAT;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.directory)
    }

    fn success(&self) -> Option<i32> {
        Some(0)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.directory.target().number());
        entry.set_pointer(this.path.as_ptr());
        entry.set_op_flags(this.flags.unsigned_abs());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Unlinked {
            result: done(completion),
            path: self.path,
            directory: self.directory,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<P: Path + Untracked, D: Target + Untracked> RawOperation for UnlinkAt<P, D> {}
