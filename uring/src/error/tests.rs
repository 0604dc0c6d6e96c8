use std::collections::HashSet;
use std::mem::discriminant;

use uring_sys as sys;

use super::*;

fn needs_6_3() -> Hint {
    Hint::needs_linux(6, 3, &"IORING_FEAT_REG_REG_RING is not set")
}

/// Every hint beside its whole text.
fn texts() -> Vec<(Hint, &'static str)> {
    vec![
        (
            needs_6_3(),
            "needs Linux 6.3 (IORING_FEAT_REG_REG_RING is not set)",
        ),
        (
            Hint::NotBuilt,
            "this kernel was built without io_uring (no seccomp filter is active in this thread)",
        ),
        (
            Hint::not_configured(&"CONFIG_NET_RX_BUSY_POLL: it answers EOPNOTSUPP"),
            "this kernel was built without it (CONFIG_NET_RX_BUSY_POLL: it answers EOPNOTSUPP)",
        ),
        (
            Hint::DisabledBySysctl {
                value: 2,
                group: Some(7),
            },
            "io_uring is disabled by kernel.io_uring_disabled=2; ask the administrator to set it to 0",
        ),
        (
            Hint::SeccompFilter,
            "a seccomp filter is active in this thread; allow io_uring_setup, io_uring_enter and io_uring_register in \
             the filter (the container's seccomp profile)",
        ),
        (
            Hint::SecurityPolicy,
            "refused by a security policy: neither kernel.io_uring_disabled nor a seccomp filter explains it",
        ),
        (
            Hint::SubmissionThreadPrivilege,
            "a submission thread was asked for by a thread without CAP_SYS_ADMIN and CAP_SYS_NICE; give it \
             CAP_SYS_NICE, or build the ring without a submission thread",
        ),
        (
            Hint::NetworkPrivilege,
            "a queue of a network interface was asked for by a thread without CAP_NET_ADMIN; give it CAP_NET_ADMIN in \
             the first user namespace",
        ),
        (
            Hint::MayGainPrivileges,
            "this thread has no CAP_SYS_ADMIN and may gain privileges, so it may not restrict itself; give up new \
             privileges first: prctl(PR_SET_NO_NEW_PRIVS)",
        ),
        (
            Hint::Restricted,
            "the restrictions of this ring or task do not allow it; allow it when the restrictions are registered",
        ),
        (
            Hint::SlotsTaken,
            "all 16 ring slots of this thread are taken; drop a ring of this thread, or keep the descriptor",
        ),
        (
            Hint::Memlock { limit: 65536 },
            "this thread may lock 65536 bytes of memory (RLIMIT_MEMLOCK); raise the limit, or ask for smaller queues \
             or buffers",
        ),
        (
            Hint::DescriptorLimit { limit: 1024 },
            "this process may have 1024 descriptors (RLIMIT_NOFILE); raise it, build the ring without a descriptor, \
             or ask for a smaller table of direct descriptors",
        ),
        (
            Hint::DescriptorClosed,
            "the ring's descriptor is not open: something else in this process closed it; build a new ring; a ring \
             without a descriptor cannot lose it",
        ),
        (
            Hint::DescriptorReplaced,
            "the ring's descriptor number no longer names this ring: something else in this process closed or \
             replaced it; build a new ring; a ring without a descriptor cannot lose it",
        ),
        (
            Hint::SlotEmpty,
            "the ring's index names no ring in this thread; use the ring on the thread that registered it, and build \
             a new one after exec",
        ),
        (
            Hint::NeedsDescriptor,
            "this ring has no descriptor; use a ring that keeps its descriptor",
        ),
        (
            Hint::Forked,
            "this ring belongs to the parent process; build a ring in this process",
        ),
        (
            Hint::ThreadExiting,
            "this thread is exiting; use the ring before the thread's destructors run",
        ),
        (
            Hint::Nested,
            "the ring of this thread is in use already, further up the call stack; finish that use first, or build \
             another ring",
        ),
        (
            Hint::RingMemoryLost,
            "the memory of the queues was discarded or replaced behind the ring's back; build a new ring",
        ),
        (
            Hint::SingleIssuer,
            "this ring accepts calls only from the thread that made or enabled it; use it there",
        ),
        (Hint::NotEnabled, "this ring is disabled; enable it first"),
        (
            Hint::SubmissionThreadDied,
            "the submission thread of this ring is gone; build a new ring",
        ),
        (
            Hint::QueueFull,
            "the submission queue is full; submit first",
        ),
        (
            Hint::SendQueueFull,
            "the queue of buffers to be sent is full; take what was sent first",
        ),
        (
            Hint::NoSlot,
            "every slot for an operation in flight is taken; take or detach results first",
        ),
        (
            Hint::DrainAfterZeroCopy,
            "before Linux 6.16 a drain never starts on a ring that has had a zero-copy send; wait until nothing is in flight instead, or drain on another ring",
        ),
        (
            Hint::DrainAfterStop,
            "before Linux 6.16 a drain, and what is behind it, never starts once a multishot operation finds no room for a completion, as one of this ring may; end multishot operations first, wait until nothing is in flight instead, or drain on another ring",
        ),
        (
            Hint::BehindDrain,
            "Linux 6.16 and newer never run a zero-copy send that a drain may hold back, nor anything behind it; send with a copy, or on another ring; on older kernels it is enough that nothing is in flight",
        ),
        (
            Hint::CompletionsWaiting,
            "the completion queue overflowed, and completions wait in the kernel; reap completions, then submit again",
        ),
        (
            Hint::OutOfRequests,
            "the kernel could not allocate requests for the entries; wait for completions, then submit again",
        ),
        (Hint::Interrupted, "a signal arrived; call again"),
        (
            Hint::contradiction(&"deferred task work excludes a submission thread"),
            "deferred task work excludes a submission thread",
        ),
        (
            Hint::EntryCount { asked: 0 },
            "a queue of 0 entries was asked for; ask for 1 to 32768 submission entries and at most 65536 completion \
             entries, or let the kernel clamp the number",
        ),
        (
            Hint::WrongRing,
            "this token, direct descriptor or personality is not, or no longer, of this ring",
        ),
        (
            Hint::StillInFlight,
            "operations are in flight; wait for them or cancel them first",
        ),
        (
            Hint::StillInUse,
            "direct descriptors, slots or buffers of it are still in somebody's hands; drop them, and end the operations that \
             have them, first",
        ),
        (
            Hint::EntryTooLarge,
            "the operation needs larger entries than this ring has; build the ring with 128-byte entries",
        ),
        (
            Hint::NoHugePages,
            "no huge page is available; reserve some (vm.nr_hugepages), or ask for smaller queues or ordinary memory",
        ),
        (
            Hint::ContiguousMemory,
            "this kernel wants the memory of the queues physically contiguous; ask for queues that fit in one page, \
             or reserve huge pages",
        ),
    ]
}

fn with(call: Call, number: i32, hint: Hint) -> Error {
    Error::sys(call, Errno::from_raw(number)).with_hint(hint)
}

#[test]
fn each_hint_has_its_text() {
    let texts = texts();
    for (hint, text) in &texts {
        assert_eq!(hint.to_string(), *text, "{hint:?}");
    }
    let kinds: HashSet<_> = texts.iter().map(|(hint, _)| discriminant(hint)).collect();
    assert_eq!(kinds.len(), texts.len());
}

#[test]
fn sysctl_advice_follows_value_and_group() {
    let group = Hint::DisabledBySysctl {
        value: 1,
        group: Some(7),
    }
    .to_string();
    assert!(
        group.ends_with("set it to 0, or to add this user to the group of kernel.io_uring_group"),
        "{group}"
    );
    let nobody = Hint::DisabledBySysctl {
        value: 1,
        group: None,
    }
    .to_string();
    assert!(
        nobody.ends_with("=1; ask the administrator to set it to 0"),
        "{nobody}"
    );
}

#[test]
fn message_says_call_answer_cause_and_advice() {
    let disabled = Hint::DisabledBySysctl {
        value: 2,
        group: None,
    };
    assert_eq!(
        with(Call::Setup, libc::EPERM, disabled).to_string(),
        "io_uring_setup failed: EPERM (1): io_uring is disabled by kernel.io_uring_disabled=2; \
         ask the administrator to set it to 0"
    );
    assert_eq!(
        with(
            Call::register(sys::IORING_REGISTER_RING_FDS),
            libc::EBUSY,
            Hint::SlotsTaken
        )
        .to_string(),
        "io_uring_register(IORING_REGISTER_RING_FDS) failed: EBUSY (16): all 16 ring slots of this thread are taken; \
         drop a ring of this thread, or keep the descriptor"
    );
    assert_eq!(
        Error::refused(Call::Transition, needs_6_3()).to_string(),
        "changing how the ring is reached was refused: needs Linux 6.3 (IORING_FEAT_REG_REG_RING is not set)"
    );
    assert_eq!(
        Error::sys(Call::Enter, Errno::EINVAL).to_string(),
        "io_uring_enter failed: EINVAL (22)"
    );
}

#[test]
fn debug_form_can_be_read_by_people() {
    let error = Error::refused(Call::Push, Hint::QueueFull);
    assert_eq!(
        format!("{error:?}"),
        "Error(pushing an operation was refused: the submission queue is full; submit first)"
    );
}

#[test]
fn call_names_the_system_call_and_the_opcode() {
    let names = [
        (Call::Setup, "io_uring_setup"),
        (Call::Map, "mapping the memory of the queues"),
        (Call::Enter, "io_uring_enter"),
        (
            Call::Register(8),
            "io_uring_register(IORING_REGISTER_PROBE)",
        ),
        (Call::Register(999), "io_uring_register(opcode 999)"),
        (Call::Close, "closing the ring's descriptor"),
        (Call::Build, "building the ring"),
        (Call::Push, "pushing an operation"),
        (Call::Claim, "claiming the result of an operation"),
        (Call::Transition, "changing how the ring is reached"),
        (Call::PerThread, "using the ring of this thread"),
        (Call::Local, "using the ring of a `Local`"),
    ];
    for (call, name) in names {
        assert_eq!(call.to_string(), name);
    }
}

#[test]
fn register_call_drops_the_bit_for_indices() {
    let by_index = sys::IORING_REGISTER_PROBE | sys::IORING_REGISTER_USE_REGISTERED_RING;
    assert_eq!(Call::register(by_index), Call::Register(8));
    assert_eq!(Call::register(0x1_0008), Call::Register(u16::MAX));
}

#[test]
fn refusal_of_the_library_has_no_errno() {
    for (hint, _) in texts() {
        let error = Error::refused(Call::Build, hint);
        assert_eq!(error.errno(), None);
        assert_eq!(error.hint(), Some(hint));
        assert_eq!(error.call(), Call::Build);
    }
    assert_eq!(
        Error::sys(Call::Enter, Errno::ETIME).errno(),
        Some(libc::ETIME)
    );
}

/// For which hints a predicate holds, whatever the errno beside them.
fn true_for(predicate: fn(&Error) -> bool) -> Vec<Hint> {
    texts()
        .into_iter()
        .map(|(hint, _)| hint)
        .filter(|&hint| {
            let refused = predicate(&Error::refused(Call::Push, hint));
            let answered = predicate(&with(Call::Push, libc::EBADF, hint));
            assert_eq!(refused, answered, "{hint:?}");
            refused
        })
        .collect()
}

#[test]
fn predicates_hold_for_their_hints_alone() {
    assert_eq!(
        true_for(Error::is_unsupported),
        [
            needs_6_3(),
            Hint::NotBuilt,
            Hint::not_configured(&"CONFIG_NET_RX_BUSY_POLL: it answers EOPNOTSUPP"),
        ]
    );
    assert_eq!(
        true_for(Error::is_blocked),
        [
            Hint::DisabledBySysctl {
                value: 2,
                group: Some(7)
            },
            Hint::SeccompFilter,
            Hint::SecurityPolicy,
            Hint::SubmissionThreadPrivilege,
            Hint::NetworkPrivilege,
            Hint::MayGainPrivileges,
            Hint::Restricted,
        ]
    );
    assert_eq!(true_for(Error::is_restricted), [Hint::Restricted]);
    assert_eq!(true_for(Error::is_interrupted), [Hint::Interrupted]);
    assert_eq!(true_for(Error::is_timed_out), []);
    assert_eq!(
        true_for(Error::is_busy),
        [
            Hint::QueueFull,
            Hint::SendQueueFull,
            Hint::NoSlot,
            Hint::CompletionsWaiting,
            Hint::OutOfRequests
        ]
    );
    assert_eq!(true_for(Error::is_queue_full), [Hint::QueueFull]);
    assert_eq!(true_for(Error::is_out_of_slots), [Hint::NoSlot]);
    assert_eq!(
        true_for(Error::is_drain_conflict),
        [
            Hint::DrainAfterZeroCopy,
            Hint::DrainAfterStop,
            Hint::BehindDrain
        ]
    );
    assert_eq!(
        true_for(Error::is_completions_waiting),
        [Hint::CompletionsWaiting]
    );
    assert_eq!(true_for(Error::is_slots_taken), [Hint::SlotsTaken]);
    assert_eq!(true_for(Error::is_forked), [Hint::Forked]);
    assert_eq!(true_for(Error::is_wrong_ring), [Hint::WrongRing]);
    assert_eq!(
        true_for(Error::is_wrong_thread),
        [Hint::SlotEmpty, Hint::SingleIssuer]
    );
    assert_eq!(true_for(Error::is_in_flight), [Hint::StillInFlight]);
    assert_eq!(true_for(Error::is_in_use), [Hint::StillInUse]);
    assert_eq!(
        true_for(Error::is_ring_lost),
        [
            Hint::DescriptorClosed,
            Hint::DescriptorReplaced,
            Hint::RingMemoryLost,
            Hint::SubmissionThreadDied,
        ]
    );
    assert_eq!(
        true_for(Error::is_limited),
        [
            Hint::Memlock { limit: 65536 },
            Hint::DescriptorLimit { limit: 1024 },
            Hint::NoHugePages,
            Hint::ContiguousMemory,
        ]
    );
    assert_eq!(
        true_for(Error::is_invalid_request),
        [
            Hint::contradiction(&"deferred task work excludes a submission thread"),
            Hint::EntryCount { asked: 0 },
            Hint::EntryTooLarge,
        ]
    );
    assert_eq!(true_for(Error::is_nested), [Hint::Nested]);
}

#[test]
fn errno_decides_where_there_is_no_evidence() {
    let plain = |number| Error::sys(Call::Enter, Errno::from_raw(number));
    assert!(plain(libc::ENOSYS).is_unsupported());
    assert!(plain(libc::EPERM).is_blocked());
    assert!(plain(libc::EACCES).is_blocked());
    assert!(plain(libc::EINTR).is_interrupted());
    assert!(plain(libc::ETIME).is_timed_out());
    assert!(plain(libc::EBUSY).is_busy());
    assert!(plain(libc::EAGAIN).is_busy());
    assert!(plain(libc::ENOMEM).is_limited());
    assert!(plain(libc::EMFILE).is_limited());
    assert!(plain(libc::ENFILE).is_limited());
}

#[test]
fn evidence_overrides_the_errno() {
    let filtered = with(Call::Setup, libc::ENOSYS, Hint::SeccompFilter);
    assert!(filtered.is_blocked() && !filtered.is_unsupported());
    let slots = with(Call::register(20), libc::EBUSY, Hint::SlotsTaken);
    assert!(slots.is_slots_taken() && !slots.is_busy());
}

#[test]
fn io_error_keeps_text_kind_and_error() {
    let kinds = [
        (
            Error::refused(Call::Build, needs_6_3()),
            io::ErrorKind::Unsupported,
        ),
        (
            Error::refused(Call::Transition, Hint::NeedsDescriptor),
            io::ErrorKind::Unsupported,
        ),
        (
            with(Call::Setup, libc::ENOSYS, Hint::SeccompFilter),
            io::ErrorKind::PermissionDenied,
        ),
        (
            with(Call::Enter, libc::EINTR, Hint::Interrupted),
            io::ErrorKind::Interrupted,
        ),
        (
            Error::sys(Call::Enter, Errno::ETIME),
            io::ErrorKind::TimedOut,
        ),
        (
            Error::refused(Call::Push, Hint::QueueFull),
            io::ErrorKind::ResourceBusy,
        ),
        (
            with(Call::register(20), libc::EBUSY, Hint::SlotsTaken),
            io::ErrorKind::ResourceBusy,
        ),
        (
            Error::refused(Call::Transition, Hint::StillInFlight),
            io::ErrorKind::ResourceBusy,
        ),
        (
            Error::refused(Call::Claim, Hint::WrongRing),
            io::ErrorKind::InvalidInput,
        ),
        (
            Error::refused(Call::Build, Hint::EntryCount { asked: 0 }),
            io::ErrorKind::InvalidInput,
        ),
        (
            with(Call::Setup, libc::ENOMEM, Hint::Memlock { limit: 0 }),
            io::ErrorKind::OutOfMemory,
        ),
        (
            Error::sys(Call::Map, Errno::ENOMEM),
            io::ErrorKind::OutOfMemory,
        ),
        (
            Error::sys(Call::Enter, Errno::EINVAL),
            io::ErrorKind::InvalidInput,
        ),
        (
            Error::refused(Call::Enter, Hint::Forked),
            io::ErrorKind::Other,
        ),
    ];
    for (error, kind) in kinds {
        let converted = io::Error::from(error);
        assert_eq!(converted.kind(), kind, "{error}");
        assert_eq!(converted.to_string(), error.to_string());
        assert_eq!(converted.raw_os_error(), None);
        assert_eq!(converted.downcast::<Error>().unwrap(), error);
    }
}
