//! A project's packages and the test binaries that cargo makes of them.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::project::{self, Project, Target};

/// One package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// Whether there is documentation to be tested.
    pub(super) has_library: bool,
    /// The tests without libtest.
    suites: HashSet<String>,
    /// Those of them that are not for other machines.
    for_hosts: HashSet<String>,
    id: String,
}

impl Package {
    /// Whether it has suites for other machines.
    pub(super) fn has_suites_for_machines(&self) -> bool {
        self.suites.len() > self.for_hosts.len()
    }
}

/// One test binary, or one of the suites in it.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    /// The suite's name, or the package's with the kind of target.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) is_suite: bool,
    /// Which of the suites in the binary.
    suite: Option<String>,
    for_hosts: bool,
    pub(super) package: String,
    /// The test target.
    pub(super) target: String,
    dir: PathBuf,
}

impl Binary {
    /// A command that runs it as cargo does: in its package's directory.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.dir)
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .env("CARGO_PKG_NAME", &self.package)
            .args(self.arguments());
        command
    }

    /// What the binary is told so that it is this suite.
    pub(super) fn arguments(&self) -> Vec<String> {
        let suite = self.suite.iter();
        suite
            .flat_map(|suite| ["--suite".to_owned(), suite.clone()])
            .collect()
    }

    /// The name of the suite, where the binary can tell.
    pub(super) fn suite(&self) -> &str {
        self.suite.as_ref().unwrap_or(&self.target)
    }

    /// A name for its log.
    pub(super) fn file_name(&self) -> String {
        let file = self.path.file_name().map_or_else(
            || self.name.clone(),
            |name| name.to_string_lossy().into_owned(),
        );
        let suite = self.suite.iter();
        suite.fold(file, |file, suite| format!("{file}.{suite}"))
    }

    /// The suites in a binary without libtest. One that cannot name them is left as it is, and fails as a suite.
    fn into_suites(self) -> Result<Vec<Self>> {
        if !self.is_suite {
            return Ok(vec![self]);
        }
        let output = self.command().arg("--suites").output();
        let output = output.with_context(|| format!("starting {}", self.path.display()))?;
        let names = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || names.lines().any(|name| !is_word(name)) {
            return Ok(vec![self]);
        }
        let suite = |name: &str| Self {
            name: format!("{} {name}", self.package),
            suite: Some(name.to_owned()),
            ..self.clone()
        };
        Ok(names.lines().map(suite).collect())
    }
}

/// Whether it can be part of a path and of a command line as it is.
fn is_word(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.chars().all(fits)
}

#[derive(Deserialize)]
struct Manifest {
    package: ManifestPackage,
    #[serde(default)]
    test: Vec<ManifestTest>,
}

#[derive(Deserialize)]
struct ManifestPackage {
    #[serde(default)]
    metadata: PackageMetadata,
}

/// `[package.metadata.…]`, which cargo leaves to others.
#[derive(Default, Deserialize)]
struct PackageMetadata {
    #[serde(default)]
    xtask: ForXtask,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ForXtask {
    /// Suites that are not for other machines than this.
    #[serde(default)]
    host_only: HashSet<String>,
}

#[derive(Deserialize)]
struct ManifestTest {
    name: String,
    harness: Option<bool>,
}

/// The project's packages, or the one that is asked for.
pub(super) fn packages(project: &Project, only: Option<&str>) -> Result<Vec<Package>> {
    let wanted = |package: &&project::Package| only.is_none_or(|only| package.name == only);
    let packages = project.packages.iter().filter(wanted);
    let packages: Vec<_> = packages.map(package).collect::<Result<_>>()?;
    match (packages.is_empty(), only) {
        (true, Some(only)) => bail!("there is no package {only} in the workspace"),
        _ => Ok(packages),
    }
}

fn package(package: &project::Package) -> Result<Package> {
    let path = &package.manifest_path;
    let manifest = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let manifest: Manifest =
        toml::from_str(&manifest).with_context(|| format!("{}", path.display()))?;
    let suites: HashSet<_> = manifest
        .test
        .into_iter()
        .filter(|test| test.harness == Some(false))
        .map(|test| test.name)
        .collect();
    let for_hosts = manifest.package.metadata.xtask.host_only;
    if let Some(unknown) = for_hosts.difference(&suites).next() {
        bail!(
            "{}: package.metadata.xtask.host-only names {unknown}, which is no test with harness = false",
            path.display()
        );
    }
    Ok(Package {
        name: package.name.clone(),
        dir: path
            .parent()
            .context("a manifest is in a directory")?
            .to_owned(),
        has_library: package.targets.iter().any(|target| target.doctest),
        suites,
        for_hosts,
        id: package.id.clone(),
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
pub(super) fn build(project: &Project, packages: &[Package]) -> Result<Vec<Binary>> {
    let names = packages.iter().map(|package| package.name.as_str());
    let packages: Vec<_> = packages.iter().collect();
    let mut command = project.cargo();
    command.args(["test", "--no-run"]);
    let messages = messages(command, names)?;
    let binaries = messages.into_iter();
    let binaries = binaries.filter_map(|m| binary(m, &packages));
    let mut binaries = suites_of(binaries)?;
    binaries.sort_by(|a, b| (a.is_suite, &a.name).cmp(&(b.is_suite, &b.name)));
    Ok(binaries)
}

fn suites_of(binaries: impl IntoIterator<Item = Binary>) -> Result<Vec<Binary>> {
    let mut suites = Vec::new();
    for binary in binaries {
        suites.extend(binary.into_suites()?);
    }
    Ok(suites)
}

/// What is built to run in another machine, where there are no libraries.
#[derive(Debug)]
pub(super) struct ForGuest {
    pub(super) suites: Vec<Binary>,
    /// By name.
    pub(super) examples: BTreeMap<String, PathBuf>,
}

/// Builds the suites and examples of `packages`.
pub(super) fn build_for_guest(project: &Project, packages: &[&Package]) -> Result<ForGuest> {
    let names = packages.iter().map(|package| package.name.as_str());
    let command = cargo_for_guest(project, &["test", "--no-run"])?;
    let messages = messages(command, names)?;
    let mut built = ForGuest {
        suites: Vec::new(),
        examples: BTreeMap::new(),
    };
    for message in messages {
        let (Some(target), Some(path)) = (&message.target, &message.executable) else {
            continue;
        };
        if target.is("example") {
            built.examples.insert(target.name.clone(), path.clone());
        }
        let suite = binary(message, packages);
        let for_machines = |binary: &Binary| binary.is_suite && !binary.for_hosts;
        let suite = suite.filter(for_machines);
        built.suites.extend(suites_of(suite)?);
    }
    Ok(built)
}

/// Builds the program `name` of a package.
pub(super) fn build_program_for_guest(
    project: &Project,
    package: &str,
    name: &str,
) -> Result<PathBuf> {
    let command = cargo_for_guest(project, &["build", "--bin", name])?;
    let messages = messages(command, [package].into_iter())?;
    let mut programs = messages.into_iter().filter_map(|message| {
        let is_it = message.target.is_some_and(|target| target.name == name);
        message.executable.filter(|_| is_it)
    });
    programs
        .next()
        .with_context(|| format!("{package} has no program {name}"))
}

/// Cargo, building for a machine where there are no libraries.
fn cargo_for_guest(project: &Project, subcommand: &[&str]) -> Result<Command> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let mut command = project.cargo();
    command
        .args(subcommand)
        .args(Project::lane_profile()?)
        .env_remove("RUSTFLAGS")
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static --cfg uring_coverage",
        )
        .env("CARGO_BUILD_TARGET", TARGET);
    Ok(command)
}

fn messages<'a>(
    mut command: Command,
    packages: impl Iterator<Item = &'a str>,
) -> Result<Vec<Message>> {
    command.arg("--message-format=json-render-diagnostics");
    for package in packages {
        command.args(["--package", package]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
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
    let is_test = target.is("test");
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
        suite: None,
        for_hosts: is_suite && package.for_hosts.contains(&target.name),
        package: package.name.clone(),
        target: target.name,
        dir: package.dir.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(host_only: &str) -> Result<Package> {
        let name = format!("xtask-manifest-{}-{host_only}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = format!(
            "[package]\nname = \"p\"\n[package.metadata.xtask]\nhost-only = [\"{host_only}\"]\n\
             [[test]]\nname = \"suite\"\nharness = false\n[[test]]\nname = \"ordinary\"\n"
        );
        fs::write(&path, text).unwrap();
        let package = package(&project::Package {
            id: "p".to_owned(),
            name: "p".to_owned(),
            manifest_path: path.clone(),
            targets: Vec::new(),
        });
        fs::remove_file(&path).unwrap();
        package
    }

    #[test]
    fn a_suite_that_is_for_hosts_is_for_no_machine() {
        let package = manifest("suite").unwrap();
        assert_eq!(package.suites.len(), 1);
        assert!(!package.has_suites_for_machines());
    }

    #[test]
    fn only_suites_can_be_for_hosts() {
        for name in ["ordinary", "unheard of"] {
            let refusal = manifest(name).unwrap_err().to_string();
            let words = format!("host-only names {name}, which is no test with harness = false");
            assert!(refusal.contains(&words), "{refusal}");
        }
    }

    #[test]
    fn machines_get_the_suites_of_this_workspace_but_not_those_that_start_machines() {
        let project = Project::here().unwrap();
        let has = |name| packages(&project, Some(name)).unwrap()[0].has_suites_for_machines();
        assert!(has("uring") && has("uring-testkit"));
        assert!(!has("xtask"));
    }
}
