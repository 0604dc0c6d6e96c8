//! How a ring is named in system calls: the type parameter of [`Ring`](crate::Ring).

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::error::{Call, Error, Hint};
use crate::flags::Features;
use crate::syscall::Name;

/// A way to name a ring: [`Fd`], [`Registered`], [`Fdless`] or, decided when the ring is made, [`Any`].
///
/// Sealed: the four are all there are.
pub trait Handle: sealed::Handle + fmt::Debug {}

/// A handle that ties its ring to the thread that made it: every handle but [`Fd`].
///
/// Such a ring may keep operations that are not `Send`, and is what `IORING_SETUP_SINGLE_ISSUER` and
/// `IORING_SETUP_DEFER_TASKRUN` belong to.
pub trait Bound: Handle {}

/// A descriptor and nothing else. The ring may move to another thread and has [`AsFd`].
#[derive(Debug)]
pub struct Fd {
    pub(crate) fd: RingFd,
}

/// A descriptor and a slot of the thread's table, used in its place. The ring stays on its thread.
///
/// Since Linux 5.18.
#[derive(Debug)]
pub struct Registered {
    pub(crate) fd: RingFd,
    pub(crate) index: RingIndex,
}

/// A slot of the thread's table and no descriptor. The ring stays on its thread.
///
/// Since Linux 6.3 by closing the descriptor (`IORING_FEAT_REG_REG_RING`), since 6.5 from birth
/// (`IORING_SETUP_REGISTERED_FD_ONLY`).
#[derive(Debug)]
pub struct Fdless {
    pub(crate) index: RingIndex,
}

/// Whatever the kernel had to give: [`Ring::best`](crate::Ring::best) tells which by
/// [`handle_kind`](crate::Ring::handle_kind). The ring stays on its thread, also where it has only a descriptor.
#[derive(Debug)]
pub struct Any {
    pub(crate) handle: AnyHandle,
    bound: BoundToThread,
}

#[derive(Debug)]
pub(crate) enum AnyHandle {
    Fd(Fd),
    Registered(Registered),
    Fdless(Fdless),
}

impl Any {
    pub(crate) fn new(handle: AnyHandle) -> Any {
        Any {
            handle,
            bound: PhantomData,
        }
    }
}

/// Which handle a ring has, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HandleKind {
    /// A descriptor ([`Fd`]).
    Fd,
    /// A descriptor and an index ([`Registered`]).
    Registered,
    /// An index ([`Fdless`]).
    Fdless,
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            HandleKind::Fd => "descriptor",
            HandleKind::Registered => "descriptor and registered index",
            HandleKind::Fdless => "registered index, no descriptor",
        })
    }
}

impl Handle for Fd {}
impl Handle for Registered {}
impl Handle for Fdless {}
impl Handle for Any {}
impl Bound for Registered {}
impl Bound for Fdless {}
impl Bound for Any {}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) mod sealed {
    use super::{Features, HandleKind, Name};

    pub trait Handle {
        fn name(&self, features: Features) -> Name;
        fn kind(&self) -> HandleKind;
    }
}

impl sealed::Handle for Fd {
    fn name(&self, _: Features) -> Name {
        Name::descriptor(self.fd.as_raw_fd())
    }

    fn kind(&self) -> HandleKind {
        HandleKind::Fd
    }
}

impl sealed::Handle for Registered {
    fn name(&self, features: Features) -> Name {
        if features.contains(Features::REG_REG_RING) {
            Name::index(self.index.index)
        } else {
            Name::index_in_enter(self.index.index, self.fd.as_raw_fd())
        }
    }

    fn kind(&self) -> HandleKind {
        HandleKind::Registered
    }
}

impl sealed::Handle for Fdless {
    fn name(&self, _: Features) -> Name {
        Name::index(self.index.index)
    }

    fn kind(&self) -> HandleKind {
        HandleKind::Fdless
    }
}

impl sealed::Handle for Any {
    fn name(&self, features: Features) -> Name {
        match &self.handle {
            AnyHandle::Fd(fd) => fd.name(features),
            AnyHandle::Registered(registered) => registered.name(features),
            AnyHandle::Fdless(fdless) => fdless.name(features),
        }
    }

    fn kind(&self) -> HandleKind {
        match &self.handle {
            AnyHandle::Fd(fd) => fd.kind(),
            AnyHandle::Registered(registered) => registered.kind(),
            AnyHandle::Fdless(fdless) => fdless.kind(),
        }
    }
}

/// Makes a type `!Send` and `!Sync`: what it names is found only from the thread that registered it.
type BoundToThread = PhantomData<*const ()>;

/// A slot of the calling thread's table of ring descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingIndex {
    pub(crate) index: u8,
    bound: BoundToThread,
}

impl RingIndex {
    /// The slot that the kernel has just filled for the calling thread.
    pub(crate) fn filled(index: u8) -> RingIndex {
        RingIndex {
            index,
            bound: PhantomData,
        }
    }
}

/// The descriptor of a ring, closed on drop if the number still names that ring.
///
/// A host may close the number behind the library's back and open something else under it; closing *that* would be somebody
/// else's loss. Between the look and the close another thread can still swap the number: nothing in the kernel closes that gap.
#[derive(Debug)]
pub(crate) struct RingFd(Descriptor);

/// A descriptor number and the file that it named when the ring was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    number: RawFd,
    file: FileIdentity,
}

/// What tells one open file from another: anonymous inodes of rings are their own from Linux 5.16 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: libc::dev_t,
    inode: libc::ino_t,
}

impl FileIdentity {
    fn of(fd: RawFd) -> Option<FileIdentity> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `stat` has room for what `fstat` writes; a bad descriptor is an error, not a hazard.
        if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: `fstat` succeeded and has filled it.
        let stat = unsafe { stat.assume_init() };
        Some(FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }
}

/// What a ring's descriptor number names now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The ring.
    TheRing,
    /// Nothing: somebody closed it.
    Nothing,
    /// Another file: somebody closed the ring's descriptor and the number was reused.
    AnotherFile,
}

impl Descriptor {
    /// The ring's descriptor, if the number still leads to it.
    pub(crate) fn borrow(&self, call: Call) -> Result<BorrowedFd<'_>, Error> {
        self.check(call)?;
        // SAFETY: the number was just seen to name the ring, whose handle keeps it open as long as nobody closes it behind its back.
        Ok(unsafe { BorrowedFd::borrow_raw(self.number) })
    }

    /// Refuses `call` if the number does not lead to the ring: it would be made on another's.
    pub(crate) fn check(self, call: Call) -> Result<(), Error> {
        let hint = match self.names() {
            Names::TheRing => return Ok(()),
            Names::Nothing => Hint::DescriptorClosed,
            Names::AnotherFile => Hint::DescriptorReplaced,
        };
        Err(Error::refused(call, hint))
    }

    /// Another descriptor of the ring.
    pub(crate) fn duplicate(self, call: Call) -> Result<OwnedFd, Error> {
        self.check(call)?;
        // SAFETY: the number names an open descriptor, and the call changes nothing of it.
        let fd = unsafe { libc::fcntl(self.number, libc::F_DUPFD_CLOEXEC, 3) };
        if fd == -1 {
            return Err(Error::sys(call, crate::memory::last_errno()));
        }
        // SAFETY: the descriptor was just made and is known to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn names(self) -> Names {
        match FileIdentity::of(self.number) {
            None => Names::Nothing,
            Some(file) if file != self.file => Names::AnotherFile,
            Some(_) => self.names_by_call(),
        }
    }

    /// Where anonymous inodes are shared, a file that is no ring is told by its answer to an empty `io_uring_enter`.
    fn names_by_call(self) -> Names {
        // SAFETY: nothing is submitted and nothing waited for; no argument is passed.
        let answer = unsafe {
            crate::syscall::enter(Name::descriptor(self.number), 0, 0, 0, std::ptr::null(), 0)
        };
        match answer {
            Err(uring_sys::Errno::EBADF) => Names::Nothing,
            Err(uring_sys::Errno::EOPNOTSUPP) => Names::AnotherFile,
            _ => Names::TheRing,
        }
    }
}

impl RingFd {
    /// Takes a descriptor that `io_uring_setup` has just returned.
    pub(crate) fn new(fd: OwnedFd) -> Option<RingFd> {
        let file = FileIdentity::of(fd.as_raw_fd())?;
        Some(RingFd(Descriptor {
            number: std::os::fd::IntoRawFd::into_raw_fd(fd),
            file,
        }))
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        self.0
    }
}

impl AsRawFd for RingFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.number
    }
}

impl AsFd for RingFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is owned and open; a host that closes it behind our back breaks I/O safety itself.
        unsafe { BorrowedFd::borrow_raw(self.0.number) }
    }
}

impl Drop for RingFd {
    fn drop(&mut self) {
        if self.0.names() == Names::TheRing {
            // SAFETY: the number names the ring that this value owns, and nobody else does.
            unsafe { libc::close(self.0.number) };
        }
    }
}

assert_impl_all!(Fd: Send);
assert_not_impl_any!(Registered: Send, Sync);
assert_not_impl_any!(Fdless: Send, Sync);
assert_not_impl_any!(Any: Send, Sync);
