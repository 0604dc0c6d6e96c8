//! A line of its report is no record.

use harmless::{end, pretend, test};
use uring_testkit::records::{Counts, Verdict};

fn main() -> std::process::ExitCode {
    const NAME: &str = "garbage";
    let [a, b] = ["a", "b"].map(|name| test(NAME, name, Verdict::Passed));
    let counts = Counts {
        passed: 2,
        ..Counts::default()
    };
    let end = end(NAME, counts);
    pretend(NAME, &format!("{a}no record\n{b}{end}"))
}
