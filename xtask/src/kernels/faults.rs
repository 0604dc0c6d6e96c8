//! The committed table of machines with something forbidden or scarce.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::table::Kernel;

const TABLE: &str = include_str!("../../faults.toml");

/// What is different about a machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) name: String,
    /// The series that it is run on.
    pub(crate) kernels: Vec<String>,
    pub(crate) shows: String,
    /// As in `URING_FORBIDDEN`.
    pub(crate) forbidden: Option<String>,
    /// By name, with dots.
    #[serde(default)]
    pub(crate) sysctl: BTreeMap<String, String>,
    /// By call: the errno.
    #[serde(default)]
    pub(crate) deny: BTreeMap<String, String>,
    pub(crate) user: Option<u32>,
    #[serde(default)]
    pub(crate) rlimit: BTreeMap<String, u64>,
    /// In MiB.
    pub(crate) memory: Option<u32>,
    pub(crate) cpus: Option<usize>,
    #[serde(default)]
    pub(crate) boot: Vec<String>,
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    /// As the table of results names them; without a list all.
    pub(crate) suites: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fault: Vec<Fault>,
}

impl Fault {
    /// The name of its lane with this kernel.
    pub(crate) fn lane(&self, series: &str) -> String {
        format!("{series}/{}", self.name)
    }

    /// The facilities of its machine, of those that the kernel's has otherwise.
    pub(crate) fn facilities(&self, usual: &[String]) -> Vec<String> {
        let kept = usual.iter().filter(|name| !self.lacks.contains(name));
        kept.chain(&self.has).cloned().collect()
    }

    /// Whether the suite of this name runs.
    pub(crate) fn wants(&self, suite: &str) -> bool {
        let listed = |suites: &Vec<String>| suites.iter().any(|name| name == suite);
        self.suites.as_ref().is_none_or(listed)
    }

    /// What is different, in the words of the table.
    pub(crate) fn differences(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.sysctl.iter().map(|(name, to)| format!("{name}={to}")));
        let denied = self.deny.iter();
        words.extend(denied.map(|(call, errno)| format!("{call}: {errno}")));
        words.extend(self.user.map(|user| format!("user {user}")));
        words.extend(self.rlimit.iter().map(|(name, to)| format!("{name}={to}")));
        words.extend(self.memory.map(|memory| format!("{memory} MiB")));
        words.extend(self.cpus.map(|cpus| format!("CPUs: {cpus}")));
        words.extend(self.boot.iter().cloned());
        words.join(", ")
    }
}

/// All of them, in the table's order.
pub(crate) fn faults() -> Result<Vec<Fault>> {
    let table: Table = toml::from_str(TABLE).context("xtask/faults.toml")?;
    Ok(table.fault)
}

/// The lanes that `wanted` names, as kernel and fault: `all`, or faults with commas between them, each on all of its
/// kernels (`memlock`) or on one (`7.3/memlock`).
pub(crate) fn select_faults(wanted: &str) -> Result<Vec<(Kernel, Fault)>> {
    let kernels = super::table::kernels()?;
    let mut lanes = Vec::new();
    for fault in faults()? {
        for series in &fault.kernels {
            let kernel = kernels.iter().find(|kernel| kernel.series == *series);
            let kernel = kernel.with_context(|| {
                format!(
                    "xtask/faults.toml: {}: there is no kernel {series}",
                    fault.name
                )
            })?;
            lanes.push((kernel.clone(), fault.clone()));
        }
    }
    choose(lanes, wanted)
}

fn choose(lanes: Vec<(Kernel, Fault)>, wanted: &str) -> Result<Vec<(Kernel, Fault)>> {
    if wanted == "all" {
        return Ok(lanes);
    }
    let names: Vec<_> = wanted.split(',').map(str::trim).collect();
    let is = |(kernel, fault): &(Kernel, Fault), name: &str| {
        fault.name == name || fault.lane(&kernel.series) == name
    };
    let unknown = |name: &&&str| !lanes.iter().any(|lane| is(lane, name));
    if let Some(unknown) = names.iter().find(unknown) {
        let lanes = lanes
            .iter()
            .map(|(kernel, fault)| fault.lane(&kernel.series));
        bail!(
            "there is no fault {unknown}: there are {}",
            lanes.collect::<Vec<_>>().join(", ")
        );
    }
    let mut lanes = lanes;
    lanes.retain(|lane| names.iter().any(|name| is(lane, name)));
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lanes(wanted: &str) -> Vec<String> {
        let selected = select_faults(wanted).unwrap().into_iter();
        selected
            .map(|(kernel, fault)| fault.lane(&kernel.series))
            .collect()
    }

    #[test]
    fn each_lane_has_a_name_of_its_own_that_can_be_one_of_a_directory() {
        let all = lanes("all");
        let names: BTreeSet<_> = all.iter().collect();
        assert_eq!(names.len(), all.len(), "{all:?}");
        for name in all {
            assert_eq!(name.matches('/').count(), 1, "{name}");
            assert!(!name.contains([',', ' ']), "{name}");
        }
    }

    #[test]
    fn faults_are_selected_by_name_on_all_their_kernels_or_on_one() {
        assert_eq!(
            lanes("one-cpu, disabled-2"),
            ["6.18/disabled-2", "6.18/one-cpu"]
        );
        assert_eq!(lanes("memlock"), ["6.18/memlock", "7.3/memlock"]);
        assert_eq!(lanes("7.3/memlock,7.3/memlock"), ["7.3/memlock"]);
        let error = select_faults("one-cpu,no-luck").unwrap_err().to_string();
        assert!(
            error.contains("no-luck") && error.contains("7.3/memlock"),
            "{error}"
        );
    }

    #[test]
    fn each_fault_differs_in_something_and_lacks_only_what_its_kernels_have() {
        for (kernel, fault) in select_faults("all").unwrap() {
            assert_ne!(fault.differences(), "", "{}", fault.name);
            for lacked in &fault.lacks {
                assert!(
                    kernel.facilities.contains(lacked),
                    "{}: {lacked}",
                    fault.name
                );
            }
            for had in &fault.has {
                assert!(!kernel.facilities.contains(had), "{}: {had}", fault.name);
            }
        }
    }

    /// Linux 6.6 brought it.
    #[test]
    fn the_sysctl_is_set_on_kernels_that_have_it() {
        let disabled = |fault: &Fault| fault.sysctl.contains_key("kernel.io_uring_disabled");
        for (kernel, fault) in select_faults("all").unwrap() {
            let (major, minor) = kernel.series.split_once('.').unwrap();
            let version: (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
            assert!(!disabled(&fault) || version >= (6, 6), "{}", fault.name);
        }
    }

    #[test]
    fn a_user_other_than_root_lacks_privileges() {
        for fault in faults().unwrap() {
            let lacks = fault.lacks.iter().any(|name| name == "privileges");
            assert_eq!(fault.user.is_some(), lacks, "{}", fault.name);
        }
    }

    #[test]
    fn each_suite_that_is_named_exists() {
        let root = crate::workspace::root();
        for fault in faults().unwrap() {
            for suite in fault.suites.iter().flatten() {
                let (package, name) = suite.split_once(':').unwrap();
                let suites = root.join(package).join("tests/suites");
                let is_there = [format!("{name}.rs"), format!("{name}/mod.rs")]
                    .iter()
                    .any(|file| suites.join(file).exists());
                assert!(is_there, "{suite}");
            }
        }
    }

    fn fault(text: &str) -> Result<Fault, toml::de::Error> {
        let common = "name = \"a\"\nkernels = [\"6.18\"]\nshows = \"it\"\n";
        toml::from_str(&(common.to_owned() + text))
    }

    #[test]
    fn what_differs_is_read_and_told() {
        let text = "sysctl = { \"vm.x\" = \"1\" }\ndeny = { io_uring_enter = \"EPERM\" }\nuser = 7\n\
            rlimit = { memlock = 9 }\nmemory = 300\ncpus = 1\nboot = [\"x=y\"]\nhas = [\"b\"]\nlacks = [\"c\"]\n\
            suites = [\"p:s\"]";
        let fault = fault(text).unwrap();
        assert_eq!(
            fault.differences(),
            "vm.x=1, io_uring_enter: EPERM, user 7, memlock=9, 300 MiB, CPUs: 1, x=y"
        );
        assert_eq!(
            fault.facilities(&["c".to_owned(), "d".to_owned()]),
            ["d", "b"]
        );
        assert!(fault.wants("p:s") && !fault.wants("p:t"));
    }

    #[test]
    fn a_row_that_is_not_understood_is_an_error() {
        assert!(fault("").unwrap().wants("p:s"));
        assert!(fault("speed = 1").is_err());
        assert!(fault("user = \"nobody\"").is_err());
        assert!(fault("rlimit = { memlock = \"much\" }").is_err());
    }
}
