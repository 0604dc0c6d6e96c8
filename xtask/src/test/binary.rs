//! The packages of the workspace and the test binaries that cargo makes of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    env,
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::workspace;

/// One package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// Whether there is documentation to be tested.
    pub(super) has_library: bool,
    /// The tests without libtest.
    suites: HashSet<String>,
    id: String,
}

impl Package {
    pub(super) fn has_suites(&self) -> bool {
        !self.suites.is_empty()
    }
}

/// One test binary.
#[derive(Debug)]
pub(super) struct Binary {
    /// The suite's name, or the package's with the kind of target.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) is_suite: bool,
    package: String,
    dir: PathBuf,
}

impl Binary {
    /// A command that runs it as cargo does: in its package's directory.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.dir)
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .env("CARGO_PKG_NAME", &self.package);
        command
    }

    /// A name for its log.
    pub(super) fn file_name(&self) -> String {
        self.path.file_name().map_or_else(
            || self.name.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

pub(super) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(workspace::root());
    command
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default)]
    doctest: bool,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    test: Vec<ManifestTest>,
}

#[derive(Deserialize)]
struct ManifestTest {
    name: String,
    harness: Option<bool>,
}

/// The workspace's packages, or the one that is asked for.
pub(super) fn packages(only: Option<&str>) -> Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let wanted = |package: &MetadataPackage| only.is_none_or(|only| package.name == only);
    let packages: Vec<_> = metadata
        .packages
        .into_iter()
        .filter(wanted)
        .map(package)
        .collect::<Result<_>>()?;
    match (packages.is_empty(), only) {
        (true, Some(only)) => bail!("there is no package {only} in the workspace"),
        _ => Ok(packages),
    }
}

fn package(package: MetadataPackage) -> Result<Package> {
    let path = package.manifest_path;
    let manifest = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let manifest: Manifest =
        toml::from_str(&manifest).with_context(|| format!("{}", path.display()))?;
    let suites = manifest
        .test
        .into_iter()
        .filter(|test| test.harness == Some(false));
    Ok(Package {
        name: package.name,
        dir: path
            .parent()
            .context("a manifest is in a directory")?
            .to_owned(),
        has_library: package.targets.iter().any(|target| target.doctest),
        suites: suites.map(|test| test.name).collect(),
        id: package.id,
    })
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the packages' tests; cargo's own progress is shown.
pub(super) fn build(packages: &[Package]) -> Result<Vec<Binary>> {
    let names = packages.iter().map(|package| package.name.as_str());
    let packages: Vec<_> = packages.iter().collect();
    let messages = messages(cargo(), names, &[])?;
    let binaries = messages.into_iter();
    let mut binaries: Vec<_> = binaries.filter_map(|m| binary(m, &packages)).collect();
    binaries.sort_by(|a, b| (a.is_suite, &a.name).cmp(&(b.is_suite, &b.name)));
    Ok(binaries)
}

/// What is built to run in another machine, where there are no libraries.
#[derive(Debug)]
pub(super) struct ForGuest {
    pub(super) suites: Vec<Binary>,
    /// By name.
    pub(super) examples: BTreeMap<String, PathBuf>,
    /// By name: the programs of the package that was asked for.
    pub(super) programs: BTreeMap<String, PathBuf>,
}

/// Builds the suites and examples of `packages`, and the programs of the package `programs_of`.
pub(super) fn build_for_guest(packages: &[&Package], programs_of: &str) -> Result<ForGuest> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let mut command = cargo();
    command
        .env_remove("RUSTFLAGS")
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static --cfg uring_coverage",
        )
        .env("CARGO_BUILD_TARGET", TARGET);
    let names: BTreeSet<_> = packages
        .iter()
        .map(|package| package.name.as_str())
        .chain([programs_of])
        .collect();
    let messages = messages(command, names.into_iter(), &["--profile", "lane"])?;
    let mut built = ForGuest {
        suites: Vec::new(),
        examples: BTreeMap::new(),
        programs: BTreeMap::new(),
    };
    for message in messages {
        let (Some(target), Some(path)) = (&message.target, &message.executable) else {
            continue;
        };
        let is = |kind: &str| target.kind.iter().any(|other| other == kind);
        let for_test = message.profile.as_ref().is_some_and(|profile| profile.test);
        if is("example") {
            built.examples.insert(target.name.clone(), path.clone());
        } else if is("bin") && !for_test {
            built.programs.insert(target.name.clone(), path.clone());
        }
        built
            .suites
            .extend(binary(message, packages).filter(|binary| binary.is_suite));
    }
    Ok(built)
}

fn messages<'a>(
    mut command: Command,
    packages: impl Iterator<Item = &'a str>,
    options: &[&str],
) -> Result<Vec<Message>> {
    command.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(options);
    for package in packages {
        command.args(["--package", package]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo test --no-run")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let messages = String::from_utf8(output.stdout)?;
    messages
        .lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("a message of cargo's: {line}"))
        })
        .collect()
}

fn binary(message: Message, packages: &[&Package]) -> Option<Binary> {
    let (target, path) = (message.target?, message.executable?);
    if message.reason != "compiler-artifact" || !message.profile?.test {
        return None;
    }
    let id = message.package_id?;
    let package = packages.iter().find(|package| package.id == id)?;
    let is_test = target.kind.iter().any(|kind| kind == "test");
    let is_suite = is_test && package.suites.contains(&target.name);
    let name = if is_suite || is_test {
        format!("{} {}", package.name, target.name)
    } else {
        format!("{} (unit)", package.name)
    };
    Some(Binary {
        name,
        path,
        is_suite,
        package: package.name.clone(),
        dir: package.dir.clone(),
    })
}
