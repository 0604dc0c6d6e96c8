//! Limits of memory and descriptors.

use uring::op::Nop;
use uring::{HandleKind as Reached, Hint, Ring};
use uring_testkit::process::{fork_and, with_rlimit};
use uring_testkit::raw::RawRing;
use uring_testkit::{Context, Facility, FdTable, Feature, HandleKind, Suite, TestResult};

use crate::blocked::sysctl::become_nobody;
use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("e4_locked_memory_runs_out", locked_memory_runs_out)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES]);
    suite
        .test("h23_descriptors_run_out", descriptors_run_out)
        .on(HandleKind::ALL);
    suite
        .test(
            "h23_descriptors_run_out_while_the_ring_works",
            a_ring_goes_on,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "h28_the_direct_table_is_limited",
            the_direct_table_is_limited,
        )
        .on(HandleKind::ALL)
        .needs([Feature::register(uring_sys::IORING_REGISTER_FILES2)])
        .no_refusal("the table of direct descriptors has its own suite");
    suite.test("e6_probes_do_not_use_this_crate", probes_are_independent);
}

fn locked_memory_runs_out(context: &Context) -> TestResult {
    fork_and(|| {
        become_nobody()?;
        with_rlimit(libc::RLIMIT_MEMLOCK, 0, || -> TestResult {
            // Which kernels count a ring's memory is for the kernel to say.
            let allowed = match context.handle() {
                HandleKind::Born => RawRing::born(8, 0).is_ok(),
                _ => RawRing::new(8, 0).is_ok(),
            };
            match common::ring(context, 8) {
                Ok(mut ring) => {
                    assert!(allowed);
                    ring.call(Nop::new())??;
                }
                Err(error) => {
                    assert!(!allowed, "{error}");
                    assert_eq!(error.hint(), Some(Hint::Memlock { limit: 0 }), "{error}");
                    assert_eq!(error.errno(), Some(libc::ENOMEM));
                    assert!(error.is_limited() && !error.is_blocked());
                    assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
                    let kind = std::io::Error::from(error).kind();
                    assert_eq!(kind, std::io::ErrorKind::OutOfMemory);
                }
            }
            Ok(())
        })?
    })?
    .check()
}

fn descriptors_run_out(context: &Context) -> TestResult {
    let certain = context.handle() == HandleKind::Born && common::births_are_certain(context);
    let before = FdTable::now()?;
    with_rlimit(libc::RLIMIT_NOFILE, 0, || -> TestResult {
        match common::ring(context, 8) {
            Ok(mut ring) => {
                assert_eq!(context.handle(), HandleKind::Born);
                ring.call(Nop::new())??;
                assert_eq!(Ring::best(8)?.handle_kind(), Reached::Fdless);
            }
            Err(error) => {
                assert!(!certain, "{error}");
                assert_eq!(
                    error.hint(),
                    Some(Hint::DescriptorLimit { limit: 0 }),
                    "{error}"
                );
                assert_eq!(error.errno(), Some(libc::EMFILE));
                assert!(error.is_limited() && !error.is_slots_taken());
                assert!(
                    error.to_string().contains("without a descriptor"),
                    "{error}"
                );
            }
        }
        Ok(())
    })??;
    let diff = before.diff(&FdTable::now()?);
    assert!(diff.added.is_empty() && diff.removed.is_empty(), "{diff}");
    Ok(())
}

fn a_ring_goes_on(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    with_rlimit(libc::RLIMIT_NOFILE, 0, || -> TestResult {
        for _ in 0..10 {
            ring.call(Nop::new())??;
        }
        drop(ring);
        Ok(())
    })?
}

fn the_direct_table_is_limited(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    with_rlimit(libc::RLIMIT_NOFILE, 4, || {
        let error = ring.register_direct(8).unwrap_err();
        assert_eq!(
            error.hint(),
            Some(Hint::DescriptorLimit { limit: 4 }),
            "{error}"
        );
        assert!(error.is_limited());
        assert_eq!(ring.direct_slots(), 0);
    })?;
    ring.register_direct(8)?;
    assert_eq!(ring.direct_slots(), 8);
    Ok(())
}

/// A crate that is not a dependency cannot be called.
fn probes_are_independent(_: &Context) -> TestResult {
    let manifest = include_str!("../../../../uring-testkit/Cargo.toml");
    let mut in_dependencies = false;
    let mut dependencies = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section == "dependencies]";
            assert!(
                in_dependencies || !section.contains("dependencies"),
                "another kind of dependencies, which this test does not read: {line}"
            );
        } else if in_dependencies && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next();
            dependencies.extend(name);
        }
    }
    dependencies.sort_unstable();
    assert_eq!(dependencies, ["libc", "libtest-mimic", "uring-sys"]);
    Ok(())
}
