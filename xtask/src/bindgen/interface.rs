//! What the headers themselves define, read from their text: the yardstick for what bindgen made of them.

use std::collections::BTreeMap;

/// A constant of the interface: a macro with a value, or an enumerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Constant {
    pub(crate) header: String,
    /// The expression it is defined as; none for an enumerator that counts on from the one before.
    pub(crate) text: Option<String>,
    /// The enumeration it belongs to, if that has a name.
    pub(crate) group: Option<String>,
}

/// All that the headers define.
#[derive(Debug, Default)]
pub(crate) struct Interface {
    pub(crate) constants: BTreeMap<String, Constant>,
    /// The name of each struct, and the header that defines it.
    pub(crate) structs: BTreeMap<String, String>,
}

impl Interface {
    /// Reads the headers: name to text.
    pub(crate) fn parse(headers: &BTreeMap<String, String>) -> Self {
        let mut interface = Self::default();
        for (header, text) in headers {
            let text = without_comments(text);
            interface.read_macros(header, &text);
            interface.read_blocks(header, &text);
        }
        interface
    }

    fn read_macros(&mut self, header: &str, text: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let Some(rest) = line.trim_start().strip_prefix("#define") else {
                continue;
            };
            let rest = rest.trim();
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (name, value) = rest.split_at(end);
            // Without a value it is an include guard; with a parenthesis at once it takes arguments.
            if value.trim().is_empty() || value.starts_with('(') {
                continue;
            }
            self.add(name, header, Some(value.trim().to_owned()), None);
        }
    }

    fn read_blocks(&mut self, header: &str, text: &str) {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        // For C++ the whole file is one block.
        let code = lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace("extern \"C\" {", "");
        let mut depth = 0_usize;
        let mut start = 0;
        for (at, c) in code.char_indices() {
            match c {
                '{' if depth == 0 => {
                    self.read_block(header, &code[start..at], &code[at + 1..]);
                    depth = 1;
                }
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    start = at + 1;
                }
                ';' if depth == 0 => start = at + 1,
                _ => {}
            }
        }
    }

    fn read_block(&mut self, header: &str, head: &str, rest: &str) {
        let mut words = head.split_whitespace();
        match (words.next(), words.next()) {
            (Some("enum"), group) => {
                let body = rest.split('}').next().unwrap_or_default();
                for item in body.split(',') {
                    let (name, value) = item.split_once('=').unwrap_or((item, ""));
                    if name.trim().is_empty() {
                        continue;
                    }
                    let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
                    self.add(name.trim(), header, value, group.map(str::to_owned));
                }
            }
            (Some("struct"), Some(name)) => {
                self.structs.insert(name.to_owned(), header.to_owned());
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &str, header: &str, text: Option<String>, group: Option<String>) {
        self.constants.insert(
            name.to_owned(),
            Constant {
                header: header.to_owned(),
                text,
                group,
            },
        );
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        let end = rest[start..]
            .find("*/")
            .map_or(rest.len(), |end| start + end + 2);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Interface {
        Interface::parse(&BTreeMap::from([("linux/x.h".to_owned(), text.to_owned())]))
    }

    #[test]
    fn macros_with_values_are_constants() {
        let found = parse(
            "#ifndef X_H\n#define X_H\n#define A 1 /* one\n two */\n#define F(x) x\n#define B (A | \\\n 2)\n#define C\t(~0U)\n#endif",
        );
        let names: Vec<_> = found.constants.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "C"]);
        assert_eq!(found.constants["C"].text.as_deref(), Some("(~0U)"));
    }

    #[test]
    fn enumerators_keep_their_enumeration() {
        let found = parse(
            "extern \"C\" {\nenum e {\n A,\n B = 1U << 3, /* { */\n};\nenum { C };\nstruct s { __u32 x; union { __u8 y; }; };\nstruct t { int z; };",
        );
        assert_eq!(found.constants.len(), 3);
        assert_eq!(found.constants["A"].group.as_deref(), Some("e"));
        assert_eq!(found.constants["A"].text, None);
        assert_eq!(found.constants["B"].text.as_deref(), Some("1U << 3"));
        assert_eq!(found.constants["C"].group, None);
        assert_eq!(
            found.structs.keys().map(String::as_str).collect::<Vec<_>>(),
            ["s", "t"]
        );
    }
}
