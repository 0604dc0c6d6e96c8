//! A suite's report against its plan.

use std::collections::BTreeMap;

use uring_testkit::records::{Case, Counts, Planned, Record};

use super::outcome::{Outcome, Test, Verdict};

/// Reads the tests out of a report, and says where it is not what was planned.
pub(super) fn compare(suite: &str, plan: &[Record], report: &[Record]) -> Outcome {
    let mut outcome = Outcome::new(suite);
    let problems = &mut outcome.problems;
    let mut open: BTreeMap<&str, Planned> = BTreeMap::new();
    let (mut planned, mut plan_ended) = (None, false);
    for record in plan {
        match record {
            Record::Start { planned: count, .. } => planned = Some(*count),
            Record::Plan { case, decision, .. } => {
                open.insert(&case.name, *decision);
            }
            Record::Refused { reason, .. } => problems.push(reason.clone()),
            Record::End { .. } => plan_ended = true,
            Record::Test { case, .. } => {
                problems.push(format!("the plan says that {} has run", case.name));
            }
            other => problems.push(format!("of no plan: {other}")),
        }
    }
    if !plan_ended || planned != Some(open.len()) {
        problems.push(format!(
            "the plan is not whole: {} of {planned:?} tests",
            open.len()
        ));
    }

    let mut end = None;
    let mut started = 0;
    for record in report {
        match record {
            Record::Start { .. } => started += 1,
            Record::Test {
                case: Case { name, handle, .. },
                verdict,
                reason,
                time,
                completed,
            } => {
                let verdict = Verdict::from(*verdict);
                outcome.completed.extend(completed.iter().cloned());
                match open.remove(name.as_str()) {
                    None => problems.push(format!("{name} was not planned, or ran twice")),
                    Some(decision) if !fits(decision, verdict) => problems.push(format!(
                        "{name} was {verdict:?}, which is not what was planned: {decision:?} ({})",
                        reason.as_deref().unwrap_or("no reason")
                    )),
                    Some(_) => {}
                }
                outcome.tests.push(Test {
                    name: name.clone(),
                    handle: handle.clone(),
                    verdict,
                    reason: reason.clone(),
                    seconds: Some(time.as_secs_f64()),
                });
            }
            Record::Refused { reason, .. } => problems.push(reason.clone()),
            Record::End { counts, .. } if end.is_none() => end = Some(*counts),
            Record::End { .. } => problems.push("the report ends twice".to_owned()),
            Record::Plan { case, .. } => {
                problems.push(format!("the report plans {}", case.name));
            }
            other => problems.push(format!("of no report: {other}")),
        }
    }
    problems.extend(
        open.keys()
            .map(|name| format!("{name} was planned and did not run")),
    );
    if started != 1 {
        problems.push(format!("the report starts {started} times"));
    }
    match end {
        None => {
            problems.push("the report has no end: the suite did not come to its own".to_owned())
        }
        Some(counts) => {
            let counted = Counts {
                passed: count(&outcome.tests, Verdict::Passed),
                failed: count(&outcome.tests, Verdict::Failed),
                skipped: count(&outcome.tests, Verdict::Skipped),
                refused: count(&outcome.tests, Verdict::Refused),
            };
            if counts != Some(counted) {
                problems.push(format!("the report counts {counts:?} and has {counted:?}"));
            }
        }
    }
    outcome
}

fn count(tests: &[Test], verdict: Verdict) -> usize {
    tests.iter().filter(|test| test.verdict == verdict).count()
}

const fn fits(decision: Planned, verdict: Verdict) -> bool {
    matches!(
        (decision, verdict),
        (Planned::Run, Verdict::Passed | Verdict::Failed)
            | (Planned::Skip, Verdict::Skipped)
            | (Planned::Refuse, Verdict::Refused | Verdict::Failed)
            | (Planned::Fail, Verdict::Failed)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uring_testkit::records;

    use super::*;

    fn start(planned: usize) -> Record {
        Record::Start {
            suite: "s".to_owned(),
            kernel: "6.1.176".to_owned(),
            expected: "6.1".to_owned(),
            lane: "mainline".to_owned(),
            planned,
        }
    }

    fn case(name: &str) -> Case {
        Case {
            suite: "s".to_owned(),
            name: name.to_owned(),
            test: name.to_owned(),
            ..Case::default()
        }
    }

    fn plan(name: &str, decision: Planned) -> Record {
        Record::Plan {
            case: case(name),
            decision,
            reason: None,
        }
    }

    fn test(name: &str, verdict: Verdict) -> Record {
        Record::Test {
            case: case(name),
            verdict: match verdict {
                Verdict::Passed => records::Verdict::Passed,
                Verdict::Failed => records::Verdict::Failed,
                Verdict::Skipped => records::Verdict::Skipped,
                Verdict::Refused => records::Verdict::Refused,
            },
            reason: None,
            time: Duration::ZERO,
            completed: vec![format!("fd {name}")],
        }
    }

    fn plan_end() -> Record {
        Record::End {
            suite: "s".to_owned(),
            counts: None,
        }
    }

    fn end(passed: usize, failed: usize, skipped: usize, refused: usize) -> Record {
        let counts = Counts {
            passed,
            failed,
            skipped,
            refused,
        };
        Record::End {
            suite: "s".to_owned(),
            counts: Some(counts),
        }
    }

    /// Two tests that run, one that is skipped, one that is refused.
    fn whole_plan() -> Vec<Record> {
        vec![
            start(4),
            plan("a", Planned::Run),
            plan("b", Planned::Run),
            plan("c", Planned::Skip),
            plan("d", Planned::Refuse),
            plan_end(),
        ]
    }

    fn whole_report() -> Vec<Record> {
        vec![
            start(4),
            test("b", Verdict::Failed),
            test("a", Verdict::Passed),
            test("c", Verdict::Skipped),
            test("d", Verdict::Refused),
            end(1, 1, 1, 1),
        ]
    }

    fn problems(report: &[Record]) -> Vec<String> {
        compare("s", &whole_plan(), report).problems
    }

    fn is_told(problems: &[String], words: &str) {
        assert!(
            problems.iter().any(|problem| problem.contains(words)),
            "{problems:?}"
        );
    }

    #[test]
    fn a_whole_report_has_no_problems() {
        let outcome = compare("s", &whole_plan(), &whole_report());
        assert_eq!(outcome.problems, Vec::<String>::new());
        assert_eq!(outcome.tests.len(), 4);
        assert_eq!(outcome.failed(), 1);
        let completed: Vec<_> = outcome.completed.iter().collect();
        assert_eq!(completed, ["fd a", "fd b", "fd c", "fd d"]);
    }

    #[test]
    fn a_report_that_is_cut_short_is_told_at_every_line() {
        let report = whole_report();
        for length in 0..report.len() {
            is_told(&problems(&report[..length]), "no end");
        }
    }

    #[test]
    fn each_missing_record_is_told() {
        for missing in 1..5 {
            let mut report = whole_report();
            report.remove(missing);
            is_told(&problems(&report), "did not run");
        }
    }

    #[test]
    fn a_suite_that_skips_everything_is_told() {
        let skipped = ["a", "b", "c", "d"].map(|name| test(name, Verdict::Skipped));
        let mut report = vec![start(4)];
        report.extend(skipped);
        report.push(end(0, 0, 4, 0));
        let problems = problems(&report);
        assert_eq!(problems.len(), 3, "{problems:?}");
        is_told(
            &problems,
            "a was Skipped, which is not what was planned: Run",
        );
    }

    #[test]
    fn a_test_that_ran_twice_is_told() {
        let mut report = whole_report();
        report.insert(1, test("a", Verdict::Passed));
        report[6] = end(2, 1, 1, 1);
        is_told(&problems(&report), "a was not planned, or ran twice");
    }

    #[test]
    fn a_run_instead_of_a_skip_is_told() {
        let mut report = whole_report();
        report[3] = test("c", Verdict::Passed);
        report[5] = end(2, 1, 0, 1);
        is_told(&problems(&report), "c was Passed");
    }

    #[test]
    fn counts_that_disagree_are_told() {
        let mut report = whole_report();
        report[5] = end(4, 0, 0, 0);
        is_told(&problems(&report), "the report counts");
        report[5] = plan_end();
        is_told(&problems(&report), "the report counts");
    }

    #[test]
    fn a_report_without_its_start_is_told() {
        is_told(&problems(&whole_report()[1..]), "starts 0 times");
    }

    #[test]
    fn a_plan_without_its_end_is_told() {
        let plan = &whole_plan()[..5];
        is_told(
            &compare("s", plan, &whole_report()).problems,
            "the plan is not whole",
        );
    }

    #[test]
    fn a_plan_that_is_cut_short_is_told() {
        let plan = &whole_plan()[..3];
        is_told(
            &compare("s", plan, &whole_report()).problems,
            "the plan is not whole",
        );
    }

    #[test]
    fn a_suite_that_could_not_start_says_why() {
        let refused = Record::Refused {
            suite: "s".to_owned(),
            reason: "blocked".to_owned(),
        };
        is_told(&problems(&[refused]), "blocked");
    }
}
