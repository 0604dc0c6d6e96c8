//! What setup flags the kernel knows.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use uring_sys as sys;
use uring_sys::Errno;

use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::SetupFlags;
use crate::query::Query;

/// What this kernel can make of a ring, found out without making one.
///
/// From Linux 6.18 the kernel tells ([`Query`]). Older ones are asked with trial calls that name each flag beside
/// something impossible: a flag that is known gets as far as that, an unknown one is refused before. Neither makes
/// a ring or a descriptor, not even for a moment.
///
/// ```
/// use uring::{Capabilities, SetupFlags};
///
/// let born_fdless = SetupFlags::NO_MMAP | SetupFlags::REGISTERED_FD_ONLY;
/// match Capabilities::get() {
///     Ok(kernel) => println!("rings without a descriptor: {}", kernel.supports(born_fdless)),
///     Err(error) => println!("no rings at all: {error}"),
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    setup_flags: SetupFlags,
}

/// What was found out, marked by [`KNOWN`]. It stays true while the process lives: kernels do not change under it.
static SETUP_FLAGS: AtomicU64 = AtomicU64::new(0);
const KNOWN: u64 = 1 << 32;

impl Capabilities {
    /// Asks the kernel, once per process.
    ///
    /// # Errors
    ///
    /// Where this thread can make no ring at all. Errors are not remembered: the next call asks again.
    ///
    /// - [`is_blocked`](Error::is_blocked): a sysctl, a seccomp filter or another policy forbids rings.
    /// - [`is_unsupported`](Error::is_unsupported): the kernel was built without io_uring, or is older than 5.6.
    pub fn get() -> Result<Self, Error> {
        let found = SETUP_FLAGS.load(Ordering::Relaxed);
        if found & KNOWN != 0 {
            let bits = u32::try_from(found ^ KNOWN).unwrap_or_default();
            return Ok(Self {
                setup_flags: SetupFlags::from_bits_retain(bits),
            });
        }
        let asked = Self::ask_kernel().map_err(|errno| match errno {
            Errno::EINVAL => Error::sys(Call::Setup, errno).with_hint(ATTACH_WQ_REFUSED),
            _ => evidence::setup_failed(errno, TRIAL_ENTRIES, &trial_params(SetupFlags::empty())),
        })?;
        SETUP_FLAGS.store(
            KNOWN | u64::from(asked.setup_flags.bits()),
            Ordering::Relaxed,
        );
        Ok(asked)
    }

    /// The setup flags that the kernel knows.
    #[must_use]
    pub const fn setup_flags(self) -> SetupFlags {
        self.setup_flags
    }

    /// Whether the kernel knows all of these setup flags.
    ///
    /// It may still refuse some of them together.
    #[must_use]
    pub const fn supports(self, flags: SetupFlags) -> bool {
        self.setup_flags.contains(flags)
    }

    /// Whether rings can be born without a descriptor. Since Linux 6.5.
    #[must_use]
    pub const fn births_fdless(self) -> bool {
        self.supports(SetupFlags::NO_MMAP.union(SetupFlags::REGISTERED_FD_ONLY))
    }

    /// Whether rings can be registered with their thread, as far as that is known without a ring. Since Linux 5.18.
    ///
    /// `None` means that a ring has to be registered to see: no feature bit tells.
    #[must_use]
    pub const fn registers_rings(self) -> Option<bool> {
        // A ring that is born without a descriptor is reached by nothing but its index.
        if self.births_fdless() {
            Some(true)
        } else {
            None
        }
    }

    /// Why rings with these flags cannot be made: the newest flag that the kernel does not know, with which come all others.
    pub(crate) fn missing(self, wanted: SetupFlags) -> Option<Hint> {
        let unknown = wanted.difference(self.setup_flags);
        REFUSED
            .iter()
            .rfind(|(flag, _)| unknown.contains(*flag))
            .map(|(_, evidence)| needs(evidence))
    }

    /// Asks without looking at what is remembered. The errno is that of a ring without any flag.
    pub(crate) fn ask_kernel() -> Result<Self, Errno> {
        if !known(SetupFlags::empty())? {
            return Err(Errno::EINVAL);
        }
        let setup_flags = match Query::get() {
            Ok(kernel) => kernel.setup_flags(),
            Err(_) => known_by_trial(),
        };
        Ok(Self { setup_flags })
    }
}

/// Each flag with the evidence for its absence, oldest first.
const REFUSED: [(SetupFlags, &&str); 21] = [
    (
        SetupFlags::IOPOLL,
        &"io_uring_setup refuses IORING_SETUP_IOPOLL",
    ),
    (
        SetupFlags::SQPOLL,
        &"io_uring_setup refuses IORING_SETUP_SQPOLL",
    ),
    (
        SetupFlags::SQ_AFF,
        &"io_uring_setup refuses IORING_SETUP_SQ_AFF",
    ),
    (
        SetupFlags::CQSIZE,
        &"io_uring_setup refuses IORING_SETUP_CQSIZE",
    ),
    (
        SetupFlags::CLAMP,
        &"io_uring_setup refuses IORING_SETUP_CLAMP",
    ),
    (
        SetupFlags::ATTACH_WQ,
        &"io_uring_setup refuses IORING_SETUP_ATTACH_WQ",
    ),
    (
        SetupFlags::R_DISABLED,
        &"io_uring_setup refuses IORING_SETUP_R_DISABLED",
    ),
    (
        SetupFlags::SUBMIT_ALL,
        &"io_uring_setup refuses IORING_SETUP_SUBMIT_ALL",
    ),
    (
        SetupFlags::COOP_TASKRUN,
        &"io_uring_setup refuses IORING_SETUP_COOP_TASKRUN",
    ),
    (
        SetupFlags::TASKRUN_FLAG,
        &"io_uring_setup refuses IORING_SETUP_TASKRUN_FLAG",
    ),
    (
        SetupFlags::SQE128,
        &"io_uring_setup refuses IORING_SETUP_SQE128",
    ),
    (
        SetupFlags::CQE32,
        &"io_uring_setup refuses IORING_SETUP_CQE32",
    ),
    (
        SetupFlags::SINGLE_ISSUER,
        &"io_uring_setup refuses IORING_SETUP_SINGLE_ISSUER",
    ),
    (
        SetupFlags::DEFER_TASKRUN,
        &"io_uring_setup refuses IORING_SETUP_DEFER_TASKRUN",
    ),
    (
        SetupFlags::NO_MMAP,
        &"io_uring_setup refuses IORING_SETUP_NO_MMAP",
    ),
    (
        SetupFlags::REGISTERED_FD_ONLY,
        &"io_uring_setup refuses IORING_SETUP_REGISTERED_FD_ONLY",
    ),
    (
        SetupFlags::NO_SQARRAY,
        &"io_uring_setup refuses IORING_SETUP_NO_SQARRAY",
    ),
    (
        SetupFlags::HYBRID_IOPOLL,
        &"io_uring_setup refuses IORING_SETUP_HYBRID_IOPOLL",
    ),
    (
        SetupFlags::CQE_MIXED,
        &"io_uring_setup refuses IORING_SETUP_CQE_MIXED",
    ),
    (
        SetupFlags::SQE_MIXED,
        &"io_uring_setup refuses IORING_SETUP_SQE_MIXED",
    ),
    (
        SetupFlags::SQ_REWIND,
        &"io_uring_setup refuses IORING_SETUP_SQ_REWIND",
    ),
];

fn named() -> impl Iterator<Item = SetupFlags> {
    REFUSED.iter().map(|(flag, _)| *flag)
}

const ATTACH_WQ_REFUSED: Hint =
    Hint::needs_linux(5, 6, &"io_uring_setup refuses IORING_SETUP_ATTACH_WQ");

fn needs(evidence: &'static &'static str) -> Hint {
    let since = evidence.rsplit(' ').next().and_then(sys::since);
    let (major, minor) = since.unwrap_or_default();
    Hint::needs_linux(major, minor, evidence)
}

fn known_by_trial() -> SetupFlags {
    // A refusal by EPERM comes behind the check of the flags too: a ring without any was not refused so.
    named().filter(|&flag| known(flag) != Ok(false)).collect()
}

/// Both kinds of mixed queues need two.
const TRIAL_ENTRIES: u32 = 2;

/// Parameters that no kernel makes a ring of: its workers would be those of the ring at descriptor -1.
fn trial_params(flags: SetupFlags) -> sys::io_uring_params {
    sys::io_uring_params {
        flags: (flags | partners(flags) | SetupFlags::ATTACH_WQ).bits(),
        cq_entries: if flags.contains(SetupFlags::CQSIZE) {
            2 * TRIAL_ENTRIES
        } else {
            0
        },
        wq_fd: u32::MAX,
        ..Default::default()
    }
}

/// The flags without which the kernel refuses this one.
fn partners(flag: SetupFlags) -> SetupFlags {
    match flag {
        SetupFlags::SQ_AFF => SetupFlags::SQPOLL,
        SetupFlags::TASKRUN_FLAG => SetupFlags::COOP_TASKRUN,
        SetupFlags::DEFER_TASKRUN => SetupFlags::SINGLE_ISSUER,
        SetupFlags::REGISTERED_FD_ONLY => SetupFlags::NO_MMAP,
        SetupFlags::HYBRID_IOPOLL => SetupFlags::IOPOLL,
        SetupFlags::SQ_REWIND => SetupFlags::NO_SQARRAY,
        _ => SetupFlags::empty(),
    }
}

/// What the kernel answers to a ring with these flags that cannot be made.
fn trial(flags: SetupFlags) -> Result<u32, Errno> {
    let mut params = trial_params(flags);
    // SAFETY: `params` is valid for reads and writes; the memory that NO_MMAP asks for is given as null, which the
    // kernel refuses.
    unsafe { sys::io_uring_setup(TRIAL_ENTRIES, &raw mut params) }
}

/// Whether the kernel gets past its check of the flags.
///
/// # Errors
///
/// The call itself is refused: EPERM, EACCES, ENOSYS.
fn known(flags: SetupFlags) -> Result<bool, Errno> {
    match trial(flags) {
        // Nothing behind the check of the flags and entries answers EINVAL to these parameters.
        Err(Errno::EINVAL) => Ok(false),
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => Err(errno),
        // ENXIO or EBADF for the other ring, EFAULT for the memory, ENOMEM on the way there.
        Err(_) => Ok(true),
        Ok(fd) => {
            discard(flags, fd);
            Ok(true)
        }
    }
}

/// Closes the ring that something other than Linux has made in spite of everything.
fn discard(flags: SetupFlags, fd: u32) {
    if flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
        return;
    }
    if let Ok(fd) = RawFd::try_from(fd) {
        // SAFETY: io_uring_setup has just returned it, so nothing else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trial_makes_a_ring() {
        assert_eq!(trial(SetupFlags::empty()), Err(Errno::ENXIO));
        for flag in named() {
            let answer = trial(flag);
            assert!(
                matches!(answer, Err(Errno::ENXIO | Errno::EFAULT | Errno::EINVAL)),
                "{flag:?}: {answer:?}"
            );
        }
    }

    #[test]
    fn asking_leaves_no_descriptor() {
        std::thread::spawn(|| {
            // SAFETY: gives this thread a descriptor table of its own, which other tests do not change.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
            let open = || {
                let names = std::fs::read_dir("/proc/thread-self/fd").unwrap();
                names
                    .map(|name| name.unwrap().file_name())
                    .collect::<Vec<_>>()
            };
            let before = open();
            known_by_trial();
            Capabilities::ask_kernel().unwrap();
            assert_eq!(open(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn trial_tells_known_flags_from_unknown_ones() {
        assert_eq!(known(SetupFlags::IOPOLL), Ok(true));
        assert_eq!(known(SetupFlags::from_bits_retain(1 << 31)), Ok(false));
    }

    #[test]
    fn trial_agrees_with_the_query() {
        match Query::get() {
            Ok(kernel) => {
                let named: SetupFlags = named().collect();
                assert_eq!(known_by_trial(), kernel.setup_flags() & named);
            }
            Err(error) => assert!(error.is_unsupported(), "{error}"),
        }
    }

    #[test]
    fn remembers_what_the_kernel_said() {
        let asked = Capabilities::ask_kernel().unwrap();
        assert_eq!(Capabilities::get(), Ok(asked));
        assert_eq!(
            SETUP_FLAGS.load(Ordering::Relaxed),
            KNOWN | u64::from(asked.setup_flags.bits())
        );
        assert_eq!(Capabilities::get(), Ok(asked));
        assert!(asked.supports(SetupFlags::IOPOLL | SetupFlags::SQPOLL));
    }

    #[test]
    fn each_named_flag_has_evidence_and_a_version() {
        let nothing = Capabilities {
            setup_flags: SetupFlags::empty(),
        };
        for flag in named() {
            let Some(Hint::NeedsLinux {
                major,
                minor,
                evidence,
            }) = nothing.missing(flag)
            else {
                panic!("{flag:?}");
            };
            let (name, _) = flag.iter_names().next().unwrap();
            assert_eq!(
                evidence.as_str(),
                format!("io_uring_setup refuses IORING_SETUP_{name}")
            );
            assert_eq!(
                Some((major, minor)),
                sys::since(&format!("IORING_SETUP_{name}"))
            );
        }
    }

    #[test]
    fn flags_are_named_oldest_first() {
        let since = |evidence: &'static &'static str| match needs(evidence) {
            Hint::NeedsLinux { major, minor, .. } => (major, minor),
            other => panic!("{other:?}"),
        };
        assert!(REFUSED.is_sorted_by_key(|(_, evidence)| since(evidence)));
    }

    #[test]
    fn names_the_newest_missing_flag_alone() {
        let known = Capabilities {
            setup_flags: SetupFlags::NO_MMAP,
        };
        let wanted = SetupFlags::NO_MMAP | SetupFlags::NO_SQARRAY | SetupFlags::SQ_REWIND;
        let hint = Hint::needs_linux(7, 0, &"io_uring_setup refuses IORING_SETUP_SQ_REWIND");
        assert_eq!(known.missing(wanted), Some(hint));
        assert_eq!(known.missing(SetupFlags::NO_MMAP), None);
    }
}
