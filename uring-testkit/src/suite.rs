//! A suite: its tests, its plan and its run.

use std::{collections::HashSet, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::{
    Completed, Context, TestResult,
    completed::CompletedBy,
    gate::Decision,
    handle::{HandleKind, Selected},
    kernel::Lane,
    preflight,
    report::{self, Report},
    run::PlannedSuite,
    suites,
    test::{Case, Test},
};

/// Tests that belong together, in a test binary of their own or [with others](crate::run_suites).
///
/// See the [crate](crate) for an example.
#[derive(Debug)]
pub struct Suite {
    name: &'static str,
    tests: Vec<Test>,
    handles_elsewhere: Option<&'static str>,
    completed_by: Option<CompletedBy>,
    where_forbidden: bool,
    share_processes: bool,
    takes_turns: bool,
}

impl Suite {
    /// Makes an empty suite; `name` begins the names of its tests.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            tests: Vec::new(),
            handles_elsewhere: None,
            completed_by: None,
            where_forbidden: false,
            share_processes: false,
            takes_turns: false,
        }
    }

    /// Adds a test, to be described further through the value that is returned.
    pub fn test(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(&Context) -> TestResult + Send + Sync + 'static,
    ) -> &mut Test {
        self.tests.push(Test::new(name.into(), body));
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

    /// Says how to ask the code under test what it has brought to completion, for the report.
    ///
    /// `completed` is called in each test's own process, when the test's body is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_testkit::{Completed, HandleKind, Suite};
    ///
    /// fn completed() -> Vec<Completed> {
    ///     let (opcode, handle) = ("IORING_OP_NOP", Some(HandleKind::Fd));
    ///     vec![Completed { opcode, handle }]
    /// }
    ///
    /// let mut suite = Suite::new("reads");
    /// suite.completed_by(completed);
    /// ```
    pub fn completed_by(&mut self, completed: fn() -> Vec<Completed>) -> &mut Self {
        self.completed_by = Some(completed);
        self
    }

    /// Says that the suite is about machines on which io_uring cannot be used, and runs nowhere else.
    ///
    /// A lane declares itself such a machine (`URING_FORBIDDEN`). There every other suite refuses to start; this one
    /// refuses unless io_uring is forbidden [in the declared way](Context::forbidden), and the features that its tests
    /// need are those of the declared kernel, since nothing can be probed there. Elsewhere its tests are skipped.
    pub fn where_forbidden(&mut self) -> &mut Self {
        self.where_forbidden = true;
        self
    }

    /// Lets several tests run in one process, one after the other, which saves most of what a short test costs.
    ///
    /// Each still has a thread of its own, and what it leaves behind is found. Tests that fork, run programs, close what is not
    /// theirs, or change limits, users or filters say [`own_process`](Test::own_process); those that
    /// [leave something behind](Test::leaks) or run [alone](Test::alone) have one anyway. A test that fails takes its process
    /// with it, and the others go on in another.
    pub fn share_processes(&mut self) -> &mut Self {
        self.share_processes = true;
        self
    }

    /// Lets each test that has no handle run on every fourth of the machines that take turns, as those of other suites do with each of
    /// their handles.
    ///
    /// For tests of whole programs, which cost much and come to the kernel in ways that other tests try one by one. A run of
    /// all kernels has machines that take turns between those that run everything.
    pub fn takes_turns(&mut self) -> &mut Self {
        self.takes_turns = true;
        self
    }

    /// Runs what the command line asks for: usually every test whose name contains the filter.
    ///
    /// Takes libtest's usual arguments, and `--plan`, which prints what would run. Call it first thing in `main`, before
    /// there is another thread: the tests' processes are forked from this one, and of a process only the forking thread
    /// is in its fork.
    #[must_use]
    pub fn run(self) -> ExitCode {
        suites::run_suites([self])
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    fn cases(&self) -> Vec<Case> {
        self.selected_cases(&Selected::All)
    }

    fn selected_cases(&self, selected: &Selected) -> Vec<Case> {
        let tests = self.tests.iter().enumerate();
        tests
            .flat_map(|(number, test)| selected.of(number, test.cases(self.name), self.takes_turns))
            .collect()
    }

    /// The tests on each of their handles, if the suite is as it should be.
    pub(crate) fn valid_cases(&self) -> Result<Vec<Case>, String> {
        let cases = self.cases();
        self.validate(&cases).map(|()| cases)
    }

    /// Whether the command line leaves none of the tests.
    pub(crate) fn is_left_out(&self, arguments: &Arguments) -> bool {
        let mut cases = self.cases().into_iter();
        cases.all(|case| is_filtered_out(&case, arguments))
    }

    /// Says why the suite does not start, on standard error and in the report.
    pub(crate) fn refuse_to_start(&self, reason: &str) {
        eprintln!("error: suite {}: {reason}", self.name);
        if let Ok(report) = Report::open(self.name) {
            report.refused(reason);
        }
    }

    /// What the suite does on `lane`, where it can start.
    pub(crate) fn planned(
        &self,
        arguments: &Arguments,
        lane: &Lane,
        planning: bool,
    ) -> Result<PlannedSuite, String> {
        self.valid_cases()?;
        let mut cases = self.selected_cases(&Selected::from_env()?);
        for case in &mut cases {
            case.own_process |= !self.share_processes;
        }
        if !planning || lane.forbidden.is_none() && lane.is_running() {
            self.preflight(lane)?;
        }
        cases.retain(|case| !is_filtered_out(case, arguments));
        let plan = cases.into_iter().map(|case| {
            let decision = self.decide(&case, lane, planning);
            (case, decision)
        });
        Ok(PlannedSuite {
            name: self.name,
            completed_by: self.completed_by,
            plan: plan.collect(),
        })
    }

    /// The same as records.
    pub(crate) fn plan(&self, arguments: &Arguments, lane: &Lane) -> Result<String, String> {
        let PlannedSuite { plan, .. } = self.planned(arguments, lane, true)?;
        Ok(match &lane.forbidden {
            Some(forbidden) if !self.where_forbidden && !plan.is_empty() => {
                report::plan_of_refusal(self.name, lane, &forbidden.to_string())
            }
            _ => report::plan(self.name, lane, &plan),
        })
    }

    fn preflight(&self, lane: &Lane) -> Result<(), String> {
        match &lane.forbidden {
            Some(declared) if self.where_forbidden => preflight::where_forbidden(lane, declared),
            _ => preflight::preflight(lane),
        }
    }

    fn decide(&self, case: &Case, lane: &Lane, planning: bool) -> Decision {
        let decision = case.decide(lane, planning);
        if self.where_forbidden && lane.forbidden.is_none() {
            let reason = "io_uring can be used here, and the test is about machines that forbid it";
            return decision.and(Decision::Skip {
                reason: reason.to_owned(),
            });
        }
        decision
    }

    /// What the author of a suite must not forget.
    fn validate(&self, cases: &[Case]) -> Result<(), String> {
        let mut names = HashSet::new();
        if let Some(case) = cases.iter().find(|case| !names.insert(&case.name)) {
            return Err(format!("{} is there twice", case.name));
        }
        if let Some(test) = self.tests.iter().find(|test| test.is_undecided()) {
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
                && !cases.iter().filter(on_handle).any(|case| case.is_refused())
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

fn is_filtered_out(case: &Case, arguments: &Arguments) -> bool {
    arguments.is_filtered_out(&Trial::test(&case.name, || Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;

    fn pass(_: &Context) -> TestResult {
        Ok(())
    }

    fn refusal_of(suite: &Suite) -> Option<String> {
        suite.validate(&suite.cases()).err()
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
    fn in_turn_each_test_has_each_of_its_handles_once() {
        let mut suite = Suite::new("s");
        suite.test("t", pass).on(HandleKind::ALL);
        suite.test("u", pass);
        suite.test("v", pass).on(HandleKind::ALL);
        let names = |turn| -> Vec<_> {
            let cases = suite.selected_cases(&Selected::InTurn(turn)).into_iter();
            cases.map(|case| case.name).collect()
        };
        assert_eq!(names(0), ["s::t[fd]", "s::u", "s::v[closed]"]);
        assert_eq!(names(3), ["s::t[born]", "s::u", "s::v[registered]"]);
        let mut all: Vec<_> = (0..4).flat_map(names).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), suite.cases().len());
        assert_eq!(names(4), names(0));
    }

    #[test]
    fn a_suite_that_takes_turns_runs_each_test_in_one_of_four() {
        let mut suite = Suite::new("s");
        suite.takes_turns();
        suite.test("t", pass);
        suite.test("u", pass);
        suite.test("v", pass).on([HandleKind::Fd]);
        let names = |selected: &Selected| -> Vec<_> {
            let cases = suite.selected_cases(selected).into_iter();
            cases.map(|case| case.name).collect()
        };
        let turns: Vec<_> = (0..4).map(|turn| names(&Selected::InTurn(turn))).collect();
        assert_eq!(
            turns,
            [
                vec!["s::t", "s::v[fd]"],
                vec!["s::v[fd]"],
                vec!["s::v[fd]"],
                vec!["s::u", "s::v[fd]"]
            ]
        );
        assert_eq!(names(&Selected::All).len(), 3);
    }

    #[test]
    fn a_name_is_there_once() {
        let mut suite = Suite::new("s");
        suite.test("t", pass);
        suite.test("t", pass);
        assert!(refusal_of(&suite).unwrap().contains("s::t is there twice"));
    }
}
