//! Facilities of a machine, and what a probe says about them.

use std::{
    collections::HashMap,
    fmt, fs, io,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{devices, feature::Observation};

/// Something of the machine, not of the kernel's io_uring, that a test cannot do without: a device, a privilege.
///
/// A test names what it [requires](crate::Test::requires). Where that is absent the test is skipped, with the advice as
/// its reason; a lane that declares its facilities (`URING_FACILITIES`) is held to them in both directions.
///
/// # Examples
///
/// A suite's own facility:
///
/// ```
/// use uring_testkit::{Facility, Observation};
///
/// const CLOCK: Facility = Facility::new("clock", "needs a /dev/rtc0", || {
///     match std::fs::exists("/dev/rtc0") {
///         Ok(true) => Observation::Present,
///         Ok(false) => Observation::Absent,
///         Err(error) => Observation::Inconclusive(error.to_string()),
///     }
/// });
/// assert_eq!(CLOCK.name(), "clock");
/// assert_ne!(CLOCK, Facility::PRIVILEGES);
/// ```
#[derive(Clone, Copy)]
pub struct Facility {
    name: &'static str,
    advice: &'static str,
    probe: fn() -> Observation,
}

impl fmt::Debug for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Facility({})", self.name)
    }
}

/// Facilities are told apart by their names.
impl PartialEq for Facility {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Facility {}

impl Facility {
    /// The machine's own root, who may mount, change settings of the kernel and become somebody else.
    ///
    /// Root of a user namespace and root without `CAP_SYS_ADMIN`, as in most containers, are not.
    pub const PRIVILEGES: Self = Self::new("privileges", "run the tests as root", privileges);

    /// An NVMe namespace whose contents nobody needs: what `URING_TEST_NVME` names.
    pub const NVME: Self = Self::new(
        "nvme",
        "set URING_TEST_NVME to a namespace that tests may overwrite, such as /dev/nvme0n2",
        devices::nvme,
    );
    /// The character device through which that namespace takes commands (Linux 5.13).
    pub const NVME_PASSTHROUGH: Self = Self::new(
        "nvme-passthrough",
        "it needs a namespace in URING_TEST_NVME, and Linux 5.13 built with CONFIG_BLK_DEV_NVME",
        devices::nvme_passthrough,
    );
    /// An NVMe namespace with protection information (of type 1, with blocks of 512 bytes) whose contents nobody needs: what
    /// `URING_TEST_NVME_PROTECTED` names.
    pub const NVME_PROTECTED: Self = Self::new(
        "nvme-protected",
        "set URING_TEST_NVME_PROTECTED to a namespace with protection information that tests may overwrite",
        devices::nvme_protected,
    );
    /// Loop devices.
    pub const LOOP: Self = Self::new("loop", "load the module loop", || {
        devices::exists("/dev/loop-control")
    });
    /// Null block devices, made through configfs.
    pub const NULL_BLOCK: Self = Self::new(
        "null-block",
        "load the module null_blk, with nr_devices=0, and mount configfs at /sys/kernel/config",
        || devices::exists("/sys/kernel/config/nullb"),
    );
    /// File systems in user space.
    pub const FUSE: Self = Self::new("fuse", "load the module fuse", || {
        devices::exists("/dev/fuse")
    });
    /// Block devices in user space (Linux 6.0).
    pub const UBLK: Self = Self::new("ublk", "load the module ublk_drv", || {
        devices::exists("/dev/ublk-control")
    });
    /// Pseudo-terminals.
    pub const TERMINALS: Self = Self::new("terminals", "mount devpts at /dev/pts", || {
        devices::exists("/dev/pts/ptmx")
    });
    /// IPv6 over the loopback interface.
    pub const IPV6: Self = Self::new(
        "ipv6",
        "give the loopback interface the address ::1",
        devices::ipv6,
    );

    /// Describes a facility: its name in `URING_FACILITIES`, what to do where it is absent, and how to see it.
    ///
    /// `advice` is the rest of the sentence "no `name` here: ". The probe must leave nothing behind; what it
    /// cannot tell is [inconclusive](Observation::Inconclusive), which fails every test that requires the facility.
    #[must_use]
    pub const fn new(name: &'static str, advice: &'static str, probe: fn() -> Observation) -> Self {
        Self {
            name,
            advice,
            probe,
        }
    }

    /// Its name in `URING_FACILITIES`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What to do where it is absent.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        self.advice
    }

    /// Looks whether it is there, once per facility and process, from a thread of its own.
    #[must_use]
    pub fn observe(&self) -> Observation {
        static SEEN: Mutex<Option<HashMap<&'static str, Observation>>> = Mutex::new(None);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default()
            .entry(self.name)
            .or_insert_with(|| {
                thread::spawn(self.probe)
                    .join()
                    .unwrap_or_else(|_| Observation::Inconclusive("the probe panicked".to_owned()))
            })
            .clone()
    }
}

fn privileges() -> Observation {
    let read = || {
        Ok(is_root(
            &fs::read_to_string("/proc/thread-self/status")?,
            &fs::read_to_string("/proc/self/uid_map")?,
        ))
    };
    match read() {
        Ok(Some(true)) => Observation::Present,
        Ok(Some(false)) => Observation::Absent,
        Ok(None) => Observation::Inconclusive(
            "/proc/thread-self/status has no effective user and capabilities".to_owned(),
        ),
        Err(error) => inconclusive("/proc/self", &error),
    }
}

/// What an error says that is neither yes nor no.
pub(crate) fn inconclusive(what: &str, error: &io::Error) -> Observation {
    Observation::Inconclusive(format!("{what}: {error}"))
}

/// Whether a thread of this status is the root of a machine whose users are mapped like this.
fn is_root(status: &str, uid_map: &str) -> Option<bool> {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];
    let value = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let effective_user = value("Uid:")?.split_whitespace().nth(1)?;
    let capabilities = u64::from_str_radix(value("CapEff:")?.trim(), 16).ok()?;
    Some(
        effective_user == "0"
            && capabilities & CAP_SYS_ADMIN != 0
            && uid_map.split_whitespace().eq(ALL_USERS),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "         0          0 4294967295\n";

    fn status(user: &str, capabilities: &str) -> String {
        format!("Name:\tx\nUid:\t1\t{user}\t1\t1\nCapInh:\t0\nCapEff:\t{capabilities}\n")
    }

    #[test]
    fn only_the_machines_own_root_has_privileges() {
        let all = "000001ffffffffff";
        assert_eq!(is_root(&status("0", all), MACHINE), Some(true));
        assert_eq!(is_root(&status("65534", all), MACHINE), Some(false));
        let of_a_container = "00000000a80425fb";
        assert_eq!(is_root(&status("0", of_a_container), MACHINE), Some(false));
        assert_eq!(is_root(&status("0", all), "0 1000 1\n"), Some(false));
    }

    #[test]
    fn a_status_that_cannot_be_read_is_no_answer() {
        assert_eq!(is_root("Name:\tx\n", MACHINE), None);
        assert_eq!(is_root(&status("0", "many"), MACHINE), None);
    }

    #[test]
    fn it_is_looked_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static LOOKED: AtomicU32 = AtomicU32::new(0);
        let facility = Facility::new("counted", "", || {
            LOOKED.fetch_add(1, Ordering::Relaxed);
            Observation::Present
        });
        assert_eq!(facility.observe(), Observation::Present);
        assert_eq!(facility.observe(), Observation::Present);
        assert_eq!(LOOKED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_probe_that_panics_is_no_answer() {
        let facility = Facility::new("broken", "", || panic!("in the probe"));
        assert!(matches!(facility.observe(), Observation::Inconclusive(_)));
    }
}
