//! Suites on machines that forbid io_uring: they must refuse to start, with the reason that was planned.

use uring_testkit::records::Record;

use crate::test::outcome::{Outcome, Test, Verdict};

/// What a suite that cannot start ends with.
const STATUS: &str = "exit status: 2";

/// The reason with which the suite of this plan is to refuse, if it is.
pub(super) fn planned(plan: &[Record]) -> Option<&str> {
    plan.iter().find_map(|record| match record {
        Record::Refused { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

/// Compares what a suite did with that: one record, one exit status. The refusal counts as one test.
pub(super) fn compare(name: &str, reason: &str, report: &[Record], status: &str) -> Outcome {
    let mut outcome = Outcome::new(name);
    let mut problems = Vec::new();
    let mut refusals = 0;
    for record in report {
        match record {
            Record::Refused { reason: given, .. } => {
                refusals += 1;
                if given != reason {
                    problems.push(format!("it refused to start for another reason: {given}"));
                }
            }
            Record::Start { .. } => problems.push("it started".to_owned()),
            Record::Test { case, verdict, .. } => {
                problems.push(format!("it ran {}, which {}", case.name, verdict.word()));
            }
            _ => {}
        }
    }
    if refusals != 1 {
        problems.push(format!("it refused to start {refusals} times"));
    }
    if status != STATUS {
        problems.push(format!("it ended with {status} instead of {STATUS}"));
    }
    if problems.is_empty() {
        let mut test = Test::new(format!("{name} refuses to start"), Verdict::Refused);
        test.reason = Some(reason.to_owned());
        outcome.tests.push(test);
    } else {
        problems.push(format!("planned was: {reason}"));
    }
    outcome.problems = problems;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::record;

    const REASON: &str = "io_uring cannot be used: io_uring_setup: EPERM (1): it is disabled";

    fn refused(reason: &str) -> String {
        format!(r#"{{"record":"refused","suite":"s","reason":"{reason}"}}"#)
    }

    fn judged(lines: &[&str], status: &str) -> Outcome {
        let report = record::parse(&lines.join("\n")).unwrap();
        compare("s", REASON, &report, status)
    }

    fn is_told(lines: &[&str], status: &str, words: &str) {
        let outcome = judged(lines, status);
        assert!(
            outcome
                .problems
                .iter()
                .any(|problem| problem.contains(words)),
            "{:?}",
            outcome.problems
        );
        assert!(outcome.tests.is_empty());
    }

    #[test]
    fn a_plan_of_tests_is_no_plan_of_a_refusal() {
        let start = r#"{"record":"start","suite":"s","kernel":"6.1.0","expected":"6.1","lane":"mainline","planned":0}"#;
        let plan = record::parse(&[start, &refused(REASON)].join("\n")).unwrap();
        assert_eq!(planned(&plan), Some(REASON));
        assert_eq!(planned(&plan[..1]), None);
    }

    #[test]
    fn the_planned_refusal_is_good() {
        let outcome = judged(&[&refused(REASON)], STATUS);
        assert_eq!(outcome.problems, Vec::<String>::new());
        assert_eq!(outcome.count(Verdict::Refused), 1);
    }

    #[test]
    fn a_suite_that_runs_is_told() {
        let start = r#"{"record":"start","suite":"s","kernel":"6.1.0","expected":"6.1","lane":"mainline","planned":1}"#;
        let test = r#"{"record":"test","suite":"s","name":"s::a","test":"a","verdict":"passed","seconds":0.1}"#;
        let end = r#"{"record":"end","suite":"s","passed":1,"failed":0,"skipped":0,"refused":0}"#;
        let ran = [start, test, end];
        is_told(&ran, "exit status: 0", "it ran s::a, which passed");
        is_told(&ran, "exit status: 0", "it started");
        is_told(&ran, "exit status: 0", "it refused to start 0 times");
        // A refusal in the end does not make it good.
        is_told(&[start, test, end, &refused(REASON)], STATUS, "it ran s::a");
        // Nor is a suite without tests one that refuses.
        is_told(&[start, end], STATUS, "it started");
    }

    #[test]
    fn another_cause_is_told() {
        let words = "for another reason: no /proc";
        is_told(&[&refused("no /proc")], STATUS, words);
        is_told(&[&refused(REASON), &refused("no /proc")], STATUS, words);
    }

    #[test]
    fn a_crash_is_told() {
        is_told(&[], "signal: 6 (SIGABRT)", "it ended with signal: 6");
        is_told(&[], "signal: 6 (SIGABRT)", "refused to start 0 times");
    }

    #[test]
    fn a_refusal_with_success_or_twice_is_told() {
        is_told(
            &[&refused(REASON)],
            "exit status: 0",
            "ended with exit status: 0",
        );
        is_told(&[&refused(REASON), &refused(REASON)], STATUS, "2 times");
    }
}
