//! The kernel's error numbers.

use core::{error::Error, fmt};

/// An error number as a system call or a completion gave it.
///
/// Displays as name and number, `EBUSY (16)`.
///
/// ```
/// use uring_sys::Errno;
///
/// let errno = Errno::from_raw(16);
/// assert_eq!(errno, Errno::EBUSY);
/// assert_eq!(errno.to_string(), "EBUSY (16)");
/// ```
///
/// Source: `include/uapi/asm-generic/errno.h`; the numbers are those of the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Errno(i32);

impl Errno {
    /// The error with this number, which is positive: a completion's result has it negated.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number, as `errno(3)` has it.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }
}

/// Defines the constants and the names from one list, so that they cannot disagree.
macro_rules! errnos {
    ($($name:ident $meaning:literal)*) => {
        impl Errno {
            $(
                #[doc = $meaning]
                pub const $name: Self = Self(libc::$name);
            )*

            /// The symbolic name, for those that io_uring is known to answer with.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM "Operation not permitted; from `io_uring_setup`: io_uring is disabled or filtered."
    ENOENT "No such file or directory; nothing to cancel."
    ESRCH "No such process."
    EINTR "Interrupted by a signal."
    EIO "Input/output error."
    ENXIO "No such device or address; nothing is registered."
    E2BIG "Argument list too long."
    EBADF "Bad file descriptor; an empty slot of registered rings."
    ECHILD "No child processes."
    EAGAIN "Resource temporarily unavailable."
    ENOMEM "Out of memory; before Linux 5.12, or with user memory: over the limit of locked memory."
    EACCES "Permission denied; the ring's restrictions forbid it."
    EFAULT "Bad address."
    EBUSY "Resource busy; all slots for registered rings are taken, or completions must be reaped first."
    EEXIST "Already exists; already registered, or a single-issuer ring is used by another task."
    EXDEV "Cross-device link."
    ENODEV "No such device."
    ENOTDIR "Not a directory."
    EISDIR "Is a directory."
    EINVAL "Invalid argument; an opcode or flag that this kernel does not know."
    ENFILE "Too many open files in the system; the table of direct descriptors is full."
    EMFILE "Too many open descriptors."
    ENOTTY "Not a terminal; no such command on this file."
    ETXTBSY "Text file busy."
    EFBIG "File too large."
    ENOSPC "No space left on device."
    ESPIPE "Illegal seek."
    EROFS "Read-only file system."
    EMLINK "Too many links."
    EPIPE "Broken pipe."
    EDOM "Numerical argument out of domain."
    ERANGE "Numerical result out of range."
    EDEADLK "Resource deadlock avoided."
    ENAMETOOLONG "File name too long."
    ENOSYS "No such system call; the kernel is built without io_uring, or it is filtered."
    ENOTEMPTY "Directory not empty."
    ELOOP "Too many levels of symbolic links."
    ENODATA "No data available."
    ETIME "The timer expired."
    EBADMSG "Bad message."
    EOVERFLOW "Value too large; the target of a message has no room for it."
    EBADFD "Bad state; the ring is disabled."
    EMSGSIZE "Message too long."
    ENOPROTOOPT "No such protocol option."
    EOPNOTSUPP "Operation not supported."
    EAFNOSUPPORT "Address family not supported."
    EADDRINUSE "Address already in use."
    EADDRNOTAVAIL "Cannot assign the requested address."
    ENETUNREACH "Network unreachable."
    ECONNABORTED "Connection aborted."
    ECONNRESET "Connection reset by the peer."
    ENOBUFS "No buffer space; the group of provided buffers is empty."
    EISCONN "Already connected."
    ENOTCONN "Not connected."
    ETIMEDOUT "Timed out."
    ECONNREFUSED "Connection refused."
    EHOSTUNREACH "No route to the host."
    EALREADY "Already in progress; too late to cancel."
    EINPROGRESS "Now in progress."
    ESTALE "Stale file handle."
    EDQUOT "Disk quota exceeded."
    ECANCELED "Cancelled."
    EOWNERDEAD "The owner died; the task that the ring belongs to has exited."
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({self})")
    }
}

impl Error for Errno {}
