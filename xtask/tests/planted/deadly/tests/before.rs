//! Comes before the fault, so that there is something the fault must not spoil.

use deadly::FAULTS;
use uring_testkit::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("before");
    for fault in FAULTS {
        suite.test(fault, |_| Ok(()));
    }
    suite.run()
}
