use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::*;

/// A thread without capabilities, under no filter, where io_uring is allowed.
fn ordinary() -> Host {
    Host {
        disabled: Some(0),
        filtered: Some(false),
        capabilities: Some(0),
        groups: vec![1000],
        memlock: Some(8 << 20),
        descriptors: Some(1024),
        ..Host::default()
    }
}

fn root() -> Host {
    Host {
        capabilities: Some(u64::MAX),
        ..ordinary()
    }
}

const PLAIN: SetupFlags = SetupFlags::empty();

/// What setup's refusal is put down to, where the bare call is refused alike.
fn refused(errno: Errno, host: &Host) -> Option<Hint> {
    setup_refusal(errno, PLAIN, host, || Some(errno))
}

/// HAZARDS E1.
#[test]
fn sysctl_explains_eperm() {
    let off = Host {
        disabled: Some(2),
        ..root()
    };
    let hint = Hint::DisabledBySysctl {
        value: 2,
        group: None,
    };
    assert_eq!(refused(Errno::EPERM, &off), Some(hint));

    let group_only = Host {
        disabled: Some(1),
        group: Some(7),
        ..ordinary()
    };
    let hint = Hint::DisabledBySysctl {
        value: 1,
        group: Some(7),
    };
    assert_eq!(refused(Errno::EPERM, &group_only), Some(hint));
}

#[test]
fn sysctl_is_not_blamed_for_members_of_its_group_or_for_root() {
    let filtered = Host {
        filtered: Some(true),
        disabled: Some(1),
        group: Some(1000),
        ..ordinary()
    };
    assert_eq!(refused(Errno::EPERM, &filtered), Some(Hint::SeccompFilter));
    let filtered = Host {
        filtered: Some(true),
        disabled: Some(1),
        ..root()
    };
    assert_eq!(refused(Errno::EPERM, &filtered), Some(Hint::SeccompFilter));
}

#[test]
fn sysctl_explains_eperm_of_root_in_a_user_namespace() {
    let namespaced = Host {
        disabled: Some(1),
        ..root()
    };
    let hint = Hint::DisabledBySysctl {
        value: 1,
        group: None,
    };
    assert_eq!(refused(Errno::EPERM, &namespaced), Some(hint));
}

/// HAZARDS E2.
#[test]
fn filter_explains_each_errno_it_may_answer() {
    let filtered = Host {
        filtered: Some(true),
        ..ordinary()
    };
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EACCES] {
        assert_eq!(refused(errno, &filtered), Some(Hint::SeccompFilter));
        let hint = register_refusal(errno, &filtered, || Some(errno));
        assert_eq!(hint, Some(Hint::SeccompFilter));
        let hint = register_refusal(errno, &filtered, || Some(Errno::EINVAL));
        assert_eq!(hint, None, "the call as such is allowed");
    }
}

#[test]
fn without_a_filter_enosys_means_not_built_and_eperm_a_policy() {
    assert_eq!(refused(Errno::ENOSYS, &root()), Some(Hint::NotBuilt));
    assert_eq!(refused(Errno::EPERM, &root()), Some(Hint::SecurityPolicy));
    assert_eq!(refused(Errno::EACCES, &root()), Some(Hint::SecurityPolicy));
}

#[test]
fn nothing_is_claimed_without_proc() {
    // The limits come from a system call.
    let blind = Host {
        memlock: Some(0),
        ..Host::default()
    };
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::ENOMEM, Errno::EMFILE] {
        assert_eq!(refused(errno, &blind), None);
        assert_eq!(register_refusal(errno, &blind, || Some(errno)), None);
    }
}

#[test]
fn submission_thread_privilege_explains_eperm_of_that_flag_alone() {
    let allowed = || Some(Errno::EINVAL);
    let polling = SetupFlags::SQPOLL;
    let hint = setup_refusal(Errno::EPERM, polling, &ordinary(), allowed);
    assert_eq!(hint, Some(Hint::SubmissionThreadPrivilege));
    assert_eq!(setup_refusal(Errno::EPERM, polling, &root(), allowed), None);
    assert_eq!(
        setup_refusal(Errno::EPERM, PLAIN, &ordinary(), allowed),
        None
    );
}

/// HAZARDS E4 and H28.
#[test]
fn limits_explain_enomem_and_emfile() {
    let memlock = Hint::Memlock { limit: 8 << 20 };
    assert_eq!(refused(Errno::ENOMEM, &ordinary()), Some(memlock));
    assert_eq!(
        refused(Errno::ENOMEM, &root()),
        None,
        "root may lock what it wants"
    );
    let unlimited = Host {
        memlock: None,
        ..ordinary()
    };
    assert_eq!(refused(Errno::ENOMEM, &unlimited), None);
    let descriptors = Hint::DescriptorLimit { limit: 1024 };
    assert_eq!(refused(Errno::EMFILE, &ordinary()), Some(descriptors));
}

#[test]
fn status_lines_are_read() {
    let mut host = Host::default();
    host.read_status(
        "Name:\tServer: one\nGid:\t1\t2\t3\t4\nGroups:\t24 25 \nCapEff:\t0000000000004000\nSeccomp:\t2\nSeccomp_filters:\t1\n",
    );
    let expected = Host {
        filtered: Some(true),
        capabilities: Some(0x4000),
        groups: vec![4, 24, 25],
        ..Host::default()
    };
    assert_eq!(host, expected);
    host.read_status("Seccomp:\t0\nCapEff:\tnonsense\nno colon\n");
    assert_eq!((host.filtered, host.capabilities), (Some(false), None));
}

#[test]
fn status_of_this_thread_is_complete() {
    let host = Host::observe();
    assert!(
        host.filtered.is_some() && host.capabilities.is_some(),
        "{host:?}"
    );
    assert!(!host.groups.is_empty(), "{host:?}");
}

#[test]
fn number_of_entries_explains_einval() {
    let params = |flags: SetupFlags, cq_entries| sys::io_uring_params {
        flags: flags.bits(),
        cq_entries,
        ..Default::default()
    };
    let hint = |entries, flags, cq_entries| {
        setup_failed(Errno::EINVAL, entries, &params(flags, cq_entries)).hint()
    };
    let count = |asked| Some(Hint::EntryCount { asked });
    assert_eq!(hint(0, PLAIN, 0), count(0));
    assert_eq!(hint(0, SetupFlags::CLAMP, 0), count(0));
    assert_eq!(hint(32769, PLAIN, 0), count(32769));
    assert_eq!(hint(32769, SetupFlags::CLAMP, 0), None);
    assert_eq!(hint(8, SetupFlags::CQSIZE, 0), count(0));
    assert_eq!(hint(8, SetupFlags::CQSIZE, 65537), count(65537));
    assert_eq!(hint(8, SetupFlags::CQSIZE, 65536), None);
}

/// HAZARDS E3: what is missing is found by asking for it, whatever the version says.
#[test]
fn unknown_flag_explains_einval() {
    let kernel = Capabilities::get().unwrap();
    for (name, flag) in SetupFlags::all().iter_names() {
        let params = sys::io_uring_params {
            flags: flag.bits(),
            cq_entries: 8,
            ..Default::default()
        };
        let error = setup_failed(Errno::EINVAL, 8, &params);
        assert_eq!(error.is_unsupported(), !kernel.supports(flag), "{name}");
        assert_eq!(
            error.to_string().contains(name),
            !kernel.supports(flag),
            "{error}"
        );
    }
}

/// HAZARDS H16.
#[test]
fn slots_explain_ebusy_only_where_one_was_asked_for() {
    let mut params = sys::io_uring_params::default();
    let error = setup_failed(Errno::EBUSY, 8, &params);
    assert_eq!(error.hint(), None);
    params.flags = sys::IORING_SETUP_NO_MMAP | sys::IORING_SETUP_REGISTERED_FD_ONLY;
    let error = setup_failed(Errno::EBUSY, 8, &params);
    assert!(error.is_slots_taken());
}

#[test]
fn enter_errors_are_told_apart() {
    let name = Name::descriptor(RawFd::MAX);
    let hint = |errno| enter_failed(name, errno).hint();
    assert_eq!(hint(Errno::EINTR), Some(Hint::Interrupted));
    assert_eq!(hint(Errno::EBUSY), Some(Hint::CompletionsWaiting));
    assert_eq!(hint(Errno::EAGAIN), Some(Hint::OutOfRequests));
    assert_eq!(hint(Errno::EEXIST), Some(Hint::SingleIssuer));
    assert_eq!(hint(Errno::EBADFD), Some(Hint::NotEnabled));
    assert_eq!(hint(Errno::EOWNERDEAD), Some(Hint::SubmissionThreadDied));
    assert_eq!(hint(Errno::EBADF), Some(Hint::DescriptorClosed));
    assert_eq!(hint(Errno::ETIME), None);
}

/// HAZARDS H5 and H23: the errnos of a lost descriptor are also those of a bad argument.
#[test]
fn descriptor_that_names_something_else_is_told_from_a_closed_one() {
    let file = File::open("/dev/null").unwrap();
    let other = Name::descriptor(file.as_raw_fd());
    let closed = Name::descriptor(RawFd::MAX);
    for opcode in [sys::IORING_REGISTER_RING_FDS, sys::IORING_REGISTER_FILES] {
        let replaced = register_failed(other, opcode, Errno::EOPNOTSUPP);
        assert_eq!(replaced.hint(), Some(Hint::DescriptorReplaced));
        let gone = register_failed(closed, opcode, Errno::EBADF);
        assert_eq!(gone.hint(), Some(Hint::DescriptorClosed));
    }
    let replaced = enter_failed(other, Errno::EOPNOTSUPP);
    assert_eq!(replaced.hint(), Some(Hint::DescriptorReplaced));
}

/// HAZARDS H2.
#[test]
fn index_without_a_ring_is_an_empty_slot() {
    // A thread of its own has an empty table, whatever other tests register.
    std::thread::spawn(|| {
        let name = Name::index(3);
        for errno in [Errno::EBADF, Errno::EINVAL] {
            assert_eq!(enter_failed(name, errno).hint(), Some(Hint::SlotEmpty));
            let register = register_failed(name, sys::IORING_REGISTER_FILES, errno);
            assert_eq!(register.hint(), Some(Hint::SlotEmpty));
            assert!(register.is_wrong_thread());
        }
    })
    .join()
    .unwrap();
}

/// A ring, as bare as can be.
fn ring(flags: u32) -> Result<OwnedFd, Errno> {
    let mut params = sys::io_uring_params {
        flags,
        ..Default::default()
    };
    // SAFETY: `params` is valid for reads and writes and names no memory.
    let fd = unsafe { sys::io_uring_setup(2, &raw mut params) }?;
    // SAFETY: the kernel has just made the descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap()) })
}

#[test]
fn arguments_at_fault_are_not_blamed_on_a_ring_that_is_there() {
    let ring = ring(0).unwrap();
    let name = Name::descriptor(ring.as_raw_fd());
    for errno in [
        Errno::EBADF,
        Errno::EINVAL,
        Errno::EEXIST,
        Errno::EOPNOTSUPP,
    ] {
        assert_eq!(
            register_failed(name, sys::IORING_REGISTER_FILES, errno).hint(),
            None
        );
    }
    for errno in [Errno::EBADF, Errno::EINVAL] {
        assert_eq!(enter_failed(name, errno).hint(), None);
    }
}

/// HAZARDS H10: the other meaning, something is registered already, keeps its bare errno.
#[test]
fn eexist_of_another_threads_ring_is_single_issuer() {
    let ring = match ring(sys::IORING_SETUP_SINGLE_ISSUER) {
        Ok(ring) => ring,
        Err(errno) => {
            let kernel = Capabilities::get().unwrap();
            assert!(!kernel.supports(SetupFlags::SINGLE_ISSUER), "{errno}");
            return;
        }
    };
    let name = Name::descriptor(ring.as_raw_fd());
    std::thread::spawn(move || {
        let error = register_ring_fd_failed(name, Errno::EEXIST);
        assert_eq!(error.hint(), Some(Hint::SingleIssuer));
        assert!(error.is_wrong_thread());
    })
    .join()
    .unwrap();
}

#[test]
fn register_errors_are_told_apart() {
    let ring = ring(0).unwrap();
    let name = Name::descriptor(ring.as_raw_fd());
    assert!(register_ring_fd_failed(name, Errno::EBUSY).is_slots_taken());
    let restricted = register_failed(name, sys::IORING_REGISTER_FILES, Errno::EACCES);
    assert_eq!(restricted.hint(), Some(Hint::Restricted));
    let own_rules = register_failed(name, sys::IORING_REGISTER_ZCRX_IFQ, Errno::EPERM);
    assert_eq!(own_rules.hint(), None);
    let table = register_failed(name, sys::IORING_REGISTER_FILES2, Errno::EMFILE);
    assert!(matches!(table.hint(), Some(Hint::DescriptorLimit { .. })));
}

/// What the kernel knows it refuses for what it was given, and is not called too old for that.
#[test]
fn einval_of_a_known_call_is_not_blamed_on_the_kernel() {
    let ring = ring(0).unwrap();
    let name = Name::descriptor(ring.as_raw_fd());
    for opcode in [
        sys::IORING_REGISTER_FILES2,
        sys::IORING_REGISTER_FILES_UPDATE2,
        sys::IORING_REGISTER_BUFFERS2,
        sys::IORING_REGISTER_BUFFERS_UPDATE,
        sys::IORING_REGISTER_FILE_ALLOC_RANGE,
        sys::IORING_REGISTER_CLONE_BUFFERS,
    ] {
        let since = sys::since(crate::register_opcode_name(opcode).unwrap()).unwrap();
        let known = crate::Query::get().is_ok_and(|query| query.register_opcodes() > opcode);
        let hint = register_failed(name, opcode, Errno::EINVAL).hint();
        match hint {
            None => {}
            Some(Hint::NeedsLinux { major, minor, .. }) => {
                assert!(!known, "{opcode}: {hint:?}");
                assert_eq!((major, minor), since, "{opcode}");
            }
            other => panic!("{opcode}: {other:?}"),
        }
    }
}

/// The kernel's answer to registering the ring is taken for its age only where the opcode is unknown as such.
#[test]
fn einval_of_ring_registration_is_tried_before_it_is_blamed_on_the_kernel() {
    let ring = ring(0).unwrap();
    let name = Name::descriptor(ring.as_raw_fd());
    let error = register_ring_fd_failed(name, Errno::EINVAL);
    // SAFETY: the kernel cannot read the argument, so it registers nothing.
    let known = unsafe {
        sys::io_uring_register(
            ring.as_raw_fd(),
            sys::IORING_REGISTER_RING_FDS,
            ptr::null_mut(),
            1,
        )
    };
    match known {
        Err(Errno::EFAULT) => assert_eq!(error.hint(), None),
        other => {
            assert_eq!(other, Err(Errno::EINVAL));
            assert_eq!(error.hint(), Some(NO_RING_FDS));
        }
    }
}

/// Runs `test` in a thread whose seccomp filter answers `errno` to one system call.
fn filtered(call: libc::c_long, errno: Errno, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        install_filter(
            u32::try_from(call).unwrap(),
            u32::try_from(errno.raw()).unwrap(),
        );
        test();
    });
    thread.join().unwrap();
}

fn install_filter(call: u32, errno: u32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let mut steps = [
        // The number of the system call is the first word of `seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap(),
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: an attribute of this thread, without pointers.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(privileges, 0);
    // SAFETY: `program` and the steps that it points to are read during the call.
    let installed = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(installed, 0);
}

/// HAZARDS E2, with a real filter.
#[test]
fn filter_of_setup_is_found() {
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        filtered(libc::SYS_io_uring_setup, errno, move || {
            let mut params = sys::io_uring_params::default();
            // SAFETY: `params` is valid for reads and writes and names no memory.
            let answer = unsafe { sys::io_uring_setup(8, &raw mut params) };
            assert_eq!(answer, Err(errno));
            let error = setup_failed(errno, 8, &params);
            assert_eq!(error.hint(), Some(Hint::SeccompFilter));
            assert!(error.is_blocked() && !error.is_unsupported());
            assert_eq!(Capabilities::ask_kernel(), Err(errno));
        });
    }
}

/// HAZARDS E2: some profiles allow setup and block register.
#[test]
fn filter_of_register_is_found() {
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        let ring = ring(0).unwrap();
        filtered(libc::SYS_io_uring_register, errno, move || {
            let name = Name::descriptor(ring.as_raw_fd());
            let error = register_ring_fd_failed(name, errno);
            assert_eq!(error.hint(), Some(Hint::SeccompFilter));
            let query = crate::query::Query::get().unwrap_err();
            assert_eq!(query.hint(), Some(Hint::SeccompFilter));
            let enter = enter_failed(name, errno);
            assert_eq!(enter.hint(), None, "enter is not filtered");
        });
    }
}

/// HAZARDS E2: the flags of setup are found out although register is blocked.
#[test]
fn capabilities_do_not_need_register() {
    let asked = Capabilities::ask_kernel().unwrap();
    filtered(libc::SYS_io_uring_register, Errno::EPERM, move || {
        let named = asked.setup_flags() & SetupFlags::from_bits_retain((1 << 21) - 1);
        assert_eq!(Capabilities::ask_kernel().unwrap().setup_flags(), named);
    });
}

#[test]
fn filter_of_enter_is_found() {
    let ring = ring(0).unwrap();
    filtered(libc::SYS_io_uring_enter, Errno::EPERM, move || {
        let error = enter_failed(Name::descriptor(ring.as_raw_fd()), Errno::EPERM);
        assert_eq!(error.hint(), Some(Hint::SeccompFilter));
    });
}
