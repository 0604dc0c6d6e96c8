//! Running a binary of the standard harness, whose only account is what it prints.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;

use super::{
    binary::Binary,
    execute,
    outcome::{Outcome, Test, Verdict},
    progress::Progress,
};

pub(super) fn run(
    binary: &Binary,
    filter: Option<&str>,
    logs: &Path,
    progress: &Progress,
) -> Result<Outcome> {
    let log = |kind: &str| logs.join(format!("{}.{kind}", binary.file_name()));
    let list = execute::logged(
        binary
            .command()
            .args(["--list", "--format=terse"])
            .args(filter),
        &log("plan"),
        |_| {},
    )?;
    let planned = names(&list.output);
    let ran = execute::logged(binary.command().args(filter), &log("log"), |output| {
        progress.look(&binary.name, planned.len(), output);
    })?;

    let mut outcome = Outcome::new(&binary.name).took(ran.time);
    outcome.tests = tests(&ran.output);
    let seen: BTreeSet<_> = outcome
        .tests
        .iter()
        .map(|test| test.name.as_str())
        .collect();
    if planned != seen || seen.len() != outcome.tests.len() {
        let only_once: Vec<_> = planned.symmetric_difference(&seen).collect();
        outcome.problems.push(format!(
            "{} tests are listed and {} ran; these are among the ones or the others only: {only_once:?}",
            planned.len(),
            outcome.tests.len()
        ));
    }
    if ran.too_long {
        outcome
            .problems
            .push("it took too long and was ended".to_owned());
    }
    if ran.status.success() != (outcome.failed() == 0) {
        outcome
            .problems
            .push(format!("it ended with {}", ran.status));
    }
    outcome.output = failures(&ran.output).to_owned();
    Ok(outcome)
}

/// The names in the answer to `--list --format=terse`.
fn names(list: &str) -> BTreeSet<&str> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect()
}

/// The tests in a run's output.
pub(super) fn tests(output: &str) -> Vec<Test> {
    output.lines().filter_map(test).collect()
}

fn test(line: &str) -> Option<Test> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match end {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        // The standard harness puts a reason behind a comma, suites put it in parentheses.
        _ if end.starts_with("ignored") => Verdict::Skipped,
        _ => return None,
    };
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let mut test = Test::new(name.to_owned(), verdict);
    test.reason = end.strip_prefix("ignored, ").map(str::to_owned);
    Some(test)
}

/// What a run's output says about its failures, or all of it where it came to no end.
pub(super) fn failures(output: &str) -> &str {
    match output.find("\nfailures:\n") {
        Some(start) => &output[start..],
        None => output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line() {
        let output = "\nrunning 5 tests\n\
            test a::good ... ok\n\
            test a::bad ... FAILED\n\
            test a::slow ... ignored\n\
            test a::later ... ignored, needs a disk\n\
            test a::loud - should panic ... ok\n\
            test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out\n";
        let found: Vec<_> = tests(output)
            .into_iter()
            .map(|test| (test.name, test.verdict, test.reason))
            .collect();
        let reason = Some("needs a disk".to_owned());
        assert_eq!(
            found,
            [
                ("a::good".to_owned(), Verdict::Passed, None),
                ("a::bad".to_owned(), Verdict::Failed, None),
                ("a::slow".to_owned(), Verdict::Skipped, None),
                ("a::later".to_owned(), Verdict::Skipped, reason),
                ("a::loud".to_owned(), Verdict::Passed, None),
            ]
        );
    }

    #[test]
    fn documentation_tests_have_blanks_in_their_names() {
        let found = tests("test src/raw.rs - raw::Ring::new (line 73) - compile fail ... ok\n");
        assert_eq!(
            found[0].name,
            "src/raw.rs - raw::Ring::new (line 73) - compile fail"
        );
    }

    #[test]
    fn a_list_gives_names() {
        let names = names("a::b: test\nc: test\n2 tests, 0 benchmarks\n");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a::b", "c"]);
    }

    #[test]
    fn failures_begin_where_they_are_told() {
        let output = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n";
        assert!(failures(output).starts_with("\nfailures:"));
        assert_eq!(failures("killed"), "killed");
    }
}
