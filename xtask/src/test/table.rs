//! The table at the end: what passed, failed and was skipped, and why.

use std::{collections::BTreeMap, io::IsTerminal as _};

use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
    presets::UTF8_BORDERS_ONLY,
};

use super::outcome::{Outcome, Test, Verdict};

const COUNTED: [(Verdict, &str); 4] = [
    (Verdict::Passed, "passed"),
    (Verdict::Failed, "failed"),
    (Verdict::Refused, "refused"),
    (Verdict::Skipped, "skipped"),
];

/// One row for each binary and handle, and one for all.
pub(super) fn render(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.force_no_tty();
    }
    let counted = COUNTED.map(|(_, word)| word);
    table.set_header(
        ["tests", "handle"]
            .into_iter()
            .chain(counted)
            .chain(["seconds", "why not run"]),
    );
    for outcome in outcomes {
        for (index, (handle, tests)) in outcome.by_handle().into_iter().enumerate() {
            let first = index == 0;
            let name = if first { outcome.name.as_str() } else { "" };
            let seconds = if first {
                format!("{:.2}", outcome.seconds)
            } else {
                String::new()
            };
            table.add_row(row(name, handle.unwrap_or("-"), &tests, seconds));
        }
        for problem in &outcome.problems {
            let problem = Cell::new(problem).fg(Color::Red);
            let (name, handle) = (Cell::new(&outcome.name), Cell::new("?"));
            let mut cells = vec![name, handle];
            cells.extend(COUNTED.map(|_| Cell::new("")));
            cells.extend([Cell::new(""), problem]);
            table.add_row(cells);
        }
    }
    let last = table.column_count() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        column.set_constraint(if index == last {
            ColumnConstraint::LowerBoundary(Width::Fixed(24))
        } else {
            ColumnConstraint::ContentWidth
        });
    }
    let all: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.tests).collect();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let mut total = row("all", "", &all, format!("{seconds:.2}"));
    total.pop();
    table.add_row(total);
    table.to_string()
}

fn row(name: &str, handle: &str, tests: &[&Test], seconds: String) -> Vec<Cell> {
    let mut cells = vec![Cell::new(name), Cell::new(handle)];
    for (verdict, _) in COUNTED {
        let count = tests.iter().filter(|test| test.verdict == verdict).count();
        let cell = Cell::new(if count == 0 {
            String::new()
        } else {
            count.to_string()
        });
        let cell = cell.set_alignment(CellAlignment::Right);
        cells.push(match (verdict, count) {
            (_, 0) => cell,
            (Verdict::Failed, _) => cell.fg(Color::Red),
            (Verdict::Passed, _) => cell.fg(Color::Green),
            (Verdict::Refused | Verdict::Skipped, _) => cell,
        });
    }
    cells.push(Cell::new(seconds).set_alignment(CellAlignment::Right));
    cells.push(Cell::new(reasons(tests)));
    cells
}

/// Each reason once, with the number of tests that give it.
fn reasons(tests: &[&Test]) -> String {
    let mut reasons = BTreeMap::<_, usize>::new();
    let not_run = |test: &&&Test| matches!(test.verdict, Verdict::Skipped | Verdict::Refused);
    for test in tests.iter().filter(not_run) {
        let reason = test.reason.as_deref().unwrap_or("ignored without a reason");
        *reasons.entry(reason).or_default() += 1;
    }
    let lines = reasons.into_iter().map(|(reason, count)| match count {
        1 => reason.to_owned(),
        count => format!("{reason} ({count} tests)"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::new("lifecycle");
        for (handle, verdict, reason) in [
            (Some("fd"), Verdict::Passed, None),
            (Some("born"), Verdict::Refused, Some("needs Linux 6.5")),
            (Some("born"), Verdict::Skipped, Some("needs Linux 6.5")),
            (None, Verdict::Failed, Some("a long story")),
        ] {
            let mut test = Test::new("t".to_owned(), verdict);
            test.handle = handle.map(str::to_owned);
            test.reason = reason.map(str::to_owned);
            outcome.tests.push(test);
        }
        outcome
    }

    #[test]
    fn a_row_for_each_handle_and_a_sum() {
        let table = render(&[outcome()]);
        let words = |start: &str| -> Vec<String> {
            let mut lines = table.lines().map(|line| line.trim_matches(['│', ' ']));
            let line = lines.find(|line| line.starts_with(start));
            let line = line.unwrap_or_else(|| panic!("no {start} in\n{table}"));
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("lifecycle"), ["lifecycle", "-", "1", "0.00"]);
        assert_eq!(words("fd"), ["fd", "1"]);
        assert_eq!(
            words("born"),
            ["born", "1", "1", "needs", "Linux", "6.5", "(2", "tests)"]
        );
        assert_eq!(words("all"), ["all", "1", "1", "1", "1", "0.00"]);
    }

    #[test]
    fn a_failure_is_no_reason_to_skip() {
        assert!(!render(&[outcome()]).contains("a long story"));
    }

    #[test]
    fn a_problem_has_a_row() {
        let mut outcome = outcome();
        outcome.problems.push("the report has no end".to_owned());
        assert!(render(&[outcome]).contains("the report has no end"));
    }
}
