//! The run of a plan: each test in its process, each verdict in the report.

use std::{
    env,
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    gate::Decision,
    isolate,
    kernel::Lane,
    report::{Report, Verdict},
    test::Case,
};

/// Runs every case of `plan` as it was decided.
pub(crate) fn run(
    suite: &'static str,
    arguments: &Arguments,
    lane: &Lane,
    plan: Vec<(Case, Decision)>,
) -> Result<ExitCode, String> {
    let factor = timeout_factor()?;
    let verbose = arguments.nocapture;
    let report = Report::open(suite).map_err(|error| format!("URING_REPORT: {error}"))?;
    let report = Arc::new(report);
    report.start(lane, plan.len());
    let machine = Arc::new(RwLock::new(()));
    let trials = plan.into_iter().map(|(case, decision)| {
        let (report, machine) = (Arc::clone(&report), Arc::clone(&machine));
        let kind = match decision {
            Decision::Refuse { .. } => "refused",
            _ => "",
        };
        let settings = Settings {
            limit: case.timeout.mul_f64(factor),
            verbose,
        };
        Trial::ignorable_test(case.name.clone(), move || {
            execute(&case, &decision, &report, &machine, settings)
        })
        .with_kind(kind)
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    report.end();
    Ok(conclusion.exit_code())
}

/// What is the same for all tests of a run.
#[derive(Clone, Copy)]
struct Settings {
    limit: Duration,
    verbose: bool,
}

fn execute(
    case: &Case,
    decision: &Decision,
    report: &Report,
    machine: &RwLock<()>,
    settings: Settings,
) -> Result<Completion, Failed> {
    let start = Instant::now();
    let (refusal, success) = match decision {
        Decision::Run { .. } => (false, Verdict::Passed),
        Decision::Refuse { .. } => (true, Verdict::Refused),
        Decision::Skip { reason } => {
            report.test(case, Verdict::Skipped, Some(reason), Duration::ZERO);
            return Ok(Completion::ignored_with(reason));
        }
        Decision::Fail { reason } => {
            report.test(case, Verdict::Failed, Some(reason), Duration::ZERO);
            return Err(reason.into());
        }
    };
    let (_shared, _exclusive);
    if case.alone {
        _exclusive = machine.write().unwrap_or_else(PoisonError::into_inner);
    } else {
        _shared = machine.read().unwrap_or_else(PoisonError::into_inner);
    }
    let outcome = isolate::run(&case.name, refusal, settings.limit)
        .unwrap_or_else(|error| Err(format!("the test's process: {error}")));
    match outcome {
        Ok(output) => {
            if settings.verbose {
                eprint!("{output}");
            }
            let reason = decision.reason();
            report.test(case, success, reason.as_deref(), start.elapsed());
            Ok(Completion::Completed)
        }
        Err(output) => {
            report.test(
                case,
                Verdict::Failed,
                Some(output.trim_end()),
                start.elapsed(),
            );
            Err(output.trim_end().into())
        }
    }
}

fn timeout_factor() -> Result<f64, String> {
    let Ok(text) = env::var("URING_TEST_TIMEOUT_FACTOR") else {
        return Ok(1.0);
    };
    match text.parse() {
        Ok(factor) if (0.01..=1000.0).contains(&factor) => Ok(factor),
        _ => Err(format!(
            "URING_TEST_TIMEOUT_FACTOR={text}: must be a number from 0.01 to 1000"
        )),
    }
}
