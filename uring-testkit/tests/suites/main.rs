//! What needs a kernel, in one program.

mod devices;
mod faults;
mod fixtures;
mod forbidden;
mod rings;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    match env::var("URING_PLANTED").as_deref() {
        Err(_) => uring_testkit::run_suites([
            devices::suite(),
            faults::suite(),
            fixtures::suite(),
            forbidden::suite(),
            rings::suite(),
        ]),
        Ok("faults") => faults::planted(),
        Ok(kind) => forbidden::planted(kind == "about it"),
    }
}
