//! A suite that is none: what it plans and what it reports are just text.

use std::{env, fs::OpenOptions, io::Write as _, process::ExitCode};

/// Plans tests `a` and `b` of `suite` to be run; when it is to run them it writes `report` instead.
#[must_use]
pub fn pretend(suite: &str, report: &[&str]) -> ExitCode {
    let mut filters = env::args().skip(1);
    if filters.any(|argument| argument == "--plan") {
        println!("{}", start(suite));
        for test in ["a", "b"] {
            println!(
                r#"{{"record":"plan","suite":"{suite}","name":"{suite}::{test}","test":"{test}","handle":null,"features":[],"facilities":[],"decision":"run","reason":null}}"#
            );
        }
        println!(r#"{{"record":"end","suite":"{suite}"}}"#);
        return ExitCode::SUCCESS;
    }
    let path = env::var_os("URING_REPORT").expect("it is only run for its report");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.expect("a report can be written");
    file.write_all(report.join("\n").as_bytes())
        .expect("a report can be written");
    ExitCode::SUCCESS
}

/// The first record of a suite of two tests.
#[must_use]
pub fn start(suite: &str) -> String {
    format!(
        r#"{{"record":"start","suite":"{suite}","kernel":"9.9","expected":"9.9","lane":"host","planned":2}}"#
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
