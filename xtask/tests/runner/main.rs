//! The runner itself, tried on suites that are not the workspace's: those of a consumer, and planted faults.

mod consumer;
mod image;
mod machine;
mod planted;
mod run;

use std::process::{Command, ExitCode};

use uring_testkit::{Facility, Observation, Suite};

/// The kernel of the machines here.
const SERIES: &str = "6.18";

/// The kernel, fetched, and with it what boots it.
const KERNEL: Facility = Facility::new(
    "linux-6.18",
    "`cargo xtask kernels fetch 6.18` gets it",
    || {
        let output = match Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["kernels", "path", SERIES])
            .output()
        {
            Ok(output) => output,
            Err(error) => return Observation::Inconclusive(format!("starting xtask: {error}")),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Observation::Present
        } else if said.contains("`cargo xtask kernels fetch") {
            Observation::Absent
        } else {
            Observation::Inconclusive(format!("xtask kernels path {SERIES}: {said}"))
        }
    },
);

fn main() -> ExitCode {
    let _scratch = run::Scratch::new();
    let mut suite = Suite::new("runner");
    consumer::add(&mut suite);
    planted::add(&mut suite);
    machine::add(&mut suite);
    suite.run()
}
