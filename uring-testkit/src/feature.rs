//! Features of a kernel, and what a probe says about them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{kernel::KernelVersion, probe, table::ROWS};

/// How a feature is found out without trusting a version, and without leaving anything behind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe {
    /// A setup flag, together with the flags that it needs beside it.
    Setup { flag: u32, partners: u32 },
    /// A bit of `io_uring_params.features`.
    Ring(u32),
    /// An opcode of submission entries.
    Opcode(u8),
    /// A flag of `io_uring_enter`.
    Enter(u32),
    /// A register opcode, called with `count` arguments at an address that cannot be read.
    Register { opcode: u32, count: u32 },
    /// A register opcode whose own arguments are checked late: the kernel's count of register opcodes tells.
    RegisterCount(u32),
    /// A flag of `io_uring_buf_reg`.
    BufferRing(u16),
    /// A flag of timeouts.
    Timeout(u32),
    /// A flag of NOPs.
    Nop(u32),
    /// What a suite's author asks.
    Own(fn() -> Observation),
}

/// What kind of thing a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeatureKind {
    /// A flag of `io_uring_setup`, an `IORING_SETUP_*`.
    SetupFlag,
    /// A bit that `io_uring_setup` reports, an `IORING_FEAT_*`.
    RingFeature,
    /// A flag of `io_uring_enter`, an `IORING_ENTER_*`.
    EnterFlag,
    /// An opcode of submission entries, an `IORING_OP_*`.
    Opcode,
    /// An opcode of `io_uring_register`, an `IORING_REGISTER_*`.
    RegisterOpcode,
    /// A flag of an operation or of a register call.
    OtherFlag,
    /// What a suite's author has [made](Feature::new).
    Own,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The kernel has the feature.
    Present,
    /// The kernel does not know the feature.
    Absent,
    /// The kernel's answer fits neither; the evidence says what it was. A test that depends on this fails.
    Inconclusive(String),
}

impl Observation {
    /// The word that a record uses: `present`, `absent` or `inconclusive`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Inconclusive(_) => "inconclusive",
        }
    }

    /// What the kernel's answer was, where it fits neither.
    #[must_use]
    pub fn evidence(&self) -> Option<&str> {
        match self {
            Self::Inconclusive(evidence) => Some(evidence),
            Self::Present | Self::Absent => None,
        }
    }
}

/// Something that a kernel has from some version on.
///
/// # Examples
///
/// ```
/// use uring_testkit::Feature;
///
/// assert_eq!(Feature::REG_REG_RING.name(), "IORING_FEAT_REG_REG_RING");
/// assert_eq!(Feature::REG_REG_RING.since().to_string(), "6.3");
/// ```
#[derive(Clone, Copy)]
pub struct Feature {
    pub(crate) name: &'static str,
    pub(crate) probe: Probe,
    pub(crate) config: Option<&'static str>,
    /// Of a feature that `uring-sys` knows nothing of.
    pub(crate) since: Option<KernelVersion>,
}

/// Features are told apart by their names.
impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Feature {}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feature({} since {})", self.name, self.since())
    }
}

impl Feature {
    /// Registration of ring descriptors (`IORING_REGISTER_RING_FDS`), since 5.18.
    pub const RING_FDS: Self = Self::register(uring_sys::IORING_REGISTER_RING_FDS);
    /// Register calls through a registered index (`IORING_FEAT_REG_REG_RING`), since 6.3.
    pub const REG_REG_RING: Self = Self::ring(uring_sys::IORING_FEAT_REG_REG_RING);
    /// Ring memory of the caller's (`IORING_SETUP_NO_MMAP`), since 6.5.
    pub const NO_MMAP: Self = Self::setup(uring_sys::IORING_SETUP_NO_MMAP);
    /// Rings born without a descriptor (`IORING_SETUP_REGISTERED_FD_ONLY`), since 6.5.
    pub const REGISTERED_FD_ONLY: Self = Self::setup(uring_sys::IORING_SETUP_REGISTERED_FD_ONLY);
    /// Submission without an index array (`IORING_SETUP_NO_SQARRAY`), since 6.6.
    pub const NO_SQARRAY: Self = Self::setup(uring_sys::IORING_SETUP_NO_SQARRAY);
    /// Submission past a failing entry (`IORING_SETUP_SUBMIT_ALL`), since 5.18.
    pub const SUBMIT_ALL: Self = Self::setup(uring_sys::IORING_SETUP_SUBMIT_ALL);
    /// Task work without interrupts (`IORING_SETUP_COOP_TASKRUN`), since 5.19.
    pub const COOP_TASKRUN: Self = Self::setup(uring_sys::IORING_SETUP_COOP_TASKRUN);
    /// The flag that says task work is pending (`IORING_SETUP_TASKRUN_FLAG`), since 5.19.
    pub const TASKRUN_FLAG: Self = Self::setup(uring_sys::IORING_SETUP_TASKRUN_FLAG);
    /// Entries of 128 bytes (`IORING_SETUP_SQE128`), since 5.19.
    pub const SQE128: Self = Self::setup(uring_sys::IORING_SETUP_SQE128);
    /// Completions of 32 bytes (`IORING_SETUP_CQE32`), since 5.19.
    pub const CQE32: Self = Self::setup(uring_sys::IORING_SETUP_CQE32);
    /// Rings of one submitting task (`IORING_SETUP_SINGLE_ISSUER`), since 6.0.
    pub const SINGLE_ISSUER: Self = Self::setup(uring_sys::IORING_SETUP_SINGLE_ISSUER);
    /// Task work at the waiting call only (`IORING_SETUP_DEFER_TASKRUN`), since 6.1.
    pub const DEFER_TASKRUN: Self = Self::setup(uring_sys::IORING_SETUP_DEFER_TASKRUN);
    /// Polling that sleeps first (`IORING_SETUP_HYBRID_IOPOLL`), since 6.13.
    pub const HYBRID_IOPOLL: Self = Self::setup(uring_sys::IORING_SETUP_HYBRID_IOPOLL);
    /// Completions of both sizes in one queue (`IORING_SETUP_CQE_MIXED`), since 6.18.
    pub const CQE_MIXED: Self = Self::setup(uring_sys::IORING_SETUP_CQE_MIXED);
    /// Entries of both sizes in one queue (`IORING_SETUP_SQE_MIXED`), since 6.19.
    pub const SQE_MIXED: Self = Self::setup(uring_sys::IORING_SETUP_SQE_MIXED);
    /// A submission queue that begins anew with each call (`IORING_SETUP_SQ_REWIND`), since 7.0.
    pub const SQ_REWIND: Self = Self::setup(uring_sys::IORING_SETUP_SQ_REWIND);
    /// Results that the submitter chooses (`IORING_NOP_INJECT_RESULT`), since 6.10.
    pub const NOP_INJECT_RESULT: Self = Self::nop(uring_sys::IORING_NOP_INJECT_RESULT);
    /// Timeouts that fire again and again (`IORING_TIMEOUT_MULTISHOT`), since 6.4.
    pub const TIMEOUT_MULTISHOT: Self =
        Self::find(Probe::Timeout(uring_sys::IORING_TIMEOUT_MULTISHOT));
    /// Groups of buffers in shared memory (`IORING_REGISTER_PBUF_RING`), since 5.19.
    pub const BUFFER_RING: Self = Self::register(uring_sys::IORING_REGISTER_PBUF_RING);
    /// ... in memory of the kernel's (`IOU_PBUF_RING_MMAP`), since 6.4.
    pub const BUFFER_RING_MMAP: Self = Self::find(Probe::BufferRing(uring_sys::IOU_PBUF_RING_MMAP));
    /// Buffers that are taken in parts (`IOU_PBUF_RING_INC`), since 6.12.
    pub const BUFFER_RING_INC: Self = Self::find(Probe::BufferRing(uring_sys::IOU_PBUF_RING_INC));

    /// Describes a feature that the table does not have, in io_uring or beside it: a suite's own row.
    ///
    /// It is held to its version like every other, in both directions. `name` is to be one that no other feature has.
    /// The probe runs once, in a thread of its own, and must leave nothing behind; what it cannot tell is
    /// [inconclusive](Observation::Inconclusive), which fails every test that needs the feature.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_testkit::{Feature, KernelVersion, Observation};
    ///
    /// const FUTEX_WAITV: Feature = Feature::new("futex_waitv", KernelVersion::new(5, 16), || {
    ///     // SAFETY: no futex is given, which the kernel refuses, if it has the call.
    ///     unsafe { libc::syscall(libc::SYS_futex_waitv, 0, 0, 0, 0, 0) };
    ///     match std::io::Error::last_os_error().raw_os_error() {
    ///         Some(libc::EINVAL) => Observation::Present,
    ///         Some(libc::ENOSYS) => Observation::Absent,
    ///         other => Observation::Inconclusive(format!("futex_waitv without a futex: {other:?}")),
    ///     }
    /// });
    /// assert_eq!(FUTEX_WAITV.since().to_string(), "5.16");
    /// assert_eq!(FUTEX_WAITV.observe(), Observation::Present);
    /// ```
    #[must_use]
    pub const fn new(name: &'static str, since: KernelVersion, probe: fn() -> Observation) -> Self {
        Self {
            name,
            probe: Probe::Own(probe),
            config: None,
            since: Some(since),
        }
    }

    /// The kernel's name for it, as in its headers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> FeatureKind {
        match self.probe {
            Probe::Setup { .. } => FeatureKind::SetupFlag,
            Probe::Ring(_) => FeatureKind::RingFeature,
            Probe::Enter(_) => FeatureKind::EnterFlag,
            Probe::Opcode(_) => FeatureKind::Opcode,
            Probe::Register { .. } | Probe::RegisterCount(_) => FeatureKind::RegisterOpcode,
            Probe::BufferRing(_) | Probe::Timeout(_) | Probe::Nop(_) => FeatureKind::OtherFlag,
            Probe::Own(_) => FeatureKind::Own,
        }
    }

    /// The first kernel that has it.
    #[must_use]
    pub fn since(&self) -> KernelVersion {
        if let Some(since) = self.since {
            return since;
        }
        let (major, minor) = uring_sys::since(self.name)
            .expect("a unit test sees to it that every row has a version");
        KernelVersion::new(major.into(), minor.into())
    }

    /// The build option of the kernel without which it is absent on any version.
    #[must_use]
    pub const fn kernel_config(&self) -> Option<&'static str> {
        self.config
    }

    /// The row of a setup flag, an `IORING_SETUP_*`.
    ///
    /// # Panics
    ///
    /// No row has this flag; at compile time where the result is a constant.
    #[must_use]
    pub const fn setup(flag: u32) -> Self {
        Self::find(Probe::Setup { flag, partners: 0 })
    }

    /// The row of a feature bit, an `IORING_FEAT_*`.
    ///
    /// # Panics
    ///
    /// No row has this bit; at compile time where the result is a constant.
    #[must_use]
    pub const fn ring(bit: u32) -> Self {
        Self::find(Probe::Ring(bit))
    }

    /// The row of an opcode, an `IORING_OP_*`.
    ///
    /// # Panics
    ///
    /// No row has this opcode; at compile time where the result is a constant.
    #[must_use]
    pub const fn opcode(opcode: u8) -> Self {
        Self::find(Probe::Opcode(opcode))
    }

    /// The row of a register opcode, an `IORING_REGISTER_*`.
    ///
    /// # Panics
    ///
    /// No row has this opcode: it is older than any kernel in use, or has no probe without side effects.
    #[must_use]
    pub const fn register(opcode: u32) -> Self {
        Self::find(Probe::Register { opcode, count: 0 })
    }

    /// The row of a flag of `io_uring_enter`, an `IORING_ENTER_*`.
    ///
    /// # Panics
    ///
    /// No row has this flag: it is older than any kernel in use, or a feature bit tells of it.
    #[must_use]
    pub const fn enter(flag: u32) -> Self {
        Self::find(Probe::Enter(flag))
    }

    /// The row of a buffer ring's flag, an `IOU_PBUF_RING_*`.
    ///
    /// # Panics
    ///
    /// No row has this flag; at compile time where the result is a constant.
    #[must_use]
    pub const fn buffer_ring(flag: u16) -> Self {
        Self::find(Probe::BufferRing(flag))
    }

    /// The row of a NOP's flag, an `IORING_NOP_*`.
    ///
    /// # Panics
    ///
    /// No row has this flag; at compile time where the result is a constant.
    #[must_use]
    pub const fn nop(flag: u32) -> Self {
        Self::find(Probe::Nop(flag))
    }

    const fn find(probe: Probe) -> Self {
        let wanted = probe.key();
        let mut index = 0;
        while index < ROWS.len() {
            let key = ROWS[index].probe.key();
            if key.0 == wanted.0 && key.1 == wanted.1 {
                return ROWS[index];
            }
            index += 1;
        }
        panic!("the feature table has no such row")
    }

    /// Every feature of the table.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        ROWS
    }

    /// Probes the running kernel, once per feature and process.
    ///
    /// The probe's system calls come from a thread of its own, so that the caller's slots and its standing
    /// with io_uring stay as they are. A descriptor is open while it works.
    #[must_use]
    pub fn observe(&self) -> Observation {
        static SEEN: Mutex<Option<HashMap<&'static str, Observation>>> = Mutex::new(None);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default()
            .entry(self.name)
            .or_insert_with(|| {
                let probe = self.probe;
                thread::scope(|scope| scope.spawn(|| probe::observe(probe)).join())
                    .unwrap_or_else(|_| Observation::Inconclusive("the probe panicked".to_owned()))
            })
            .clone()
    }

    /// Probes the running kernel for every feature, in one go that costs little more than a few probes.
    ///
    /// As for [`observe`](Self::observe), the system calls come from a thread of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_testkit::Feature;
    ///
    /// for (feature, seen) in Feature::observe_all() {
    ///     println!("{}: {seen:?}", feature.name());
    /// }
    /// ```
    #[must_use]
    pub fn observe_all() -> Vec<(Self, Observation)> {
        let observe = || {
            let prober = probe::Prober::default();
            let rows = ROWS.iter();
            rows.map(|row| (*row, prober.observe(row.probe)))
                .collect::<Vec<_>>()
        };
        thread::scope(|scope| scope.spawn(observe).join()).unwrap_or_else(|_| {
            let panicked = Observation::Inconclusive("the probe panicked".to_owned());
            ROWS.iter().map(|row| (*row, panicked.clone())).collect()
        })
    }
}

impl Probe {
    /// What tells two probes apart.
    const fn key(self) -> (u8, u32) {
        match self {
            Self::Setup { flag, .. } => (0, flag),
            Self::Ring(bit) => (1, bit),
            Self::Opcode(opcode) => (2, opcode as u32),
            Self::Enter(flag) => (3, flag),
            Self::Register { opcode, .. } | Self::RegisterCount(opcode) => (4, opcode),
            Self::BufferRing(flag) => (5, flag as u32),
            Self::Timeout(flag) => (6, flag),
            Self::Nop(flag) => (7, flag),
            // The table has none.
            Self::Own(_) => (8, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_probes_are_unique() {
        let names: HashSet<_> = Feature::all().iter().map(Feature::name).collect();
        assert_eq!(names.len(), Feature::all().len());
        let probes: HashSet<_> = Feature::all().iter().map(|row| row.probe.key()).collect();
        assert_eq!(probes.len(), Feature::all().len());
    }

    #[test]
    fn lookups_find_their_row() {
        assert_eq!(
            Feature::opcode(uring_sys::IORING_OP_PIPE).name(),
            "IORING_OP_PIPE"
        );
        assert_eq!(
            Feature::register(uring_sys::IORING_REGISTER_BPF_FILTER).name(),
            "IORING_REGISTER_BPF_FILTER"
        );
        assert_eq!(
            Feature::TIMEOUT_MULTISHOT.name(),
            "IORING_TIMEOUT_MULTISHOT"
        );
    }

    #[test]
    #[should_panic(expected = "no such row")]
    fn a_flag_without_a_row_is_an_error() {
        let _ = Feature::setup(1 << 30);
    }

    #[test]
    fn observing_twice_gives_the_same() {
        let first = Feature::SUBMIT_ALL.observe();
        assert_eq!(first, Feature::SUBMIT_ALL.observe());
    }

    #[test]
    fn all_at_once_are_seen_as_each_alone() {
        let together = Feature::observe_all();
        assert_eq!(together.len(), Feature::all().len());
        for (feature, seen) in together {
            assert_eq!(seen, feature.observe(), "{}", feature.name());
        }
    }
}
