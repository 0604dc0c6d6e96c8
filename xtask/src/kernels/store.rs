//! Kernels that were fetched: one directory for each series under cargo's target directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    modules::{self, Module, Tree},
    table::Kernel,
};
use crate::{
    apt::{Apt, Package},
    workspace,
};

/// A kernel's image on this machine, and the modules that are to be loaded with it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    /// In the order of loading.
    pub(crate) modules: Vec<Module>,
    /// The package and version it came from.
    pub(crate) package: String,
}

impl Image {
    /// What an earlier `fetch` left.
    pub(crate) fn cached(kernel: &Kernel) -> Result<Self> {
        let dir = dir().join(&kernel.series);
        let missing = |what: &str| {
            format!(
                "{what} is not here: `cargo xtask kernels fetch {}` gets it",
                kernel.series
            )
        };
        let Some(package) = described(&dir)? else {
            bail!(missing(&format!("Linux {}", kernel.series)));
        };
        let modules = modules::kept(&dir.join(MODULES), &kernel.modules)?;
        Ok(Self {
            path: dir.join("vmlinuz"),
            modules: modules.with_context(|| {
                missing(&format!(
                    "what Linux {} loads ({})",
                    kernel.series,
                    kernel.modules.join(", ")
                ))
            })?,
            package,
        })
    }
}

/// The directory of a series that holds its modules.
const MODULES: &str = "modules";

/// The package, and its version, of the image in `dir`, if there is one.
fn described(dir: &Path) -> Result<Option<String>> {
    // The description is written last: without it the image may be part of one.
    match fs::read_to_string(dir.join("package")) {
        Ok(package) => Ok(Some(package.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}", dir.display())),
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
        let said =
            fetch_one(&apt, kernel, update).with_context(|| format!("Linux {}", kernel.series))?;
        progress.inc(1);
        progress.suspend(|| println!("{said}"));
    }
    progress.finish_and_clear();
    Ok(())
}

fn fetch_one(apt: &Apt, kernel: &Kernel, update: bool) -> Result<String> {
    let dir = dir().join(&kernel.series);
    let here = described(&dir)?;
    let package = match &here {
        // Modules fit one version of the image alone, so an image that lacks some is completed, not replaced.
        Some(here) if !update => same(apt, here).or_else(|_| apt.newest_matching(&kernel.package)),
        _ => apt.newest_matching(&kernel.package),
    }?;
    let described = format!("{} {}", package.name, package.version);
    if here.as_ref() == Some(&described) && Image::cached(kernel).is_ok() {
        return Ok(format!("{described} is here already"));
    }
    fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
    let tree = apt.unpack(&package)?;
    if here.as_ref() != Some(&described) {
        let description = dir.join("package");
        match fs::remove_file(&description) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let image = find_image(&tree)?;
        fs::copy(&image, dir.join("vmlinuz")).with_context(|| format!("{}", image.display()))?;
        fetch_modules(apt, kernel, &package, &tree, &dir)?;
        fs::write(&description, &described)
            .with_context(|| format!("{}", description.display()))?;
    } else {
        fetch_modules(apt, kernel, &package, &tree, &dir)?;
    }
    // The package's modules are many times the size of its kernel.
    fs::remove_dir_all(&tree).with_context(|| format!("{}", tree.display()))?;
    Ok(described)
}

/// The package that a description names.
fn same(apt: &Apt, described: &str) -> Result<Package> {
    let (name, version) = described.split_once(' ').context("a name and a version")?;
    apt.exact(name, version)
}

/// Keeps the modules that `kernel` loads, from the image's own package or from the one that goes with it.
fn fetch_modules(
    apt: &Apt,
    kernel: &Kernel,
    image: &Package,
    tree: &Path,
    dir: &Path,
) -> Result<()> {
    let dir = dir.join(MODULES);
    let Some(pattern) = &kernel.modules_package else {
        Tree::search(tree)?.keep(&kernel.modules, &dir)?;
        return Ok(());
    };
    let name = beside(&image.name, &kernel.package, pattern)?;
    let tree = apt.unpack(&apt.exact(&name, &image.version)?)?;
    Tree::search(&tree)?.keep(&kernel.modules, &dir)?;
    fs::remove_dir_all(&tree).with_context(|| format!("{}", tree.display()))
}

/// `pattern` with its `*` replaced by what that of `own` stands for in `name`.
fn beside(name: &str, own: &str, pattern: &str) -> Result<String> {
    let (start, end) = own.split_once('*').unwrap_or((own, ""));
    let version = name
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end));
    let version = version.with_context(|| format!("{name} does not fit {own}"))?;
    Ok(pattern.replacen('*', version, 1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_go_together_have_one_version() {
        let name = beside(
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.*-cloud-amd64",
            "linux-modules-7.3.*-cloud-amd64",
        );
        assert_eq!(name.unwrap(), "linux-modules-7.3.4+deb13-cloud-amd64");
        assert!(beside("linux-image-6.1", "linux-binary-*", "x-*").is_err());
    }
}
