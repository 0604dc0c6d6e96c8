//! Skips everything that it had planned to run.

use harmless::{end, pretend, test};
use uring_testkit::records::{Counts, Verdict};

fn main() -> std::process::ExitCode {
    const NAME: &str = "skips_all";
    let skipped = ["a", "b"].map(|name| test(NAME, name, Verdict::Skipped));
    let counts = Counts {
        skipped: 2,
        ..Counts::default()
    };
    pretend(NAME, &(skipped.concat() + &end(NAME, counts)))
}
