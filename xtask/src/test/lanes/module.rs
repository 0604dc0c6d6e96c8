//! The modules that a machine loads.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::kernels::{self, Module, Tree};

/// A module, and what it is loaded with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    name: String,
    /// Where it is on this machine.
    pub(super) path: PathBuf,
    parameters: String,
}

impl Loaded {
    /// Where it is in the machine.
    pub(super) fn place(&self) -> String {
        format!("/modules/{}.ko", self.name)
    }

    /// The line of the guest's settings that loads it.
    pub(super) fn setting(&self) -> String {
        let line = format!("module {} {}", self.place(), self.parameters);
        line.trim_end().to_owned()
    }
}

/// Modules in the order of loading, each with the parameters of the table.
pub(super) fn with_parameters(modules: Vec<Module>) -> Result<Vec<Loaded>> {
    let rows = kernels::modules()?;
    let loaded = |module: Module| Loaded {
        parameters: rows
            .get(&module.name)
            .map_or_else(String::new, |row| row.parameters.clone()),
        name: module.name,
        path: module.path,
    };
    Ok(modules.into_iter().map(loaded).collect())
}

/// What a directory of modules comes to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) modules: Vec<Loaded>,
    /// What they bring, and what the kernel has of that without loading.
    pub(super) facilities: Vec<String>,
}

/// Finds in `dir` every module that some machine loads, and keeps what has to be loaded below `place`.
pub(super) fn search(dir: &Path, place: &Path) -> Result<Found> {
    let tree = Tree::search(dir)?;
    let (mut names, mut facilities) = (Vec::new(), Vec::new());
    for (name, row) in kernels::modules()? {
        let has = tree.has(&name);
        if has || tree.is_builtin(&name) {
            facilities.push(row.facility);
        }
        if has {
            names.push(name);
        }
    }
    if facilities.is_empty() {
        bail!(
            "{} has none of the modules that machines load",
            dir.display()
        );
    }
    Ok(Found {
        modules: with_parameters(tree.keep(&names, place)?)?,
        facilities,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_module_is_loaded_with_what_the_table_says() {
        let module = |name: &str| Module {
            name: name.to_owned(),
            path: PathBuf::from("m.ko"),
        };
        let loaded = with_parameters(vec![module("configfs"), module("null_blk")]).unwrap();
        let settings: Vec<_> = loaded.iter().map(Loaded::setting).collect();
        assert_eq!(
            settings,
            [
                "module /modules/configfs.ko",
                "module /modules/null_blk.ko nr_devices=0"
            ]
        );
    }

    #[test]
    fn a_directory_has_what_it_loads_and_what_is_built_in() {
        let name = format!("xtask-module-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        assert!(search(&dir, &dir.join("kept")).is_err());
        fs::write(dir.join("modules.builtin"), "kernel/fs/fuse/fuse.ko\n").unwrap();
        fs::write(dir.join("loop.ko"), "\0depends=\0").unwrap();
        let found = search(&dir, &dir.join("kept")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found.facilities, ["fuse", "loop"]);
        assert_eq!(found.modules.len(), 1);
        assert_eq!(
            found.modules[0].setting(),
            "module /modules/loop.ko max_loop=0"
        );
    }
}
