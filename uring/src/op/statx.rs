//! What the file system knows of a file.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, done, sealed};
use crate::resource::{Cwd, Path, Target, Untracked};

/// Asks for a file's size, mode, times and the rest.
///
/// By path only: the kernel does not answer for a direct descriptor, so ask before opening.
///
/// Since Linux 5.6.
///
/// ```
/// use uring::op::Statx;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let status = ring.call(Statx::new(c"/proc/self/exe"))?.result?;
/// assert!(status.is_file() && status.size() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_statx(3)`, `statx(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_statx")]
#[doc(alias = "IORING_OP_STATX")]
#[must_use]
pub struct Statx<P, D = Cwd, M = Box<MaybeUninit<FileStatus>>> {
    path: P,
    directory: D,
    memory: M,
    flags: i32,
}

impl<P: Path> Statx<P> {
    /// Follows symbolic links; a relative path begins at the current directory.
    pub fn new(path: P) -> Statx<P> {
        Statx {
            path,
            directory: Cwd,
            memory: Box::new(MaybeUninit::uninit()),
            flags: 0,
        }
    }
}

impl<P: Path, D: Target, M: StatusMemory> Statx<P, D, M> {
    /// A relative path begins at that directory, which has to be a descriptor.
    pub fn relative_to<E: Target>(self, directory: E) -> Statx<P, E, M> {
        Statx {
            path: self.path,
            directory,
            memory: self.memory,
            flags: self.flags,
        }
    }

    /// Has the answer written there.
    pub fn into_memory<N: StatusMemory>(self, memory: N) -> Statx<P, D, N> {
        Statx {
            path: self.path,
            directory: self.directory,
            memory,
            flags: self.flags,
        }
    }

    /// Asks for a symbolic link itself.
    #[doc(alias = "AT_SYMLINK_NOFOLLOW")]
    pub fn of_link(self) -> Self {
        Statx {
            flags: self.flags | libc::AT_SYMLINK_NOFOLLOW,
            ..self
        }
    }
}

/// What [`Statx`] gives back.
#[derive(Debug)]
#[must_use]
pub struct StatxDone<V, P, D> {
    /// The answer.
    pub result: io::Result<V>,
    /// The path.
    pub path: P,
    /// The directory that the path is relative to.
    pub directory: D,
}

/// What a file system knows of a file.
#[derive(Clone, Copy)]
#[doc(alias = "statx")]
#[repr(transparent)]
pub struct FileStatus(libc::statx);

impl FileStatus {
    /// The size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// Type and permissions (`stx_mode`).
    #[must_use]
    pub const fn mode(&self) -> u16 {
        self.0.stx_mode
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    fn is(&self, kind: libc::mode_t) -> bool {
        libc::mode_t::from(self.0.stx_mode) & libc::S_IFMT == kind
    }

    /// The owner.
    #[must_use]
    pub const fn user(&self) -> u32 {
        self.0.stx_uid
    }

    /// The owning group.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.0.stx_gid
    }

    /// How many names it has.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// The number that its file system knows it by.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.0.stx_ino
    }

    /// The device that it is on: major and minor number.
    #[must_use]
    pub const fn device(&self) -> (u32, u32) {
        (self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// The size in bytes that its file system likes to be read and written in.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.0.stx_blksize
    }

    /// How many blocks of 512 bytes it takes up.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.0.stx_blocks
    }

    /// When its contents were last changed.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        let time = self.0.stx_mtime;
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        let whole = if time.tv_sec < 0 {
            UNIX_EPOCH - seconds
        } else {
            UNIX_EPOCH + seconds
        };
        whole + Duration::from_nanos(u64::from(time.tv_nsec))
    }
}

impl fmt::Debug for FileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStatus")
            .field("mode", &format_args!("{:o}", self.mode()))
            .field("size", &self.size())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

/// Where the kernel writes a [`FileStatus`]: a box, or by promise [`RawFileStatus`].
///
/// # Safety
///
/// The memory is writable, used by nobody else, and stays where it is even when the value is moved. No method panics or calls into
/// this library.
pub unsafe trait StatusMemory {
    /// What the operation yields.
    type Status;
    /// The address to write to.
    fn as_mut_ptr(&mut self) -> *mut FileStatus;
    /// The answer.
    ///
    /// # Safety
    ///
    /// The kernel has written it.
    unsafe fn into_status(self) -> Self::Status;
}

// SAFETY: heap memory owned by the value.
unsafe impl StatusMemory for Box<MaybeUninit<FileStatus>> {
    type Status = FileStatus;

    fn as_mut_ptr(&mut self) -> *mut FileStatus {
        MaybeUninit::as_mut_ptr(self)
    }

    unsafe fn into_status(self) -> FileStatus {
        // SAFETY: the caller vouches that the kernel has written it.
        unsafe { *self.assume_init() }
    }
}

/// The bare address of memory for a [`FileStatus`].
#[derive(Clone, Copy, Debug)]
pub struct RawFileStatus(NonNull<MaybeUninit<FileStatus>>);

impl RawFileStatus {
    /// The memory at that address.
    ///
    /// # Safety
    ///
    /// It stays writable, and is used by nobody else, until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(memory: NonNull<MaybeUninit<FileStatus>>) -> RawFileStatus {
        RawFileStatus(memory)
    }
}

// SAFETY: the promise of `RawFileStatus::new`.
unsafe impl StatusMemory for RawFileStatus {
    type Status = RawFileStatus;

    fn as_mut_ptr(&mut self) -> *mut FileStatus {
        self.0.as_ptr().cast()
    }

    unsafe fn into_status(self) -> RawFileStatus {
        self
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawFileStatus {}

impl<P, D, M> sealed::Sealed for Statx<P, D, M> {}

// SAFETY: path and memory stay where they are as long as the value lives (contracts of `Path` and `StatusMemory`).
unsafe impl<P: Path, D: Target, M: StatusMemory> Operation for Statx<P, D, M> {
    type Output = StatxDone<M::Status, P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_STATX;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.directory)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        entry.set_fd(this.directory.target().number());
        entry.set_pointer(this.path.as_ptr());
        entry.set_len(libc::STATX_BASIC_STATS | libc::STATX_BTIME);
        entry.set_off(address(this.memory.as_mut_ptr().cast_const()));
        entry.set_op_flags(this.flags.unsigned_abs());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        let result = done(completion).map(|()| {
            // SAFETY: the operation succeeded, so the kernel has written the answer.
            unsafe { self.memory.into_status() }
        });
        StatxDone {
            result,
            path: self.path,
            directory: self.directory,
        }
    }
}

// SAFETY: all three resources are untracked; the pointers lead out of the value.
unsafe impl<P, D, M> RawOperation for Statx<P, D, M>
where
    P: Path + Untracked,
    D: Target + Untracked,
    M: StatusMemory + Untracked,
{
}
