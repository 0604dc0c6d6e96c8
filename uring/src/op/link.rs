//! Giving a file one more name.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, Renamed, admit_directory, done, sealed};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Gives a file one more name, on the same file system.
///
/// Since Linux 5.15.
///
/// ```
/// use uring::op::LinkAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let done = ring.call(LinkAt::new(c"/no/such/file", c"/no/such/name"))?;
/// assert_eq!(done.result.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_linkat(3)`, `linkat(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_linkat")]
#[doc(alias = "io_uring_prep_link")]
#[doc(alias = "IORING_OP_LINKAT")]
#[must_use]
pub struct LinkAt<P, Q, D = Cwd, E = Cwd> {
    from: P,
    to: Q,
    from_directory: D,
    to_directory: E,
    flags: i32,
}

impl<P: Path, Q: Path> LinkAt<P, Q> {
    /// Gives the file that is called `from` the name `to` as well; relative paths begin at the current directory. A symbolic link is not
    /// followed.
    pub const fn new(from: P, to: Q) -> LinkAt<P, Q> {
        LinkAt {
            from,
            to,
            from_directory: Cwd,
            to_directory: Cwd,
            flags: 0,
        }
    }
}

impl<P: Path, Q: Path, D: Target, E: Target> LinkAt<P, Q, D, E> {
    /// A relative old path begins at that directory, and a relative new one at the other; both have to be descriptors.
    pub fn relative_to<F: Target, G: Target>(
        self,
        from_directory: F,
        to_directory: G,
    ) -> LinkAt<P, Q, F, G> {
        LinkAt {
            from: self.from,
            to: self.to,
            from_directory,
            to_directory,
            flags: self.flags,
        }
    }

    /// Follows `from` if it is a symbolic link.
    #[doc(alias = "AT_SYMLINK_FOLLOW")]
    pub fn follow(self) -> Self {
        LinkAt {
            flags: self.flags | libc::AT_SYMLINK_FOLLOW,
            ..self
        }
    }

    /// With an empty `from`, what its directory names: a descriptor of any file, also one without a name (`O_TMPFILE`). It takes
    /// `CAP_DAC_READ_SEARCH`; since Linux 6.10 the descriptor may be the caller's instead.
    #[doc(alias = "AT_EMPTY_PATH")]
    pub fn empty_path(self) -> Self {
        LinkAt {
            flags: self.flags | libc::AT_EMPTY_PATH,
            ..self
        }
    }
}

impl<P, Q, D, E> sealed::Sealed for LinkAt<P, Q, D, E> {}

// SAFETY: the paths stay where they are as long as the value lives (contract of `Path`).
unsafe impl<P: Path, Q: Path, D: Target, E: Target> Operation for LinkAt<P, Q, D, E> {
    type Output = Renamed<P, Q, D, E>;
    const OPCODE: u8 = uring_sys::IORING_OP_LINKAT;

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
        entry.set_op_flags(this.flags.unsigned_abs());
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
unsafe impl<P, Q, D, E> RawOperation for LinkAt<P, Q, D, E>
where
    P: Path + Untracked,
    Q: Path + Untracked,
    D: Target + Untracked,
    E: Target + Untracked,
{
}

/// Makes a symbolic link.
///
/// Since Linux 5.15.
///
/// ```
/// use uring::op::SymlinkAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-symlink-{}", std::process::id()));
/// # let name = std::ffi::CString::new(path.to_str().unwrap())?;
/// ring.call(SymlinkAt::new(c"anything", name))?.result?;
/// assert_eq!(std::fs::read_link(&path)?.to_str(), Some("anything"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_symlinkat(3)`, `symlinkat(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_symlinkat")]
#[doc(alias = "io_uring_prep_symlink")]
#[doc(alias = "IORING_OP_SYMLINKAT")]
#[must_use]
pub struct SymlinkAt<P, Q, D = Cwd> {
    content: P,
    path: Q,
    directory: D,
}

impl<P: Path, Q: Path> SymlinkAt<P, Q> {
    /// Makes a link at `path` that leads to `content`; a relative path begins at the current directory.
    pub const fn new(content: P, path: Q) -> SymlinkAt<P, Q> {
        SymlinkAt {
            content,
            path,
            directory: Cwd,
        }
    }
}

impl<P: Path, Q: Path, D: Target> SymlinkAt<P, Q, D> {
    /// A relative path begins at that directory, which has to be a descriptor. (What the link leads to begins where the link is.)
    pub fn relative_to<E: Target>(self, directory: E) -> SymlinkAt<P, Q, E> {
        SymlinkAt {
            content: self.content,
            path: self.path,
            directory,
        }
    }
}

/// What [`SymlinkAt`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Symlinked<P, Q, D> {
    /// Whether there is the link.
    pub result: io::Result<()>,
    /// What it leads to.
    pub content: P,
    /// The path.
    pub path: Q,
    /// The directory that the path is relative to.
    pub directory: D,
}

impl<P, Q, D> sealed::Sealed for SymlinkAt<P, Q, D> {}

// SAFETY: both strings stay where they are as long as the value lives (contract of `Path`).
unsafe impl<P: Path, Q: Path, D: Target> Operation for SymlinkAt<P, Q, D> {
    type Output = Symlinked<P, Q, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_SYMLINKAT;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.directory)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.directory.target().number());
        entry.set_pointer(this.content.as_ptr());
        entry.set_off(address(this.path.as_ptr()));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Symlinked {
            result: done(completion),
            content: self.content,
            path: self.path,
            directory: self.directory,
        }
    }
}

// SAFETY: all resources are untracked; the pointers lead out of the value.
unsafe impl<P, Q, D> RawOperation for SymlinkAt<P, Q, D>
where
    P: Path + Untracked,
    Q: Path + Untracked,
    D: Target + Untracked,
{
}
