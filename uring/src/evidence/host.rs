//! What the system says about this thread's permission to use io_uring.

use std::fs;

/// `CAP_IPC_LOCK`, `CAP_SYS_ADMIN`, `CAP_SYS_NICE`: bits of the capability sets (`linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_NICE: u32 = 23;

/// What was readable; everything is `None` where `/proc` is not mounted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// `kernel.io_uring_disabled`, since Linux 6.6.
    pub(super) disabled: Option<u8>,
    /// `kernel.io_uring_group`, where it is not -1.
    pub(super) group: Option<u32>,
    /// Whether a seccomp filter is active in this thread.
    pub(super) filtered: Option<bool>,
    /// The thread's effective capabilities.
    pub(super) capabilities: Option<u64>,
    /// The groups that count for permissions.
    pub(super) groups: Vec<u32>,
    /// The soft limit of locked memory in bytes, where there is one.
    pub(super) memlock: Option<u64>,
    /// The soft limit of descriptors.
    pub(super) descriptors: Option<u64>,
}

impl Host {
    pub(super) fn observe() -> Self {
        let sysctl = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok();
        let mut host = Self {
            disabled: sysctl("io_uring_disabled").and_then(|text| text.trim().parse().ok()),
            group: sysctl("io_uring_group").and_then(|text| text.trim().parse().ok()),
            memlock: soft_limit(libc::RLIMIT_MEMLOCK),
            descriptors: soft_limit(libc::RLIMIT_NOFILE),
            ..Self::default()
        };
        if let Ok(status) = fs::read_to_string("/proc/thread-self/status") {
            host.read_status(&status);
        }
        host
    }

    /// Takes in the lines of `/proc/thread-self/status`.
    pub(super) fn read_status(&mut self, status: &str) {
        for line in status.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            match key {
                "Seccomp" => self.filtered = value.trim().parse().ok().map(|mode: u8| mode == 2),
                "CapEff" => self.capabilities = u64::from_str_radix(value.trim(), 16).ok(),
                // The fourth is the one for file access, which the kernel compares.
                "Gid" => self.groups.extend(
                    value
                        .split_whitespace()
                        .nth(3)
                        .and_then(|gid| gid.parse::<u32>().ok()),
                ),
                "Groups" => self.groups.extend(
                    value
                        .split_whitespace()
                        .filter_map(|gid| gid.parse::<u32>().ok()),
                ),
                _ => {}
            }
        }
    }

    /// Whether the sysctl alone explains that this thread may make no ring.
    pub(super) fn disabled_by_sysctl(&self) -> bool {
        match self.disabled {
            None | Some(0) => false,
            Some(1) => {
                let member = self.group.is_some_and(|group| self.groups.contains(&group));
                !member && self.lacks(CAP_SYS_ADMIN)
            }
            Some(_) => true,
        }
    }

    /// Whether locked memory is limited for this thread.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        self.memlock.filter(|_| self.lacks(CAP_IPC_LOCK))
    }

    /// Whether this thread may not start a submission thread on kernels that ask for a privilege.
    pub(super) fn lacks_submission_thread_privilege(&self) -> bool {
        self.lacks(CAP_SYS_ADMIN) && self.lacks(CAP_SYS_NICE)
    }

    /// Whether this thread has no `CAP_SYS_ADMIN`, as far as its own user namespace counts.
    pub(super) fn is_no_administrator(&self) -> bool {
        self.lacks(CAP_SYS_ADMIN)
    }

    fn lacks(&self, capability: u32) -> bool {
        self.capabilities
            .is_some_and(|set| set & (1 << capability) == 0)
    }
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn soft_limit(resource: Resource) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the write.
    let read = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (read == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
