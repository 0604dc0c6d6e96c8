//! Everything is skipped, and that is as planned: it shows nothing all the same.

use uring_testkit::{Feature, KernelVersion, Observation, Suite};

const NEVER: Feature = Feature::new("NEVER", KernelVersion::new(99, 0), || Observation::Absent);

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("gated");
    suite
        .test("is_for_no_kernel", |_| Ok(()))
        .needs([NEVER])
        .no_refusal("there is nothing to refuse");
    suite.run()
}
