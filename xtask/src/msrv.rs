//! `cargo xtask msrv`: the crates that users depend on compile with the oldest compiler they claim.
//!
//! The compiler is Debian's, unpacked beside the machine's own and driven by the machine's cargo.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::{apt::Apt, workspace};

/// The version in the workspace's `rust-version`, and where Debian has it.
const OLDEST: &str = "1.85";
const SUITE: &str = "bookworm";
const COMPILER: &str = "rustc-web";
/// What the compiler needs beside itself.
const LIBRARIES: [&str; 4] = [
    "libstd-rust-web-dev",
    "libstd-rust-web-1.85",
    "libllvm19",
    "libz3-4",
];
/// The crates that others depend on; `xtask` is ours alone.
const CRATES: [&str; 3] = ["uring-sys", "uring", "uring-testkit"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use this rustc instead of fetching Debian's
    #[arg(long, value_name = "FILE")]
    rustc: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let rustc = match &args.rustc {
        Some(rustc) => rustc.clone(),
        None => fetch()?,
    };
    let version = Command::new(&rustc)
        .arg("--version")
        .output()
        .with_context(|| format!("running {}", rustc.display()))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    if !version.starts_with(&format!("rustc {OLDEST}.")) {
        bail!(
            "{} is not Rust {OLDEST}: it says {version:?}",
            rustc.display()
        );
    }
    let status = Command::new("cargo")
        .args(["check", "--quiet", "--locked"])
        .args(CRATES.iter().flat_map(|name| ["--package", name]))
        .current_dir(workspace::root())
        .env("RUSTC", &rustc)
        .env(
            "CARGO_TARGET_DIR",
            workspace::target_dir().join("xtask/msrv"),
        )
        .status()
        .context("running cargo")?;
    if !status.success() {
        bail!("{} do not compile with {version}", CRATES.join(", "));
    }
    println!("{} compile with {version}", CRATES.join(", "));
    Ok(())
}

/// Fetches the compiler and gives a program that runs it with its own libraries.
fn fetch() -> Result<PathBuf> {
    let progress = ProgressBar::new_spinner().with_message(format!("Rust {OLDEST}"));
    progress.enable_steady_tick(Duration::from_millis(100));
    let dir = workspace::target_dir().join("xtask/apt-msrv");
    let apt = Apt::open(&dir, &[SUITE])
        .context("cannot fetch Debian's compiler (`--rustc FILE` takes one that is there)")?;
    let mut trees = Vec::new();
    for name in std::iter::once(COMPILER).chain(LIBRARIES) {
        progress.set_message(name);
        trees.push(apt.unpack(&apt.newest(name)?)?);
    }
    let root = dir.join("root");
    merge(&trees, &root)?;
    progress.finish_and_clear();
    wrapper(&root)
}

/// Puts the files of all packages into one tree: the compiler looks for its library beside itself.
fn merge(trees: &[PathBuf], root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))?;
    }
    fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
    for tree in trees {
        let copied = Command::new("cp")
            .args(["--archive", "--link"])
            .arg(tree.join("."))
            .arg(root)
            .status()
            .context("running cp")?;
        if !copied.success() {
            bail!("{} cannot be copied", tree.display());
        }
    }
    Ok(())
}

fn wrapper(root: &Path) -> Result<PathBuf> {
    let root = fs::canonicalize(root)?;
    let lib = root.join("usr/lib");
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}:{}' exec '{}' \"$@\"\n",
        lib.join(format!("{}-linux-gnu", std::env::consts::ARCH))
            .display(),
        lib.join("llvm-19/lib").display(),
        root.join("usr/bin/rustc").display()
    );
    let wrapper = root.join("rustc");
    fs::write(&wrapper, script).with_context(|| format!("writing {}", wrapper.display()))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(wrapper)
}

#[cfg(test)]
mod tests {
    use super::OLDEST;

    #[test]
    fn the_oldest_compiler_is_the_one_that_the_workspace_claims() {
        let manifest =
            std::fs::read_to_string(crate::workspace::root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("rust-version = \"{OLDEST}\"")));
    }
}
