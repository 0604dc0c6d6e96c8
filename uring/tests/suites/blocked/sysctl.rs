//! `kernel.io_uring_disabled`, as it looks to a process: a file that says so and a system call that is refused.
//!
//! The real one is the whole machine's. So its file is covered in a mount namespace of the test's own, and a filter refuses.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use uring::{Error, Hint};
use uring_testkit::files::TempDir;
use uring_testkit::process::{fork_and, install_filter};
use uring_testkit::{Context, Facility, Feature, HandleKind, Suite, TestResult};

use crate::common;

/// A user without privileges.
const NOBODY: u32 = 65534;

pub(crate) fn add_to(suite: &mut Suite) {
    let disabled = |value: u8, group: Option<u32>| Hint::DisabledBySysctl { value, group };
    for (name, value, group, privileged, hint) in [
        ("nobody_may", 2, None, true, disabled(2, None)),
        (
            "nobody_may_whatever_the_user",
            2,
            None,
            false,
            disabled(2, None),
        ),
        ("only_a_group_may", 1, Some(7), false, disabled(1, Some(7))),
        ("no_group_is_named", 1, None, false, disabled(1, None)),
        // The sysctl allows all of these, so it is not what refuses.
        ("root_may", 1, None, true, Hint::SeccompFilter),
        ("members_may", 1, Some(NOBODY), false, Hint::SeccompFilter),
        ("everybody_may", 0, None, false, Hint::SeccompFilter),
    ] {
        suite
            .test(format!("e1_{name}"), move |context| {
                disabled_by_sysctl(context, value, group, privileged, hint)
            })
            .on(HandleKind::ALL)
            .requires([Facility::PRIVILEGES])
            .needs([Feature::NO_SQARRAY])
            .no_refusal("the sysctl came with the same kernel, Linux 6.6");
    }
}

fn disabled_by_sysctl(
    context: &Context,
    value: u8,
    group: Option<u32>,
    privileged: bool,
    hint: Hint,
) -> TestResult {
    let dir = TempDir::new()?;
    let group_text = group.map_or("-1".to_owned(), |group| group.to_string());
    let write = |name: &str, text: &str| -> io::Result<_> {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{text}\n"))?;
        Ok(path)
    };
    let (disabled, group) = (
        write("disabled", &value.to_string())?,
        write("group", &group_text)?,
    );
    fork_and(|| {
        own_mount_namespace()?;
        cover("/proc/sys/kernel/io_uring_disabled", &disabled)?;
        cover("/proc/sys/kernel/io_uring_group", &group)?;
        if !privileged {
            become_nobody()?;
        }
        install_filter(&[(libc::SYS_io_uring_setup, libc::EPERM)])?;
        let error: Error = common::ring(context, 8).unwrap_err();
        assert_eq!(error.hint(), Some(hint), "{error}");
        assert_eq!(error.errno(), Some(libc::EPERM));
        assert!(error.is_blocked() && !error.is_unsupported());
        if hint != Hint::SeccompFilter {
            let cause = format!("kernel.io_uring_disabled={value}");
            assert!(error.to_string().contains(&cause), "{error}");
        }
        Ok(())
    })?
    .check()
}

/// Gives up all privileges. For forked children: it cannot be undone.
pub(crate) fn become_nobody() -> io::Result<()> {
    // SAFETY: attributes of this process; no groups are passed.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
            && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
    };
    checked(done)
}

fn own_mount_namespace() -> io::Result<()> {
    // SAFETY: a call without pointers to memory that it writes to.
    let alone = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    };
    checked(alone)
}

/// Lets another file be seen in the place of `path`.
fn cover(path: &str, with: &Path) -> io::Result<()> {
    let with = CString::new(with.as_os_str().as_bytes())?;
    let path = CString::new(path)?;
    // SAFETY: two strings that end in a zero byte; a bind mount reads neither type nor data.
    let covered = unsafe {
        libc::mount(
            with.as_ptr(),
            path.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        ) == 0
    };
    checked(covered)
}

fn checked(done: bool) -> io::Result<()> {
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
