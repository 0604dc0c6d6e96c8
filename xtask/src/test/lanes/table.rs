//! The table at the end: one row for each lane and handle.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Color, Table, presets::UTF8_BORDERS_ONLY};

use super::Finished;
use crate::test::outcome::{Outcome, Test, Verdict};

const COUNTED: [(Verdict, &str); 4] = [
    (Verdict::Passed, "passed"),
    (Verdict::Refused, "refused"),
    (Verdict::Skipped, "skipped"),
    (Verdict::Failed, "failed"),
];

/// One row for each lane and handle; what is wrong beside the tests is named in a row of its own.
pub(super) fn render(lanes: &[Finished]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let counted = COUNTED.map(|(_, word)| word);
    let columns = ["kernel", "handle"].into_iter().chain(counted);
    table.set_header(columns.chain(["seconds", ""]));
    for lane in lanes {
        let name = name(lane);
        let mut first = true;
        for (handle, tests) in by_handle(lane) {
            let (name, seconds) = if first {
                (name, format!("{:.1}", lane.seconds))
            } else {
                ("", String::new())
            };
            let mut cells = vec![Cell::new(name), Cell::new(handle.unwrap_or("-"))];
            cells.extend(COUNTED.map(|(verdict, _)| count(&tests, verdict)));
            cells.push(Cell::new(seconds).set_alignment(CellAlignment::Right));
            table.add_row(cells);
            first = false;
        }
        for problem in problems(lane) {
            let name = if first { name } else { "" };
            let mut cells = vec![Cell::new(name), Cell::new("?")];
            cells.extend(COUNTED.map(|_| Cell::new("")));
            cells.extend([Cell::new(""), Cell::new(problem).fg(Color::Red)]);
            table.add_row(cells);
            first = false;
        }
    }
    table.to_string()
}

/// The kernel's own release; that of a fault's lane says too little.
fn name(lane: &Finished) -> &str {
    match &lane.release {
        Some(release) if lane.lane.name == lane.lane.series => release,
        _ => &lane.lane.name,
    }
}

/// Which lanes have run less than all.
pub(super) fn turns(lanes: &[Finished]) -> Option<String> {
    let taking = lanes.iter().filter(|lane| lane.lane.turn.is_some());
    let names: Vec<_> = taking.map(|lane| lane.lane.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "each test over one of its handles, in turns, on {} (`--handles all` runs it over every one)",
            names.join(", ")
        )
    })
}

/// One line for a lane that has ended.
pub(super) fn line(lane: &Finished) -> String {
    let sum = |verdict| -> usize { lane.suites.iter().map(|suite| suite.count(verdict)).sum() };
    let parts = COUNTED.map(|(verdict, word)| (sum(verdict), word));
    let mut parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let problems = problems(lane).len();
    if problems > 0 {
        parts.push(format!("{problems} PROBLEMS"));
    }
    format!(
        "Linux {:<21} {:>7.1} s  {}",
        lane.lane.name,
        lane.seconds,
        parts.join(", ")
    )
}

fn problems(lane: &Finished) -> Vec<String> {
    let of_suite = |suite: &Outcome| {
        let name = suite.name.clone();
        let lines = suite.problems.clone().into_iter();
        lines
            .map(move |problem| format!("{name}: {problem}"))
            .collect::<Vec<_>>()
    };
    let troubles = lane.troubles.iter().map(ToString::to_string);
    troubles
        .chain(lane.suites.iter().flat_map(of_suite))
        .collect()
}

fn by_handle(lane: &Finished) -> Vec<(Option<&str>, Vec<&Test>)> {
    let mut order = Vec::new();
    let mut groups: BTreeMap<Option<&str>, Vec<&Test>> = BTreeMap::new();
    for suite in &lane.suites {
        for (handle, tests) in suite.by_handle() {
            groups.entry(handle).or_default().extend(tests);
        }
    }
    for handle in [
        None,
        Some("fd"),
        Some("registered"),
        Some("closed"),
        Some("born"),
    ] {
        order.extend(groups.remove(&handle).map(|tests| (handle, tests)));
    }
    order.extend(groups);
    order
}

fn count(tests: &[&Test], verdict: Verdict) -> Cell {
    let count = tests.iter().filter(|test| test.verdict == verdict).count();
    let cell = Cell::new(if count == 0 {
        String::new()
    } else {
        count.to_string()
    });
    let cell = cell.set_alignment(CellAlignment::Right);
    match (verdict, count) {
        (_, 0) => cell,
        (Verdict::Failed, _) => cell.fg(Color::Red),
        (Verdict::Passed, _) => cell.fg(Color::Green),
        (Verdict::Refused | Verdict::Skipped, _) => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::lanes::judge::{self, Class, Trouble};

    fn lane() -> Finished {
        let mut suite = Outcome::new("uring:memory");
        for (handle, verdict) in [
            (Some("born"), Verdict::Refused),
            (Some("fd"), Verdict::Passed),
            (Some("fd"), Verdict::Failed),
            (None, Verdict::Passed),
        ] {
            let mut test = Test::new("t".to_owned(), verdict);
            test.handle = handle.map(str::to_owned);
            suite.tests.push(test);
        }
        suite.problems.push("the report has no end".to_owned());
        Finished {
            lane: judge::tests::lane(),
            release: Some("6.1.176".to_owned()),
            seconds: 4.25,
            repeated: Vec::new(),
            suites: vec![suite],
            troubles: vec![Trouble::new(Class::Kernel, "BUG: x")],
            facts: None,
            last_lines: String::new(),
        }
    }

    #[test]
    fn a_lane_has_a_row_for_each_handle_and_each_problem() {
        let table = render(&[lane()]);
        let lines: Vec<_> = table
            .lines()
            .map(|line| line.trim_matches(['│', ' ']))
            .collect();
        let words = |index: usize| lines[index].split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(3), ["6.1.176", "-", "1", "4.2"]);
        assert_eq!(words(4), ["fd", "1", "1"]);
        assert_eq!(words(5), ["born", "1"]);
        assert!(
            lines[6].ends_with("the kernel complained: BUG: x"),
            "{table}"
        );
        assert!(
            lines[7].ends_with("uring:memory: the report has no end"),
            "{table}"
        );
    }

    #[test]
    fn a_fault_is_named() {
        let mut lane = lane();
        lane.lane.name = "6.1/one-cpu".to_owned();
        let table = render(&[lane.clone()]);
        assert!(table.contains(" 6.1/one-cpu "), "{table}");
        assert!(super::line(&lane).starts_with("Linux 6.1/one-cpu "));
    }

    #[test]
    fn a_line_counts_and_names_problems() {
        let line = line(&lane());
        assert!(
            line.ends_with("2 passed, 1 refused, 1 failed, 2 PROBLEMS"),
            "{line}"
        );
    }
}
