//! Giving a file another name.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, done, sealed};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Gives a file or directory another name, on the same file system.
///
/// What has that name already is replaced, unless [`no_replace`](RenameAt::no_replace) forbids it.
///
/// Since Linux 5.11.
///
/// ```
/// use uring::op::RenameAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let done = ring.call(RenameAt::new(c"/no/such/file", c"/no/such/name"))?;
/// assert_eq!(done.result.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// assert_eq!(done.from, c"/no/such/file");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_renameat(3)`, `renameat2(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_renameat")]
#[doc(alias = "io_uring_prep_rename")]
#[doc(alias = "IORING_OP_RENAMEAT")]
#[must_use]
pub struct RenameAt<P, Q, D = Cwd, E = Cwd> {
    from: P,
    to: Q,
    from_directory: D,
    to_directory: E,
    flags: u32,
}

impl<P: Path, Q: Path> RenameAt<P, Q> {
    /// Renames `from` as `to`; relative paths begin at the current directory.
    pub const fn new(from: P, to: Q) -> RenameAt<P, Q> {
        RenameAt {
            from,
            to,
            from_directory: Cwd,
            to_directory: Cwd,
            flags: 0,
        }
    }
}

impl<P: Path, Q: Path, D: Target, E: Target> RenameAt<P, Q, D, E> {
    /// A relative old path begins at that directory, and a relative new one at the other; both have to be descriptors.
    pub fn relative_to<F: Target, G: Target>(
        self,
        from_directory: F,
        to_directory: G,
    ) -> RenameAt<P, Q, F, G> {
        RenameAt {
            from: self.from,
            to: self.to,
            from_directory,
            to_directory,
            flags: self.flags,
        }
    }

    /// Completes with `EEXIST` if something has the new name.
    #[doc(alias = "RENAME_NOREPLACE")]
    pub fn no_replace(self) -> Self {
        self.flag(libc::RENAME_NOREPLACE)
    }

    /// Gives each the other's name.
    #[doc(alias = "RENAME_EXCHANGE")]
    pub fn exchange(self) -> Self {
        self.flag(libc::RENAME_EXCHANGE)
    }

    /// Leaves a whiteout in the old name's place, as overlay file systems do.
    #[doc(alias = "RENAME_WHITEOUT")]
    pub fn whiteout(self) -> Self {
        self.flag(libc::RENAME_WHITEOUT)
    }

    fn flag(self, flag: u32) -> Self {
        RenameAt {
            flags: self.flags | flag,
            ..self
        }
    }
}

/// What [`RenameAt`] and [`LinkAt`](crate::op::LinkAt) give back.
#[derive(Debug)]
#[must_use]
pub struct Renamed<P, Q, D, E> {
    /// Whether there is the new name.
    pub result: io::Result<()>,
    /// The old path.
    pub from: P,
    /// The new path.
    pub to: Q,
    /// The directory that the old path is relative to.
    pub from_directory: D,
    /// The directory that the new path is relative to.
    pub to_directory: E,
}

impl<P, Q, D, E> sealed::Sealed for RenameAt<P, Q, D, E> {}

// SAFETY: the paths stay where they are as long as the value lives (contract of `Path`).
unsafe impl<P: Path, Q: Path, D: Target, E: Target> Operation for RenameAt<P, Q, D, E> {
    type Output = Renamed<P, Q, D, E>;
    const OPCODE: u8 = uring_sys::IORING_OP_RENAMEAT;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.from_directory)?;
        admit_directory(&self.to_directory)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.from_directory.target().number());
        entry.set_pointer(this.from.as_ptr());
        entry.set_second_directory(this.to_directory.target());
        entry.set_off(address(this.to.as_ptr()));
        entry.set_op_flags(this.flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Renamed {
            result: done(completion),
            from: self.from,
            to: self.to,
            from_directory: self.from_directory,
            to_directory: self.to_directory,
        }
    }
}

// SAFETY: all resources are untracked; the pointers lead out of the value.
unsafe impl<P, Q, D, E> RawOperation for RenameAt<P, Q, D, E>
where
    P: Path + Untracked,
    Q: Path + Untracked,
    D: Target + Untracked,
    E: Target + Untracked,
{
}
