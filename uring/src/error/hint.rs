//! The evidence for why something failed, and what to do about it.

use core::fmt;

/// A fact that was observed, in words, such as "IORING_FEAT_REG_REG_RING is not set".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evidence(&'static &'static str);

impl Evidence {
    /// The thin reference keeps [`Error`](crate::Error) within 24 bytes.
    pub(crate) const fn new(text: &'static &'static str) -> Self {
        Self(text)
    }

    /// The words.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why something failed, as far as there is evidence for it.
///
/// A hint states what was observed on the failing path: a feature bit, a trial call, a file under `/proc`, a
/// resource limit, or the library's own books. It is never derived from the kernel's version number, and where
/// nothing was observed there is no hint.
///
/// [`Display`](fmt::Display) says the cause, and after a semicolon what to do about it, if something can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// The kernel lacks something that mainline Linux has since this version.
    NeedsLinux {
        /// Mainline's major version.
        major: u8,
        /// Mainline's minor version.
        minor: u8,
        /// What showed that it is missing.
        evidence: Evidence,
    },
    /// The kernel was built without io_uring: `ENOSYS`, and no seccomp filter is active.
    NotBuilt,
    /// The kernel was built without something that this rests on.
    NotConfigured(Evidence),
    /// `kernel.io_uring_disabled` forbids this process to make rings.
    DisabledBySysctl {
        /// The value: 1 allows `CAP_SYS_ADMIN` and the members of a group, 2 nobody.
        value: u8,
        /// `kernel.io_uring_group`, where one is set.
        group: Option<u32>,
    },
    /// A seccomp filter is active in the calling thread.
    SeccompFilter,
    /// `EPERM` or `EACCES`, though neither the sysctl nor a seccomp filter is in force.
    SecurityPolicy,
    /// A submission thread was asked for without `CAP_SYS_ADMIN` and `CAP_SYS_NICE`.
    SubmissionThreadPrivilege,
    /// A queue of a network interface was asked for without `CAP_NET_ADMIN`.
    NetworkPrivilege,
    /// The thread may gain privileges, and has no `CAP_SYS_ADMIN`, so it may not restrict itself.
    MayGainPrivileges,
    /// The restrictions of the ring or of the task do not allow it.
    Restricted,
    /// All 16 ring slots of the thread are taken.
    SlotsTaken,
    /// Memory is limited by `RLIMIT_MEMLOCK`, and the thread has no `CAP_IPC_LOCK`.
    Memlock {
        /// The soft limit in bytes.
        limit: u64,
    },
    /// Descriptors are limited by `RLIMIT_NOFILE`.
    DescriptorLimit {
        /// The soft limit, in descriptors.
        limit: u64,
    },
    /// The ring's descriptor is not open any more, though the ring did not close it.
    DescriptorClosed,
    /// The ring's descriptor number names something else now.
    DescriptorReplaced,
    /// The ring's index names no ring in the calling thread.
    SlotEmpty,
    /// The operation needs a descriptor, and the ring has none.
    NeedsDescriptor,
    /// The ring belongs to the parent process.
    Forked,
    /// The ring is used while its thread exits.
    ThreadExiting,
    /// The thread's ring is in use already, further up the call stack.
    Nested,
    /// The memory of the queues was discarded or replaced behind the ring's back.
    RingMemoryLost,
    /// The ring accepts calls from one thread only, and this is another.
    SingleIssuer,
    /// The ring was made disabled, and has not been enabled yet.
    NotEnabled,
    /// The ring's submission thread is gone.
    SubmissionThreadDied,
    /// The submission queue has no room.
    QueueFull,
    /// A queue of buffers to be sent has no room.
    SendQueueFull,
    /// Every slot for an operation in flight is taken.
    NoSlot,
    /// A zero-copy send would wait behind a drain, for ever on some kernels.
    BehindDrain,
    /// A drain on a ring that has had a zero-copy send would never start on some kernels.
    DrainAfterZeroCopy,
    /// A drain on a ring whose multishot operation may have found no room for a completion, or in a scope may yet find none, would never start on this
    /// kernel, nor would what is behind it.
    DrainAfterStop,
    /// Completions that found no room in their queue wait in the kernel.
    CompletionsWaiting,
    /// The kernel could not allocate requests for the entries.
    OutOfRequests,
    /// A signal arrived during the call.
    Interrupted,
    /// What was asked for contradicts itself.
    Contradiction(Evidence),
    /// The kernel does not make queues of this size.
    EntryCount {
        /// The number of entries that was asked for.
        asked: u32,
    },
    /// The token, the direct descriptor or the personality belongs to another ring, or the personality was dropped.
    WrongRing,
    /// Operations are in flight.
    StillInFlight,
    /// Somebody still has a part of what is to be taken away: a direct descriptor, a slot, a buffer.
    StillInUse,
    /// The ring's entries are too small for the operation.
    EntryTooLarge,
    /// No huge page was available.
    NoHugePages,
    /// The kernel wants the memory of the queues physically contiguous.
    ContiguousMemory,
}

impl Hint {
    /// [`Hint::NeedsLinux`] with its evidence.
    pub(crate) const fn needs_linux(major: u8, minor: u8, evidence: &'static &'static str) -> Self {
        Self::NeedsLinux {
            major,
            minor,
            evidence: Evidence::new(evidence),
        }
    }

    /// [`Hint::Contradiction`] with its explanation.
    pub(crate) const fn contradiction(explanation: &'static &'static str) -> Self {
        Self::Contradiction(Evidence::new(explanation))
    }

    /// [`Hint::NotConfigured`] with what is missing, and what showed it.
    pub(crate) const fn not_configured(evidence: &'static &'static str) -> Self {
        Self::NotConfigured(Evidence::new(evidence))
    }

    fn fmt_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NeedsLinux {
                major,
                minor,
                evidence,
            } => return write!(f, "needs Linux {major}.{minor} ({evidence})"),
            Self::NotBuilt => {
                "this kernel was built without io_uring (no seccomp filter is active in this thread)"
            }
            Self::NotConfigured(evidence) => {
                return write!(f, "this kernel was built without it ({evidence})");
            }
            Self::DisabledBySysctl { value, .. } => {
                return write!(
                    f,
                    "io_uring is disabled by kernel.io_uring_disabled={value}"
                );
            }
            Self::SeccompFilter => "a seccomp filter is active in this thread",
            Self::SecurityPolicy => {
                "refused by a security policy: neither kernel.io_uring_disabled nor a seccomp filter explains it"
            }
            Self::SubmissionThreadPrivilege => {
                "a submission thread was asked for by a thread without CAP_SYS_ADMIN and CAP_SYS_NICE"
            }
            Self::NetworkPrivilege => {
                "a queue of a network interface was asked for by a thread without CAP_NET_ADMIN"
            }
            Self::MayGainPrivileges => {
                "this thread has no CAP_SYS_ADMIN and may gain privileges, so it may not restrict itself"
            }
            Self::Restricted => "the restrictions of this ring or task do not allow it",
            Self::SlotsTaken => "all 16 ring slots of this thread are taken",
            Self::Memlock { limit } => {
                return write!(
                    f,
                    "this thread may lock {limit} bytes of memory (RLIMIT_MEMLOCK)"
                );
            }
            Self::DescriptorLimit { limit } => {
                return write!(
                    f,
                    "this process may have {limit} descriptors (RLIMIT_NOFILE)"
                );
            }
            Self::DescriptorClosed => {
                "the ring's descriptor is not open: something else in this process closed it"
            }
            Self::DescriptorReplaced => {
                "the ring's descriptor number no longer names this ring: something else in this process closed or replaced it"
            }
            Self::SlotEmpty => "the ring's index names no ring in this thread",
            Self::NeedsDescriptor => "this ring has no descriptor",
            Self::Forked => "this ring belongs to the parent process",
            Self::ThreadExiting => "this thread is exiting",
            Self::Nested => "the ring of this thread is in use already, further up the call stack",
            Self::RingMemoryLost => {
                "the memory of the queues was discarded or replaced behind the ring's back"
            }
            Self::SingleIssuer => {
                "this ring accepts calls only from the thread that made or enabled it"
            }
            Self::NotEnabled => "this ring is disabled",
            Self::SubmissionThreadDied => "the submission thread of this ring is gone",
            Self::QueueFull => "the submission queue is full",
            Self::SendQueueFull => "the queue of buffers to be sent is full",
            Self::NoSlot => "every slot for an operation in flight is taken",
            Self::DrainAfterStop => {
                "before Linux 6.16 a drain, and what is behind it, never starts once a multishot operation finds no room for a completion, as one of this ring may"
            }
            Self::DrainAfterZeroCopy => {
                "before Linux 6.16 a drain never starts on a ring that has had a zero-copy send"
            }
            Self::BehindDrain => {
                "Linux 6.16 and newer never run a zero-copy send that a drain may hold back, nor anything behind it"
            }
            Self::CompletionsWaiting => {
                "the completion queue overflowed, and completions wait in the kernel"
            }
            Self::OutOfRequests => "the kernel could not allocate requests for the entries",
            Self::Interrupted => "a signal arrived",
            Self::Contradiction(explanation) => explanation.as_str(),
            Self::EntryCount { asked } => return write!(f, "a queue of {asked} entries was asked for"),
            Self::WrongRing => "this token, direct descriptor or personality is not, or no longer, of this ring",
            Self::StillInFlight => "operations are in flight",
            Self::StillInUse => "direct descriptors, slots or buffers of it are still in somebody's hands",
            Self::EntryTooLarge => "the operation needs larger entries than this ring has",
            Self::NoHugePages => "no huge page is available",
            Self::ContiguousMemory => {
                "this kernel wants the memory of the queues physically contiguous"
            }
        })
    }

    const fn advice(&self) -> Option<&'static str> {
        Some(match *self {
            Self::DisabledBySysctl {
                value: 1,
                group: Some(_),
            } => {
                "ask the administrator to set it to 0, or to add this user to the group of kernel.io_uring_group"
            }
            Self::DisabledBySysctl { .. } => "ask the administrator to set it to 0",
            Self::SeccompFilter => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the filter (the container's seccomp profile)"
            }
            Self::SubmissionThreadPrivilege => {
                "give it CAP_SYS_NICE, or build the ring without a submission thread"
            }
            Self::NetworkPrivilege => "give it CAP_NET_ADMIN in the first user namespace",
            Self::MayGainPrivileges => "give up new privileges first: prctl(PR_SET_NO_NEW_PRIVS)",
            Self::Restricted => "allow it when the restrictions are registered",
            Self::SlotsTaken => "drop a ring of this thread, or keep the descriptor",
            Self::Memlock { .. } => "raise the limit, or ask for smaller queues or buffers",
            Self::DescriptorLimit { .. } => {
                "raise it, build the ring without a descriptor, or ask for a smaller table of direct descriptors"
            }
            Self::DescriptorClosed | Self::DescriptorReplaced => {
                "build a new ring; a ring without a descriptor cannot lose it"
            }
            Self::SlotEmpty => {
                "use the ring on the thread that registered it, and build a new one after exec"
            }
            Self::NeedsDescriptor => "use a ring that keeps its descriptor",
            Self::Forked => "build a ring in this process",
            Self::ThreadExiting => "use the ring before the thread's destructors run",
            Self::Nested => "finish that use first, or build another ring",
            Self::RingMemoryLost | Self::SubmissionThreadDied => "build a new ring",
            Self::SingleIssuer => "use it there",
            Self::NotEnabled => "enable it first",
            Self::QueueFull => "submit first",
            Self::SendQueueFull => "take what was sent first",
            Self::NoSlot => "take or detach results first",
            Self::DrainAfterZeroCopy => {
                "wait until nothing is in flight instead, or drain on another ring"
            }
            Self::DrainAfterStop => {
                "end multishot operations first, wait until nothing is in flight instead, or drain on another ring"
            }
            Self::BehindDrain => {
                "send with a copy, or on another ring; on older kernels it is enough that nothing is in flight"
            }
            Self::CompletionsWaiting => "reap completions, then submit again",
            Self::OutOfRequests => "wait for completions, then submit again",
            Self::Interrupted => "call again",
            Self::EntryCount { .. } => {
                "ask for 1 to 32768 submission entries and at most 65536 completion entries, or let the kernel clamp the number"
            }
            Self::StillInFlight => "wait for them or cancel them first",
            Self::StillInUse => "drop them, and end the operations that have them, first",
            Self::EntryTooLarge => "build the ring with 128-byte entries",
            Self::NoHugePages => {
                "reserve some (vm.nr_hugepages), or ask for smaller queues or ordinary memory"
            }
            Self::ContiguousMemory => "ask for queues that fit in one page, or reserve huge pages",
            Self::NeedsLinux { .. }
            | Self::NotBuilt
            | Self::NotConfigured(_)
            | Self::SecurityPolicy
            | Self::Contradiction(_)
            | Self::WrongRing => return None,
        })
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_cause(f)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
