//! Opening a file with a say in how its path is followed.

use bitflags::bitflags;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{IntoDescriptor, OpenAt, Opened, Opens, Operation, sealed};
use crate::resource::{Cwd, Path, Target};

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
pub struct OpenAt2<P, D = Cwd, R = IntoDescriptor> {
    open: OpenAt<P, D, R>,
    how: How,
}

/// `struct open_how`, which the entry points to.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const HOW_LEN: u32 = 24;
const _: () = assert!(size_of::<How>() == 24);

impl<P: Path, D: Target, R: Opens> OpenAt<P, D, R> {
    /// Follows the path only as far as that allows.
    pub fn resolve(self, resolve: Resolve) -> OpenAt2<P, D, R> {
        let how = How {
            resolve: resolve.bits(),
            ..How::default()
        };
        OpenAt2 { open: self, how }
    }
}

impl<P, D, R> sealed::Sealed for OpenAt2<P, D, R> {}

// SAFETY: the path stays where it is as long as the value lives (contract of `Path`); the structure as long as the value stays.
unsafe impl<P: Path, D: Target, R: Opens> Operation for OpenAt2<P, D, R> {
    type Output = Opened<R::File, P, D>;
    const OPCODE: u8 = uring_sys::IORING_OP_OPENAT2;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.open.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let open = &this.open;
        this.how.flags = (open.flags | R::CLOSE_ON_EXEC).unsigned_abs().into();
        this.how.mode = open.mode.into();
        entry.set_fd(open.directory.target().number());
        entry.set_pointer(open.path.as_ptr());
        entry.set_len(HOW_LEN);
        entry.set_off(address(&raw const this.how));
        open.into.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller.
        unsafe { self.open.complete(completion) }
    }
}
