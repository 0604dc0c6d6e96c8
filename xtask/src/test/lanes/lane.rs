//! Which lanes there are: a kernel each, and what is unusual about its machine.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{
    Args, machine,
    module::{self, Loaded},
};
use crate::kernels::{self, Fault, Image, Kernel};

/// A kernel to run on, and what is unusual about its machine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Lane {
    /// The kernel's series, and the fault's name after a slash.
    pub(super) name: String,
    pub(super) series: String,
    /// As in `URING_LANE`.
    pub(super) kind: &'static str,
    /// What the kernel's image is, for the reader.
    pub(super) package: String,
    /// As in `URING_BACKPORTS`.
    pub(super) backports: String,
    /// As in `URING_FACILITIES`.
    pub(super) facilities: String,
    /// What the machine loads, in this order.
    #[serde(skip)]
    pub(super) modules: Vec<Loaded>,
    #[serde(skip)]
    pub(super) image: PathBuf,
    /// Which of its handles each test runs over, where it is one: another on the next of such lanes.
    pub(super) turn: Option<usize>,
    /// How many tests run at a time, where not as many as elsewhere.
    #[serde(skip)]
    pub(super) tests_at_a_time: Option<u32>,
    /// Where its machine keeps its files and logs.
    #[serde(skip)]
    pub(super) dir: PathBuf,
    #[serde(skip)]
    pub(super) fault: Option<Fault>,
}

/// The lanes that the command line asks for; each has its directory in `dirs`.
///
/// With `turns`, those of kernels that are between others take turns.
pub(super) fn wanted(args: &Args, dirs: &Path, turns: bool) -> Result<Vec<Lane>> {
    if let Some(image) = &args.kernel_image {
        return Ok(vec![foreign(args, image, dirs)?]);
    }
    let mut lanes = Vec::new();
    let (kernels, faults) = match &args.shell {
        Some(lane) if lane.contains('/') => (None, Some(lane)),
        Some(lane) => (Some(lane), None),
        None => (args.kernels.as_ref(), args.faults.as_ref()),
    };
    if let Some(wanted) = kernels {
        let kernels = kernels::select(wanted)?.into_iter();
        lanes.extend(kernels.map(|kernel| (kernel, None)));
    }
    if let Some(wanted) = faults {
        let faults = kernels::select_faults(wanted)?.into_iter();
        lanes.extend(faults.map(|(kernel, fault)| (kernel, Some(fault))));
    }
    let mut next = 0;
    lanes
        .into_iter()
        .map(|(kernel, fault)| {
            let takes_a_turn = turns && fault.is_none() && !kernel.every_handle;
            let mut lane = of(kernel, fault, dirs)?;
            if takes_a_turn {
                lane.turn = Some(next);
                next += 1;
            }
            Ok(lane)
        })
        .collect()
}

/// The lane of a kernel of the table, with something wrong about it or not.
pub(super) fn of(kernel: Kernel, fault: Option<Fault>, dirs: &Path) -> Result<Lane> {
    let image = Image::cached(&kernel)?;
    let (name, facilities) = match &fault {
        Some(fault) => (
            fault.lane(&kernel.series),
            fault.facilities(&kernel.facilities),
        ),
        None => (kernel.series.clone(), kernel.facilities),
    };
    Ok(Lane {
        dir: dir_of(dirs, &name),
        name,
        modules: module::with_parameters(image.modules)?,
        kind: kernel.kind.word(),
        series: kernel.series,
        backports: kernel.backports.join(","),
        facilities: facilities.join(","),
        package: image.package,
        image: image.path,
        turn: None,
        tests_at_a_time: kernel.tests_at_a_time,
        fault,
    })
}

/// Where a lane's machine keeps its files and logs.
fn dir_of(dirs: &Path, name: &str) -> PathBuf {
    dirs.join(name.replace('/', "-"))
}

/// The lane of a kernel that is in no table: what it has is what is said of it, or what its modules bring.
fn foreign(args: &Args, image: &Path, dirs: &Path) -> Result<Lane> {
    let release = machine::release_of(image)?;
    let series = machine::series_of(&release);
    let mut lane = Lane {
        dir: dir_of(dirs, &series),
        name: series.clone(),
        series,
        kind: "distribution",
        package: release,
        backports: args.backports.clone().unwrap_or_default(),
        facilities: String::new(),
        modules: Vec::new(),
        image: image.to_owned(),
        turn: None,
        tests_at_a_time: None,
        fault: None,
    };
    let mut facilities = kernels::common_facilities(&lane.series)?;
    if let Some(dir) = &args.modules {
        let found = module::search(dir, &lane.dir.join("modules"))?;
        lane.modules = found.modules;
        facilities.extend(found.facilities);
    }
    lane.facilities = match &args.facilities {
        Some(facilities) => facilities.clone(),
        None => facilities.join(","),
    };
    Ok(lane)
}
