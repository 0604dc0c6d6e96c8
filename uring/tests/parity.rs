//! The guide from liburing is whole: each function has its row, and each item in a row is found by the function's name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// The functions of liburing 2.15, by name.
const FUNCTIONS: &str = include_str!("parity/liburing-functions.txt");
const GUIDE: &str = include_str!("../docs/liburing.md");

/// What stands in place of an item where there is none; the third column gives the reason.
const WITHOUT_ITEM: [&str; 2] = ["**not yet**", "**not needed**"];

/// A row of the guide's tables.
#[derive(Debug)]
struct Row {
    functions: Vec<&'static str>,
    here: &'static str,
    remark: &'static str,
}

impl Row {
    /// The rows of all tables, without their heads.
    fn all() -> Vec<Row> {
        let rows = GUIDE.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let &[functions, here, remark] = &cells[..] else {
                panic!("not three columns: {line}");
            };
            Row {
                functions: functions
                    .split(", ")
                    .map(|name| name.trim_matches('`'))
                    .collect(),
                here,
                remark,
            }
        })
        .collect()
    }

    /// The paths of the items that the second column links to.
    fn items(&self) -> impl Iterator<Item = &'static str> {
        let links = self.here.split("](").skip(1);
        links.map(|link| link.split_once(')').expect("a link ends").0)
    }
}

/// `Type` or `Type::method` of a path, as [`aliases`] names items.
fn item_of(path: &str) -> &str {
    let is_type = |part: &str| part.starts_with(char::is_uppercase);
    let mut begin = 0;
    for part in path.split("::") {
        if is_type(part) {
            break;
        }
        begin += part.len() + 2;
    }
    path.get(begin..).unwrap_or_default()
}

/// The first word of a text.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

/// What follows the parameters in angle brackets that a text begins with.
fn after_parameters(text: &str) -> &str {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text[at..].trim_start_matches('>').trim_start();
        }
    }
    panic!("parameters without an end: {text}");
}

/// The name of the public item that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("pub ")?;
    loop {
        let word = identifier(rest);
        rest = rest[word.len()..].trim_start();
        match word {
            "struct" | "enum" | "trait" | "fn" => return Some(identifier(rest)),
            "const" | "unsafe" => {}
            _ => return None,
        }
    }
}

/// Which items each documentation alias is on, in one file.
fn aliases(source: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let (mut waiting, mut of_impl) = (Vec::new(), "");
    for line in source.lines() {
        let code = line.trim_start();
        if let Some(block) = line.strip_prefix("impl") {
            of_impl = identifier(after_parameters(block.trim_start()));
        }
        if let Some(alias) = code.strip_prefix("#[doc(alias = \"") {
            waiting.push(alias.trim_end_matches("\")]"));
        } else if let Some(name) = declared(code) {
            let is_method = line.starts_with(' ');
            let item = if is_method {
                format!("{of_impl}::{name}")
            } else {
                name.to_owned()
            };
            for alias in waiting.drain(..) {
                found
                    .entry(alias.to_owned())
                    .or_default()
                    .insert(item.clone());
            }
        } else if code.ends_with(['{', ';', ',']) {
            // Something that is no public item: a variant, a field, a constant.
            waiting.clear();
        }
    }
}

fn aliases_below(
    directory: &Path,
    found: &mut BTreeMap<String, BTreeSet<String>>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            aliases_below(&path, found)?;
        } else {
            aliases(&fs::read_to_string(path)?, found);
        }
    }
    Ok(())
}

#[test]
fn every_function_has_one_row_and_every_row_functions() {
    let functions: BTreeSet<_> = FUNCTIONS.lines().collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for function in Row::all().iter().flat_map(|row| &row.functions) {
        if !functions.contains(function) {
            wrong.push(format!("{function}: liburing has no such function"));
        }
        if !seen.insert(*function) {
            wrong.push(format!("{function}: it has two rows"));
        }
    }
    for function in functions.difference(&seen) {
        wrong.push(format!("{function}: it has no row"));
    }
    assert!(wrong.is_empty(), "docs/liburing.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_row_has_items_or_a_reason() {
    for row in Row::all() {
        if WITHOUT_ITEM.contains(&row.here) {
            assert!(!row.remark.is_empty(), "no reason is given: {row:?}");
        } else {
            assert!(
                row.items().next().is_some(),
                "neither item nor reason: {row:?}"
            );
        }
    }
}

#[test]
fn items_are_found_by_the_names_of_the_functions() {
    let mut found = BTreeMap::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    aliases_below(&sources, &mut found).expect("the sources can be read");
    let mut missing = Vec::new();
    for row in Row::all() {
        for path in row.items() {
            for &function in &row.functions {
                // The three bare calls have the names that they have in C.
                let same_name = path.strip_prefix("uring_sys::") == Some(function);
                let has_alias = found
                    .get(function)
                    .is_some_and(|items| items.contains(item_of(path)));
                if !same_name && !has_alias {
                    missing.push(format!("{path}: #[doc(alias = \"{function}\")]"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}
