//! The run of a plan: each test in its process, each verdict in the report.

use std::{
    collections::{HashMap, VecDeque},
    env,
    num::NonZero,
    panic,
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    completed::CompletedBy,
    fork_server::ForkServers,
    gate::Decision,
    isolate,
    kernel::Lane,
    messages::{Ended, Request},
    records::Verdict,
    report::Report,
    test::Case,
};

/// How many tests share a process at most: what a machine loses sight of when it dies in the middle of them.
const SHARED: usize = 16;

/// A suite that is to run, and what was decided of each case.
pub(crate) struct PlannedSuite {
    pub(crate) name: &'static str,
    pub(crate) completed_by: Option<CompletedBy>,
    pub(crate) plan: Vec<(Case, Decision)>,
}

/// One case of one of the suites.
struct Planned {
    suite: usize,
    case: Case,
    decision: Decision,
}

/// Runs every case of the suites as it was decided; those of different suites at the same time.
///
/// Threads of this run perform the tests; the test harness waits for one verdict after the other and prints them.
pub(crate) fn run(
    suites: Vec<PlannedSuite>,
    arguments: &Arguments,
    lane: &Lane,
) -> Result<ExitCode, String> {
    let threads = threads(arguments);
    let (mut plan, mut reports, mut completed_by) = (Vec::new(), Vec::new(), Vec::new());
    for (index, suite) in suites.into_iter().enumerate() {
        let report = Report::open(suite.name).map_err(|error| format!("URING_REPORT: {error}"))?;
        report.start(lane, suite.plan.len());
        reports.push(report);
        completed_by.push(suite.completed_by);
        plan.extend(suite.plan.into_iter().map(|(case, decision)| Planned {
            suite: index,
            case,
            decision,
        }));
    }
    panic_once();
    // Nothing has made a thread yet that is still there: only probes did.
    let servers = ForkServers::start(threads, |requests, notes| {
        let tests = requests.iter().map(|request| {
            let Planned { suite, case, .. } = &plan[request.index];
            case.assignment(request.refusal, request.limit, completed_by[*suite])
        });
        isolate::become_tests(tests.collect(), notes)
    });
    let run = Arc::new(Run {
        servers: servers.map_err(|error| format!("forking: {error}"))?,
        reports,
        machine: RwLock::new(()),
        timeout_factor: timeout_factor()?,
        verbose: arguments.nocapture,
        progress: Mutex::new(Progress {
            waiting: work(&plan, threads),
            verdicts: HashMap::new(),
            performers: threads,
        }),
        moved: Condvar::new(),
        plan,
    });
    let trials = run.plan.iter().enumerate().map(|(index, planned)| {
        let run = Arc::clone(&run);
        let kind = match planned.decision {
            Decision::Refuse { .. } => "refused",
            _ => "",
        };
        Trial::ignorable_test(planned.case.name.clone(), move || run.verdict(index)).with_kind(kind)
    });
    // The order of the plan is that of the work.
    let arguments = Arguments {
        test_threads: Some(1),
        ..arguments.clone()
    };
    let trials = trials.collect();
    let conclusion = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run.perform_all());
        }
        libtest_mimic::run(&arguments, trials)
    });
    Ok(conclusion.exit_code())
}

/// Lets the unwinder prepare itself here: in a program without libraries the first panic sorts a table of the whole program, and
/// each process that is forked from this one would do it again.
fn panic_once() {
    let caught = panic::catch_unwind(|| panic::resume_unwind(Box::new(())));
    drop(caught);
}

/// What is done at a time: tests that share a process, or one by itself.
type Work = Vec<usize>;

/// The plan in pieces. Tests that have a process for themselves come first: among them are those that wait longest, and the others
/// use the time. Tests that share a process are dealt like cards, since neighbours, such as a test over each handle, are
/// alike and would all wait in one. Those that must be alone come last: all others wait for each of them.
fn work(plan: &[Planned], threads: usize) -> VecDeque<Work> {
    let shares = |Planned { case, decision, .. }: &Planned| {
        !case.own_process && matches!(decision, Decision::Run { .. } | Decision::Refuse { .. })
    };
    let (sharing, others): (Vec<_>, Vec<_>) =
        (0..plan.len()).partition(|test| shares(&plan[*test]));
    let (alone, own): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|test| plan[*test].case.alone);
    let by_itself = |test| vec![test];
    own.into_iter()
        .map(by_itself)
        .chain(deal(&sharing, threads))
        .chain(alone.into_iter().map(by_itself))
        .collect()
}

/// As few pieces as keep the threads busy and are not too large.
fn deal(tests: &[usize], threads: usize) -> impl Iterator<Item = Work> {
    let most = tests.len().div_ceil(threads).clamp(1, SHARED);
    let pieces = tests.len().div_ceil(most);
    (0..pieces).map(move |first| tests[first..].iter().copied().step_by(pieces).collect())
}

/// What the threads of a run share.
struct Run {
    plan: Vec<Planned>,
    servers: ForkServers,
    /// One of each suite.
    reports: Vec<Report>,
    /// Held for reading by each test that runs, for writing by one that must be alone.
    machine: RwLock<()>,
    timeout_factor: f64,
    verbose: bool,
    progress: Mutex<Progress>,
    /// There is another verdict, or a thread has ended.
    moved: Condvar,
}

struct Progress {
    waiting: VecDeque<Work>,
    verdicts: HashMap<usize, Result<Completion, Failed>>,
    /// Threads that perform tests.
    performers: usize,
}

impl Run {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what became of a case.
    fn verdict(&self, index: usize) -> Result<Completion, Failed> {
        let mut progress = self.progress();
        loop {
            if let Some(verdict) = progress.verdicts.remove(&index) {
                return verdict;
            }
            if progress.performers == 0 {
                return Err("the thread that ran it has died".into());
            }
            let moved = self.moved.wait(progress);
            progress = moved.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Performs what is waiting until nothing is.
    fn perform_all(&self) {
        struct Ends<'a>(&'a Run);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.progress().performers -= 1;
                self.0.moved.notify_all();
            }
        }
        let _ends = Ends(self);
        loop {
            let Some(work) = self.progress().waiting.pop_front() else {
                return;
            };
            self.perform(&work);
        }
    }

    fn perform(&self, work: &[usize]) {
        let requests: Vec<_> = work
            .iter()
            .filter_map(|index| self.request(*index))
            .collect();
        let (_shared, _exclusive);
        if work.iter().any(|index| self.plan[*index].case.alone) {
            _exclusive = self.machine.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = self.machine.read().unwrap_or_else(PoisonError::into_inner);
        }
        let mut requests = &requests[..];
        while let Some(first) = requests.first() {
            match self.servers.run(requests) {
                Ok(ended) => {
                    for (request, ended) in requests.iter().zip(&ended) {
                        self.tell(request, ended);
                    }
                    requests = requests.get(ended.len().max(1)..).unwrap_or_default();
                }
                Err(error) => {
                    let reason = format!("the test's process: {error}");
                    self.report(first.index, Verdict::Failed, Some(&reason), None);
                    requests = &requests[1..];
                }
            }
        }
    }

    /// What is to be asked of a server; nothing for what is settled already, which is reported.
    fn request(&self, index: usize) -> Option<Request> {
        let Planned { case, decision, .. } = &self.plan[index];
        let refusal = match decision {
            Decision::Run { .. } => false,
            Decision::Refuse { .. } => true,
            Decision::Skip { reason } => {
                self.report(index, Verdict::Skipped, Some(reason), None);
                return None;
            }
            Decision::Fail { reason } => {
                self.report(index, Verdict::Failed, Some(reason), None);
                return None;
            }
        };
        Some(Request {
            index,
            refusal,
            limit: case.timeout.mul_f64(self.timeout_factor),
        })
    }

    fn tell(&self, request: &Request, ended: &Ended) {
        let decision = &self.plan[request.index].decision;
        match isolate::verdict(ended, request.limit) {
            Ok(()) => {
                if self.verbose {
                    eprint!("{}", ended.output);
                }
                let success = if request.refusal {
                    Verdict::Refused
                } else {
                    Verdict::Passed
                };
                let reason = decision.reason();
                self.report(request.index, success, reason.as_deref(), Some(ended));
            }
            Err(output) => {
                let output = output.trim_end();
                self.report(request.index, Verdict::Failed, Some(output), Some(ended));
            }
        }
    }

    /// Into the report, and to whoever waits for the verdict.
    fn report(&self, index: usize, verdict: Verdict, reason: Option<&str>, ended: Option<&Ended>) {
        let Planned { suite, case, .. } = &self.plan[index];
        let time = ended.map_or(Duration::ZERO, |ended| ended.time);
        let completed = ended.map_or("", |ended| &ended.completed);
        self.reports[*suite].test(case, verdict, reason, time, completed);
        let told = match verdict {
            Verdict::Passed | Verdict::Refused => Ok(Completion::Completed),
            Verdict::Skipped => Ok(Completion::ignored_with(reason.unwrap_or_default())),
            Verdict::Failed => Err(reason.unwrap_or_default().into()),
        };
        self.progress().verdicts.insert(index, told);
        self.moved.notify_all();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_dealt_over_pieces_that_are_not_too_large() {
        let dealt = |count: usize, threads| {
            let tests: Vec<_> = (0..count).collect();
            deal(&tests, threads).collect::<Vec<_>>()
        };
        assert!(dealt(0, 4).is_empty());
        assert_eq!(dealt(3, 4), [[0], [1], [2]]);
        assert_eq!(dealt(5, 2), [vec![0, 2, 4], vec![1, 3]]);
        let many = dealt(100, 2);
        assert_eq!(many.len(), 100_usize.div_ceil(SHARED));
        assert!(many.iter().all(|piece| piece.len() <= SHARED));
        assert_eq!(many.iter().map(Vec::len).sum::<usize>(), 100);
    }
}
