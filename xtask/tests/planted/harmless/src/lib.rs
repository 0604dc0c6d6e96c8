//! A suite that is none: what it plans and what it reports are just text.

use std::{env, fs::OpenOptions, io::Write as _, process::ExitCode};

/// Plans tests `a` and `b` of `suite` to be run; when it is to run them it writes `report` instead.
#[must_use]
pub fn pretend(suite: &str, report: &[&str]) -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let is_plan = arguments.iter().any(|argument| argument == "--plan");
    let mut filters = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'));
    let tests: &[_] = match filters.next() {
        Some(filter) if !suite.contains(filter) => &[],
        _ => &["a", "b"],
    };
    if is_plan {
        println!("{}", start(suite, tests.len()));
        for test in tests {
            println!(
                r#"{{"record":"plan","suite":"{suite}","name":"{suite}::{test}","test":"{test}","handle":null,"features":[],"facilities":[],"decision":"run","reason":null}}"#
            );
        }
        println!(r#"{{"record":"end","suite":"{suite}"}}"#);
        return ExitCode::SUCCESS;
    }
    let mut text = start(suite, tests.len()) + "\n";
    text.push_str(&match tests {
        [] => end(suite, 0, 0),
        _ => report.join("\n"),
    });
    let path = env::var_os("URING_REPORT").expect("it is only run for its report");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.expect("a report can be written");
    file.write_all(text.as_bytes())
        .expect("a report can be written");
    ExitCode::SUCCESS
}

fn start(suite: &str, planned: usize) -> String {
    format!(
        r#"{{"record":"start","suite":"{suite}","kernel":"9.9","expected":"9.9","lane":"host","planned":{planned}}}"#
    )
}

/// The record of a test.
#[must_use]
pub fn test(suite: &str, test: &str, verdict: &str) -> String {
    format!(
        r#"{{"record":"test","suite":"{suite}","name":"{suite}::{test}","test":"{test}","handle":null,"features":[],"facilities":[],"verdict":"{verdict}","reason":null,"seconds":0.1}}"#
    )
}

/// The last record of a suite of tests that passed and that were skipped.
#[must_use]
pub fn end(suite: &str, passed: usize, skipped: usize) -> String {
    format!(
        r#"{{"record":"end","suite":"{suite}","passed":{passed},"failed":0,"skipped":{skipped},"refused":0}}"#
    )
}
