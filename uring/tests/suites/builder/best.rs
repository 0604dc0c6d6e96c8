//! The least visible handle that the kernel and the thread have room for.

use uring::op::Nop;
use uring::{Builder, HandleKind as Reached, Ring};
use uring_testkit::{Context, Feature, SLOTS, Suite, TestResult};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite.test(
        "the_best_is_the_least_visible",
        the_best_is_the_least_visible,
    );
    suite
        .test("h16_without_slots_the_best_has_a_descriptor", without_slots)
        .needs([Feature::RING_FDS])
        .no_refusal("a kernel without slots cannot run out of them");
    suite.test(
        "h23_the_best_needs_no_descriptor",
        the_best_needs_no_descriptor,
    );
}

fn best(context: &Context) -> Reached {
    let born = context.has(Feature::NO_MMAP) && context.has(Feature::REGISTERED_FD_ONLY);
    if born || context.has(Feature::REG_REG_RING) {
        Reached::Fdless
    } else if context.has(Feature::RING_FDS) {
        Reached::Registered
    } else {
        Reached::Fd
    }
}

fn the_best_is_the_least_visible(context: &Context) -> TestResult {
    for entries in [1, 8, 512] {
        let mut ring = Ring::best(entries)?;
        assert_eq!(ring.handle_kind(), best(context));
        ring.call(Nop::new())??;
    }
    Ok(())
}

fn without_slots(context: &Context) -> TestResult {
    let mut rings = Vec::new();
    for _ in 0..SLOTS {
        rings.push(Builder::new(2).build_registered()?);
    }
    let mut errors = vec![Builder::new(2).build_registered().map(drop).unwrap_err()];
    let fdless = Builder::new(2).build_fdless().map(drop).unwrap_err();
    if context.has(Feature::REG_REG_RING) || context.has(Feature::REGISTERED_FD_ONLY) {
        errors.push(fdless);
    } else {
        // A free slot would not help.
        assert!(fdless.is_unsupported(), "{fdless}");
    }
    for error in errors {
        assert!(error.is_slots_taken() && !error.is_limited(), "{error}");
        assert!(error.to_string().contains("all 16 ring slots"), "{error}");
    }
    let mut plain = Ring::best(2)?;
    assert_eq!(plain.handle_kind(), Reached::Fd);
    plain.call(Nop::new())??;

    // A slot that is free again is used again.
    rings.pop();
    let mut last = Ring::best(2)?;
    assert_eq!(last.handle_kind(), best(context));
    last.call(Nop::new())??;
    for ring in &mut rings {
        ring.call(Nop::new())??;
    }
    Ok(())
}

/// Where rings are born without a descriptor, a full table of descriptors is no hindrance; elsewhere it is told of.
fn the_best_needs_no_descriptor(context: &Context) -> TestResult {
    let born = context.has(Feature::NO_MMAP) && context.has(Feature::REGISTERED_FD_ONLY);
    let certain = common::births_are_certain(context);
    uring_testkit::process::with_rlimit(libc::RLIMIT_NOFILE, 0, || -> TestResult {
        match Ring::best(8) {
            Ok(mut ring) => {
                assert!(born);
                ring.call(Nop::new())??;
            }
            Err(error) => assert!(!certain && error.is_limited(), "{error}"),
        }
        Ok(())
    })?
}
