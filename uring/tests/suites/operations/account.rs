//! The library's own account of what it has completed, which the coverage of the suites rests on.

use uring::op::{Nop, Read};
use uring_testkit::{Context, HandleKind, TestResult, files};

use crate::common;

/// What the account says of `opcode`: the handles by which it was completed.
fn handles(opcode: &str) -> Vec<HandleKind> {
    let completed = common::completed().into_iter();
    let completed = completed.filter(|completed| completed.opcode == opcode);
    completed.filter_map(|completed| completed.handle).collect()
}

pub(crate) fn completions_and_calls_count_by_handle(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    assert_eq!(handles("IORING_OP_NOP"), []);
    ring.call(Nop::new())??;
    assert_eq!(handles("IORING_OP_NOP"), [context.handle()]);

    assert_eq!(handles("IORING_REGISTER_PROBE"), []);
    ring.probe()?;
    assert_eq!(handles("IORING_REGISTER_PROBE"), [context.handle()]);
    Ok(())
}

pub(crate) fn failures_do_not_count(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    let (_, writer) = files::pipe()?;
    let read = ring.call(Read::new(writer, vec![0; 1]))?;
    assert_eq!(
        read.result.unwrap_err().raw_os_error(),
        Some(libc::EBADF),
        "a read from the end to write to"
    );
    assert_eq!(handles("IORING_OP_READ"), []);
    Ok(())
}
