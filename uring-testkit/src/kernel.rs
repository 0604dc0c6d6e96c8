//! Kernel versions, and the kernel that a run was told to expect.

use std::{env, fmt, fs, str::FromStr};

use crate::{facility::Facility, feature::Feature, forbidden::Forbidden};

/// A kernel's major and minor version: `6.1`, whatever its patch level and flavour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The `6` of `6.1`.
    pub major: u16,
    /// The `1` of `6.1`.
    pub minor: u16,
}

impl KernelVersion {
    /// Makes the version `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that does not begin with a kernel version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseVersionError(String);

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} does not begin with a kernel version like 6.1",
            self.0
        )
    }
}

impl std::error::Error for ParseVersionError {}

impl FromStr for KernelVersion {
    type Err = ParseVersionError;

    /// Reads the two leading numbers of a release such as `6.12.107+deb13-cloud-amd64` or `7.3-rc7`.
    ///
    /// # Errors
    ///
    /// The text does not begin with two numbers that a dot separates.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || ParseVersionError(text.to_owned());
        let (major, rest) = text.trim().split_once('.').ok_or_else(unreadable)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let minor = &rest[..digits.unwrap_or(rest.len())];
        Ok(Self {
            major: major.parse().map_err(|_| unreadable())?,
            minor: minor.parse().map_err(|_| unreadable())?,
        })
    }
}

/// How far a kernel's version can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// An unpatched kernel: it has what its version says, no more and no less.
    Mainline,
    /// A distribution's kernel: it may carry more than its version says.
    Distribution,
    /// The machine at hand, whose version nobody declared: like a distribution's.
    Host,
}

impl LaneKind {
    /// Whether a feature may be there before the version that introduced it.
    #[must_use]
    pub const fn allows_backports(self) -> bool {
        !matches!(self, Self::Mainline)
    }
}

impl fmt::Display for LaneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mainline => "mainline",
            Self::Distribution => "distribution",
            Self::Host => "host",
        })
    }
}

/// What a run is told about its kernel, before anything is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The version that decides what is expected to be there.
    pub kernel: KernelVersion,
    /// How far that version can be believed.
    pub kind: LaneKind,
    /// The running kernel's own release text.
    pub release: String,
    /// Features, by name, that a distribution's kernel is known to have before their version.
    pub backports: Vec<String>,
    /// The names of the facilities that the machine has; without a list those that are observed.
    pub facilities: Option<Vec<String>>,
    /// What the machine refuses, where io_uring cannot be used on it.
    pub forbidden: Option<Forbidden>,
}

impl Lane {
    /// Reads `URING_EXPECT_KERNEL`, `URING_LANE`, `URING_BACKPORTS`, `URING_FACILITIES` and `URING_FORBIDDEN`; without
    /// them the running kernel on a host lane.
    ///
    /// # Errors
    ///
    /// A sentence for the person who runs the tests: a variable is unreadable, or only `URING_LANE` is set.
    pub fn from_env() -> Result<Self, String> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_err(|error| format!("/proc/sys/kernel/osrelease: {error}; is /proc mounted?"))?
            .trim()
            .to_owned();
        let mut lane = Self::declared(
            env::var("URING_EXPECT_KERNEL").ok().as_deref(),
            env::var("URING_LANE").ok().as_deref(),
            release,
        )?;
        lane.facilities = env::var("URING_FACILITIES").ok().map(|names| list(&names));
        lane.forbidden = Forbidden::declared()?;
        match env::var("URING_BACKPORTS") {
            Ok(names) => lane.with_backports(&names),
            Err(_) => Ok(lane),
        }
    }

    fn with_backports(mut self, names: &str) -> Result<Self, String> {
        if !self.kind.allows_backports() {
            return Err("URING_BACKPORTS is for a lane that is no mainline kernel".to_owned());
        }
        let known = |name: &str| Feature::all().iter().any(|feature| feature.name() == name);
        if let Some(unknown) = names.split(',').find(|name| !known(name)) {
            return Err(format!("URING_BACKPORTS: there is no feature {unknown}"));
        }
        self.backports = names.split(',').map(str::to_owned).collect();
        Ok(self)
    }

    fn declared(kernel: Option<&str>, kind: Option<&str>, release: String) -> Result<Self, String> {
        let kind = match (kind, kernel) {
            (None, None) => LaneKind::Host,
            (None | Some("distribution"), Some(_)) => LaneKind::Distribution,
            (Some("mainline"), Some(_)) => LaneKind::Mainline,
            (Some("host"), _) => LaneKind::Host,
            (Some("mainline" | "distribution"), None) => {
                return Err("URING_LANE needs URING_EXPECT_KERNEL beside it".to_owned());
            }
            (Some(other), _) => {
                return Err(format!(
                    "URING_LANE={other}: must be mainline, distribution or host"
                ));
            }
        };
        let kernel = kernel
            .unwrap_or(&release)
            .parse()
            .map_err(|error| format!("URING_EXPECT_KERNEL: {error}"))?;
        Ok(Self {
            kernel,
            kind,
            release,
            backports: Vec::new(),
            facilities: None,
            forbidden: None,
        })
    }

    /// Whether the machine is said to have `facility`; `None` where nothing is said.
    #[must_use]
    pub fn declares(&self, facility: &Facility) -> Option<bool> {
        let names = self.facilities.as_ref()?;
        Some(names.iter().any(|name| name == facility.name()))
    }

    /// Whether the declared kernel is the one that is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.release.parse() == Ok(self.kernel)
    }
}

/// Names with commas between them, perhaps none.
fn list(names: &str) -> Vec<String> {
    let names = names.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_real_kernels_parse() {
        for (release, version) in [
            ("6.1", (6, 1)),
            ("5.10.0-32-cloud-amd64", (5, 10)),
            ("6.12.107+deb13-cloud-amd64", (6, 12)),
            ("7.3-rc7", (7, 3)),
            ("6.18.44\n", (6, 18)),
        ] {
            let expected = KernelVersion::new(version.0, version.1);
            assert_eq!(release.parse(), Ok(expected), "{release}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "6", "six.one", "6.", ".1", "6.x"] {
            assert!(text.parse::<KernelVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_order_by_number() {
        assert!(KernelVersion::new(6, 9) < KernelVersion::new(6, 12));
        assert!(KernelVersion::new(5, 19) < KernelVersion::new(6, 0));
    }

    fn declared(kernel: Option<&str>, kind: Option<&str>) -> Result<Lane, String> {
        Lane::declared(kernel, kind, "6.18.44".to_owned())
    }

    #[test]
    fn an_undeclared_lane_is_the_host() {
        let lane = declared(None, None).unwrap();
        assert_eq!(lane.kind, LaneKind::Host);
        assert_eq!(lane.kernel, KernelVersion::new(6, 18));
        assert!(lane.is_running());
    }

    #[test]
    fn a_declared_kernel_wins_over_the_running_one() {
        let lane = declared(Some("6.1"), Some("mainline")).unwrap();
        assert_eq!(lane.kind, LaneKind::Mainline);
        assert_eq!(lane.kernel, KernelVersion::new(6, 1));
        assert!(!lane.is_running());
        let lane = declared(Some("6.1"), None).unwrap();
        assert_eq!(lane.kind, LaneKind::Distribution);
    }

    #[test]
    fn half_a_declaration_is_refused() {
        assert!(declared(None, Some("mainline")).is_err());
        assert!(declared(Some("6.1"), Some("vendor")).is_err());
        assert!(declared(Some("new"), Some("mainline")).is_err());
    }

    #[test]
    fn backports_are_known_features_of_a_kernel_that_may_have_them() {
        let lane = |kind| declared(Some("5.10"), Some(kind)).unwrap();
        let with = lane("distribution").with_backports("IORING_FEAT_EXT_ARG,IORING_OP_UNLINKAT");
        assert_eq!(with.unwrap().backports.len(), 2);
        assert!(
            lane("mainline")
                .with_backports("IORING_FEAT_EXT_ARG")
                .is_err()
        );
        let unknown = lane("distribution").with_backports("IORING_FEAT_EXT");
        assert!(unknown.unwrap_err().contains("IORING_FEAT_EXT"));
    }

    #[test]
    fn a_list_of_facilities_may_be_empty() {
        assert_eq!(list("privileges, loop"), ["privileges", "loop"]);
        assert_eq!(list(""), Vec::<String>::new());
    }

    #[test]
    fn a_lane_declares_facilities_or_says_nothing() {
        let mut lane = declared(None, None).unwrap();
        assert_eq!(lane.declares(&Facility::PRIVILEGES), None);
        lane.facilities = Some(list(""));
        assert_eq!(lane.declares(&Facility::PRIVILEGES), Some(false));
        lane.facilities = Some(list("loop,privileges"));
        assert_eq!(lane.declares(&Facility::PRIVILEGES), Some(true));
    }
}
