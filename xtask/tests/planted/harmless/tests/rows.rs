//! Features whose version is wrong, in each direction.

use uring_testkit::{Feature, KernelVersion, Observation, Suite};

/// Every kernel that io_uring runs on has it.
const TOO_LATE: Feature = Feature::new("TOO_LATE", KernelVersion::new(99, 0), || {
    Observation::Present
});
/// No kernel has it.
const TOO_EARLY: Feature = Feature::new("TOO_EARLY", KernelVersion::new(5, 1), || {
    Observation::Absent
});
/// Nobody can tell.
const UNCLEAR: Feature = Feature::new("UNCLEAR", KernelVersion::new(5, 1), || {
    Observation::Inconclusive("the probe's evidence".to_owned())
});

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("rows");
    for (name, feature) in [
        ("too_late", TOO_LATE),
        ("too_early", TOO_EARLY),
        ("unclear", UNCLEAR),
    ] {
        suite
            .test(name, |_| Ok(()))
            .needs([feature])
            .refused_by(|_| Ok(()));
    }
    suite.run()
}
