//! The life of a ring's handle.

mod common;

use std::process::ExitCode;

use uring::HandleKind as Reached;
use uring::op::Nop;
use uring_testkit::{Context, FdTable, HandleKind, Suite, TestResult};

fn a_ring_works_and_shows_no_more_than_its_handle(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let rings_in_table = FdTable::now()?.rings().count();
    let (kind, descriptors) = match context.handle() {
        HandleKind::Fd => (Reached::Fd, 1),
        HandleKind::Registered => (Reached::Registered, 1),
        HandleKind::Closed | HandleKind::Born => (Reached::Fdless, 0),
    };
    assert_eq!(ring.handle_kind(), kind);
    assert_eq!(rings_in_table, descriptors);
    ring.call(Nop::new())??;
    Ok(())
}

fn the_handle_is_refused_as_unsupported(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new("lifecycle");
    suite
        .test(
            "works_and_shows_no_more",
            a_ring_works_and_shows_no_more_than_its_handle,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused_as_unsupported);
    suite.run()
}
