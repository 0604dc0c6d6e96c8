//! A suite that is none: what it plans and what it reports are just text.

use std::{env, fs::OpenOptions, io::Write as _, process::ExitCode, time::Duration};

use uring_testkit::records::{Case, Counts, Planned, Record, Verdict};

/// Plans tests `a` and `b` of `suite` to be run; when it is to run them it begins a report and goes on with `report`.
#[must_use]
pub fn pretend(suite: &str, report: &str) -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let is_plan = arguments.iter().any(|argument| argument == "--plan");
    let is_filter = |argument: &&String| !argument.starts_with('-');
    let tests: &[_] = match arguments.iter().find(is_filter) {
        Some(filter) if !suite.contains(filter) => &[],
        _ => &["a", "b"],
    };
    let start = Record::Start {
        suite: suite.to_owned(),
        kernel: "9.9.9".to_owned(),
        expected: "9.9".to_owned(),
        lane: "host".to_owned(),
        planned: tests.len(),
    };
    if is_plan {
        println!("{start}");
        for test in tests {
            let plan = Record::Plan {
                case: case(suite, test),
                decision: Planned::Run,
                reason: None,
            };
            println!("{plan}");
        }
        let suite = suite.to_owned();
        println!(
            "{}",
            Record::End {
                suite,
                counts: None
            }
        );
        return ExitCode::SUCCESS;
    }
    let nothing = end(suite, Counts::default());
    let report = if tests.is_empty() { &nothing } else { report };
    let path = env::var_os("URING_REPORT").expect("it is only run for its report");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| write!(file, "{start}\n{report}"));
    written.expect("a report can be written");
    ExitCode::SUCCESS
}

fn case(suite: &str, test: &str) -> Case {
    Case {
        suite: suite.to_owned(),
        name: format!("{suite}::{test}"),
        test: test.to_owned(),
        ..Case::default()
    }
}

/// The line of a test.
#[must_use]
pub fn test(suite: &str, test: &str, verdict: Verdict) -> String {
    let record = Record::Test {
        case: case(suite, test),
        verdict,
        reason: None,
        time: Duration::from_millis(100),
        completed: Vec::new(),
    };
    format!("{record}\n")
}

/// The last line of a report.
#[must_use]
pub fn end(suite: &str, counts: Counts) -> String {
    let record = Record::End {
        suite: suite.to_owned(),
        counts: Some(counts),
    };
    format!("{record}\n")
}
