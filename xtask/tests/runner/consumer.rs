//! A package outside of the workspace with a suite of its own, on this machine and on a real kernel.

use uring_testkit::{Context, Feature, HandleKind, TestResult};

use crate::{
    KERNEL, SERIES,
    run::{self, Run, Start},
};

const MANIFEST: &str = "consumers/own-suite/Cargo.toml";

pub(crate) fn add(suite: &mut uring_testkit::Suite) {
    run::is_long(suite.test("consumer::on_this_machine", on_this_machine));
    run::is_long(suite.test("consumer::on_a_lane", on_a_lane)).requires([KERNEL]);
}

/// Checks that each handle's test came to what the kernel has.
fn is_whole(run: &Run, has: impl Fn(Feature) -> bool) -> TestResult {
    assert!(run.success, "{}", run.output);
    let suite = run.suite("opcodes")?;
    suite.has_no_problem()?;
    for kind in HandleKind::ALL {
        let wanted = match kind.needs().iter().all(|feature| has(*feature)) {
            true => "passed",
            false => "refused",
        };
        let tests = suite.tests();
        let on_handle: Vec<_> = tests
            .iter()
            .filter(|[_, handle, ..]| *handle == kind.word())
            .map(|[_, _, verdict, _]| *verdict)
            .collect();
        assert_eq!(on_handle, [wanted], "{kind}: {tests:?}");
    }
    Ok(())
}

fn on_this_machine(context: &Context) -> TestResult {
    let run = Start::new("consumer-here", MANIFEST, &[])?.run()?;
    is_whole(&run, |feature| context.has(feature))
}

fn on_a_lane(_: &Context) -> TestResult {
    let run = Start::new("consumer-lane", MANIFEST, &["--kernels", SERIES])?.run()?;
    let release = &run.lane()?["release"];
    let is_it = release.as_str().is_some_and(|r| r.starts_with(SERIES));
    assert!(is_it, "{release} is running");
    assert_eq!(run.troubles()?, []);
    is_whole(&run, |feature| {
        SERIES.parse().is_ok_and(|series| feature.since() <= series)
    })
}
