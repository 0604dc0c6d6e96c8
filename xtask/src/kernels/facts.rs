//! What a lane's kernel was seen to have, kept from one command to another.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::workspace;

const FILE: &str = "facts.json";

/// Where this workspace's lane of a series keeps its files and logs.
pub(super) fn lane_dir(series: &str) -> PathBuf {
    workspace::target_dir().join("xtask/lanes").join(series)
}

/// Which handles work on a kernel, and which features it has; what was asked for and is absent is `false`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The package that the kernel's image came from.
    pub(crate) package: String,
    pub(crate) handles: BTreeMap<String, bool>,
    pub(crate) features: BTreeMap<String, bool>,
}

impl Facts {
    /// What the last run of a lane left in its directory, if it left any.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{}", path.display()))?,
        };
        let facts = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
        Ok(Some(facts))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("{}", path.display()))
    }

    /// Forgets what an earlier run left: nobody may take it for what this one saw.
    pub(crate) fn remove(dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
