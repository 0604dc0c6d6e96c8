//! io_uring forbidden, limited or filtered: clear errors, no hang, nothing freed too early.

mod common;
#[path = "blocked/filter.rs"]
mod filter;
#[path = "blocked/limit.rs"]
mod limit;
#[path = "blocked/sysctl.rs"]
mod sysctl;

use std::process::ExitCode;

use uring_testkit::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::new("blocked");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    filter::add_to(&mut suite);
    limit::add_to(&mut suite);
    sysctl::add_to(&mut suite);
    suite.run()
}
