//! The results as JUnit XML, which build servers show.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::outcome::{Outcome, Test, Verdict};

/// What ran in one place: on this machine, or on one lane.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// The lane's name; nothing on this machine.
    pub(super) lane: Option<String>,
    pub(super) outcomes: &'a [Outcome],
    /// What is wrong beside the tests, by its class.
    pub(super) troubles: Vec<(&'static str, String)>,
    /// What the place said last, for a reader who looks into its troubles.
    pub(super) last_lines: &'a str,
    /// What identifies the place.
    pub(super) properties: Vec<(&'static str, String)>,
}

/// Writes everything to `path`; `gaps` is what all parts together did not show.
pub(super) fn write(path: &Path, parts: &[Part<'_>], gaps: &[String]) -> Result<()> {
    let xml = report(parts, gaps).to_string().context("JUnit XML")?;
    fs::write(path, xml).with_context(|| format!("{}", path.display()))
}

fn report(parts: &[Part<'_>], gaps: &[String]) -> Report {
    let mut report = Report::new("cargo xtask test");
    for part in parts {
        for outcome in part.outcomes {
            report.add_test_suite(suite(part, outcome));
        }
        if !part.troubles.is_empty() {
            report.add_test_suite(machine(part));
        }
    }
    if !gaps.is_empty() {
        let mut suite = TestSuite::new("all lanes");
        suite.add_test_case(wrong("coverage", NonSuccessKind::Failure, "gap", gaps));
        report.add_test_suite(suite);
    }
    report
}

/// A name that tells the same test of two lanes apart.
fn named(part: &Part<'_>, what: &str) -> String {
    match &part.lane {
        Some(lane) => format!("{lane} / {what}"),
        None => what.to_owned(),
    }
}

fn suite(part: &Part<'_>, outcome: &Outcome) -> TestSuite {
    let name = named(part, &outcome.name);
    let mut suite = TestSuite::new(name.as_str());
    suite.set_time(seconds(outcome.seconds));
    add_properties(&mut suite, part);
    for test in &outcome.tests {
        let mut case = case(test);
        case.set_classname(name.as_str());
        suite.add_test_case(case);
    }
    if !outcome.problems.is_empty() {
        let kind = NonSuccessKind::Error;
        let mut case = wrong("the suite as a whole", kind, "problem", &outcome.problems);
        case.set_classname(name.as_str());
        suite.add_test_case(case);
    }
    if !outcome.output.is_empty() && (outcome.failed() > 0 || !outcome.problems.is_empty()) {
        suite.set_system_out(outcome.output.as_str());
    }
    suite
}

fn case(test: &Test) -> TestCase {
    let reason = test.reason.as_deref();
    let mut status = match test.verdict {
        Verdict::Passed | Verdict::Refused => TestCaseStatus::success(),
        Verdict::Skipped => TestCaseStatus::skipped(),
        Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    match (test.verdict, reason) {
        (Verdict::Skipped, Some(reason)) => {
            status.set_message(reason);
        }
        (Verdict::Failed, Some(reason)) => {
            status
                .set_message(reason.lines().next().unwrap_or_default())
                .set_description(reason);
        }
        _ => {}
    }
    let mut case = TestCase::new(test.name.as_str(), status);
    case.set_time(seconds(test.seconds.unwrap_or_default()));
    if let Some(handle) = &test.handle {
        case.add_property(Property::new("handle", handle));
    }
    match (test.verdict, reason) {
        (Verdict::Refused, reason) => {
            case.add_property(Property::new("refused", reason.unwrap_or("no reason")));
        }
        // Why a test ran although its kernel is too old for it.
        (Verdict::Passed, Some(note)) => {
            case.add_property(Property::new("note", note));
        }
        _ => {}
    }
    case
}

/// What is wrong with the machine itself.
fn machine(part: &Part<'_>) -> TestSuite {
    let name = named(part, "the machine");
    let mut suite = TestSuite::new(name.as_str());
    add_properties(&mut suite, part);
    let mut classes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (class, text) in &part.troubles {
        classes.entry(*class).or_default().push(text.clone());
    }
    for (class, texts) in classes {
        let mut case = wrong(class, NonSuccessKind::Error, class, &texts);
        case.set_classname(name.as_str());
        suite.add_test_case(case);
    }
    if !part.last_lines.is_empty() {
        suite.set_system_out(part.last_lines);
    }
    suite
}

fn wrong(name: &str, kind: NonSuccessKind, class: &str, lines: &[String]) -> TestCase {
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(class)
        .set_message(lines.first().map_or("", String::as_str))
        .set_description(XmlString::new(lines.join("\n")));
    TestCase::new(name, status)
}

fn add_properties(suite: &mut TestSuite, part: &Part<'_>) {
    for (name, value) in &part.properties {
        suite.add_property(Property::new(*name, value));
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, verdict: Verdict, reason: Option<&str>) -> Test {
        let mut test = Test::new(name.to_owned(), verdict);
        test.reason = reason.map(str::to_owned);
        test.seconds = Some(0.25);
        test
    }

    fn outcome() -> Outcome {
        let mut outcome = Outcome::new("uring:memory");
        outcome.tests = vec![
            test("s::good", Verdict::Passed, None),
            test(
                "s::bad",
                Verdict::Failed,
                Some("expected <1>\n  & got \u{1b}[31m2\u{1b}[0m"),
            ),
            test("s::later", Verdict::Skipped, Some("needs Linux 9.9 (X)")),
            test("s::no[born]", Verdict::Refused, Some("needs Linux 6.5 (Y)")),
        ];
        outcome.tests[3].handle = Some("born".to_owned());
        outcome
    }

    fn part(outcomes: &[Outcome]) -> Part<'_> {
        Part {
            lane: Some("Linux 6.1".to_owned()),
            outcomes,
            troubles: Vec::new(),
            last_lines: "",
            properties: vec![("release", "6.1.176".to_owned())],
        }
    }

    /// What a reader of the file sees.
    fn read_back(parts: &[Part<'_>], gaps: &[String]) -> Report {
        let xml = report(parts, gaps).to_string().unwrap();
        Report::deserialize_from_str(&xml).unwrap()
    }

    fn case<'a>(report: &'a Report, name: &str) -> &'a TestCase {
        let mut cases = report.test_suites.iter().flat_map(|s| &s.test_cases);
        let found = cases.find(|case| case.name.as_str() == name);
        found.unwrap_or_else(|| panic!("no {name} in {report:?}"))
    }

    fn non_success(case: &TestCase) -> (NonSuccessKind, Option<&str>, Option<&str>) {
        match &case.status {
            TestCaseStatus::NonSuccess {
                kind,
                ty,
                description,
                ..
            } => {
                let (ty, description) = (ty.as_ref(), description.as_ref());
                (
                    *kind,
                    ty.map(XmlString::as_str),
                    description.map(XmlString::as_str),
                )
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_verdict_is_read_back() {
        let outcomes = [outcome()];
        let report = read_back(&[part(&outcomes)], &[]);
        assert_eq!(report.test_suites.len(), 1);
        let suite = &report.test_suites[0];
        assert_eq!(suite.name.as_str(), "Linux 6.1 / uring:memory");
        assert_eq!((suite.tests, suite.failures, suite.errors), (4, 1, 0));
        assert_eq!(suite.skipped, 1);
        assert_eq!(suite.properties[0].value.as_str(), "6.1.176");

        let good = case(&report, "s::good");
        assert!(matches!(good.status, TestCaseStatus::Success { .. }));
        assert_eq!(good.time, Some(Duration::from_millis(250)));
        let class = good.classname.as_ref().map(XmlString::as_str);
        assert_eq!(class, Some("Linux 6.1 / uring:memory"));

        let (kind, _, text) = non_success(case(&report, "s::bad"));
        assert_eq!(kind, NonSuccessKind::Failure);
        assert_eq!(text, Some("expected <1>\n  & got 2"));

        let TestCaseStatus::Skipped { message, .. } = &case(&report, "s::later").status else {
            panic!("{report:?}");
        };
        let message = message.as_ref().map(XmlString::as_str);
        assert_eq!(message, Some("needs Linux 9.9 (X)"));
    }

    #[test]
    fn a_refusal_is_a_success_that_names_what_is_missing() {
        let outcomes = [outcome()];
        let report = read_back(&[part(&outcomes)], &[]);
        let refused = case(&report, "s::no[born]");
        assert!(matches!(refused.status, TestCaseStatus::Success { .. }));
        let properties: Vec<_> = refused
            .properties
            .iter()
            .map(|property| (property.name.as_str(), property.value.as_str()))
            .collect();
        let expected = [("handle", "born"), ("refused", "needs Linux 6.5 (Y)")];
        assert_eq!(properties, expected);
    }

    #[test]
    fn a_problem_of_a_suite_is_an_error_with_its_output() {
        let mut outcome = outcome();
        outcome.problems = vec!["the report has no end".to_owned(), "and more".to_owned()];
        outcome.output = "its last words".to_owned();
        let outcomes = [outcome];
        let report = read_back(&[part(&outcomes)], &[]);
        let (kind, class, text) = non_success(case(&report, "the suite as a whole"));
        assert_eq!((kind, class), (NonSuccessKind::Error, Some("problem")));
        assert_eq!(text, Some("the report has no end\nand more"));
        let output = report.test_suites[0].system_out.as_ref();
        assert_eq!(output.map(XmlString::as_str), Some("its last words"));
    }

    #[test]
    fn the_trouble_of_a_lane_is_an_error_of_its_class() {
        let mut part = part(&[]);
        part.troubles = ["BUG: x", "Oops"]
            .map(|text| ("kernel", text.to_owned()))
            .into();
        part.last_lines = "[    1.000000] BUG: x";
        let report = read_back(&[part], &[]);
        assert_eq!(report.test_suites.len(), 1);
        let suite = &report.test_suites[0];
        assert_eq!(suite.name.as_str(), "Linux 6.1 / the machine");
        let (kind, class, text) = non_success(case(&report, "kernel"));
        assert_eq!((kind, class), (NonSuccessKind::Error, Some("kernel")));
        assert_eq!(text, Some("BUG: x\nOops"));
        let output = suite.system_out.as_ref().map(XmlString::as_str);
        assert_eq!(output, Some("[    1.000000] BUG: x"));
    }

    #[test]
    fn what_no_lane_has_shown_is_a_failure() {
        let report = read_back(&[], &["s::a ran on no kernel".to_owned()]);
        let (kind, class, text) = non_success(case(&report, "coverage"));
        assert_eq!((kind, class), (NonSuccessKind::Failure, Some("gap")));
        assert_eq!(text, Some("s::a ran on no kernel"));
    }

    #[test]
    fn this_machine_needs_no_name() {
        let outcomes = [outcome()];
        let host = Part {
            lane: None,
            properties: Vec::new(),
            ..part(&outcomes)
        };
        let report = read_back(&[host], &[]);
        assert_eq!(report.test_suites[0].name.as_str(), "uring:memory");
    }
}
