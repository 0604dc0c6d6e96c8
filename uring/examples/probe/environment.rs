//! The kernel's name, its policies and its limits.

use std::ffi::{CStr, c_char};
use std::fs;
use std::mem::MaybeUninit;

use serde::Serialize;
use uring::{Builder, Ring};

/// As `uname` tells.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) machine: String,
}

impl Kernel {
    pub(crate) fn running() -> Kernel {
        let mut names = MaybeUninit::<libc::utsname>::uninit();
        // SAFETY: room for what the call writes.
        if unsafe { libc::uname(names.as_mut_ptr()) } != 0 {
            return Kernel::default();
        }
        // SAFETY: the call has succeeded and filled all of it.
        let names = unsafe { names.assume_init() };
        Kernel {
            release: text(&names.release),
            machine: text(&names.machine),
        }
    }
}

fn text(field: &[c_char]) -> String {
    // SAFETY: the kernel ends each field with a zero byte, within the field.
    let text = unsafe { CStr::from_ptr(field.as_ptr()) };
    text.to_string_lossy().into_owned()
}

/// What can forbid rings.
#[derive(Debug, Serialize)]
pub(crate) struct Policy {
    /// `kernel.io_uring_disabled`, since Linux 6.6: 0 everybody, 1 the privileged and a group, 2 nobody.
    pub(crate) io_uring_disabled: Option<i64>,
    /// `kernel.io_uring_group`; -1 is none.
    pub(crate) io_uring_group: Option<i64>,
    /// This thread's mode: 0 no filter, 1 strict, 2 filters.
    pub(crate) seccomp: Option<i64>,
}

impl Policy {
    pub(crate) fn in_force() -> Policy {
        let number = |path| fs::read_to_string(path).ok()?.trim().parse().ok();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let seccomp = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        Policy {
            io_uring_disabled: number("/proc/sys/kernel/io_uring_disabled"),
            io_uring_group: number("/proc/sys/kernel/io_uring_group"),
            seccomp: seccomp.and_then(|mode| mode.trim().parse().ok()),
        }
    }
}

/// How much of everything there is.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    /// Rings that this thread could still register.
    pub(crate) free_ring_slots: Option<usize>,
    /// What the kernel clamps a queue to that is asked too large.
    pub(crate) entries: Option<u32>,
    pub(crate) completion_entries: Option<u32>,
    /// `RLIMIT_MEMLOCK` in bytes.
    pub(crate) memlock: Limit,
    /// `RLIMIT_NOFILE`: descriptors, and the size of a table of direct descriptors.
    pub(crate) nofile: Limit,
}

/// A resource limit; `None` is unlimited.
#[derive(Debug, Serialize)]
pub(crate) struct Limit {
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

impl Limits {
    pub(crate) fn in_force() -> Limits {
        let largest = Builder::new(1 << 20)
            .completion_entries(1 << 21)
            .clamp(true)
            .build()
            .ok();
        Limits {
            free_ring_slots: free_ring_slots(),
            entries: largest.as_ref().map(|ring| ring.setup().entries()),
            completion_entries: largest.map(|ring| ring.setup().completion_entries()),
            memlock: Limit::of(libc::RLIMIT_MEMLOCK),
            nofile: Limit::of(libc::RLIMIT_NOFILE),
        }
    }
}

impl Limit {
    fn of(resource: libc::__rlimit_resource_t) -> Limit {
        let mut limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: room for what the call writes. It fails for no resource that exists.
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        let finite = |value| (value != libc::RLIM_INFINITY).then_some(value);
        Limit {
            soft: finite(limit.rlim_cur),
            hard: finite(limit.rlim_max),
        }
    }
}

/// Registers rings until there is no slot.
fn free_ring_slots() -> Option<usize> {
    let mut rings: Vec<Ring<uring::Registered>> = Vec::new();
    loop {
        match Builder::new(1).build_registered() {
            Ok(ring) => rings.push(ring),
            Err(error) if error.is_slots_taken() => return Some(rings.len()),
            Err(_) => return None,
        }
    }
}
