//! Modules of a kernel: found in a tree of them, put in the order in which they are loaded, kept for machines.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The list of what is kept, in the order of loading; written last, so that what it names is whole.
const LIST: &str = "list";

/// A module that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// With underscores, as the kernel writes it.
    pub(crate) name: String,
    /// The module itself, not compressed.
    pub(crate) path: PathBuf,
}

/// A directory as in `/lib/modules/RELEASE`, searched.
#[derive(Debug)]
pub(crate) struct Tree {
    files: BTreeMap<String, PathBuf>,
    /// What the kernel has without loading it.
    builtin: Vec<String>,
}

impl Tree {
    /// Finds every module below `dir`.
    pub(crate) fn search(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(dir, &mut files)?;
        // Where it is missing, a kernel without modules of its own lists none either.
        let builtin = fs::read_to_string(dir.join("modules.builtin")).unwrap_or_default();
        let builtin = builtin.lines().filter_map(|line| name_of(Path::new(line)));
        Ok(Self {
            files,
            builtin: builtin.collect(),
        })
    }

    /// Whether there is such a module to load.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Whether the kernel has it without loading it.
    pub(crate) fn is_builtin(&self, name: &str) -> bool {
        self.builtin.iter().any(|builtin| builtin == name)
    }

    /// Writes `names` and what they depend on to `dir`, which holds nothing else afterwards.
    pub(crate) fn keep(&self, names: &[String], dir: &Path) -> Result<Vec<Module>> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("clearing {}", dir.display()));
            }
            _ => {}
        }
        fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
        let mut order = Vec::new();
        for name in names {
            self.visit(name, &mut order)?;
        }
        let mut list = String::new();
        let mut modules = Vec::new();
        for (name, contents) in order {
            let path = file(dir, &name);
            fs::write(&path, contents).with_context(|| format!("{}", path.display()))?;
            list.push_str(&name);
            list.push('\n');
            modules.push(Module { name, path });
        }
        fs::write(dir.join(LIST), list).with_context(|| format!("{}", dir.display()))?;
        Ok(modules)
    }

    /// Adds a module behind what it depends on.
    fn visit(&self, name: &str, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        if order.iter().any(|(there, _)| there == name) {
            return Ok(());
        }
        let path = self.files.get(name);
        let path = path.with_context(|| format!("there is no module {name}"))?;
        let contents = read(path)?;
        let needed = depends(&contents);
        let needed = needed.with_context(|| format!("{} is no module", path.display()))?;
        for needed in needed {
            self.visit(&needed, order)
                .with_context(|| format!("{name} depends on {needed}"))?;
        }
        order.push((name.to_owned(), contents));
        Ok(())
    }
}

/// What an earlier [`Tree::keep`] left in `dir`, in the order of loading, if it has all of `names`.
pub(super) fn kept(dir: &Path, names: &[String]) -> Result<Option<Vec<Module>>> {
    if names.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let list = match fs::read_to_string(dir.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", dir.display())),
    };
    let modules: Vec<_> = list
        .lines()
        .map(|name| Module {
            name: name.to_owned(),
            path: file(dir, name),
        })
        .collect();
    let has = |name: &String| modules.iter().any(|module| module.name == *name);
    Ok(names.iter().all(has).then_some(modules))
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).with_extension("ko")
}

fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        // Links lead to sources and headers.
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `nvme_loop` of `kernel/drivers/nvme-loop.ko.xz`.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, compression) = file.split_once(".ko")?;
    let known = compression.is_empty() || compression.starts_with('.');
    known.then(|| name.replace('-', "_"))
}

/// A module's contents, not compressed.
fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("{}", path.display()))?;
    match path.extension().and_then(OsStr::to_str) {
        Some("ko") => Ok(bytes),
        Some("xz") => {
            let mut contents = Vec::new();
            let mut reader = lzma_rust2::XzReader::new(&*bytes, false);
            io::Read::read_to_end(&mut reader, &mut contents)
                .with_context(|| format!("{}", path.display()))?;
            Ok(contents)
        }
        _ => bail!(
            "{} is compressed in a way that is not understood here: decompress it beside itself",
            path.display()
        ),
    }
}

/// The modules that a module says it depends on; `None` if it says nothing at all.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    // Its `.modinfo`: texts of the form key=value, each ended by a zero byte.
    let mut texts = module.split(|byte| *byte == 0);
    let names = texts.find_map(|text| text.strip_prefix(b"depends="))?;
    let names = String::from_utf8_lossy(names);
    let names = names.split(',').filter(|name| !name.is_empty());
    Some(names.map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let name = format!("xtask-modules-{name}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(dir.join("tree/kernel/fs")).unwrap();
            Self(dir)
        }

        fn module(&self, file: &str, depends: &str) {
            let contents = format!("\u{7f}ELF\0\0license=GPL\0depends={depends}\0name=x\0");
            fs::write(self.0.join("tree/kernel/fs").join(file), contents).unwrap();
        }

        fn tree(&self) -> Tree {
            Tree::search(&self.0.join("tree")).unwrap()
        }

        fn keep(&self, names: &[&str]) -> Result<Vec<String>> {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let kept = self.tree().keep(&names, &self.0.join("kept"))?;
            Ok(kept.into_iter().map(|module| module.name).collect())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_a_module_depends_on_comes_first_and_once() {
        let dir = Dir::new("order");
        dir.module("top.ko", "middle-one,bottom");
        dir.module("middle-one.ko", "bottom");
        dir.module("bottom.ko", "");
        dir.module("other.ko", "");
        assert_eq!(dir.keep(&["top"]).unwrap(), ["bottom", "middle_one", "top"]);
        assert_eq!(dir.keep(&["other", "bottom"]).unwrap(), ["other", "bottom"]);
        assert!(!dir.0.join("kept/top.ko").exists(), "it was kept before");
        let contents = fs::read(dir.0.join("kept/other.ko")).unwrap();
        assert!(contents.starts_with(b"\x7fELF"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_needs_it() {
        let dir = Dir::new("missing");
        dir.module("top.ko", "bottom");
        let error = format!("{:#}", dir.keep(&["top"]).unwrap_err());
        assert_eq!(error, "top depends on bottom: there is no module bottom");
        fs::write(dir.0.join("tree/kernel/fs/odd.ko"), "text").unwrap();
        let error = dir.keep(&["odd"]).unwrap_err().to_string();
        assert!(error.ends_with("odd.ko is no module"), "{error}");
        dir.module("new.ko.zst", "");
        let error = dir.keep(&["new"]).unwrap_err().to_string();
        assert!(error.contains("not understood"), "{error}");
    }

    #[test]
    fn what_was_kept_is_found_again_if_it_is_all_that_is_wanted() {
        let dir = Dir::new("kept");
        let (one, two) = (["one".to_owned()], ["one".to_owned(), "two".to_owned()]);
        let place = dir.0.join("kept");
        assert_eq!(kept(&place, &[]).unwrap(), Some(Vec::new()));
        assert_eq!(kept(&place, &one).unwrap(), None);
        dir.module("one.ko", "");
        dir.keep(&["one"]).unwrap();
        let found = kept(&place, &one).unwrap().unwrap();
        assert_eq!(found[0].path, place.join("one.ko"));
        assert_eq!(kept(&place, &two).unwrap(), None);
    }

    #[test]
    fn what_is_built_in_is_no_file() {
        let dir = Dir::new("builtin");
        dir.module("one.ko", "");
        fs::write(
            dir.0.join("tree/modules.builtin"),
            "kernel/fs/fuse/fuse.ko\n",
        )
        .unwrap();
        let tree = dir.tree();
        assert!(tree.has("one") && !tree.is_builtin("one"));
        assert!(tree.is_builtin("fuse") && !tree.has("fuse"));
    }

    #[test]
    fn a_compressed_module_is_kept_as_it_was_before() {
        // As `xz --check=crc32` writes it.
        const XZ: &[u8] = b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\
            \x01\0\x0d\x7fELF\0depends=\0\0\0\0kr\xba\x45\0\x01\x22\x0e\x0c\xde\x8c\x60\x90\x42\x99\x0d\
            \x01\0\0\0\0\x01YZ";
        let dir = Dir::new("xz");
        fs::write(dir.0.join("tree/kernel/fs/small.ko.xz"), XZ).unwrap();
        assert_eq!(dir.keep(&["small"]).unwrap(), ["small"]);
        let contents = fs::read(dir.0.join("kept/small.ko")).unwrap();
        assert_eq!(contents, b"\x7fELF\0depends=\0");
    }
}
