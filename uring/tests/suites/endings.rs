//! How rings end: dropped in every state, or leaked.

use crate::common;

use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use common::Recorded;
use common::pending::{self, PipeRead};
use uring::op::{Nop, Read, Timeout, TimeoutMultishot};
use uring::{Builder, Error, Push, Ring};
use uring_testkit::{
    Context, FdTable, Feature, HandleKind, Leaks, Recording, Slots, Suite, TestResult, files,
};

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

fn nothing_is_left() -> TestResult {
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    assert_eq!(FdTable::now()?.rings().count(), 0);
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

fn h08_a_dropped_ring_leaves_nothing(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let before = FdTable::now()?;
    let (reader, _direct) = pending::only_writer(&mut ring)?;
    let count = before.diff(&FdTable::now()?).added.len();
    assert_eq!(count, 1, "the reading end alone");
    assert!(pending::has_writer(&reader)?);
    drop(ring);
    assert!(pending::has_no_writer(&reader)?, "the ring lives on");
    nothing_is_left()
}

fn h13_h18_what_is_in_flight_ends_with_the_ring(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, _direct) = pending::only_writer(&mut ring)?;
    let reads = [
        pending::submit(&mut ring)?,
        pending::submit(&mut ring)?,
        pending::push(&mut ring)?,
    ];
    assert_eq!(ring.in_flight(), 3);
    drop(ring);
    for read in reads {
        read.expect_over()?;
    }
    assert!(pending::has_no_writer(&reader)?, "the ring lives on");
    nothing_is_left()
}

/// H13: a drain would hold the cancellation back until what it is to cancel is over.
fn h13_what_is_in_flight_around_a_drain_ends_with_the_ring(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let before = pending::push(&mut ring)?;
    if context.has(Feature::TIMEOUT_MULTISHOT) {
        // Heard of all the time, so that the ring is never quiet.
        let ticks = ring.push(TimeoutMultishot::every(Duration::from_millis(1)))?;
        ring.detach(ticks);
    }
    let mut behind = Vec::new();
    for _ in 0..3 {
        let nop = ring.push_with(Nop::new(), Push::new().drain())?;
        ring.detach(nop);
        behind.push(pending::push(&mut ring)?);
    }
    ring.submit()?;
    assert!(before.recording.dropped().is_none());
    drop(ring);
    before.expect_over()?;
    for read in behind {
        read.expect_over()?;
    }
    nothing_is_left()
}

/// A drain holds back nothing that is cancelled while it waits.
fn what_is_in_flight_before_a_drain_is_cancelled(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let before = pending::push(&mut ring)?;
    let nop = ring.push_with(Nop::new(), Push::new().drain())?;
    ring.cancel(&before.token)?;
    ring.wait(nop)??;
    let error = ring.wait(before.token)?.result.expect_err("cancelled");
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    Ok(())
}

/// H13: without a call that cancels the end of a ring would have to wait for what comes before the drain.
fn h13_what_a_drain_keeps_from_being_cancelled_is_leaked(context: &Context) -> TestResult {
    let Ok(mut ring) = common::ring(context, 8) else {
        return the_handle_is_refused(context);
    };
    let (reader, _writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    let nop = ring.push_with(Nop::new(), Push::new().drain())?;
    ring.submit()?;
    drop((nop, ring));
    assert_eq!(uring::leaked_operations(), 2);
    assert!(recording.dropped().is_none());
    Ok(())
}

/// H13: the ring itself is kept alive by somebody else, so only the cancellation keeps the kernel from the buffer.
fn h13_a_ring_that_lives_on_writes_nothing(context: &Context) -> TestResult {
    let mut ring = Builder::new(8).build()?;
    let kept = ring.as_fd().try_clone_to_owned()?;
    let read;
    if context.handle() == HandleKind::Registered {
        let mut registered = ring.register_fd()?;
        read = pending::submit(&mut registered)?;
    } else {
        read = pending::submit(&mut ring)?;
        drop(ring);
    }
    read.expect_over()?;
    drop(kept);
    nothing_is_left()
}

/// A read that completes at once, since nobody has the writing end.
fn read_of_nothing() -> TestResult<(PipeRead, Recording)> {
    let (reader, _) = files::pipe()?;
    let (buffer, recording) = Recorded::new(16)?;
    Ok((Read::new(reader, buffer), recording))
}

fn dropped_in_every_state(context: &Context) -> TestResult {
    let mut recordings = Vec::new();
    let mut ring = common::ring(context, 8)?;
    let mut tokens = Vec::new();
    // One that has completed and is taken in, one that has completed in the queue, a detached one, one that was never submitted.
    for state in 0..4 {
        let (operation, recording) = read_of_nothing()?;
        recordings.push(recording);
        let token = ring.push(operation)?;
        match state {
            0 => {
                ring.submit_and_wait(1)?;
                ring.for_each(|_| ())?;
                tokens.push(token);
            }
            1 => {
                ring.submit_and_wait(1)?;
                tokens.push(token);
            }
            2 => {
                ring.submit()?;
                ring.detach(token);
            }
            _ => tokens.push(token),
        }
    }
    assert_eq!(ring.pending(), 1);
    drop(ring);
    for recording in recordings {
        assert_eq!(recording.changed_since_drop(), Some(0));
    }
    nothing_is_left()
}

fn dropped_disabled(_: &Context) -> TestResult {
    drop(Builder::new(8).build_disabled()?);
    nothing_is_left()?;
    let ring = Builder::new(8).build_disabled()?;
    thread::spawn(move || drop(ring))
        .join()
        .expect("the thread does not panic");
    nothing_is_left()
}

fn dropped_in_a_failed_transition(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?.register_fd()?;
    let read = pending::submit(&mut ring)?;
    let refused: Result<_, Error> = ring.unregister_fd().map_err(Error::from);
    assert!(refused.expect_err("a read is in flight").is_in_flight());
    read.expect_over()?;
    nothing_is_left()
}

fn no_transition(_: &Context) -> TestResult {
    let refused: Result<_, Error> = Ring::new(8)?.register_fd().map_err(Error::from);
    assert!(refused.expect_err("not before 5.18").is_unsupported());
    nothing_is_left()
}

fn dropped_while_unwinding(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let read = pending::submit(&mut ring)?;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _ring = ring;
        panic!("on purpose");
    }));
    let panicked = unwound.expect_err("it panics");
    assert_eq!(panicked.downcast_ref(), Some(&"on purpose"));
    read.expect_over()?;
    nothing_is_left()
}

fn leaked(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.call(Nop::new())??;
    std::mem::forget(ring);
    Ok(())
}

fn leaked_in_flight(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let timeout = ring.push(Timeout::after(Duration::from_secs(3600)))?;
    let unsubmitted = ring.push(Nop::new())?;
    ring.submit()?;
    std::mem::forget((ring, timeout, unsubmitted));
    Ok(())
}

fn leaked_disabled(_: &Context) -> TestResult {
    std::mem::forget(Builder::new(8).build_disabled()?);
    Ok(())
}

/// A ring in the kernel's memory has two mappings of it.
fn leaks(handle: HandleKind) -> Leaks {
    let (slots, descriptors, ring_mappings) = match handle {
        HandleKind::Fd => (0, 1, 2),
        HandleKind::Registered => (1, 1, 2),
        HandleKind::Closed => (1, 0, 2),
        HandleKind::Born => (1, 0, 0),
    };
    Leaks {
        slots,
        descriptors,
        ring_mappings,
    }
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("endings");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite
        .test(
            "h13_around_a_drain",
            h13_what_is_in_flight_around_a_drain_ends_with_the_ring,
        )
        .on(HandleKind::ALL)
        .own_process()
        .needs([Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL)])
        .refused_by(h13_what_a_drain_keeps_from_being_cancelled_is_leaked);
    suite
        .test(
            "cancelled_before_a_drain",
            what_is_in_flight_before_a_drain_is_cancelled,
        )
        .on(HandleKind::ALL)
        .needs([Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL)])
        .no_refusal("h13_around_a_drain shows what older kernels do");
    suite
        .test("h08_dropped", h08_a_dropped_ring_leaves_nothing)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h13_h18_dropped_in_flight",
            h13_h18_what_is_in_flight_ends_with_the_ring,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h13_kept_by_another",
            h13_a_ring_that_lives_on_writes_nothing,
        )
        .on(HandleKind::WITH_FD)
        .refused_by(the_handle_is_refused);
    suite
        .test("dropped_in_every_state", dropped_in_every_state)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite.test("dropped_disabled", dropped_disabled);
    suite
        .test(
            "dropped_in_a_failed_transition",
            dropped_in_a_failed_transition,
        )
        .needs([Feature::RING_FDS])
        .refused_by(no_transition);
    suite
        .test("dropped_while_unwinding", dropped_while_unwinding)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    for handle in HandleKind::ALL {
        suite
            .test(format!("leaked_{handle}"), leaked)
            .on([handle])
            .leaks(leaks(handle))
            .refused_by(the_handle_is_refused);
        suite
            .test(format!("leaked_in_flight_{handle}"), leaked_in_flight)
            .on([handle])
            .leaks(leaks(handle))
            .refused_by(the_handle_is_refused);
    }
    suite.test("leaked_disabled", leaked_disabled).leaks(Leaks {
        slots: 0,
        descriptors: 1,
        ring_mappings: 2,
    });
    suite
}
