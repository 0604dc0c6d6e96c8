//! Where the kernel's headers come from: a Debian package newer than the machine's own, or a tree that the user names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    apt::{Apt, Package},
    workspace,
};

const PACKAGE: &str = "linux-libc-dev";
/// The oldest release with every opcode that the bindings promise.
const OLDEST: (u32, u32) = (7, 3);

/// A tree of UAPI headers of one release.
#[derive(Debug)]
pub(crate) struct Headers {
    /// All that may be read.
    pub(crate) root: PathBuf,
    /// The directory that holds `linux/`.
    pub(crate) include: PathBuf,
    /// `7.3.4`
    pub(crate) release: String,
    /// `linux-libc-dev 7.3.4-1~bpo13+1`, where it came from a package.
    pub(crate) package: Option<String>,
    /// The io_uring headers: `linux/io_uring.h` and its text, in order of name.
    pub(crate) interface: BTreeMap<String, String>,
}

impl Headers {
    /// Fetches the newest package that `suite` has.
    pub(crate) fn newest(suite: &str) -> Result<Self> {
        let apt = open(suite)?;
        let package = apt.newest(PACKAGE)?;
        Self::from_package(&apt.unpack(&package)?, &package)
            .with_context(|| format!("the newest {PACKAGE} of {suite} (`--suite` names another)"))
    }

    /// The package of this version: what an earlier run unpacked if its headers have this hash, else from `suite`.
    pub(crate) fn of_version(version: &str, sha256: &str, suite: &str) -> Result<Self> {
        let package = Package {
            name: PACKAGE.to_owned(),
            version: version.to_owned(),
        };
        if let Ok(headers) = Self::from_package(&Apt::tree(&apt_dir(), &package), &package) {
            if headers.sha256() == sha256 {
                return Ok(headers);
            }
        }
        let apt = open(suite)?;
        match apt.exact(PACKAGE, version) {
            Ok(package) => Self::from_package(&apt.unpack(&package)?, &package),
            Err(gone) => Self::same_in_newest(&apt, sha256).ok_or_else(|| {
                gone.context(
                    "the committed bindings were made from a release that the mirror has no more, and the newest \
                     has other io_uring headers: run `cargo xtask bindgen` to move on to it, or name the old \
                     headers with `--headers DIR`",
                )
            }),
        }
    }

    /// The newest package's headers, if they are the same: mirrors drop a release when the next one comes, and most releases
    /// leave the interface alone.
    fn same_in_newest(apt: &Apt, sha256: &str) -> Option<Self> {
        let package = apt.newest(PACKAGE).ok()?;
        let headers = Self::from_tree(&apt.unpack(&package).ok()?).ok()?;
        (headers.sha256() == sha256).then_some(headers)
    }

    fn from_package(tree: &Path, package: &Package) -> Result<Self> {
        let mut headers = Self::from_tree(tree)?;
        headers.package = Some(format!("{} {}", package.name, package.version));
        Ok(headers)
    }

    /// Reads an unpacked tree: the directory itself, or its `include` or `usr/include`, holds `linux/io_uring.h`.
    pub(crate) fn from_tree(tree: &Path) -> Result<Self> {
        let root = fs::canonicalize(tree)
            .with_context(|| format!("no such directory: {}", tree.display()))?;
        let include = ["usr/include", "include", ""]
            .map(|sub| root.join(sub))
            .into_iter()
            .find(|dir| dir.join("linux/io_uring.h").is_file())
            .with_context(|| {
                format!(
                    "{} holds no linux/io_uring.h, nor in include or usr/include",
                    root.display()
                )
            })?;
        if include == Path::new("/usr/include") {
            bail!(
                "the machine's own /usr/include is not a pinned release: unpack a linux-libc-dev package and name its directory"
            );
        }
        let (release, version) = release(&include)?;
        if version < OLDEST {
            bail!(
                "these are the headers of Linux {release}, and the bindings need {}.{} or newer",
                OLDEST.0,
                OLDEST.1
            );
        }
        let interface = interface(&include)?;
        Ok(Self {
            root,
            include,
            release,
            package: None,
            interface,
        })
    }

    /// SHA-256 over the io_uring headers, concatenated in order of name.
    pub(crate) fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for text in self.interface.values() {
            hash.update(text);
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn apt_dir() -> PathBuf {
    workspace::target_dir().join("xtask/apt")
}

fn open(suite: &str) -> Result<Apt> {
    Apt::open(&apt_dir(), &[suite]).with_context(|| {
        format!("cannot fetch {PACKAGE} (`--headers DIR` takes an unpacked tree instead)")
    })
}

fn interface(include: &Path) -> Result<BTreeMap<String, String>> {
    let mut names = vec!["linux/io_uring.h".to_owned()];
    let dir = include.join("linux/io_uring");
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".h") {
            names.push(format!("linux/io_uring/{name}"));
        }
    }
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(include.join(&name))
                .with_context(|| format!("reading {name}"))?;
            Ok((name, text))
        })
        .collect()
}

/// The release that `linux/version.h` states.
fn release(include: &Path) -> Result<(String, (u32, u32))> {
    let path = include.join("linux/version.h");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let field = |name: &str| -> Result<u32> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name))
            .with_context(|| format!("{} does not define {name}", path.display()))?;
        line.trim()
            .parse()
            .with_context(|| format!("{name} in {}", path.display()))
    };
    let (major, minor) = (
        field("LINUX_VERSION_MAJOR")?,
        field("LINUX_VERSION_PATCHLEVEL")?,
    );
    let patch = field("LINUX_VERSION_SUBLEVEL")?;
    Ok((format!("{major}.{minor}.{patch}"), (major, minor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of `linux/io_uring.h`, one header beside it, and the release.
    fn tree(name: &str, minor: u32) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("xtask-headers-{}-{name}", std::process::id()));
        let linux = root.join("usr/include/linux");
        fs::create_dir_all(linux.join("io_uring")).unwrap();
        fs::write(linux.join("io_uring.h"), "#define A 1\n").unwrap();
        fs::write(linux.join("io_uring/query.h"), "#define B 2\n").unwrap();
        let version = format!(
            "#define LINUX_VERSION_CODE 1\n#define LINUX_VERSION_MAJOR 7\n\
             #define LINUX_VERSION_PATCHLEVEL {minor}\n#define LINUX_VERSION_SUBLEVEL 4\n"
        );
        fs::write(linux.join("version.h"), version).unwrap();
        root
    }

    #[test]
    fn a_tree_is_found_from_its_root_and_from_within() {
        let root = tree("found", 3);
        for sub in ["", "usr", "usr/include"] {
            let headers = Headers::from_tree(&root.join(sub)).unwrap();
            assert_eq!(headers.release, "7.3.4");
            let names: Vec<_> = headers.interface.keys().map(String::as_str).collect();
            assert_eq!(names, ["linux/io_uring.h", "linux/io_uring/query.h"]);
            // printf '#define A 1\n#define B 2\n' | sha256sum
            assert_eq!(headers.sha256(), SHA256);
        }
        fs::remove_dir_all(root).unwrap();
    }

    const SHA256: &str = "e506d2c4e2aec06081b5b16da2f1da8217fc79f1321783063c2ddba4180d8fbe";

    #[test]
    fn an_older_release_is_refused() {
        let root = tree("old", 2);
        let error = Headers::from_tree(&root).unwrap_err().to_string();
        fs::remove_dir_all(root).unwrap();
        assert_eq!(
            error,
            "these are the headers of Linux 7.2.4, and the bindings need 7.3 or newer"
        );
    }

    #[test]
    fn a_directory_without_headers_is_refused() {
        let error = Headers::from_tree(&std::env::temp_dir())
            .unwrap_err()
            .to_string();
        assert!(error.contains("holds no linux/io_uring.h"), "{error}");
    }
}
