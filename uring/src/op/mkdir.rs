//! Making a directory.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, done, sealed};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Makes a directory.
///
/// Since Linux 5.15.
///
/// ```
/// use uring::op::MkdirAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let done = ring.call(MkdirAt::new(c"/proc", 0o755))?;
/// assert_eq!(done.result.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_mkdirat(3)`, `mkdirat(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_mkdirat")]
#[doc(alias = "io_uring_prep_mkdir")]
#[doc(alias = "IORING_OP_MKDIRAT")]
#[must_use]
pub struct MkdirAt<P, D = Cwd> {
    path: P,
    directory: D,
    mode: u32,
}

impl<P: Path> MkdirAt<P> {
    /// Makes a directory with these permissions less the process's umask; a relative path begins at the current directory.
    pub const fn new(path: P, mode: u32) -> MkdirAt<P> {
        MkdirAt {
            path,
            directory: Cwd,
            mode,
        }
    }
}

impl<P: Path, D: Target> MkdirAt<P, D> {
    /// A relative path begins at that directory, which has to be a descriptor.
    pub fn relative_to<E: Target>(self, directory: E) -> MkdirAt<P, E> {
        MkdirAt {
            path: self.path,
            directory,
            mode: self.mode,
        }
    }
}

/// What [`MkdirAt`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Made<P, D> {
    /// Whether the directory was made.
    pub result: io::Result<()>,
    /// The path.
    pub path: P,
    /// The directory that the path is relative to.
    pub directory: D,
}

impl<P, D> sealed::Sealed for MkdirAt<P, D> {}

// SAFETY: the path stays where it is as long as the value lives (contract of `Path`).
unsafe impl<P: Path, D: Target> Operation for MkdirAt<P, D> {
    type Output = Made<P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_MKDIRAT;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.directory)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.directory.target().number());
        entry.set_pointer(this.path.as_ptr());
        entry.set_len(this.mode);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Made {
            result: done(completion),
            path: self.path,
            directory: self.directory,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<P: Path + Untracked, D: Target + Untracked> RawOperation for MkdirAt<P, D> {}
