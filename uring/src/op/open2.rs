//! Opening a file with a say in how its path is followed.

use bitflags::bitflags;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{IntoDescriptor, OpenAt, Opened, Opens, Operation, RawOperation, sealed};
use crate::resource::{Cwd, Inside, MemoryFor, Path, RawMemory, Target, Untracked};

bitflags! {
    /// What a path may lead through.
    ///
    /// Source: `openat2(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Resolve: u64 {
        /// No other file system (`EXDEV`).
        #[doc(alias = "RESOLVE_NO_XDEV")]
        const NO_XDEV = 0x01;
        /// None of the links of `/proc` that lead anywhere (`ELOOP`).
        #[doc(alias = "RESOLVE_NO_MAGICLINKS")]
        const NO_MAGICLINKS = 0x02;
        /// No symbolic link (`ELOOP`).
        #[doc(alias = "RESOLVE_NO_SYMLINKS")]
        const NO_SYMLINKS = 0x04;
        /// Nothing above the directory that it begins at (`EXDEV`).
        #[doc(alias = "RESOLVE_BENEATH")]
        const BENEATH = 0x08;
        /// The directory that it begins at is the root, also for `..` and for absolute paths and links.
        #[doc(alias = "RESOLVE_IN_ROOT")]
        const IN_ROOT = 0x10;
        /// Only what is in the kernel's cache (`EAGAIN`). Since Linux 5.12; older kernels complete with `EINVAL`.
        #[doc(alias = "RESOLVE_CACHED")]
        const CACHED = 0x20;
    }
}

/// Opens a file by a path that may not lead everywhere.
///
/// It is made of an [`OpenAt`], by [`OpenAt::resolve`]. Unlike there, flags that the kernel does not know are refused (`EINVAL`).
///
/// Since Linux 5.6; into a direct descriptor since 5.15.
///
/// ```
/// use uring::op::{OpenAt, Resolve};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let directory = std::fs::File::open("/proc/self")?;
/// let open = |path| OpenAt::new(path).relative_to(&directory).resolve(Resolve::BENEATH);
/// assert!(ring.call(open(c"status"))?.result.is_ok());
/// let outside = ring.call(open(c"../version"))?.result.unwrap_err();
/// assert_eq!(outside.kind(), std::io::ErrorKind::CrossesDevices);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_openat2(3)`, `io_uring_prep_openat2_direct(3)`, `openat2(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_openat2")]
#[doc(alias = "io_uring_prep_openat2_direct")]
#[doc(alias = "IORING_OP_OPENAT2")]
#[must_use]
pub struct OpenAt2<P, D = Cwd, R = IntoDescriptor, M = Inside<OpenHow>> {
    open: OpenAt<P, D, R>,
    resolve: Resolve,
    how: M,
}

/// How an [`OpenAt2`] opens, which the entry points to.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "open_how")]
#[repr(C)]
pub struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const HOW_LEN: u32 = 24;
const _: () = assert!(size_of::<OpenHow>() == 24);

impl<P: Path, D: Target, R: Opens> OpenAt<P, D, R> {
    /// Follows the path only as far as that allows.
    pub fn resolve(self, resolve: Resolve) -> OpenAt2<P, D, R> {
        OpenAt2 {
            open: self,
            resolve,
            how: Inside::new(OpenHow::default()),
        }
    }
}

impl<P, D, R, M> OpenAt2<P, D, R, M> {
    /// Has what the kernel reads of it written there.
    pub fn how_into(self, memory: RawMemory<OpenHow>) -> OpenAt2<P, D, R, RawMemory<OpenHow>> {
        OpenAt2 {
            open: self.open,
            resolve: self.resolve,
            how: memory,
        }
    }
}

impl<P, D, R, M> sealed::Sealed for OpenAt2<P, D, R, M> {}

// SAFETY: the path stays where it is as long as the value lives (contract of `Path`); the structure as long as the value stays, or as
// `RawMemory::new` was promised.
unsafe impl<P, D, R, M> Operation for OpenAt2<P, D, R, M>
where
    P: Path,
    D: Target,
    R: Opens,
    M: MemoryFor<OpenHow>,
{
    type Output = Opened<R::File, P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_OPENAT2;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.open.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let open = &this.open;
        this.how.set(OpenHow {
            flags: (open.flags | R::CLOSE_ON_EXEC).unsigned_abs().into(),
            mode: open.mode.into(),
            resolve: this.resolve.bits(),
        });
        entry.set_fd(open.directory.target().number());
        entry.set_pointer(open.path.as_ptr());
        entry.set_len(HOW_LEN);
        entry.set_off(address(this.how.as_mut_ptr().cast_const()));
        open.into.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller.
        unsafe { self.open.complete(completion) }
    }
}

// SAFETY: all of its resources are untracked, and the structure is elsewhere; the file's number is the completion's result.
unsafe impl<P, D, R> RawOperation for OpenAt2<P, D, R, RawMemory<OpenHow>>
where
    P: Path + Untracked,
    D: Target + Untracked,
    R: Opens + Untracked,
{
}
