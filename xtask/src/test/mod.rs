//! `cargo xtask test`: every test of a workspace on this machine, and one table at the end.

mod binary;
mod compare;
mod doctest;
mod exclusive;
mod execute;
mod junit;
mod lanes;
mod libtest;
mod outcome;
mod progress;
mod project;
mod record;
mod suite;
mod table;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use self::{exclusive::Exclusive, outcome::Outcome, progress::Progress, project::Project};

/// Run unit tests, documentation tests and suites on this machine, or the suites on other kernels
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this text
    filter: Option<String>,
    /// Run the tests of this package only
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// Run the tests of the package or workspace of this Cargo.toml instead of this workspace's
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Build it in this directory instead of its own, and keep its logs there
    #[arg(long, value_name = "DIR", requires = "manifest_path")]
    target_dir: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    lanes: lanes::Args,
}

/// Where results are written for machines.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Files {
    /// Write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = args.filter.as_deref();
    let package = args.package.as_deref();
    let project = match &args.manifest_path {
        Some(manifest) => Project::elsewhere(manifest, args.target_dir.as_deref())?,
        None => Project::here()?,
    };
    let packages = binary::packages(&project, package)?;
    if args.lanes.wanted() {
        return lanes::run(&args.lanes, &project, &packages, filter, &args.files);
    }
    let binaries = binary::build(&project, &packages)?;
    let logs = project.scratch("test")?;
    let _ours = Exclusive::take(&logs, |wait| println!("{wait}"))?;
    let progress =
        Progress::new(binaries.len() + packages.iter().filter(|p| p.has_library).count());
    let mut outcomes = Vec::new();
    for binary in &binaries {
        progress.start(&binary.name);
        let outcome = if binary.is_suite {
            suite::run(binary, filter, &logs, &progress)
        } else {
            libtest::run(binary, filter, &logs, &progress)
        };
        outcomes.push(progress.finish(outcome?));
    }
    for package in packages.iter().filter(|package| package.has_library) {
        progress.start(&format!("{} (doc)", package.name));
        outcomes.push(progress.finish(doctest::run(&project, package, filter, &logs)?));
    }
    drop(progress);

    for outcome in &outcomes {
        outcome.print_failures();
    }
    outcomes.retain(|outcome| !outcome.is_empty());
    if outcomes.is_empty() {
        match filter {
            Some(filter) => bail!("no test's name contains {filter:?}"),
            None => bail!("there are no tests"),
        }
    }
    println!("{}", table::render(&outcomes));
    if let Some(path) = &args.files.json {
        let json = serde_json::to_string_pretty(&outcomes)?;
        fs::write(path, json + "\n").with_context(|| format!("{}", path.display()))?;
    }
    if let Some(path) = &args.files.junit {
        let here = junit::Part {
            lane: None,
            outcomes: &outcomes,
            troubles: Vec::new(),
            last_lines: "",
            properties: Vec::new(),
        };
        junit::write(path, &[here], &[])?;
    }
    verdict(&outcomes)
}

/// Nothing failed, nothing is missing, something ran.
fn verdict(outcomes: &[Outcome]) -> Result<()> {
    let failed: usize = outcomes.iter().map(Outcome::failed).sum();
    let problems: usize = outcomes.iter().map(|outcome| outcome.problems.len()).sum();
    let ran: usize = outcomes.iter().map(Outcome::ran).sum();
    match (failed, problems) {
        (0, 0) if ran == 0 => bail!("every test was skipped: this shows nothing"),
        (0, 0) => Ok(()),
        (failed, 0) => bail!("failed tests: {failed}"),
        (failed, problems) => {
            bail!("failed tests: {failed}; runs that cannot be trusted: {problems}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        outcome::{Outcome, Test, Verdict},
        verdict,
    };

    fn outcome(verdicts: &[Verdict]) -> Outcome {
        let mut outcome = Outcome::new("s");
        for (index, verdict) in verdicts.iter().enumerate() {
            outcome
                .tests
                .push(Test::new(format!("s::{index}"), *verdict));
        }
        outcome
    }

    #[test]
    fn success_takes_a_test_that_ran() {
        use Verdict::{Failed, Passed, Refused, Skipped};
        assert!(verdict(&[outcome(&[Passed, Skipped])]).is_ok());
        assert!(verdict(&[outcome(&[Refused])]).is_ok());
        assert!(verdict(&[outcome(&[Skipped, Skipped]), outcome(&[Skipped])]).is_err());
        assert!(verdict(&[outcome(&[Passed]), outcome(&[Passed, Failed])]).is_err());
    }

    #[test]
    fn a_problem_fails_a_run_without_failed_tests() {
        let mut outcome = outcome(&[Verdict::Passed]);
        outcome.problems.push("the report has no end".to_owned());
        assert!(verdict(&[outcome]).is_err());
    }
}
