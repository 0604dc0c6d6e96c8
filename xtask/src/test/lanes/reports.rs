//! What the programs of a machine reported, against their plans.

use std::collections::BTreeMap;

use uring_testkit::records::Record;

use super::refusal;
use crate::test::{compare, outcome::Outcome};

/// What each program is expected to report, by its place in the machine: its suites' plans, by their names.
pub(super) type Plans = BTreeMap<String, BTreeMap<String, Vec<Record>>>;

/// What the programs of a machine reported.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<String, Report>);

/// What one program reported.
#[derive(Debug, Default)]
struct Report {
    suites: BTreeMap<String, Vec<Record>>,
    /// Its status, and how long it took.
    end: Option<(String, f64)>,
}

impl Reports {
    pub(super) fn begin(&mut self, program: &str) {
        self.0.entry(program.to_owned()).or_default();
    }

    pub(super) fn exit(&mut self, program: String, status: String, seconds: f64) {
        self.0.entry(program).or_default().end = Some((status, seconds));
    }

    /// Adds a record of a suite in `program`.
    pub(super) fn add(&mut self, program: &str, suite: &str, record: Record) {
        let report = self.0.entry(program.to_owned()).or_default();
        report
            .suites
            .entry(suite.to_owned())
            .or_default()
            .push(record);
    }

    /// What each suite came to.
    pub(super) fn judge(mut self, plans: &Plans) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (program, plans) in plans {
            outcomes.extend(match self.0.remove(program) {
                Some(report) => report.judge(program, plans),
                None => plans
                    .keys()
                    .map(|suite| with_problem(program, suite, "it was not started"))
                    .collect(),
            });
        }
        let unplanned = self.0.into_keys();
        outcomes.extend(unplanned.map(|program| with_problem(&program, "", UNPLANNED)));
        outcomes
    }
}

const UNPLANNED: &str = "it was not to be started";

impl Report {
    fn judge(mut self, program: &str, plans: &BTreeMap<String, Vec<Record>>) -> Vec<Outcome> {
        // The exit status is that of the worst.
        let one_refuses = plans.values().any(|plan| refusal::planned(plan).is_some());
        let mut outcomes: Vec<_> = plans
            .iter()
            .map(|(suite, plan)| {
                let name = name(program, suite);
                let report = self.suites.remove(suite).unwrap_or_default();
                match (refusal::planned(plan), &self.end) {
                    (Some(reason), Some((status, _))) => {
                        refusal::compare(&name, reason, &report, status)
                    }
                    _ => compare::compare(&name, plan, &report),
                }
            })
            .collect();
        let unplanned = self.suites.keys();
        outcomes.extend(unplanned.map(|suite| with_problem(program, suite, UNPLANNED)));
        let trusted = outcomes.iter().all(|outcome| outcome.problems.is_empty());
        let failed = outcomes.iter().any(|outcome| outcome.failed() > 0);
        match &self.end {
            None => {
                let without_end = |outcome: &&mut Outcome| trusted || !outcome.problems.is_empty();
                for outcome in outcomes.iter_mut().filter(without_end) {
                    let problem = "it did not come to its end";
                    outcome.problems.push(problem.to_owned());
                }
            }
            Some((status, seconds)) => {
                let fits = one_refuses || (status == "exit status: 0") != failed;
                for outcome in &mut outcomes {
                    outcome.seconds = *seconds;
                    if !outcome.problems.is_empty() || trusted && !fits {
                        outcome.problems.push(format!("it ended with {status}"));
                    }
                }
            }
        }
        outcomes
    }
}

/// The place of a program that is the test target `target` of `package`. Blanks separate words in the guest's settings.
pub(super) fn place(package: &str, target: &str) -> String {
    format!("/suites/deps/{package}:{target}")
}

/// A suite with its program's package.
pub(super) fn name(program: &str, suite: &str) -> String {
    let program = program.rsplit('/').next().unwrap_or(program);
    match program.split_once(':') {
        Some((package, _)) => format!("{package}:{suite}"),
        None => format!("{program}:{suite}"),
    }
}

fn with_problem(program: &str, suite: &str, problem: &str) -> Outcome {
    let mut outcome = Outcome::new(&name(program, suite));
    outcome.problems.push(problem.to_owned());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::record;

    const PROGRAM: &str = "/suites/deps/p:suites";

    const NONE: [Vec<String>; 2] = [Vec::new(), Vec::new()];

    fn records(lines: &str) -> Vec<Record> {
        record::parse(lines).unwrap()
    }

    fn start(suite: &str) -> String {
        format!(
            r#"{{"record":"start","suite":"{suite}","kernel":"6.1.0","expected":"6.1","lane":"mainline","planned":1}}"#
        )
    }

    fn test(suite: &str, verdict: &str) -> String {
        format!(
            r#"{{"record":"test","suite":"{suite}","name":"{suite}::a","test":"a","verdict":"{verdict}","seconds":0.1}}"#
        )
    }

    fn end(suite: &str, passed: usize, failed: usize) -> String {
        format!(
            r#"{{"record":"end","suite":"{suite}","passed":{passed},"failed":{failed},"skipped":0,"refused":0}}"#
        )
    }

    /// Two suites of one test each.
    fn plans() -> Plans {
        let plan = |suite: &str| {
            let plan = format!(
                r#"{{"record":"plan","suite":"{suite}","name":"{suite}::a","test":"a","decision":"run"}}"#
            );
            let end = format!(r#"{{"record":"end","suite":"{suite}"}}"#);
            let plan = records(&[start(suite), plan, end].join("\n"));
            (suite.to_owned(), plan)
        };
        let plans = BTreeMap::from([plan("one"), plan("two")]);
        BTreeMap::from([(PROGRAM.to_owned(), plans)])
    }

    /// The problems of the two suites after a run with these records and status.
    fn problems(lines: &[String], status: Option<&str>) -> [Vec<String>; 2] {
        let mut reports = Reports::default();
        reports.begin(PROGRAM);
        for record in records(&lines.join("\n")) {
            let suite = record.suite().unwrap().to_owned();
            reports.add(PROGRAM, &suite, record);
        }
        if let Some(status) = status {
            reports.exit(PROGRAM.to_owned(), status.to_owned(), 1.0);
        }
        let [one, two] = <[Outcome; 2]>::try_from(reports.judge(&plans())).unwrap();
        assert_eq!([one.name.as_str(), two.name.as_str()], ["p:one", "p:two"]);
        [one.problems, two.problems]
    }

    /// Both suites at the same time.
    fn interleaved(second: &str, end_of_second: String) -> Vec<String> {
        vec![
            start("one"),
            start("two"),
            test("two", second),
            test("one", "passed"),
            end("one", 1, 0),
            end_of_second,
        ]
    }

    #[test]
    fn suites_that_run_at_the_same_time_are_told_apart() {
        let lines = interleaved("passed", end("two", 1, 0));
        assert_eq!(problems(&lines, Some("exit status: 0")), NONE);
        let lines = interleaved("failed", end("two", 0, 1));
        assert_eq!(problems(&lines, Some("exit status: 101")), NONE);
    }

    #[test]
    fn a_status_that_no_suite_explains_is_a_problem_of_all() {
        let lines = interleaved("passed", end("two", 1, 0));
        let said = vec!["it ended with exit status: 101".to_owned()];
        assert_eq!(
            problems(&lines, Some("exit status: 101")),
            [said.clone(), said]
        );
        let lines = interleaved("failed", end("two", 0, 1));
        assert!(
            problems(&lines, Some("exit status: 0"))
                .iter()
                .all(|said| said.len() == 1)
        );
    }

    #[test]
    fn a_program_that_ends_early_is_a_problem_of_the_suites_that_were_not_over() {
        let lines = interleaved("passed", end("two", 1, 0));
        let [one, two] = problems(&lines[..5], Some("signal: 9 (SIGKILL)"));
        assert_eq!(one, Vec::<String>::new());
        assert!(two.contains(&"it ended with signal: 9 (SIGKILL)".to_owned()));
        let [one, two] = problems(&lines[..5], None);
        assert_eq!(one, Vec::<String>::new());
        assert!(two.contains(&"it did not come to its end".to_owned()));
        assert!(problems(&lines, None).iter().all(|said| said.len() == 1));
    }

    #[test]
    fn what_was_not_started_is_a_problem_and_so_is_what_should_not_have_been() {
        let outcomes = Reports::default().judge(&plans());
        let said = outcomes.iter().flat_map(|outcome| &outcome.problems);
        assert_eq!(said.collect::<Vec<_>>(), ["it was not started"; 2]);

        let mut reports = Reports::default();
        reports.begin(PROGRAM);
        for record in records(&interleaved("passed", end("two", 1, 0)).join("\n")) {
            let suite = record.suite().unwrap().replace("two", "three");
            reports.add(PROGRAM, &suite, record);
        }
        reports.exit(PROGRAM.to_owned(), "exit status: 0".to_owned(), 1.0);
        let outcomes = reports.judge(&plans());
        assert_eq!(outcomes.len(), 3);
        assert!(outcomes[2].problems.contains(&UNPLANNED.to_owned()));

        let mut reports = Reports::default();
        reports.begin("/suites/deps/q:other");
        assert_eq!(reports.judge(&Plans::new())[0].problems, [UNPLANNED]);
    }
}
