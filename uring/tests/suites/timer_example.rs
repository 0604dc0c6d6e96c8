//! The example `timer`, run as a process.

use crate::common;

use common::example::{assert_code, example, text};
use uring_testkit::{Context, Feature, Suite, TestResult};

fn timers_are_over_in_their_order(context: &Context) -> TestResult {
    let output = example("timer")?.args(["9", "1", "5"]).output()?;
    assert_code(&output, 0);
    let stdout = text(&output.stdout);
    let lines: Vec<_> = stdout.lines().skip(1).collect();
    let ticks = if context.has(Feature::TIMEOUT_MULTISHOT) {
        "3 ticks: Finished"
    } else {
        "0 ticks: Failed("
    };
    assert_eq!(
        lines[..4],
        [
            "1 ms are over",
            "5 ms are over",
            "9 ms are over",
            "an hour was made a millisecond",
        ]
    );
    assert!(
        lines[4].contains("called off: Operation canceled"),
        "{stdout}"
    );
    assert!(lines[5].starts_with(ticks), "{stdout}");
    Ok(())
}

fn what_is_no_time_is_told(_: &Context) -> TestResult {
    let output = example("timer")?.arg("soon").output()?;
    assert_code(&output, 1);
    assert!(text(&output.stderr).contains("usage: timer"));
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("timer_example");
    suite.takes_turns();
    suite.completed_by(common::completed);
    suite.test(
        "timers_are_over_in_their_order",
        timers_are_over_in_their_order,
    );
    suite.test("what_is_no_time_is_told", what_is_no_time_is_told);
    suite
}
