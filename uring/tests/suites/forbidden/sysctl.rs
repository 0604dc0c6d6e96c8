//! The real sysctl, set by root while rings are made, used and dropped.

use std::fs;
use std::io;

use uring::op::Nop;
use uring::{Hint, PerThread, Ring};
use uring_testkit::{Cause, Context, Facility, Feature, Suite, TestResult};

use crate::forbidden::{assert_forbidden, only_registering_is_forbidden};

const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("e1_a_refusal_is_not_remembered", not_remembered)
        .requires([Facility::PRIVILEGES])
        .needs([Feature::NO_SQARRAY])
        .no_refusal("the sysctl came with the same kernel, Linux 6.6")
        .alone();
    suite
        .test("e1_rings_that_are_there_go_on", rings_go_on)
        .requires([Facility::PRIVILEGES])
        .needs([Feature::NO_SQARRAY])
        .no_refusal("the sysctl came with the same kernel, Linux 6.6")
        .alone();
}

/// Has the sysctl at another value, and puts the old one back.
struct Set(String);

impl Set {
    fn to(value: &str) -> io::Result<Self> {
        let before = fs::read_to_string(DISABLED)?;
        fs::write(DISABLED, value)?;
        Ok(Self(before))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let restored = fs::write(DISABLED, &self.0);
        assert!(restored.is_ok() || std::thread::panicking(), "{restored:?}");
    }
}

/// Whether the sysctl is all that forbids rings.
fn is_the_cause(context: &Context) -> bool {
    matches!(context.forbidden().cause(), Cause::Sysctl(_))
}

fn not_remembered(context: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(8);
    // A thread's ring ends with it.
    let called = || std::thread::spawn(|| RINGS.call(Nop::new())).join();
    let refused = || -> TestResult {
        match called().map_err(|_| "a panic")? {
            Ok(_) => assert!(only_registering_is_forbidden(context)),
            Err(error) => assert_forbidden(error, context),
        }
        Ok(())
    };
    refused()?;
    // Root may with 1, and everybody with 0.
    for value in ["0", "1"] {
        let allowed = Set::to(value)?;
        if is_the_cause(context) {
            called().map_err(|_| "a panic")???;
            Ring::best(8)?.call(Nop::new())??;
        } else {
            // The filter is told from a sysctl that does not concern root.
            refused()?;
        }
        drop(allowed);
        refused()?;
    }
    Ok(())
}

fn rings_go_on(context: &Context) -> TestResult {
    if !is_the_cause(context) {
        let forbids_too = Set::to("2")?;
        let error = Ring::best(8).map(drop);
        drop(forbids_too);
        // Either would do as the cause; the sysctl is the one that nothing in the process can change.
        let error = error.unwrap_err();
        assert!(
            matches!(error.hint(), Some(Hint::DisabledBySysctl { value: 2, .. })),
            "{error}"
        );
        return Ok(());
    }
    let allowed = Set::to("0")?;
    let mut ring = Ring::best(8)?;
    ring.call(Nop::new())??;
    drop(allowed);
    assert_forbidden(Ring::best(8).unwrap_err(), context);
    ring.register_direct(4)?;
    for _ in 0..10 {
        ring.call(Nop::new())??;
    }
    drop(ring);
    assert_forbidden(Ring::best(8).unwrap_err(), context);
    Ok(())
}
