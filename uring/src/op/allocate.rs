//! The space that a file takes up, and its length.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{Target, Untracked};

/// Reserves space for a part of a file, or gives it up.
///
/// What the file system cannot do makes it complete with `EOPNOTSUPP`.
///
/// Since Linux 5.6.
///
/// ```
/// use uring::op::Fallocate;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-fallocate-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// if ring.call(Fallocate::new(&file, 0, 1 << 20))?.result.is_ok() {
///     assert_eq!(file.metadata()?.len(), 1 << 20);
/// }
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_fallocate(3)`, `fallocate(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fallocate")]
#[doc(alias = "IORING_OP_FALLOCATE")]
#[must_use]
pub struct Fallocate<T> {
    target: T,
    offset: u64,
    len: u64,
    allocation: Allocation,
    keep_size: bool,
}

/// What becomes of the part of a file that [`Fallocate`] is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Allocation {
    /// It has space, and keeps what is in it.
    #[default]
    Reserve,
    /// It has no space any more and reads as zeros; the file's length stays.
    #[doc(alias = "FALLOC_FL_PUNCH_HOLE")]
    PunchHole,
    /// It reads as zeros, and has space.
    #[doc(alias = "FALLOC_FL_ZERO_RANGE")]
    ZeroRange,
    /// It is taken out, and what is behind it moves up.
    #[doc(alias = "FALLOC_FL_COLLAPSE_RANGE")]
    CollapseRange,
    /// It is put in between, and what was there moves back.
    #[doc(alias = "FALLOC_FL_INSERT_RANGE")]
    InsertRange,
    /// It shares no space with other files any more.
    #[doc(alias = "FALLOC_FL_UNSHARE_RANGE")]
    UnshareRange,
}

impl Allocation {
    const fn mode(self) -> i32 {
        match self {
            Allocation::Reserve => 0,
            Allocation::PunchHole => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            Allocation::ZeroRange => libc::FALLOC_FL_ZERO_RANGE,
            Allocation::CollapseRange => libc::FALLOC_FL_COLLAPSE_RANGE,
            Allocation::InsertRange => libc::FALLOC_FL_INSERT_RANGE,
            Allocation::UnshareRange => libc::FALLOC_FL_UNSHARE_RANGE,
        }
    }
}

impl<T: Target> Fallocate<T> {
    /// Reserves space for the `len` bytes at `offset`, and makes the file as long as that.
    pub const fn new(target: T, offset: u64, len: u64) -> Fallocate<T> {
        Fallocate {
            target,
            offset,
            len,
            allocation: Allocation::Reserve,
            keep_size: false,
        }
    }

    /// Does that instead.
    pub fn allocation(self, allocation: Allocation) -> Self {
        Fallocate { allocation, ..self }
    }

    /// Leaves the file's length as it is.
    #[doc(alias = "FALLOC_FL_KEEP_SIZE")]
    pub fn keep_size(self) -> Self {
        Fallocate {
            keep_size: true,
            ..self
        }
    }
}

/// Makes a file as long as that: cuts it off, or lets zeros follow.
///
/// Since Linux 6.9.
///
/// ```
/// use uring::op::Ftruncate;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.iter().any(|opcode| uring::opcode_name(opcode) == Some("IORING_OP_FTRUNCATE")) { return Ok(()) }
/// # let path = std::env::temp_dir().join(format!("uring-doc-ftruncate-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// ring.call(Ftruncate::new(&file, 12_345))?.result?;
/// assert_eq!(file.metadata()?.len(), 12_345);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_ftruncate(3)`, `ftruncate(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_ftruncate")]
#[doc(alias = "IORING_OP_FTRUNCATE")]
#[must_use]
pub struct Ftruncate<T> {
    target: T,
    len: u64,
}

impl<T: Target> Ftruncate<T> {
    /// Makes the file `len` bytes long.
    pub const fn new(target: T, len: u64) -> Ftruncate<T> {
        Ftruncate { target, len }
    }
}

/// What [`Fallocate`] and [`Ftruncate`] give back.
#[derive(Debug)]
#[must_use]
pub struct Resized<T> {
    /// Whether the file is as was asked for.
    pub result: io::Result<()>,
    /// The target.
    pub target: T,
}

impl<T> sealed::Sealed for Fallocate<T> {}
impl<T> sealed::Sealed for Ftruncate<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Fallocate<T> {
    type Output = Resized<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_FALLOCATE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_off(this.offset);
        entry.set_addr(this.len);
        let mut mode = this.allocation.mode();
        if this.keep_size {
            mode |= libc::FALLOC_FL_KEEP_SIZE;
        }
        entry.set_len(mode.unsigned_abs());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Resized {
            result: done(completion),
            target: self.target,
        }
    }
}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Ftruncate<T> {
    type Output = Resized<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_FTRUNCATE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_off(this.len);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Resized {
            result: done(completion),
            target: self.target,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Fallocate<T> {}
// SAFETY: as above.
unsafe impl<T: Target + Untracked> RawOperation for Ftruncate<T> {}
