//! Whose tests run: this workspace's, or those of a package elsewhere.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{self, Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::workspace;

/// This workspace's manifest, which has the profile `lane`; a workspace elsewhere does not.
const MANIFEST: &str = include_str!("../../../Cargo.toml");

/// A workspace whose packages have tests.
#[derive(Debug)]
pub(super) struct Project {
    /// Where cargo is started.
    dir: PathBuf,
    /// Whether it is this workspace.
    pub(super) is_here: bool,
    /// Where cargo is told to build, if it is told.
    build: Option<PathBuf>,
    /// Where it builds.
    target: PathBuf,
    pub(super) packages: Vec<Package>,
}

/// A package as cargo describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: Vec<String>,
    #[serde(default)]
    pub(super) doctest: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

impl Target {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|other| other == kind)
    }
}

impl Project {
    /// This workspace.
    pub(super) fn here() -> Result<Self> {
        Self::open(workspace::root(), None)
    }

    /// The package or workspace of another manifest; with `build`, cargo builds it there.
    pub(super) fn elsewhere(manifest: &Path, build: Option<&Path>) -> Result<Self> {
        let is_manifest = manifest
            .file_name()
            .is_some_and(|name| name == "Cargo.toml");
        if !is_manifest || !manifest.is_file() {
            bail!(
                "--manifest-path {}: the path of a Cargo.toml is wanted",
                manifest.display()
            );
        }
        let manifest = path::absolute(manifest)?;
        let dir = manifest.parent().context("a file is in a directory")?;
        Self::open(dir.to_owned(), build.map(path::absolute).transpose()?)
    }

    fn open(dir: PathBuf, build: Option<PathBuf>) -> Result<Self> {
        let mut project = Self {
            is_here: dir == workspace::root(),
            dir,
            build,
            target: PathBuf::new(),
            packages: Vec::new(),
        };
        let output = project
            .cargo()
            .args(["metadata", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed in {}", project.dir.display());
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        project.target = metadata.target_directory;
        project.packages = metadata.packages;
        Ok(project)
    }

    /// Cargo, for this project.
    pub(super) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.current_dir(&self.dir);
        if let Some(build) = &self.build {
            command.env("CARGO_TARGET_DIR", build);
        }
        command
    }

    /// Cargo's options for programs that run in other machines.
    pub(super) fn lane_profile() -> Result<Vec<String>> {
        let manifest: toml::Table = toml::from_str(MANIFEST).context("Cargo.toml")?;
        let profile = manifest.get("profile").and_then(|p| p.get("lane"));
        let profile = profile.and_then(toml::Value::as_table);
        let profile = profile.context("Cargo.toml has no profile lane")?;
        let definition = profile.iter().flat_map(|(key, value)| {
            let line = format!("profile.lane.{key}={value}");
            ["--config".to_owned(), line]
        });
        let choice = ["--profile", "lane"].map(str::to_owned);
        Ok(definition.chain(choice).collect())
    }

    /// Where runs keep their logs: in the project's own target directory, so that two projects do not share them.
    pub(super) fn scratch(&self, what: &str) -> Result<PathBuf> {
        let dir = self.target.join("xtask").join(what);
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_has_its_packages_and_its_scratch_space() {
        let project = Project::here().unwrap();
        let names: Vec<_> = project.packages.iter().map(|p| p.name.as_str()).collect();
        assert!(project.is_here);
        assert!(names.contains(&"uring-testkit") && names.contains(&"xtask"));
        let scratch = project.scratch("test").unwrap();
        assert_eq!(scratch, workspace::target_dir().join("xtask/test"));
    }

    #[test]
    fn the_profile_of_lanes_is_told_to_cargo() {
        let options = Project::lane_profile().unwrap();
        let inherits = [
            r#"profile.lane.inherits="dev""#,
            r#"profile.lane.strip="symbols""#,
        ];
        for line in inherits {
            assert!(options.iter().any(|option| option == line), "{options:?}");
        }
        assert_eq!(options[options.len() - 2..], ["--profile", "lane"]);
    }

    #[test]
    fn a_manifest_elsewhere_has_its_own_packages_and_is_built_where_it_is_told() {
        let manifest = workspace::root().join("consumers/own-suite/Cargo.toml");
        let build = env::temp_dir().join(format!("xtask-project-{}", std::process::id()));
        let project = Project::elsewhere(&manifest, Some(&build)).unwrap();
        assert!(!project.is_here);
        assert_eq!(project.packages.len(), 1);
        assert_eq!(project.packages[0].name, "own-suite");
        let scratch = project.scratch("lanes").unwrap();
        assert_eq!(scratch, build.join("xtask/lanes"));
        fs::remove_dir_all(&build).unwrap();
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for path in [workspace::root(), workspace::root().join("README.md")] {
            let refusal = Project::elsewhere(&path, None).unwrap_err().to_string();
            assert!(refusal.contains("the path of a Cargo.toml"), "{refusal}");
        }
    }
}
