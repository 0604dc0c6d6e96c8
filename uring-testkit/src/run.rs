//! The run of a plan: each test in its process, each verdict in the report.

use std::{
    env,
    num::NonZero,
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    completed::{self, CompletedBy},
    fork_server::{ForkServers, Request},
    gate::Decision,
    isolate,
    kernel::Lane,
    records::Verdict,
    report::Report,
    test::Case,
};

/// Runs every case of `plan` as it was decided.
pub(crate) fn run(
    suite: &'static str,
    completed_by: Option<CompletedBy>,
    arguments: &Arguments,
    lane: &Lane,
    plan: Vec<(Case, Decision)>,
) -> Result<ExitCode, String> {
    let threads = threads(arguments);
    // Nothing has made a thread yet that is still there: only probes did.
    let servers = ForkServers::start(threads, |index, refusal, notes| {
        plan[index].0.become_test(refusal, || match completed_by {
            Some(completed) => completed::leave(notes, &completed()),
            None => Ok(()),
        });
    });
    let run = Arc::new(Run {
        servers: servers.map_err(|error| format!("forking: {error}"))?,
        report: Report::open(suite).map_err(|error| format!("URING_REPORT: {error}"))?,
        machine: RwLock::new(()),
        timeout_factor: timeout_factor()?,
        verbose: arguments.nocapture,
    });
    run.report.start(lane, plan.len());
    let trials = plan
        .into_iter()
        .enumerate()
        .map(|(index, (case, decision))| {
            let run = Arc::clone(&run);
            let kind = match decision {
                Decision::Refuse { .. } => "refused",
                _ => "",
            };
            Trial::ignorable_test(case.name.clone(), move || {
                run.execute(index, &case, &decision)
            })
            .with_kind(kind)
        });
    let arguments = Arguments {
        test_threads: Some(threads),
        ..arguments.clone()
    };
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    run.report.end();
    Ok(conclusion.exit_code())
}

/// What the tests of a run share.
#[derive(Debug)]
struct Run {
    servers: ForkServers,
    report: Report,
    /// Held for reading by each test that runs, for writing by one that must be alone.
    machine: RwLock<()>,
    timeout_factor: f64,
    verbose: bool,
}

impl Run {
    fn execute(
        &self,
        index: usize,
        case: &Case,
        decision: &Decision,
    ) -> Result<Completion, Failed> {
        let (refusal, success) = match decision {
            Decision::Run { .. } => (false, Verdict::Passed),
            Decision::Refuse { .. } => (true, Verdict::Refused),
            Decision::Skip { reason } => {
                self.report
                    .test(case, Verdict::Skipped, Some(reason), Duration::ZERO, "");
                return Ok(Completion::ignored_with(reason));
            }
            Decision::Fail { reason } => {
                self.report
                    .test(case, Verdict::Failed, Some(reason), Duration::ZERO, "");
                return Err(reason.into());
            }
        };
        let (_shared, _exclusive);
        if case.alone {
            _exclusive = self.machine.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = self.machine.read().unwrap_or_else(PoisonError::into_inner);
        }
        let start = Instant::now();
        let limit = case.timeout.mul_f64(self.timeout_factor);
        let request = Request {
            index,
            refusal,
            limit,
        };
        let ended = self.servers.run(request);
        let time = start.elapsed();
        let verdict = match &ended {
            Ok(ended) => isolate::verdict(ended, limit),
            Err(error) => Err(format!("the test's process: {error}")),
        };
        let note = ended.as_ref().map_or("", |ended| &ended.notes);
        match verdict {
            Ok(()) => {
                if let Some(ended) = ended.as_ref().ok().filter(|_| self.verbose) {
                    eprint!("{}", ended.output);
                }
                let reason = decision.reason();
                self.report
                    .test(case, success, reason.as_deref(), time, note);
                Ok(Completion::Completed)
            }
            Err(output) => {
                let output = output.trim_end();
                self.report
                    .test(case, Verdict::Failed, Some(output), time, note);
                Err(output.into())
            }
        }
    }
}

/// As many tests run at a time as the command line says, else as there are processors.
fn threads(arguments: &Arguments) -> usize {
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.unwrap_or_else(processors).max(1)
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
