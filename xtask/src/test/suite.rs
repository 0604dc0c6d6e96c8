//! Running a suite: its plan first, then the run, then the one against the other.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context as _, Result};

use super::{binary::Binary, compare, execute, outcome::Outcome, progress::Progress, record};

pub(super) fn run(
    binary: &Binary,
    filter: Option<&str>,
    logs: &Path,
    progress: &Progress,
) -> Result<Outcome> {
    let log = |kind: &str| logs.join(format!("{}.{kind}", binary.file_name()));
    let mut outcome = Outcome::new(&binary.name);

    let planning = execute::logged(
        binary.command().arg("--plan").args(filter),
        &log("plan"),
        |_| {},
    )?;
    let plan = match record::parse(&planning.output) {
        Ok(plan) if planning.status.success() => plan,
        _ => {
            outcome.problems.push(format!(
                "there is no plan ({}); a test with harness = false must be a uring-testkit suite",
                planning.status
            ));
            outcome.output = planning.output;
            return Ok(outcome);
        }
    };

    let path = log("report");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{}", path.display()));
        }
        _ => {}
    }
    let ran = execute::logged(
        binary.command().args(filter).env("URING_REPORT", &path),
        &log("log"),
        |output| progress.look(&binary.name, plan.len().saturating_sub(2), output),
    )?;
    let report = fs::read_to_string(&path).unwrap_or_default();
    let (report, unreadable) = record::parse_what_can_be(&report);
    let mut outcome = compare::compare(&binary.name, &plan, &report).took(ran.time);
    outcome.problems.extend(unreadable);
    if ran.too_long {
        outcome
            .problems
            .push("it took too long and was ended".to_owned());
    }
    let trusted = outcome.problems.is_empty();
    if !trusted || ran.status.success() != (outcome.failed() == 0) {
        outcome
            .problems
            .push(format!("it ended with {}", ran.status));
    }
    if !outcome.problems.is_empty() {
        outcome.output = ran.output;
    }
    Ok(outcome)
}
