//! The documentation of generated items: what a name is in C, and since which kernel it exists.

use super::{
    interface::{Constant, Interface},
    since::Since,
};

/// Writes the documentation, with versions from `since.toml`.
#[derive(Debug)]
pub(crate) struct Docs {
    pub(crate) since: Since,
}

impl Docs {
    /// A constant, and the field it goes into where its type comes from that field.
    pub(crate) fn constant(
        &self,
        name: &str,
        constant: &Constant,
        field: Option<&str>,
    ) -> Vec<String> {
        let mut line = match self.since.get(name) {
            Some(version) => format!(" Since Linux {}.{}.", version.0, version.1),
            None => format!(" Of `{}`.", constant.header),
        };
        if let Some(field) = field {
            line.push_str(&format!(" Goes into [`{}`].", linkable(field)));
        }
        vec![line]
    }

    /// A named enumeration.
    pub(crate) fn enumeration(&self, name: &str, interface: &Interface) -> Vec<String> {
        let members: Vec<_> = interface
            .constants
            .iter()
            .filter(|(_, constant)| constant.group.as_deref() == Some(name))
            .map(|(member, constant)| (member, &constant.header))
            .collect();
        let header = members
            .first()
            .map_or("linux/io_uring.h", |(_, header)| header.as_str());
        vec![format!(
            " `enum {name}` of `{header}`; its {} values are constants.",
            members.len()
        )]
    }

    /// A struct or union; anonymous ones are named by where they are.
    pub(crate) fn structure(&self, name: &str, interface: &Interface) -> Vec<String> {
        let mut line = match (interface.structs.get(name), name.split_once("_anon_")) {
            (Some(header), _) => format!(" `struct {name}` of `{header}`."),
            (None, Some((outer, path))) => {
                format!(
                    " The type of `anon_{}` in [`{outer}`].",
                    path.replace("_anon_", ".anon_")
                )
            }
            (None, None) => format!(" `struct {name}`, which the io_uring headers use."),
        };
        if let Some((major, minor)) = self.since.get(name) {
            line.push_str(&format!(" Since Linux {major}.{minor}."));
        }
        vec![line]
    }

    /// A field without a name in C.
    pub(crate) fn anonymous_field(&self, field: &syn::Field) -> Option<String> {
        let name = field.ident.as_ref()?.to_string();
        name.starts_with("anon_").then(|| {
            " Without a name in C: its members are used as if they were of the outer type."
                .to_owned()
        })
    }
}

/// Fields of anonymous members cannot be linked by their C name, their struct can.
fn linkable(field: &str) -> String {
    let (outer, member) = field.split_once("::").unwrap_or((field, ""));
    match member {
        "addr" | "attr_type_mask" => outer.to_owned(),
        _ => field.to_owned(),
    }
}
