//! The questions that a program asks of an error.

use std::io;

use super::{Error, Hint};

impl Error {
    /// The kernel does not have it: it is older, or was built without it.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        match self.hint() {
            Some(Hint::NeedsLinux { .. } | Hint::NotBuilt | Hint::NotConfigured(_)) => true,
            Some(_) => false,
            None => self.errno() == Some(libc::ENOSYS),
        }
    }

    /// The kernel has it, and somebody has forbidden it: by sysctl, seccomp filter, restriction, missing privilege
    /// or another security policy.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        match self.hint() {
            Some(
                Hint::DisabledBySysctl { .. }
                | Hint::SeccompFilter
                | Hint::SecurityPolicy
                | Hint::SubmissionThreadPrivilege
                | Hint::NetworkPrivilege
                | Hint::MayGainPrivileges
                | Hint::Restricted,
            ) => true,
            Some(_) => false,
            None => matches!(self.errno(), Some(libc::EPERM | libc::EACCES)),
        }
    }

    /// The restrictions of the ring or of the thread do not allow it.
    ///
    /// What is said of calls; an operation that is not allowed completes with `EACCES`, and
    /// [`Ring::restrictions`](crate::Ring::restrictions) tells whether that may be why.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.hint() == Some(Hint::Restricted)
    }

    /// A signal ended the call early. Nothing is lost: call again.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.hint() == Some(Hint::Interrupted) || self.errno() == Some(libc::EINTR)
    }

    /// The time to wait for completions is over.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.errno() == Some(libc::ETIME)
    }

    /// There is no room at present, and reaping completions, submitting or taking results makes some.
    ///
    /// True for everything that [`is_queue_full`](Self::is_queue_full), [`is_out_of_slots`](Self::is_out_of_slots)
    /// and [`is_completions_waiting`](Self::is_completions_waiting) name, and where the kernel could not allocate
    /// requests.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self.hint() {
            Some(
                Hint::QueueFull
                | Hint::SendQueueFull
                | Hint::NoSlot
                | Hint::CompletionsWaiting
                | Hint::OutOfRequests,
            ) => true,
            Some(_) => false,
            None => matches!(self.errno(), Some(libc::EBUSY | libc::EAGAIN)),
        }
    }

    /// The submission queue has no room: submit first.
    #[must_use]
    pub fn is_queue_full(&self) -> bool {
        self.hint() == Some(Hint::QueueFull)
    }

    /// Every slot for an operation in flight is taken: take or detach results first.
    #[must_use]
    pub fn is_out_of_slots(&self) -> bool {
        self.hint() == Some(Hint::NoSlot)
    }

    /// A [drain](crate::Push::drain) and a zero-copy send would meet on one ring, or the kernel has lost count of what a drain waits for, or may have,
    /// or in a [scope](crate::Ring::scope) may yet do so.
    #[must_use]
    pub fn is_drain_conflict(&self) -> bool {
        matches!(
            self.hint(),
            Some(Hint::BehindDrain | Hint::DrainAfterZeroCopy | Hint::DrainAfterStop)
        )
    }

    /// The completion queue overflowed, and the kernel takes no entries before completions were reaped.
    #[must_use]
    pub fn is_completions_waiting(&self) -> bool {
        self.hint() == Some(Hint::CompletionsWaiting)
    }

    /// All 16 ring slots of the thread are taken, by this and other libraries.
    #[must_use]
    pub fn is_slots_taken(&self) -> bool {
        self.hint() == Some(Hint::SlotsTaken)
    }

    /// The ring belongs to the process that forked this one.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        self.hint() == Some(Hint::Forked)
    }

    /// The token, direct descriptor or personality belongs to another ring, or the personality was dropped.
    #[must_use]
    pub fn is_wrong_ring(&self) -> bool {
        self.hint() == Some(Hint::WrongRing)
    }

    /// The ring belongs to another thread.
    #[must_use]
    pub fn is_wrong_thread(&self) -> bool {
        matches!(self.hint(), Some(Hint::SingleIssuer | Hint::SlotEmpty))
    }

    /// Operations are in flight that must be waited for first.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.hint() == Some(Hint::StillInFlight)
    }

    /// Somebody, an operation perhaps, still has a part of what is to be taken away.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.hint() == Some(Hint::StillInUse)
    }

    /// The ring cannot be used any more: its descriptor, its memory or its submission thread is gone.
    #[must_use]
    pub fn is_ring_lost(&self) -> bool {
        matches!(
            self.hint(),
            Some(
                Hint::DescriptorClosed
                    | Hint::DescriptorReplaced
                    | Hint::RingMemoryLost
                    | Hint::SubmissionThreadDied
            )
        )
    }

    /// A resource limit of the process or the machine was met: locked memory, descriptors, huge pages, memory.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        match self.hint() {
            Some(
                Hint::Memlock { .. }
                | Hint::DescriptorLimit { .. }
                | Hint::NoHugePages
                | Hint::ContiguousMemory,
            ) => true,
            Some(_) => false,
            None => matches!(
                self.errno(),
                Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE)
            ),
        }
    }

    /// What was asked for is wrong on every kernel: it contradicts itself, is out of range, or does not fit the ring.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        matches!(
            self.hint(),
            Some(Hint::Contradiction(_) | Hint::EntryCount { .. } | Hint::EntryTooLarge)
        )
    }

    /// The thread's ring is in use further up the call stack.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.hint() == Some(Hint::Nested)
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        if self.is_unsupported() || self.hint() == Some(Hint::NeedsDescriptor) {
            io::ErrorKind::Unsupported
        } else if self.is_blocked() {
            io::ErrorKind::PermissionDenied
        } else if self.is_interrupted() {
            io::ErrorKind::Interrupted
        } else if self.is_timed_out() {
            io::ErrorKind::TimedOut
        } else if self.is_busy()
            || self.is_slots_taken()
            || self.is_in_flight()
            || self.is_in_use()
            || self.is_nested()
        {
            io::ErrorKind::ResourceBusy
        } else if self.is_invalid_request() || self.is_wrong_ring() {
            io::ErrorKind::InvalidInput
        } else if matches!(self.hint(), Some(Hint::Memlock { .. } | Hint::NoHugePages)) {
            io::ErrorKind::OutOfMemory
        } else {
            self.errno().map_or(io::ErrorKind::Other, |errno| {
                io::Error::from_raw_os_error(errno).kind()
            })
        }
    }
}
