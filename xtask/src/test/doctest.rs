//! Running the examples in a library's documentation.

use std::path::Path;

use anyhow::Result;

use super::{binary::Package, execute, libtest, outcome::Outcome, project::Project};

pub(super) fn run(
    project: &Project,
    package: &Package,
    filter: Option<&str>,
    logs: &Path,
) -> Result<Outcome> {
    let mut command = project.cargo();
    command
        .args(["test", "--doc", "--package", &package.name, "--"])
        .args(filter);
    let ran = execute::logged(
        &mut command,
        &logs.join(format!("{}.doc.log", package.name)),
        |_| {},
    )?;

    let mut outcome = Outcome::new(&format!("{} (doc)", package.name)).took(ran.time);
    outcome.tests = libtest::tests(&ran.output);
    let announced = announced(&ran.output);
    if announced != Some(outcome.tests.len()) {
        outcome.problems.push(format!(
            "{announced:?} tests were announced and {} ran",
            outcome.tests.len()
        ));
    }
    if ran.status.success() != (outcome.failed() == 0) {
        outcome
            .problems
            .push(format!("it ended with {}", ran.status));
    }
    outcome.output = libtest::failures(&ran.output).to_owned();
    Ok(outcome)
}

/// The sum of the `running N tests` lines: examples that cannot be merged are run in a second go.
fn announced(output: &str) -> Option<usize> {
    let count = |line: &str| {
        let (count, _) = line.strip_prefix("running ")?.split_once(" test")?;
        count.parse().ok()
    };
    let counts: Vec<usize> = output.lines().filter_map(count).collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_add_up() {
        assert_eq!(
            announced("running 11 tests\ntest x ... ok\n\nrunning 1 test\n"),
            Some(12)
        );
        assert_eq!(announced("running 0 tests\n"), Some(0));
        assert_eq!(announced("error: could not compile\n"), None);
    }
}
