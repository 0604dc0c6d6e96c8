//! Opening a file, as a descriptor or straight into the ring's file table.

use std::io;

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, DirectSlot, RawDirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{
    IntoAnyDirect, IntoDescriptor, IntoDirect, Opens, Operation, RawOperation, admit_directory,
    sealed,
};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Opens a file.
///
/// As a descriptor (with `O_CLOEXEC`), or with [`into_direct`](OpenAt::into_direct) as a file of the ring's own table, which never
/// has a number that the rest of the process could see or close.
///
/// Since Linux 5.6; into a direct descriptor since 5.15, and [refused](crate::Error::is_unsupported) before, where a kernel would make a
/// descriptor of it.
///
/// ```
/// use uring::op::{OpenAt, Read};
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_direct(4)?;
/// let slot = ring.direct_slot()?;
/// let version = ring.call(OpenAt::new(c"/proc/version").into_direct(slot))?.result?;
/// let done = ring.call(Read::new(&version, Vec::with_capacity(100)))?;
/// assert!(done.buf.starts_with(b"Linux version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_openat(3)`, `io_uring_prep_openat_direct(3)`, `openat(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_openat")]
#[doc(alias = "io_uring_prep_open")]
#[doc(alias = "io_uring_prep_open_direct")]
#[doc(alias = "io_uring_prep_openat_direct")]
#[doc(alias = "IORING_OP_OPENAT")]
#[must_use]
pub struct OpenAt<P, D = Cwd, R = IntoDescriptor> {
    pub(super) path: P,
    pub(super) directory: D,
    pub(super) into: R,
    pub(super) flags: i32,
    pub(super) mode: u32,
}

impl<P: Path> OpenAt<P> {
    /// Opens for reading; a relative path begins at the current directory.
    pub fn new(path: P) -> OpenAt<P> {
        OpenAt {
            path,
            directory: Cwd,
            into: IntoDescriptor,
            flags: libc::O_RDONLY,
            mode: 0,
        }
    }
}

impl<P: Path, D: Target, R: Opens> OpenAt<P, D, R> {
    /// A relative path begins at that directory, which has to be a descriptor.
    pub fn relative_to<E: Target>(self, directory: E) -> OpenAt<P, E, R> {
        OpenAt {
            path: self.path,
            directory,
            into: self.into,
            flags: self.flags,
            mode: self.mode,
        }
    }

    /// Opens into a reserved slot of the ring's file table.
    pub fn into_direct(self, slot: DirectSlot) -> OpenAt<P, D, IntoDirect> {
        self.into_file(IntoDirect::new(slot))
    }

    /// Opens into whichever slot of the ring's file table is free. Since Linux 5.19.
    pub fn into_any_direct(self, slot: AnyDirectSlot) -> OpenAt<P, D, IntoAnyDirect> {
        self.into_file(IntoAnyDirect::new(slot))
    }

    /// Opens into a slot that is promised to be the caller's.
    pub fn into_raw_direct(self, slot: RawDirectSlot) -> OpenAt<P, D, RawDirectSlot> {
        self.into_file(slot)
    }

    fn into_file<N>(self, into: N) -> OpenAt<P, D, N> {
        OpenAt {
            path: self.path,
            directory: self.directory,
            into,
            flags: self.flags,
            mode: self.mode,
        }
    }

    /// Opens for writing only.
    pub fn write_only(self) -> Self {
        self.access(libc::O_WRONLY)
    }

    /// Opens for reading and writing.
    pub fn read_write(self) -> Self {
        self.access(libc::O_RDWR)
    }

    /// Creates the file if there is none, with these permissions less the process's umask.
    pub fn create(self, mode: u32) -> Self {
        OpenAt { mode, ..self }.flags(libc::O_CREAT)
    }

    /// Creates the file, and fails if there is one.
    pub fn create_new(self, mode: u32) -> Self {
        self.create(mode).flags(libc::O_EXCL)
    }

    /// Makes the file empty.
    pub fn truncate(self) -> Self {
        self.flags(libc::O_TRUNC)
    }

    /// Adds flags of `open(2)` (`O_DIRECT`, `O_APPEND`, …).
    pub fn flags(self, flags: i32) -> Self {
        OpenAt {
            flags: self.flags | flags,
            ..self
        }
    }

    fn access(self, access: i32) -> Self {
        OpenAt {
            flags: self.flags & !libc::O_ACCMODE | access,
            ..self
        }
    }
}

/// What [`OpenAt`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Opened<F, P, D> {
    /// The open file.
    pub result: io::Result<F>,
    /// The path.
    pub path: P,
    /// The directory that the path is relative to.
    pub directory: D,
}

impl<P, D, R> sealed::Sealed for OpenAt<P, D, R> {}

// SAFETY: the path stays where it is as long as the value lives (contract of `Path`).
unsafe impl<P: Path, D: Target, R: Opens> Operation for OpenAt<P, D, R> {
    type Output = Opened<R::File, P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_OPENAT;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_directory(&self.directory)?;
        self.into.admit(ring)
    }

    fn success(&self) -> Option<i32> {
        self.into.success()
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.directory.target().number());
        entry.set_pointer(this.path.as_ptr());
        entry.set_len(this.mode);
        entry.set_op_flags((this.flags | R::CLOSE_ON_EXEC).unsigned_abs());
        this.into.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Opened {
            // SAFETY: passed on to the caller.
            result: unsafe { self.into.opened(completion) },
            path: self.path,
            directory: self.directory,
        }
    }
}

// SAFETY: path, directory and slot are untracked; the file's number is the completion's result.
unsafe impl<P, D, R> RawOperation for OpenAt<P, D, R>
where
    P: Path + Untracked,
    D: Target + Untracked,
    R: Opens + Untracked,
{
}
