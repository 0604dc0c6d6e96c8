//! A suite: its tests, its plan and its run.

use std::{
    collections::HashSet,
    env,
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    Context, TestResult,
    feature::Feature,
    gate::{self, Decision},
    handle::HandleKind,
    isolate,
    json::Object,
    kernel::Lane,
    leak::Leaks,
    preflight,
    report::{self, Report, Verdict},
};

type Body = Arc<dyn Fn(&Context) -> TestResult + Send + Sync>;

/// How long a test may take, times `URING_TEST_TIMEOUT_FACTOR`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The exit code of a suite that could not start.
const CANNOT_START: u8 = 2;

/// The tests of one test binary.
///
/// See the [crate](crate) for an example.
#[derive(Debug)]
pub struct Suite {
    name: &'static str,
    tests: Vec<Test>,
    handles_elsewhere: Option<&'static str>,
}

/// One test under construction: what it needs, what it runs over, what it may leave behind.
pub struct Test {
    name: String,
    body: Body,
    handles: Vec<HandleKind>,
    needs: Vec<Feature>,
    refusal: Refusal,
    leaks: Leaks,
    timeout: Duration,
    alone: bool,
}

/// What runs where the test's features are absent.
enum Refusal {
    Undecided,
    By(Body),
    None,
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Test")
            .field("name", &self.name)
            .field("handles", &self.handles)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

impl Test {
    /// Repeats the test for each of `handles`, gated on what each needs; `[born]` and the like end the test's name.
    pub fn on(&mut self, handles: impl IntoIterator<Item = HandleKind>) -> &mut Self {
        self.handles.extend(handles);
        self
    }

    /// Runs the test only where the kernel has `features`.
    ///
    /// [`refused_by`](Self::refused_by) or [`no_refusal`](Self::no_refusal) must say what happens elsewhere.
    pub fn needs(&mut self, features: impl IntoIterator<Item = Feature>) -> &mut Self {
        self.needs.extend(features);
        self
    }

    /// Runs `body` in the test's place where a feature is absent: it shows that the refusal is a clear one.
    pub fn refused_by(
        &mut self,
        body: impl Fn(&Context) -> TestResult + Send + Sync + 'static,
    ) -> &mut Self {
        self.refusal = Refusal::By(Arc::new(body));
        self
    }

    /// Skips the test where a feature is absent. `why` tells the reader what covers the refusal.
    pub fn no_refusal(&mut self, why: &'static str) -> &mut Self {
        assert!(!why.is_empty(), "a reason is what this call is for");
        self.refusal = Refusal::None;
        self
    }

    /// Announces what the test leaves behind: exactly that much must be there when it is over.
    pub fn leaks(&mut self, leaks: Leaks) -> &mut Self {
        self.leaks = leaks;
        self
    }

    /// Announces that the test leaves `count` ring slots taken.
    pub fn leaks_slots(&mut self, count: usize) -> &mut Self {
        self.leaks.slots = count;
        self
    }

    /// Gives the test another time limit than 30 seconds; `URING_TEST_TIMEOUT_FACTOR` multiplies it.
    pub fn timeout(&mut self, limit: Duration) -> &mut Self {
        self.timeout = limit;
        self
    }

    /// Runs the test while no other test of the suite runs: it changes something of the whole machine.
    pub fn alone(&mut self) -> &mut Self {
        self.alone = true;
        self
    }

    fn cases(&self, suite: &str) -> Vec<Case> {
        let case = |handle: Option<HandleKind>| {
            let mut features = handle.map_or_else(Vec::new, |handle| handle.needs().to_vec());
            features.extend(&self.needs);
            let suffix = handle.map_or_else(String::new, |handle| format!("[{handle}]"));
            Case {
                name: format!("{suite}::{}{suffix}", self.name),
                test: self.name.clone(),
                handle,
                features,
                body: Arc::clone(&self.body),
                refusal: match &self.refusal {
                    Refusal::By(body) => Some(Arc::clone(body)),
                    Refusal::Undecided | Refusal::None => None,
                },
                leaks: self.leaks,
                timeout: self.timeout,
                alone: self.alone,
            }
        };
        if self.handles.is_empty() {
            return vec![case(None)];
        }
        self.handles
            .iter()
            .map(|handle| case(Some(*handle)))
            .collect()
    }
}

/// A test on one handle.
pub(crate) struct Case {
    name: String,
    test: String,
    handle: Option<HandleKind>,
    features: Vec<Feature>,
    body: Body,
    refusal: Option<Body>,
    leaks: Leaks,
    timeout: Duration,
    alone: bool,
}

impl Case {
    pub(crate) fn record(&self, record: &str, suite: &str) -> Object {
        Object::new(record)
            .text("suite", suite)
            .text("name", &self.name)
            .text("test", &self.test)
            .optional("handle", self.handle.map(HandleKind::word))
            .texts("features", self.features.iter().map(Feature::name))
    }

    fn decide(&self, lane: &Lane, running: bool) -> Decision {
        gate::decide(lane, &self.features, self.refusal.is_some(), |feature| {
            if running {
                feature.observe()
            } else {
                gate::expected(lane, feature)
            }
        })
    }

    /// Runs the case or its companion in this process, which ends with it.
    fn become_test(self, refusal: bool) -> ! {
        let (body, leaks) = match self.refusal {
            Some(body) if refusal => (body, Leaks::default()),
            _ => (self.body, self.leaks),
        };
        let context = Context {
            name: self.name,
            handle: self.handle,
            features: self.features,
        };
        isolate::become_test(context, leaks, move |context| body(context))
    }
}

impl Suite {
    /// Makes an empty suite; `name` is usually that of the test binary.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            tests: Vec::new(),
            handles_elsewhere: None,
        }
    }

    /// Adds a test, to be described further through the value that is returned.
    pub fn test(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(&Context) -> TestResult + Send + Sync + 'static,
    ) -> &mut Test {
        self.tests.push(Test {
            name: name.into(),
            body: Arc::new(body),
            handles: Vec::new(),
            needs: Vec::new(),
            refusal: Refusal::Undecided,
            leaks: Leaks::default(),
            timeout: TIMEOUT,
            alone: false,
        });
        self.tests.last_mut().expect("a test was just added")
    }

    /// Says where it is shown how a kernel refuses the handles of this suite's tests.
    ///
    /// Without it the suite itself must have, for each handle that some kernels lack, a test with
    /// [`refused_by`](Test::refused_by).
    pub fn handles_refused_in(&mut self, suite: &'static str) -> &mut Self {
        self.handles_elsewhere = Some(suite);
        self
    }

    /// Runs what the command line asks for: usually every test whose name contains the filter.
    ///
    /// Takes libtest's usual arguments, and `--plan`, which prints what would run. Call it first thing in `main`:
    /// the tests' own processes come through here too, and start by closing what is open.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.try_run() {
            Ok(code) => code,
            Err(reason) => {
                eprintln!("error: suite {}: {reason}", self.name);
                if let Ok(report) = Report::open(self.name) {
                    report.refused(&reason);
                }
                ExitCode::from(CANNOT_START)
            }
        }
    }

    fn try_run(&self) -> Result<ExitCode, String> {
        let assigned = isolate::assigned();
        let mut cases: Vec<Case> = self
            .tests
            .iter()
            .flat_map(|test| test.cases(self.name))
            .collect();
        if let Some((name, refusal)) = assigned {
            let position = cases.iter().position(|case| case.name == name);
            let position = position.ok_or_else(|| format!("there is no test {name}"))?;
            cases.swap_remove(position).become_test(refusal);
        }
        self.validate(&cases)?;

        let mut arguments: Vec<_> = env::args_os().collect();
        let count = arguments.len();
        arguments.retain(|argument| argument != "--plan");
        let only_plan = arguments.len() < count || env::var_os("URING_PLAN").is_some();
        let arguments = Arguments::from_iter(arguments);

        if arguments.list {
            let trials = cases
                .into_iter()
                .map(|case| Trial::test(case.name, || Ok(())));
            return Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code());
        }
        let lane = Lane::from_env()?;
        let running = !only_plan || lane.is_running();
        if running {
            preflight::preflight(&lane)?;
        }
        cases.retain(|case| !arguments.is_filtered_out(&Trial::test(&case.name, || Ok(()))));
        let plan = cases.into_iter().map(|case| {
            let decision = case.decide(&lane, running);
            (case, decision)
        });
        let plan: Vec<_> = plan.collect();
        if only_plan {
            print!("{}", report::plan(self.name, &lane, &plan));
            return Ok(ExitCode::SUCCESS);
        }
        run_plan(self.name, &arguments, &lane, plan)
    }

    /// What the author of a suite must not forget.
    fn validate(&self, cases: &[Case]) -> Result<(), String> {
        let mut names = HashSet::new();
        if let Some(case) = cases.iter().find(|case| !names.insert(&case.name)) {
            return Err(format!("{} is there twice", case.name));
        }
        let undecided =
            |test: &&Test| !test.needs.is_empty() && matches!(test.refusal, Refusal::Undecided);
        if let Some(test) = self.tests.iter().find(undecided) {
            return Err(format!(
                "{} is gated: say what shows the refusal with .refused_by(..) or .no_refusal(\"why\")",
                test.name
            ));
        }
        if self.handles_elsewhere.is_some() {
            return Ok(());
        }
        for handle in HandleKind::ALL {
            let on_handle = |case: &&Case| case.handle == Some(handle);
            let gated = !handle.needs().is_empty();
            if gated
                && cases.iter().any(|case| on_handle(&case))
                && !cases
                    .iter()
                    .filter(on_handle)
                    .any(|case| case.refusal.is_some())
            {
                return Err(format!(
                    "no test shows how a kernel without it refuses the handle [{handle}]: give one .refused_by(..), \
                     or name the suite that does with .handles_refused_in(\"suite\")"
                ));
            }
        }
        Ok(())
    }
}

fn run_plan(
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
        let run = Run {
            limit: case.timeout.mul_f64(factor),
            verbose,
        };
        Trial::ignorable_test(case.name.clone(), move || {
            execute(&case, &decision, &report, &machine, run)
        })
        .with_kind(kind)
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    report.end();
    Ok(conclusion.exit_code())
}

#[derive(Clone, Copy)]
struct Run {
    limit: Duration,
    verbose: bool,
}

fn execute(
    case: &Case,
    decision: &Decision,
    report: &Report,
    machine: &RwLock<()>,
    run: Run,
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
    let outcome = isolate::run(&case.name, refusal, run.limit)
        .unwrap_or_else(|error| Err(format!("the test's process: {error}")));
    match outcome {
        Ok(output) => {
            if run.verbose {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(_: &Context) -> TestResult {
        Ok(())
    }

    fn refusal_of(suite: &Suite) -> Option<String> {
        let cases: Vec<_> = suite
            .tests
            .iter()
            .flat_map(|test| test.cases(suite.name))
            .collect();
        suite.validate(&cases).err()
    }

    #[test]
    fn names_carry_suite_and_handle() {
        let mut suite = Suite::new("teardown");
        suite.test("drains", pass).on(HandleKind::ALL);
        let names: Vec<_> = suite.tests[0]
            .cases("teardown")
            .into_iter()
            .map(|case| case.name)
            .collect();
        assert_eq!(
            names,
            [
                "teardown::drains[fd]",
                "teardown::drains[registered]",
                "teardown::drains[closed]",
                "teardown::drains[born]"
            ]
        );
    }

    #[test]
    fn a_handle_brings_its_features() {
        let mut suite = Suite::new("s");
        suite
            .test("t", pass)
            .on([HandleKind::Born])
            .needs([Feature::CQE32]);
        let case = &suite.tests[0].cases("s")[0];
        assert_eq!(
            case.features,
            [
                Feature::NO_MMAP,
                Feature::REGISTERED_FD_ONLY,
                Feature::CQE32
            ]
        );
    }

    #[test]
    fn a_gated_test_must_say_what_refuses_it() {
        let mut suite = Suite::new("s");
        suite.test("t", pass).needs([Feature::CQE32]);
        assert!(refusal_of(&suite).unwrap().contains("t is gated"));
        suite.tests[0].no_refusal("shown in another test");
        assert_eq!(refusal_of(&suite), None);
        suite.tests[0].refused_by(pass);
        assert_eq!(refusal_of(&suite), None);
    }

    #[test]
    fn a_gated_handle_must_be_refused_somewhere() {
        let mut suite = Suite::new("s");
        suite.test("t", pass).on(HandleKind::ALL);
        assert!(refusal_of(&suite).unwrap().contains("[registered]"));
        suite.test("u", pass).on(HandleKind::BOUND).refused_by(pass);
        assert_eq!(refusal_of(&suite), None);
        suite.tests.pop();
        suite.handles_refused_in("handles");
        assert_eq!(refusal_of(&suite), None);
    }

    #[test]
    fn a_name_is_there_once() {
        let mut suite = Suite::new("s");
        suite.test("t", pass);
        suite.test("t", pass);
        assert!(refusal_of(&suite).unwrap().contains("s::t is there twice"));
    }
}
