//! Machines on which io_uring cannot be used: what refuses it, as declared and as observed.

use std::{env, fmt, fs, str::FromStr};

use uring_sys::{Errno, io_uring_params};

use crate::sys;

/// What keeps this machine, or this process, from using io_uring.
///
/// A lane declares it in `URING_FORBIDDEN`: the system call that is refused, the errno, and the cause, which is
/// `kernel.io_uring_disabled=1`, `kernel.io_uring_disabled=2` or `seccomp`.
///
/// # Examples
///
/// ```
/// use uring_testkit::{Cause, Forbidden};
///
/// let forbidden: Forbidden = "io_uring_setup EPERM kernel.io_uring_disabled=2".parse()?;
/// assert_eq!(forbidden.cause(), Cause::Sysctl(2));
/// assert!(forbidden.to_string().ends_with("it is disabled by kernel.io_uring_disabled=2"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    call: &'static str,
    errno: Errno,
    cause: Cause,
}

/// Why io_uring cannot be used, as far as there is evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// `kernel.io_uring_disabled` has this value, which forbids it.
    Sysctl(u8),
    /// A seccomp filter is active.
    SeccompFilter,
    /// The kernel was built without it.
    NotBuilt,
    /// Too little memory may be locked.
    LockedMemory,
    /// Too few descriptors may be open.
    Descriptors,
    /// There is no evidence.
    Unknown,
}

const SETUP: &str = "io_uring_setup";
const REGISTER: &str = "io_uring_register";
const ENTER: &str = "io_uring_enter";
const SYSCTL: &str = "kernel.io_uring_disabled";
const FILTER: &str = "seccomp";

impl Forbidden {
    /// Reads the lane's declaration, `URING_FORBIDDEN`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who runs the tests: the variable cannot be read.
    pub fn declared() -> Result<Option<Self>, String> {
        match env::var("URING_FORBIDDEN") {
            Ok(text) => text.parse().map(Some),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(format!("URING_FORBIDDEN: {error}")),
        }
    }

    /// Makes a ring and closes it, and makes the other two calls without one; what is refused is told with its cause.
    #[must_use]
    pub fn observe() -> Option<Self> {
        let (call, errno) = first_refusal()?;
        Some(Self {
            call,
            errno,
            cause: cause(errno, io_uring_disabled(), seccomp_mode()),
        })
    }

    /// The first of the three system calls that is refused, such as `io_uring_setup`.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        self.call
    }

    /// What that call answers.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        self.errno.raw()
    }

    /// Why.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }
}

/// The sentence with which a suite refuses to start.
impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, errno, cause } = self;
        write!(f, "io_uring cannot be used: {call}: {errno}{cause}")
    }
}

/// What follows the errno in a sentence: nothing, where there is no evidence.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sysctl(value) => return write!(f, ": it is disabled by {SYSCTL}={value}"),
            Self::SeccompFilter => {
                ": a seccomp filter is active, as in a container whose profile forbids it"
            }
            Self::NotBuilt => ": this kernel is built without CONFIG_IO_URING",
            Self::LockedMemory => ": raise RLIMIT_MEMLOCK (ulimit -l)",
            Self::Descriptors => ": raise RLIMIT_NOFILE (ulimit -n)",
            Self::Unknown => "",
        })
    }
}

impl FromStr for Forbidden {
    type Err = String;

    /// Reads a declaration.
    ///
    /// # Errors
    ///
    /// A sentence that says what a declaration is.
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split(' ').collect();
        let read = || {
            let [call, errno, cause] = words[..] else {
                return None;
            };
            Some(Self {
                call: [SETUP, REGISTER, ENTER]
                    .into_iter()
                    .find(|name| *name == call)?,
                errno: [Errno::EPERM, Errno::EACCES, Errno::ENOSYS]
                    .into_iter()
                    .find(|known| known.name() == Some(errno))?,
                cause: match cause.split_once('=') {
                    Some((SYSCTL, value)) => Cause::Sysctl(value.parse().ok()?),
                    None if cause == FILTER => Cause::SeccompFilter,
                    _ => return None,
                },
            })
        };
        read().ok_or_else(|| {
            format!(
                "URING_FORBIDDEN={text}: must be a call, an errno and a cause, such as \
                 {SETUP} EPERM {SYSCTL}=2, or {REGISTER} ENOSYS {FILTER}"
            )
        })
    }
}

/// The call that this process may not make, of the three that a ring takes.
fn first_refusal() -> Option<(&'static str, Errno)> {
    let mut params = io_uring_params::default();
    match sys::setup(1, &mut params) {
        Ok(fd) => {
            let fd = i32::try_from(fd).expect("a descriptor is a small number");
            // SAFETY: the descriptor was just made and is known to nobody else.
            unsafe { libc::close(fd) };
        }
        Err(errno) => return Some((SETUP, errno)),
    }
    let refused = |errno| matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS);
    // No process has this descriptor: a kernel that is asked says so.
    // SAFETY: there is neither a ring to change nor an argument to read.
    let registered = unsafe {
        sys::register(
            i32::MAX,
            uring_sys::IORING_REGISTER_PROBE,
            std::ptr::null_mut(),
            0,
        )
    };
    let entered = sys::enter(i32::MAX.unsigned_abs(), 0, 0, 0);
    [(REGISTER, registered), (ENTER, entered)]
        .into_iter()
        .find_map(|(call, answer)| answer.err().filter(|e| refused(*e)).map(|e| (call, e)))
}

/// The value of `kernel.io_uring_disabled` (6.6): 0 allowed, 1 for members of a group or `CAP_SYS_ADMIN`, 2 for nobody.
#[must_use]
pub fn io_uring_disabled() -> Option<u8> {
    let text = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok()
}

/// The `Seccomp` line of `/proc/thread-self/status`: 0 none, 1 strict, 2 a filter.
#[must_use]
pub fn seccomp_mode() -> Option<u8> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))?;
    line.trim().parse().ok()
}

fn cause(errno: Errno, disabled: Option<u8>, seccomp: Option<u8>) -> Cause {
    match (errno, disabled, seccomp) {
        (Errno::EPERM, Some(value @ 1..), _) => Cause::Sysctl(value),
        (Errno::EPERM | Errno::ENOSYS, _, Some(2)) => Cause::SeccompFilter,
        (Errno::ENOSYS, _, _) => Cause::NotBuilt,
        (Errno::ENOMEM, _, _) => Cause::LockedMemory,
        (Errno::EMFILE, _, _) => Cause::Descriptors,
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::with_denied;

    #[test]
    fn each_cause_is_told_by_its_evidence() {
        for (errno, disabled, seccomp, words) in [
            (Errno::EPERM, Some(2), Some(0), "io_uring_disabled=2"),
            (Errno::EPERM, Some(1), Some(2), "io_uring_disabled=1"),
            (Errno::EPERM, Some(0), Some(2), "seccomp"),
            (Errno::ENOSYS, None, Some(2), "seccomp"),
            (Errno::ENOSYS, None, Some(0), "CONFIG_IO_URING"),
            (Errno::ENOMEM, Some(0), Some(0), "RLIMIT_MEMLOCK"),
            (Errno::EMFILE, Some(0), Some(0), "RLIMIT_NOFILE"),
        ] {
            let cause = cause(errno, disabled, seccomp).to_string();
            assert!(cause.contains(words), "{errno}: {cause}");
        }
    }

    #[test]
    fn an_errno_without_evidence_gets_no_cause() {
        assert_eq!(cause(Errno::EPERM, Some(0), Some(0)), Cause::Unknown);
        assert_eq!(cause(Errno::EINVAL, Some(2), Some(2)), Cause::Unknown);
        assert_eq!(Cause::Unknown.to_string(), "");
    }

    #[test]
    fn declarations_are_a_call_an_errno_and_a_cause() {
        for text in [
            "io_uring_setup EPERM kernel.io_uring_disabled=2",
            "io_uring_setup EPERM kernel.io_uring_disabled=1",
            "io_uring_register ENOSYS seccomp",
            "io_uring_enter EACCES seccomp",
        ] {
            assert!(text.parse::<Forbidden>().is_ok(), "{text}");
        }
        for text in [
            "",
            "EPERM",
            "io_uring_setup EPERM",
            "io_uring_setup EINVAL seccomp",
            "io_uring_close EPERM seccomp",
            "io_uring_setup EPERM kernel.io_uring_disabled=many",
            "io_uring_setup EPERM kernel.io_uring_group=2",
            "io_uring_setup EPERM seccomp again",
        ] {
            let error = text.parse::<Forbidden>().unwrap_err();
            assert!(error.contains(text) && error.contains("must be"), "{error}");
        }
    }

    /// Where the machine itself forbids io_uring, these tests of a filter have nothing to say.
    #[test]
    fn what_is_observed_is_what_a_declaration_says() {
        for (call, number, errno, name) in [
            (SETUP, libc::SYS_io_uring_setup, libc::EPERM, "EPERM"),
            (SETUP, libc::SYS_io_uring_setup, libc::ENOSYS, "ENOSYS"),
            (REGISTER, libc::SYS_io_uring_register, libc::EPERM, "EPERM"),
            (
                REGISTER,
                libc::SYS_io_uring_register,
                libc::ENOSYS,
                "ENOSYS",
            ),
            (ENTER, libc::SYS_io_uring_enter, libc::EPERM, "EPERM"),
        ] {
            let observed = with_denied(&[(number, errno)], Forbidden::observe).unwrap();
            let declared: Forbidden = format!("{call} {name} {FILTER}").parse().unwrap();
            assert_eq!(observed, Some(declared));
        }
    }

    #[test]
    fn where_nothing_is_refused_nothing_is_observed() {
        assert_eq!(Forbidden::observe(), None);
    }
}
