//! Debian packages from the machine's own mirror, without touching the machine's own package state.
//!
//! apt resolves, downloads and verifies; everything it keeps is under one directory of ours. The mirror is the one
//! that the machine's apt is configured with, the suites are the caller's.

use std::{
    cmp::Ordering,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

/// The keys that Debian signs its suites with, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with state of its own, over given suites of the machine's mirror.
#[derive(Debug)]
pub(crate) struct Apt {
    dir: PathBuf,
    suites: Vec<String>,
}

/// A package at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.name, self.version)
    }
}

impl Apt {
    /// Sets the private state up under `dir` and fetches the indexes of `suites`.
    pub(crate) fn open(dir: &Path, suites: &[&str]) -> Result<Self> {
        for sub in ["lists/partial", "cache/archives/partial", "debs", "trees"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).with_context(|| format!("creating {}", sub.display()))?;
        }
        let dir = fs::canonicalize(dir)?;
        let apt = Self {
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
            dir,
        };
        let mirror = mirror()?;
        if !Path::new(KEYRING).is_file() {
            bail!(
                "{KEYRING} is missing: install debian-archive-keyring, so that apt can verify what it fetches"
            );
        }
        let sources: String = apt
            .suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
            .collect();
        fs::write(apt.dir.join("sources.list"), sources)
            .context("writing a private sources.list")?;
        fs::write(apt.dir.join("status"), "").context("writing an empty package status")?;
        run(apt.command("apt-get").args([
            "--quiet=2",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ]))?;
        Ok(apt)
    }

    /// The package at the highest version that any of the suites has.
    pub(crate) fn newest(&self, name: &str) -> Result<Package> {
        let mut newest: Option<String> = None;
        for version in self.versions(name)? {
            newest = match newest {
                Some(best) if compare_versions(&best, &version)? != Ordering::Less => Some(best),
                _ => Some(version),
            };
        }
        let version =
            newest.with_context(|| format!("no package {name} in {}", self.suites.join(", ")))?;
        Ok(Package {
            name: name.to_owned(),
            version,
        })
    }

    /// Of the packages whose names fit `pattern`, in which one `*` stands for anything, the one at the highest version.
    pub(crate) fn newest_matching(&self, pattern: &str) -> Result<Package> {
        let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        let names = run(self.command("apt-cache").args(["pkgnames", start]))?;
        let mut newest: Option<Package> = None;
        for name in names.lines().filter(|name| name.ends_with(end)) {
            let package = self.newest(name)?;
            newest = match newest {
                Some(best)
                    if compare_versions(&best.version, &package.version)? != Ordering::Less =>
                {
                    Some(best)
                }
                _ => Some(package),
            };
        }
        newest.with_context(|| format!("no package {pattern} in {}", self.suites.join(", ")))
    }

    /// Unpacks the newest of `packages` and all that they depend on, down to the C library, into `tree`.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], tree: &Path) -> Result<()> {
        let archives = self.dir.join("cache/archives");
        // apt looks only at the size of a file that is there already.
        remove_tree(&archives)?;
        fs::create_dir_all(archives.join("partial"))
            .with_context(|| format!("creating {}", archives.display()))?;
        // The private package status is empty, so nothing counts as installed.
        run(self
            .command("apt-get")
            .args(["--quiet=2", "--yes", "--no-install-recommends"])
            .args(["--download-only", "install"])
            .args(packages))?;
        remove_tree(tree)?;
        for entry in fs::read_dir(&archives)? {
            let deb = entry?.path();
            if deb.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(tree))?;
            }
        }
        remove_tree(&archives)
    }

    /// The package at exactly this version.
    pub(crate) fn exact(&self, name: &str, version: &str) -> Result<Package> {
        let versions = self.versions(name)?;
        if !versions.iter().any(|have| have == version) {
            bail!(
                "{name} {version} is no longer in {} (there: {})",
                self.suites.join(", "),
                versions.join(", ")
            );
        }
        Ok(Package {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The verified `.deb` of the package: what an earlier run downloaded if it is intact, else downloaded now.
    pub(crate) fn fetch(&self, package: &Package) -> Result<PathBuf> {
        // apt looks only at the size of a file that is there already, so its hash is compared here.
        let expected = self.sha256(package)?;
        // apt chooses the file's name, so each package has a directory of its own.
        let dir = self.dir.join("debs").join(package.to_string());
        if let Some(deb) = find_deb(&dir) {
            if sha256(&deb)? == expected {
                return Ok(deb);
            }
        }
        remove_tree(&dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let wanted = format!("{}={}", package.name, package.version);
        run(self
            .command("apt-get")
            .current_dir(&dir)
            .args(["--quiet=2", "download", &wanted]))?;
        let deb = find_deb(&dir).with_context(|| {
            format!(
                "apt-get download {wanted} left no package in {}",
                dir.display()
            )
        })?;
        if sha256(&deb)? != expected {
            bail!(
                "{} is not what the signed index of {} describes",
                deb.display(),
                self.suites.join(", ")
            );
        }
        Ok(deb)
    }

    /// The hash that the signed index has for the package.
    fn sha256(&self, package: &Package) -> Result<String> {
        let wanted = format!("{}={}", package.name, package.version);
        let record = run(self.command("apt-cache").args(["show", &wanted]))?;
        record
            .lines()
            .find_map(|line| line.strip_prefix("SHA256:"))
            .map(|hash| hash.trim().to_owned())
            .with_context(|| format!("the index has no hash for {wanted}"))
    }

    /// Fetches the package and unpacks its files; gives the directory they are in.
    pub(crate) fn unpack(&self, package: &Package) -> Result<PathBuf> {
        let deb = self.fetch(package)?;
        let tree = Self::tree(&self.dir, package);
        let partial = tree.with_file_name(format!("{package}.partial"));
        remove_tree(&partial)?;
        run(Command::new("dpkg-deb").arg("-x").args([&deb, &partial]))?;
        remove_tree(&tree)?;
        fs::rename(&partial, &tree).with_context(|| format!("renaming {}", partial.display()))?;
        Ok(tree)
    }

    /// Where `unpack` puts a package's files, with the private state under `dir`.
    pub(crate) fn tree(dir: &Path, package: &Package) -> PathBuf {
        dir.join("trees").join(package.to_string())
    }

    fn versions(&self, name: &str) -> Result<Vec<String>> {
        let table = run(self.command("apt-cache").args(["madison", name]))?;
        // PACKAGE | VERSION | SOURCE
        Ok(table
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(|version| version.trim().to_owned())
            .collect())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |key: &str, value: &Path| {
            let mut option = OsString::from(key);
            option.push("=");
            option.push(value);
            command.arg("-o").arg(option);
        };
        set("Dir::State", &self.dir);
        set("Dir::State::lists", &self.dir.join("lists"));
        set("Dir::State::status", &self.dir.join("status"));
        set("Dir::Cache", &self.dir.join("cache"));
        set("Dir::Etc::sourcelist", &self.dir.join("sources.list"));
        for part in [
            "sourceparts",
            "preferences",
            "preferencesparts",
            "trustedparts",
        ] {
            set(&format!("Dir::Etc::{part}"), Path::new("/dev/null"));
        }
        // The private directory belongs to whoever runs this, which apt's own sandbox user cannot write.
        set("APT::Sandbox::User", Path::new("root"));
        set("Acquire::Languages", Path::new("none"));
        command.env("LC_ALL", "C.UTF-8");
        command
    }
}

/// The Debian mirror that this machine's apt is configured with.
fn mirror() -> Result<String> {
    let format = "$(IDENTIFIER)|$(LABEL)|$(RELEASE)|$(REPO_URI)";
    let targets = run(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    targets
        .lines()
        .find_map(debian_mirror)
        .map(str::to_owned)
        .context("this machine's apt has no Debian mirror among its sources")
}

/// The mirror's address, if this line of `apt-get indextargets` is about packages of Debian itself.
fn debian_mirror(line: &str) -> Option<&str> {
    let mut fields = line.split('|');
    let (identifier, label, release, uri) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    // Before the first `apt-get update` the label is not known, the name of the release is.
    let unknown = label.is_empty() || label.starts_with('$');
    let debian = label == "Debian" || (unknown && !release.contains("security"));
    (identifier == "Packages" && debian).then_some(uri)
}

fn find_deb(dir: &Path) -> Option<PathBuf> {
    let mut paths = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.extension().is_some_and(|extension| extension == "deb"))
}

fn sha256(file: &Path) -> Result<String> {
    let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn remove_tree(tree: &Path) -> Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("clearing {}", tree.display()))
        }
        _ => Ok(()),
    }
}

fn compare_versions(a: &str, b: &str) -> Result<Ordering> {
    for (relation, ordering) in [("lt", Ordering::Less), ("gt", Ordering::Greater)] {
        let status = Command::new("dpkg")
            .args(["--compare-versions", a, relation, b])
            .status()
            .context("running dpkg")?;
        if status.success() {
            return Ok(ordering);
        }
    }
    Ok(Ordering::Equal)
}

/// Runs a command and gives its standard output; its standard error is the evidence when it fails.
fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("there is no {program} on this machine"),
        _ => anyhow!("running {program}: {error}"),
    })?;
    if !status.success() {
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        bail!(
            "{program} failed ({status}): {}\n  command: {program} {}",
            String::from_utf8_lossy(&stderr).trim(),
            args.join(" ")
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_debian_itself() {
        let mirror = Some("http://mirror.example/debian/");
        for (line, expected) in [
            (
                "Packages|Debian|bookworm|http://mirror.example/debian/",
                mirror,
            ),
            ("Packages||bookworm|http://mirror.example/debian/", mirror),
            (
                "Packages|$(LABEL)|bookworm|http://mirror.example/debian/",
                mirror,
            ),
            (
                "Translations|Debian|bookworm|http://mirror.example/debian/",
                None,
            ),
            (
                "Packages|Debian-Security|bookworm-security|http://mirror.example/security/",
                None,
            ),
            (
                "Packages||bookworm-security|http://mirror.example/security/",
                None,
            ),
            ("Packages|Somebody|stable|http://elsewhere.example/", None),
            ("", None),
        ] {
            assert_eq!(debian_mirror(line), expected, "{line}");
        }
    }

    #[test]
    fn a_failing_command_shows_what_it_said() {
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("why") && error.contains("exit status: 3"),
            "{error}"
        );
        let error = run(&mut Command::new("no-such-program"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "there is no no-such-program on this machine");
    }
}
