//! The committed table of kernels.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

const TABLE: &str = include_str!("../../kernels.toml");

/// How far a kernel's version can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Mainline,
    Distribution,
}

impl Kind {
    /// As in `URING_LANE`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Mainline => "mainline",
            Self::Distribution => "distribution",
        }
    }
}

/// One series.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    /// `6.12`
    pub(crate) series: String,
    pub(crate) suite: String,
    /// The package's name, with one `*`.
    pub(crate) package: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) backports: Vec<String>,
    pub(crate) adds: String,
    /// As in `URING_FACILITIES`: those of every machine and those of its modules among them.
    #[serde(default)]
    pub(crate) facilities: Vec<String>,
    /// What its machine loads, by name.
    #[serde(default)]
    pub(crate) modules: Vec<String>,
    /// Whether each test runs over each of its handles there, also in a run of all kernels.
    #[serde(default)]
    pub(crate) every_handle: bool,
    /// How many tests run at a time, where many of them wait.
    pub(crate) tests_at_a_time: Option<u32>,
    /// The package that has them, where it is not the image's; the `*` stands for the same as in the image's.
    pub(crate) modules_package: Option<String>,
}

/// A module that machines load.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleRow {
    /// As on the command line of `insmod`.
    #[serde(default)]
    pub(crate) parameters: String,
    /// What it brings to the machine.
    pub(crate) facility: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    facilities: Vec<String>,
    /// By name, the series from which on machines have it.
    facilities_since: BTreeMap<String, String>,
    modules: BTreeMap<String, ModuleRow>,
    kernel: Vec<Kernel>,
}

/// All kernels, oldest first.
pub(crate) fn kernels() -> Result<Vec<Kernel>> {
    let table = table()?;
    let mut kernels = table.kernel;
    for kernel in &mut kernels {
        let common = common_facilities(&kernel.series)?;
        kernel.facilities.splice(0..0, common);
        for name in &kernel.modules {
            let row = table.modules.get(name);
            let row =
                row.with_context(|| format!("xtask/kernels.toml: [modules] has no {name}"))?;
            kernel.facilities.push(row.facility.clone());
        }
    }
    Ok(kernels)
}

/// Every module that some machine loads, by name.
pub(crate) fn modules() -> Result<BTreeMap<String, ModuleRow>> {
    Ok(table()?.modules)
}

/// What machines have that run kernels of this series, whatever else.
pub(crate) fn common_facilities(series: &str) -> Result<Vec<String>> {
    let table = table()?;
    let version = version(series)?;
    let mut facilities = table.facilities;
    for (name, since) in table.facilities_since {
        if version >= self::version(&since)? {
            facilities.push(name);
        }
    }
    Ok(facilities)
}

/// The two numbers of a series.
fn version(series: &str) -> Result<(u32, u32)> {
    let numbers = series
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.with_context(|| format!("{series} is no series such as 6.12"))
}

fn table() -> Result<Table> {
    toml::from_str(TABLE).context("xtask/kernels.toml")
}

/// The kernels that `wanted` names: `all`, or series with commas between them.
pub(crate) fn select(wanted: &str) -> Result<Vec<Kernel>> {
    let kernels = kernels()?;
    if wanted == "all" {
        return Ok(kernels);
    }
    let names: Vec<_> = wanted.split(',').map(str::trim).collect();
    let known = |name: &&str| kernels.iter().any(|kernel| kernel.series == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let series: Vec<_> = kernels.iter().map(|k| k.series.as_str()).collect();
        bail!(
            "there is no kernel {unknown}: there are {}",
            series.join(", ")
        );
    }
    let mut kernels = kernels;
    kernels.retain(|kernel| names.contains(&kernel.series.as_str()));
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_age_and_each_series_is_there_once() {
        let kernels = kernels().unwrap().into_iter();
        let versions: Vec<_> = kernels.map(|k| version(&k.series).unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    }

    #[test]
    fn each_pattern_holds_its_series_and_one_star() {
        for kernel in kernels().unwrap() {
            let star = format!("-{}.*-", kernel.series);
            assert!(kernel.package.contains(&star), "{}", kernel.package);
            assert_eq!(kernel.package.matches('*').count(), 1);
        }
    }

    #[test]
    fn every_machine_has_the_common_facilities_and_each_once() {
        for kernel in kernels().unwrap() {
            let common = common_facilities(&kernel.series).unwrap();
            assert!(common.iter().any(|name| name == "privileges"));
            assert_eq!(kernel.facilities[..common.len()], common);
            let mut names = kernel.facilities.clone();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kernel.facilities.len(), "{names:?}");
        }
    }

    #[test]
    fn some_facilities_came_with_a_kernel() {
        let has = |series| {
            let facilities = common_facilities(series).unwrap();
            facilities.iter().any(|name| name == "nvme-passthrough")
        };
        assert!(!has("5.10") && !has("5.9"));
        assert!(has("5.13") && has("5.15") && has("6.1"));
        assert!(common_facilities("six").is_err());
    }

    #[test]
    fn a_module_brings_its_facility_and_is_wanted_somewhere() {
        let (kernels, modules) = (kernels().unwrap(), modules().unwrap());
        for (name, row) in &modules {
            let mut wanting = kernels
                .iter()
                .filter(|kernel| kernel.modules.contains(name));
            let wanting = wanting.next().expect("a kernel that loads it");
            assert!(wanting.facilities.contains(&row.facility), "{name}");
        }
    }

    #[test]
    fn the_newest_kernel_and_the_first_of_each_regime_run_everything() {
        let kernels = kernels().unwrap();
        assert!(kernels.last().unwrap().every_handle);
        let whole = |from, to| {
            let range = version(from).unwrap()..version(to).unwrap();
            let mut kernels = kernels.iter();
            kernels.any(|k| k.every_handle && range.contains(&version(&k.series).unwrap()))
        };
        // No index; an index beside the descriptor; an index only.
        assert!(whole("5.10", "5.18") && whole("5.18", "6.3") && whole("6.5", "9.0"));
    }

    #[test]
    fn kernels_are_selected_by_series() {
        let series = |wanted| -> Vec<_> {
            let selected = select(wanted).unwrap().into_iter();
            selected.map(|kernel| kernel.series).collect()
        };
        assert_eq!(series("7.3, 6.1"), ["6.1", "7.3"]);
        assert_eq!(series("all").len(), kernels().unwrap().len());
        let error = select("6.1,6.2").unwrap_err().to_string();
        assert!(error.contains("6.2") && error.contains("6.12"), "{error}");
    }
}
