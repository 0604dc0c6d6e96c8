//! What the kernel's count of completions does to drains.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use uring::op::{EndReason, Nop, PollEvents, PollMultishot};
use uring::{Any, Builder, Chain, Error, Push, RawTarget, Ring, Token};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

/// Came with the kernel that counts requests instead of completions.
const PIPE: Feature = Feature::opcode(uring_sys::IORING_OP_PIPE);

/// Came with the kernel that ends a poll for want of room.
const SYNC_CANCEL: Feature = Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL);

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("no_drain_after_a_stop_for_want_of_room", after_a_stop)
        .on(HandleKind::ALL)
        .needs([SYNC_CANCEL])
        .refused_by(goes_on_without_room);
    suite
        .test("a_drain_that_never_starts", never_starts)
        .on(HandleKind::ALL)
        .needs([SYNC_CANCEL])
        .no_refusal("a poll goes on without room, as the other test shows")
        .own_process();
    for (name, body) in [
        (
            "drains_and_multishots_in_scopes",
            in_scopes as fn(&Context) -> TestResult,
        ),
        ("no_drain_after_a_raw_multishot", after_a_raw_multishot),
    ] {
        suite.test(name, body).on(HandleKind::ALL);
    }
}

/// A completion queue for 8 with 7 of them, since a push of a drain takes completions in.
const READY: u64 = 7;

/// A ring that polls something, and its other end.
fn polling(context: &Context) -> TestResult<(Ring<Any>, Token<PollMultishot<OwnedFd>>, File)> {
    let mut ring = common::build(context, &Builder::new(8).completion_entries(8))?;
    let (reader, writer) = files::pipe()?;
    let poll = ring.push(PollMultishot::new(reader, PollEvents::IN))?;
    ring.submit()?;
    for number in 0..READY {
        ring.push_raw(Nop::new(), number)?;
    }
    Ok((ring, poll, File::from(writer)))
}

/// The poll has room for one more completion, and none for the next.
fn stop(
    ring: &mut Ring<Any>,
    poll: Token<PollMultishot<OwnedFd>>,
    mut writer: &File,
) -> TestResult {
    for _ in 0..2 {
        writer.write_all(b"1")?;
        ring.submit_and_get_events()?;
    }
    assert_eq!(ring.completions_ready(), 8);
    assert_eq!(ring.for_each(drop)?, 7);
    let ended = ring.wait(poll)?;
    assert!(
        matches!(ended.reason, EndReason::Stopped),
        "{:?}",
        ended.reason
    );
    Ok(())
}

/// Before Linux 6.0 its completions wait in the kernel like all others.
fn goes_on_without_room(context: &Context) -> TestResult {
    if let Err(error) = common::ring(context, 1) {
        assert!(error.is_unsupported(), "{error}");
        return Ok(());
    }
    let (mut ring, poll, mut writer) = polling(context)?;
    ring.submit()?;
    for _ in 0..2 {
        writer.write_all(b"1")?;
        ring.submit_and_get_events()?;
    }
    assert_eq!(ring.for_each(drop)?, 7);
    let poll = ring.take(poll).expect_err("it goes on");
    ring.call(Nop::new())??;
    drop(poll);
    Ok(())
}

fn after_a_stop(context: &Context) -> TestResult {
    let (mut ring, poll, writer) = polling(context)?;
    ring.submit()?;
    stop(&mut ring, poll, &writer)?;
    let drain = Push::new().drain();
    if context.has(PIPE) {
        let nop = ring.push_with(Nop::new(), drain)?;
        ring.wait(nop)??;
        return Ok(());
    }
    for _ in 0..2 {
        let refused = ring.push_with(Nop::new(), drain).unwrap_err();
        assert!(refused.error().is_drain_conflict(), "{refused}");
        let refused = ring.push_raw_with(Nop::new(), 5, drain).unwrap_err();
        assert!(refused.error().is_drain_conflict(), "{refused}");
    }
    ring.call(Nop::new())??;
    Ok(())
}

/// Before Linux 6.16 the completion that finds no room is counted though it is never made.
fn never_starts(context: &Context) -> TestResult {
    let (mut ring, poll, writer) = polling(context)?;
    let nop = ring.push_with(Nop::new(), Push::new().drain())?;
    ring.submit()?;
    stop(&mut ring, poll, &writer)?;
    let waited = ring.submit_and_wait_timeout(1, Duration::from_millis(50));
    if context.has(PIPE) {
        ring.wait(nop)??;
        return Ok(());
    }
    assert!(waited.is_err_and(|error| error.is_timed_out()));
    // What is behind it would never start either, and no scope could be left.
    assert_conflict(ring.call(Nop::new()));
    let nop = ring.take(nop).expect_err("the kernel holds it back");
    drop((nop, ring));
    assert_eq!(uring::leaked_operations(), 1);
    Ok(())
}

#[track_caller]
fn assert_conflict<T>(result: Result<T, impl Into<Error>>) {
    let error = result.map(drop).expect_err("it would wait for ever").into();
    assert!(error.is_drain_conflict(), "{error}");
}

/// Where a multishot operation may keep a drain from ever starting neither it nor anything behind it gets into a scope before that is over.
fn in_scopes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, _writer) = files::pipe()?;
    let drain = Push::new().drain();
    let poll = ring.push(PollMultishot::new(reader.try_clone()?, PollEvents::IN))?;
    ring.submit()?;
    if !context.has(PIPE) {
        ring.scope(|scope| -> TestResult {
            assert_conflict(scope.push_with(Nop::new(), drain));
            let chain = || Chain::new(Nop::new()).then(Nop::new());
            assert_conflict(scope.push_chain(chain().with(drain)));
            let nops = scope.push_chain(chain())?;
            let nop = scope.push(Nop::new())?;
            scope.wait(nops.0)??;
            scope.wait(nops.1)??;
            scope.wait(nop)??;
            Ok(())
        })?;
    }
    if !context.has(SYNC_CANCEL) {
        // Nothing would cancel it past a drain.
        return Ok(());
    }
    // A drain outside may wait for it.
    let nop = ring.push_with(Nop::new(), drain)?;
    let behind = ring.push(Nop::new())?;
    ring.submit()?;
    if !context.has(PIPE) {
        assert_conflict(ring.call(Nop::new()));
        ring.scope(|scope| assert_conflict(scope.push_chain(Chain::new(Nop::new()))));
    }
    ring.cancel(&poll)?;
    let ended = ring.wait(poll)?;
    assert!(matches!(ended.reason, EndReason::Cancelled));
    // It will start by now, or has.
    ring.call(Nop::new())??;
    ring.wait(nop)??;
    ring.wait(behind)??;
    if context.has(PIPE) {
        // A worker may have what it has completed a little longer, and so the kernel may go on holding back what follows a poll.
        return Ok(());
    }
    let poll = ring.push(PollMultishot::new(reader, PollEvents::IN))?;
    ring.submit()?;
    ring.call(Nop::new())??;
    ring.cancel(&poll)?;
    let ended = ring.wait(poll)?;
    assert!(matches!(ended.reason, EndReason::Cancelled));
    ring.scope(|scope| -> TestResult {
        let nop = scope.push_with(Nop::new(), drain)?;
        scope.wait(nop)??;
        Ok(())
    })
}

/// Nobody but its user knows how it has ended.
fn after_a_raw_multishot(context: &Context) -> TestResult {
    let (reader, _writer) = files::pipe()?;
    // SAFETY: it lives to the end of this function, after the rings.
    let target = unsafe { RawTarget::descriptor(reader.as_raw_fd()) };
    let drain = Push::new().drain();
    for in_a_batch in [false, true] {
        let mut ring = common::ring(context, 8)?;
        let poll = PollMultishot::new(target, PollEvents::IN);
        if in_a_batch {
            ring.batch(|batch| batch.push_raw(poll, 1))?;
        } else {
            ring.push_raw(poll, 1)?;
        }
        ring.push_raw(uring::op::Cancel::user_data(1), 2)?;
        ring.submit_and_wait(2)?;
        assert_eq!(ring.for_each(drop)?, 2);
        if context.has(PIPE) {
            ring.push_raw_with(Nop::new(), 3, drain)?;
            ring.submit_and_wait(1)?;
            continue;
        }
        assert_conflict(ring.push_with(Nop::new(), drain));
        assert_conflict(ring.push_raw_with(Nop::new(), 3, drain));
        ring.call(Nop::new())??;
    }
    Ok(())
}
