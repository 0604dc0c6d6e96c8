//! Whether io_uring can be used here at all, asked once before any test.

use std::fs;

use uring_sys::{Errno, io_uring_params};

use crate::{kernel::Lane, sys};

/// Makes and closes one ring, and reads what the checks after each test read.
///
/// # Errors
///
/// One sentence that names the cause. Permission is part of the machine under test: it fails the suite and is
/// never a reason to skip.
pub fn preflight(lane: &Lane) -> Result<(), String> {
    if !lane.is_running() {
        return Err(format!(
            "the lane declares Linux {} but {} is running",
            lane.kernel, lane.release
        ));
    }
    crate::FdTable::now().map_err(|error| format!("/proc/self/fd: {error}; is /proc mounted?"))?;
    crate::leak::ring_mappings()
        .map_err(|error| format!("/proc/self/maps: {error}; is /proc mounted?"))?;
    let mut params = io_uring_params::default();
    match sys::setup(1, &mut params) {
        Ok(fd) => {
            let fd = i32::try_from(fd).expect("a descriptor is a small number");
            // SAFETY: the descriptor was just made and is known to nobody else.
            unsafe { libc::close(fd) };
            Ok(())
        }
        Err(errno) => Err(format!(
            "io_uring cannot be used: io_uring_setup: {errno}{}",
            cause(errno, io_uring_disabled(), seccomp_mode())
        )),
    }
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

fn cause(errno: Errno, disabled: Option<u8>, seccomp: Option<u8>) -> String {
    match (errno, disabled, seccomp) {
        (Errno::EPERM, Some(value @ 1..), _) => {
            format!(": it is disabled by kernel.io_uring_disabled={value}")
        }
        (Errno::EPERM | Errno::ENOSYS, _, Some(2)) => {
            ": a seccomp filter is active, as in a container whose profile forbids it".to_owned()
        }
        (Errno::ENOSYS, _, _) => ": this kernel is built without CONFIG_IO_URING".to_owned(),
        (Errno::ENOMEM, _, _) => ": raise RLIMIT_MEMLOCK (ulimit -l)".to_owned(),
        (Errno::EMFILE, _, _) => ": raise RLIMIT_NOFILE (ulimit -n)".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let cause = cause(errno, disabled, seccomp);
            assert!(cause.contains(words), "{errno}: {cause}");
        }
    }

    #[test]
    fn an_errno_without_evidence_gets_no_cause() {
        assert_eq!(cause(Errno::EPERM, Some(0), Some(0)), "");
        assert_eq!(cause(Errno::EINVAL, Some(2), Some(2)), "");
    }

    #[test]
    fn a_kernel_other_than_the_declared_one_is_refused() {
        let lane = Lane {
            kernel: crate::KernelVersion::new(4, 2),
            kind: crate::LaneKind::Mainline,
            release: "6.18.44".to_owned(),
            backports: Vec::new(),
            facilities: None,
        };
        let refusal = preflight(&lane).unwrap_err();
        assert!(
            refusal.contains("4.2") && refusal.contains("6.18.44"),
            "{refusal}"
        );
    }
}
