//! The page about liburing's functions says of each helper that prepares an entry what stands for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const FUNCTIONS: &str = include_str!("../../docs/liburing-functions.txt");
const PAGE: &str = include_str!("../../docs/liburing.md");

/// Of each row the function, the link and the remark.
fn rows() -> Vec<[&'static str; 3]> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        [cell().trim_end_matches('`'), cell(), cell()]
    })
    .collect()
}

/// What follows each alias in the sources: the name of the item that has it.
fn aliases(dir: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            aliases(&path, found)?;
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let mut parts = text.split("#[doc(alias = \"");
        parts.next();
        let mut waiting = Vec::new();
        for part in parts {
            let (alias, rest) = part.split_once('"').unwrap_or((part, ""));
            waiting.push(alias.to_owned());
            let item = rest.lines().find_map(name);
            if let Some(item) = item {
                for alias in waiting.drain(..) {
                    found.entry(alias).or_default().insert(item.to_owned());
                }
            }
        }
    }
    Ok(())
}

/// The name of the item that a line declares.
fn name(line: &str) -> Option<&str> {
    let words = line.trim_start().strip_prefix("pub ")?;
    let kinds = ["struct ", "enum ", "trait ", "fn "];
    let name = kinds.iter().find_map(|kind| words.split_once(kind))?.1;
    let end = name.find(|letter: char| letter != '_' && !letter.is_alphanumeric());
    Some(&name[..end.unwrap_or(name.len())])
}

#[test]
fn every_helper_that_prepares_an_entry_has_its_row_once() {
    let rows: Vec<_> = rows().into_iter().map(|[function, ..]| function).collect();
    for function in FUNCTIONS.lines() {
        if function.starts_with("io_uring_prep_") {
            let count = rows.iter().filter(|row| **row == function).count();
            assert_eq!(count, 1, "rows of {function}");
        }
    }
    for row in rows {
        assert!(
            FUNCTIONS.lines().any(|function| function == row),
            "{row} is no function of liburing"
        );
    }
}

#[test]
fn what_a_row_names_has_the_function_as_an_alias_or_a_remark() {
    let mut found = BTreeMap::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    aliases(&sources, &mut found).unwrap();
    for [function, link, remark] in rows() {
        if !remark.is_empty() {
            continue;
        }
        let named = link.split("`]").next().unwrap_or_default();
        let named = named.rsplit(['`', ':']).next().unwrap_or_default();
        let items = found.get(function);
        assert!(
            items.is_some_and(|items| items.contains(named)),
            "{function} is no alias of {named}, but of {items:?}"
        );
    }
}
