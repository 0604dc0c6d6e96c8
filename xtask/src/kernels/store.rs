//! Kernels that were fetched: one directory for each series under cargo's target directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::table::Kernel;
use crate::{apt::Apt, workspace};

/// A kernel's image on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    /// The package and version it came from.
    pub(crate) package: String,
}

impl Image {
    /// What an earlier `fetch` left.
    pub(crate) fn cached(kernel: &Kernel) -> Result<Self> {
        let dir = dir().join(&kernel.series);
        // The description is written last: without it the image may be part of one.
        let package = fs::read_to_string(dir.join("package"));
        match package {
            Ok(package) => Ok(Self {
                path: dir.join("vmlinuz"),
                package: package.trim().to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "Linux {0} is not here: `cargo xtask kernels fetch {0}` gets it",
                kernel.series
            ),
            Err(error) => Err(error).with_context(|| format!("{}", dir.display())),
        }
    }
}

/// Where everything is kept that a fetch brings.
pub(super) fn dir() -> PathBuf {
    workspace::target_dir().join("xtask/kernels")
}

/// Fetches those of `kernels` that are not here, with `update` also those that have become newer.
pub(super) fn fetch(kernels: &[Kernel], update: bool) -> Result<()> {
    let wanted: Vec<_> = kernels
        .iter()
        .filter(|kernel| update || Image::cached(kernel).is_err())
        .collect();
    if wanted.is_empty() {
        println!("every kernel is here");
        return Ok(());
    }
    let mut suites: Vec<_> = wanted.iter().map(|kernel| kernel.suite.as_str()).collect();
    suites.sort_unstable();
    suites.dedup();
    let progress = progress(wanted.len());
    progress.set_message("the package indexes");
    let apt = Apt::open(&dir().join("apt"), &suites).context(
        "kernels come as Debian packages; without apt, name an image with `cargo xtask test --kernel-image FILE`",
    )?;
    for kernel in wanted {
        progress.set_message(format!("Linux {}", kernel.series));
        let said = fetch_one(&apt, kernel).with_context(|| format!("Linux {}", kernel.series))?;
        progress.inc(1);
        progress.suspend(|| println!("{said}"));
    }
    progress.finish_and_clear();
    Ok(())
}

fn fetch_one(apt: &Apt, kernel: &Kernel) -> Result<String> {
    let package = apt.newest_matching(&kernel.package)?;
    let described = format!("{} {}", package.name, package.version);
    if Image::cached(kernel).is_ok_and(|image| image.package == described) {
        return Ok(format!("{described} is here already"));
    }
    let tree = apt.unpack(&package)?;
    let image = find_image(&tree)?;
    let dir = dir().join(&kernel.series);
    fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
    let description = dir.join("package");
    match fs::remove_file(&description) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::copy(&image, dir.join("vmlinuz")).with_context(|| format!("{}", image.display()))?;
    fs::write(&description, &described).with_context(|| format!("{}", description.display()))?;
    // The package's modules are many times the size of its kernel.
    fs::remove_dir_all(&tree).with_context(|| format!("{}", tree.display()))?;
    Ok(described)
}

/// `boot/vmlinuz-V`, or `usr/lib/modules/V/vmlinuz`.
fn find_image(tree: &Path) -> Result<PathBuf> {
    for (dir, inside) in [("boot", ""), ("usr/lib/modules", "vmlinuz")] {
        let Ok(entries) = fs::read_dir(tree.join(dir)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let image = if inside.is_empty() {
                path
            } else {
                path.join(inside)
            };
            let name = image.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("vmlinuz") && image.is_file() {
                return Ok(image);
            }
        }
    }
    bail!("{} holds no vmlinuz", tree.display())
}

fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length.try_into().unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
    bar.set_style(style.expect("the template is one"));
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
