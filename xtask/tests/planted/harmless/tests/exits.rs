//! Ends after one of two tests, and says that all is well.

use harmless::{pretend, test};
use uring_testkit::records::Verdict;

fn main() -> std::process::ExitCode {
    const NAME: &str = "exits";
    pretend(NAME, &test(NAME, "a", Verdict::Passed))
}
