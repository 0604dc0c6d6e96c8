//! The documentation of generated items: what a name is for, what it is in C, and since which kernel it exists.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    interface::{Constant, Interface},
    since::{self, Since},
};

/// Writes the documentation from the tables beside the bindings.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    pub(crate) since: Since,
    /// A sentence for each opcode and flag.
    meanings: BTreeMap<String, String>,
}

impl Docs {
    /// Reads `since.toml` and `meanings.toml`, and fails if they do not fit the headers.
    pub(crate) fn read(directory: &Path, interface: &Interface) -> Result<Self> {
        let since = Since::read(&directory.join("since.toml"))?;
        since.audit(interface)?;
        let path = directory.join("meanings.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        // The sections are for readers.
        let sections: BTreeMap<String, BTreeMap<String, String>> =
            toml::from_str(&text).with_context(|| path.display().to_string())?;
        let meanings: BTreeMap<_, _> = sections.into_values().flatten().collect();
        since::audit_rows("meanings.toml", meanings.keys(), interface)?;
        Ok(Self { since, meanings })
    }

    /// A constant, and the field it goes into where its type comes from that field.
    pub(crate) fn constant(
        &self,
        name: &str,
        constant: &Constant,
        field: Option<&str>,
    ) -> Vec<String> {
        let mut line = self
            .since(name)
            .unwrap_or_else(|| format!(" Defined by `{}`.", constant.header));
        if let Some(field) = field {
            line.push_str(&format!(" Goes into `{field}`."));
        }
        match self.meanings.get(name) {
            Some(meaning) => vec![format!(" {meaning}"), String::new(), line],
            None => vec![line],
        }
    }

    /// A named enumeration.
    pub(crate) fn enumeration(&self, name: &str, interface: &Interface) -> String {
        let mut members = interface
            .constants
            .values()
            .filter(|constant| constant.group.as_deref() == Some(name));
        let header = members
            .next()
            .map_or("linux/io_uring.h", |constant| &constant.header);
        format!(" The values of `enum {name}` of `{header}`.")
    }

    /// A struct with a name in C.
    pub(crate) fn structure(&self, name: &str, interface: &Interface) -> String {
        let line = match interface.structs.get(name) {
            Some(header) => format!(" `struct {name}` of `{header}`."),
            None => format!(" `struct {name}`, which the io_uring headers use."),
        };
        line + &self.since(name).unwrap_or_default()
    }

    /// A struct or union without a name in C, by the field that has it.
    pub(crate) fn anonymous_type(&self, outer: &str, field: &str) -> String {
        format!(" The type of [`{outer}::{field}`].")
    }

    /// A field whose type has no name in C, by the names of its members.
    pub(crate) fn anonymous_field(&self, members: &[String]) -> String {
        let members: Vec<_> = members.iter().map(|member| format!("`{member}`")).collect();
        format!(" Without a name in C: {}.", members.join(", "))
    }

    fn since(&self, name: &str) -> Option<String> {
        let (major, minor) = self.since.get(name)?;
        Some(format!(" Since Linux {major}.{minor}."))
    }
}
