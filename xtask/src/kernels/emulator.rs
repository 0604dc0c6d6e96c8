//! QEMU and what else a machine is made with: this machine's own where it can be trusted, else from Debian's packages.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::store;
use crate::apt::Apt;

const QEMU: &str = "qemu-system-x86_64";
/// Older ones corrupt what they emulate: about one boot in ten fails.
const OLDEST: u32 = 10;
/// A suite of which the packages are new enough, and complete: nothing of this machine's own is used with them.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 3] = ["qemu-system-x86", "e2fsprogs", "busybox-static"];

/// Programs of an emulated machine.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    tree: Option<PathBuf>,
    qemu: PathBuf,
    /// `10.0.13`
    pub(crate) version: String,
}

impl Emulator {
    /// The first that can be trusted: this machine's, what a fetch left; else an old one of this machine's.
    pub(crate) fn find() -> Result<Self> {
        let installed = on_path(QEMU).and_then(|qemu| Self::ask(None, qemu).ok());
        if let Some(installed) = installed.as_ref().filter(|found| found.is_sound()) {
            return Ok(installed.clone());
        }
        let tree = tree();
        if tree.is_dir() {
            let qemu = tree.join("usr/bin").join(QEMU);
            return Self::ask(Some(tree), qemu);
        }
        installed.with_context(|| {
            format!("there is no {QEMU}: `cargo xtask kernels fetch` gets one, or install version {OLDEST} or newer")
        })
    }

    fn ask(tree: Option<PathBuf>, qemu: PathBuf) -> Result<Self> {
        let mut emulator = Self {
            tree,
            qemu,
            version: String::new(),
        };
        let output = emulator.command()?.arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text
            .split_whitespace()
            .skip_while(|word| *word != "version");
        let Some(version) = version.clone().nth(1) else {
            bail!(
                "{} does not tell its version: {text}{}",
                emulator.qemu.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        };
        emulator.version = version.to_owned();
        Ok(emulator)
    }

    /// Whether it emulates without corrupting.
    pub(crate) fn is_sound(&self) -> bool {
        is_sound(&self.version)
    }

    /// QEMU, knowing where its firmware is.
    pub(crate) fn command(&self) -> Result<Command> {
        let Some(tree) = &self.tree else {
            return Ok(Command::new(&self.qemu));
        };
        let mut command = run_in(tree, &self.qemu);
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(tree.join(firmware));
        }
        Ok(command)
    }

    /// `mkfs.ext4`, this machine's or a fetched one.
    pub(crate) fn mkfs(&self) -> Result<Command> {
        if let Some(mkfs) = on_path("mkfs.ext4") {
            return Ok(Command::new(mkfs));
        }
        let tree = self.tree.clone().unwrap_or_else(tree);
        let mkfs = ["usr/sbin/mke2fs", "sbin/mke2fs"].map(|path| tree.join(path));
        let mkfs = mkfs.into_iter().find(|path| path.is_file());
        let mkfs = mkfs.context("there is no mkfs.ext4: install e2fsprogs")?;
        let mut command = run_in(&tree, &mkfs);
        command.args(["-t", "ext4"]);
        Ok(command)
    }

    /// A busybox without libraries, for a shell in the machine.
    pub(crate) fn busybox() -> Result<PathBuf> {
        let fetched = ["usr/bin/busybox", "bin/busybox"].map(|path| tree().join(path));
        let fetched = fetched.into_iter().find(|path| path.is_file());
        fetched
            .or_else(|| on_path("busybox"))
            .context("there is no busybox: `cargo xtask kernels fetch --update` gets one")
    }
}

/// Runs a program of the tree with the tree's own loader and libraries, which need not be this machine's.
fn run_in(tree: &Path, program: &Path) -> Command {
    let mut command = Command::new(tree.join("usr/lib64/ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(tree.join("usr/lib/x86_64-linux-gnu"))
        .arg(program);
    command
}

fn tree() -> PathBuf {
    store::dir().join("emulator")
}

fn is_sound(version: &str) -> bool {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= OLDEST)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin"));
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    // Where Debian puts mkfs, which is not on everybody's path.
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let candidates = dirs.into_iter().map(|dir| dir.join(program));
    candidates.into_iter().find(|path| path.is_file())
}

/// Fetches an emulator unless a sound one is here.
pub(super) fn fetch_if_needed() -> Result<()> {
    if let Ok(found) = Emulator::find() {
        if found.is_sound() {
            println!("QEMU {} is here", found.version);
            return Ok(());
        }
        println!("QEMU {} is too old to be trusted", found.version);
    }
    let apt = Apt::open(&store::dir().join("apt-emulator"), &[SUITE]).with_context(|| {
        format!("there is no apt to get QEMU with: install version {OLDEST} or newer")
    })?;
    let tree = tree();
    let partial = tree.with_extension("partial");
    apt.unpack_with_dependencies(&PACKAGES, &partial)?;
    fs::rename(&partial, &tree).with_context(|| format!("renaming {}", partial.display()))?;
    let found = Emulator::find()?;
    println!("QEMU {} fetched", found.version);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_emulators_are_not_sound() {
        for (version, sound) in [
            ("7.2.22", false),
            ("9.2.0", false),
            ("10.0.2", true),
            ("11.1", true),
        ] {
            assert_eq!(is_sound(version), sound, "{version}");
        }
        assert!(!is_sound("unknown"));
    }
}
