//! The error of everything that is not the result of an operation.

mod call;
mod hint;
mod predicates;

use core::fmt;
use core::num::NonZeroU16;
use std::io;

use uring_sys::Errno;

pub use self::call::Call;
pub use self::hint::{Evidence, Hint};

/// Why a call of this crate failed: what was attempted, what the kernel answered, and the evidence for the cause.
///
/// The type is opaque and small. Decide by its predicates, such as [`is_unsupported`](Self::is_unsupported) and
/// [`is_blocked`](Self::is_blocked), and show it to people as it is: the text says what to do where something can be
/// done. Results of operations are not of this type, they are `io::Result` with the resources beside them.
///
/// The same errno means different things in different calls (`EEXIST`, `EINVAL`, `EBADF` and `EBUSY` most of all);
/// the hint and the predicates keep them apart.
///
/// # Conversion into `std::io::Error`
///
/// `io::Error::from` keeps the whole text and this value, which
/// [`downcast`](io::Error::downcast) gives back; [`kind`](io::Error::kind) follows the cause. Its
/// `raw_os_error` is `None`, since std keeps either the number or a payload: ask [`errno`](Self::errno) before
/// converting.
///
/// ```
/// # fn show(error: uring::Error) {
/// let errno = error.errno();
/// let error = std::io::Error::from(error);
/// let back: uring::Error = error.downcast().unwrap();
/// assert_eq!(back.errno(), errno);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct Error {
    hint: Option<Hint>,
    call: Call,
    errno: Option<NonZeroU16>,
}

static_assertions::const_assert!(size_of::<Error>() <= 24);
static_assertions::assert_impl_all!(Error: Copy, Send, Sync, std::error::Error);

impl Error {
    /// The kernel refused.
    pub(crate) fn sys(call: Call, errno: Errno) -> Self {
        Self {
            hint: None,
            call,
            errno: u16::try_from(errno.raw()).ok().and_then(NonZeroU16::new),
        }
    }

    /// The library refused, without asking the kernel.
    pub(crate) const fn refused(call: Call, hint: Hint) -> Self {
        Self {
            hint: Some(hint),
            call,
            errno: None,
        }
    }

    /// The same error with this evidence.
    pub(crate) const fn with_hint(self, hint: Hint) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    /// What was attempted.
    #[must_use]
    pub const fn call(&self) -> Call {
        self.call
    }

    /// The errno that the kernel returned; `None` where this library refused without asking the kernel.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.errno.map(|errno| i32::from(errno.get()))
    }

    /// The evidence for the cause, where there is any.
    #[must_use]
    pub const fn hint(&self) -> Option<Hint> {
        self.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno() {
            Some(errno) => write!(f, "{} failed: {}", self.call, Errno::from_raw(errno))?,
            None => write!(f, "{} was refused", self.call)?,
        }
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// The text of [`Display`](fmt::Display): it is what `unwrap` and a `main` that returns the error show.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests;
