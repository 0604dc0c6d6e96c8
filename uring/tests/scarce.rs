//! Memory that is scarce or has to be contiguous: what is refused, with which cause, and what works all the same.

mod common;
#[path = "scarce/contiguous.rs"]
mod contiguous;
#[path = "scarce/memlock.rs"]
mod memlock;

use std::process::ExitCode;

use uring_testkit::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::new("scarce");
    suite.handles_refused_in("lifecycle");
    contiguous::add_to(&mut suite);
    memlock::add_to(&mut suite);
    suite.run()
}
