//! Files that are committed and made by a command: writing them, and comparing with them.

use std::fs;

use anyhow::{Context as _, Result, bail};
use similar::TextDiff;

use crate::workspace;

/// What becomes of a generated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Write,
    Check,
}

impl Sink {
    /// Writes the file below the workspace's root, or fails unless it has this content.
    ///
    /// `source` is what the content follows from, `command` what brings the file up to date.
    pub(crate) fn put(self, file: &str, content: &str, source: &str, command: &str) -> Result<()> {
        let path = workspace::root().join(file);
        if self == Self::Write {
            return fs::write(&path, content)
                .with_context(|| format!("writing {}", path.display()));
        }
        let committed =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if committed == content {
            return Ok(());
        }
        bail!(
            "{file} is not what {source} give: run `{command}`\n{}",
            diff(("committed", &committed), ("generated", content))
        )
    }
}

/// A unified diff of two texts, each with its name.
pub(crate) fn diff((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(2)
        .header(old_name, new_name)
        .to_string()
}
