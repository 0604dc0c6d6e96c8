//! The 16 slots of a thread's table: shared with others, given back in each way a ring ends.

use crate::common;

use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread;
use std::time::Duration;

use common::{pending, raw};
use uring::op::Nop;
use uring::{Any, Builder, DisabledRing, Error, HandleKind as Reached, Ring};
use uring_testkit::raw::RawRing;
use uring_testkit::{
    Context, FdTable, Feature, HandleKind, SLOTS, Slots, Suite, TestResult, files,
};

const NOP: u8 = uring_sys::IORING_OP_NOP;
const READ: u8 = uring_sys::IORING_OP_READ;

/// What another library of the thread has: `count` registered rings.
fn others(count: usize) -> TestResult<Vec<RawRing>> {
    let mut rings = Vec::new();
    for _ in 0..count {
        let mut ring = RawRing::new(1, 0)?;
        ring.register()?;
        rings.push(ring);
    }
    Ok(rings)
}

/// A ring that takes entries of these opcodes and no register call at all.
fn restricted(handle: HandleKind, opcodes: &[u8]) -> TestResult<Ring<Any>> {
    let ring: DisabledRing = Builder::new(8).build_disabled()?;
    raw::restrict(&ring, opcodes)?;
    Ok(match handle {
        HandleKind::Registered => ring.enable()?.into(),
        HandleKind::Closed => ring.enable_fdless()?.into(),
        HandleKind::Fd | HandleKind::Born => unreachable!("enabled in one of two ways"),
    })
}

fn restricted_rings_are_not_for_this_kernel(context: &Context) -> TestResult {
    let ring = Builder::new(8).build_disabled()?;
    raw::restrict(&ring, &[NOP])?;
    let failed = match context.handle() {
        HandleKind::Registered => ring.enable().map(drop).map_err(drop_and_keep),
        _ => ring.enable_fdless().map(drop).map_err(drop_and_keep),
    };
    let error = failed.expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

fn drop_and_keep(failed: uring::TransitionError<DisabledRing>) -> Error {
    failed.into()
}

fn h07_a_restricted_ring_gives_its_slot_back(context: &Context) -> TestResult {
    for taken in [0, SLOTS - 1] {
        let _others = others(taken)?;
        let mut ring = restricted(context.handle(), &[NOP])?;
        ring.call(Nop::new())??;
        let refused = ring
            .register_direct(1)
            .expect_err("no register call is allowed");
        assert!(refused.is_blocked(), "{refused}");
        assert_eq!(Slots::of_this_thread()?.taken(), taken + 1);
        drop(ring);
        assert_eq!(Slots::of_this_thread()?.taken(), taken);
        assert_eq!(FdTable::now()?.rings().count(), taken);
    }
    Ok(())
}

/// H7, H13: the ring may not even cancel, so what is in flight is left to the kernel for good.
fn h07_what_may_not_be_cancelled_is_leaked(context: &Context) -> TestResult {
    let mut ring = restricted(context.handle(), &[READ])?;
    let (reader, _writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    drop(ring);
    assert_eq!(uring::leaked_operations(), 1);
    assert!(recording.dropped().is_none());
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    Ok(())
}

fn h07_what_completes_in_time_is_not_leaked(context: &Context) -> TestResult {
    let mut ring = restricted(context.handle(), &[READ])?;
    let pending = pending::submit(&mut ring)?;
    let mut writer = &pending.writer;
    thread::scope(|scope| {
        let late = scope.spawn(move || {
            thread::sleep(Duration::from_millis(20));
            writer.write_all(b"in time")
        });
        drop(ring);
        late.join().expect("the thread does not panic")
    })?;
    assert_eq!(uring::leaked_operations(), 0);
    let dropped = pending.recording.dropped().expect("the read has completed");
    assert_eq!(dropped.contents[..7], *b"in time");
    Ok(())
}

/// H27: and so does any other ring of the thread.
fn h27_another_ring_empties_a_restricted_rings_slot(context: &Context) -> TestResult {
    let ring = restricted(context.handle(), &[NOP])?;
    let other = RawRing::new(1, 0)?;
    let fd = other.fd().expect("it has a descriptor");
    if context.handle() == HandleKind::Closed {
        assert_eq!(raw::empty_own_slot(0), Err(uring_sys::Errno::EACCES));
    }
    assert_eq!(raw::empty_slot(fd, 0), Ok(1));
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    drop(ring);
    Ok(())
}

fn h11_emptying_an_empty_slot_proves_nothing(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let carrier = RawRing::new(1, 0)?;
    let fd = carrier.fd().expect("it has a descriptor");
    let before = Slots::of_this_thread()?.taken();
    assert_eq!(raw::empty_slot(fd, 7), Ok(1), "an empty slot");
    assert_eq!(Slots::of_this_thread()?.taken(), before);
    ring.call(Nop::new())??;
    if context.handle() != HandleKind::Fd {
        assert_eq!(raw::empty_slot(fd, 0), Ok(1), "the ring's slot");
        let lost = ring.submit_and_get_events().expect_err("its slot is empty");
        assert!(lost.is_wrong_thread(), "{lost}");
    }
    Ok(())
}

/// H2: with an empty slot the ring cannot be reached, and its end must not hang.
fn h02_a_ring_whose_slot_was_emptied_ends(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, _writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    let carrier = RawRing::new(1, 0)?;
    raw::empty_slot(carrier.fd().expect("it has a descriptor"), 0)?;
    let error = ring.submit_and_wait(1).expect_err("its slot is empty");
    assert!(error.is_wrong_thread(), "{error}");
    drop(ring);
    // Without its slot a ring may die by itself and complete what it had; with a mapping or a descriptor it lives on.
    let leaked = uring::leaked_operations();
    assert_eq!(recording.dropped().is_none(), leaked == 1);
    assert!(leaked <= 1);
    Ok(())
}

fn h12_rings_come_and_go_without_using_slots_up(context: &Context) -> TestResult {
    for _ in 0..100 {
        common::ring(context, 2)?.call(Nop::new())??;
    }
    let mut rings = Vec::new();
    for _ in 0..SLOTS {
        rings.push(common::ring(context, 2)?);
    }
    let taken = match context.handle() {
        HandleKind::Fd => 0,
        _ => SLOTS,
    };
    assert_eq!(Slots::of_this_thread()?.taken(), taken);
    for ring in &mut rings {
        ring.call(Nop::new())??;
    }
    rings.truncate(1);
    assert_eq!(Slots::of_this_thread()?.taken(), taken.min(1));
    rings[0].call(Nop::new())??;
    Ok(())
}

fn h16_a_full_table_is_said_to_be_full(context: &Context) -> TestResult {
    let mut others = others(SLOTS)?;
    let builder = Builder::new(8);

    let failed = builder.build()?.register_fd().expect_err("all are taken");
    assert!(failed.error().is_slots_taken(), "{failed}");
    let mut given_back = failed.into_ring();
    given_back.call(Nop::new())??;
    let error = builder.build_registered().expect_err("all are taken");
    assert!(error.is_slots_taken(), "{error}");

    let failed = builder
        .build_disabled()?
        .enable()
        .expect_err("all are taken");
    assert!(failed.error().is_slots_taken(), "{failed}");
    let disabled = failed.into_ring();

    let error = builder.build_fdless().expect_err("none, or no such rings");
    assert!(error.is_slots_taken() || error.is_unsupported(), "{error}");
    assert_eq!(
        error.is_slots_taken(),
        context.has(Feature::REG_REG_RING) || context.has(Feature::REGISTERED_FD_ONLY)
    );

    let mut best = builder.build_best()?;
    assert_eq!(best.handle_kind(), Reached::Fd);
    best.call(Nop::new())??;

    others.pop();
    let better = given_back.register_fd()?;
    let mut enabled = disabled.enable_best()?;
    assert_eq!(enabled.handle_kind(), Reached::Fd, "the one slot is taken");
    enabled.call(Nop::new())??;
    drop(better);
    assert!(builder.build_best()?.handle_kind() > Reached::Fd);
    Ok(())
}

fn h16_without_slots_there_are_descriptors(_: &Context) -> TestResult {
    let failed = Ring::new(8)?.register_fd().expect_err("not before 5.18");
    assert!(failed.error().is_unsupported(), "{failed}");
    let mut best = Ring::best(8)?;
    assert_eq!(best.handle_kind(), Reached::Fd);
    best.call(Nop::new())??;
    Ok(())
}

/// H16: what one library gives back, another takes, and neither touches the other's.
fn h16_two_libraries_share_the_table(context: &Context) -> TestResult {
    let mut theirs = others(8)?;
    let mut ours = Vec::new();
    for _ in 0..8 {
        ours.push(common::ring(context, 2)?);
    }
    assert_eq!(Slots::of_this_thread()?.taken(), SLOTS);
    let error = common::ring(context, 2).expect_err("all are taken");
    assert!(error.is_slots_taken(), "{error}");
    theirs.pop();
    ours.push(common::ring(context, 2)?);
    drop(ours);
    assert_eq!(Slots::of_this_thread()?.taken(), 7);
    for ring in &mut theirs {
        // SAFETY: a no-op uses no memory.
        let done = unsafe { ring.call(uring_testkit::raw::Entry::default()) }?;
        assert_eq!(done.res, 0);
    }
    Ok(())
}

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// H25: on 5.18 to 6.2 such a slot cannot be given back through its own index.
fn h25_a_slot_is_given_back_without_its_descriptor(_: &Context) -> TestResult {
    let mut ring = Builder::new(8).build_registered()?;
    raw::close_behind(ring.as_fd().as_raw_fd())?;
    ring.call(Nop::new())??;
    drop(ring);
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

/// H26: what succeeds on a thread that has no slots says nothing about the owner's.
fn h26_a_thread_without_slots_empties_nothing(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?.register_fd()?;
    let answer = thread::scope(|scope| {
        let ring = ring.as_fd();
        scope.spawn(move || raw::empty_slot(ring, 0)).join()
    });
    let answer = answer.expect("the thread does not panic");
    assert!(matches!(answer, Ok(0 | 1)), "{answer:?}");
    assert_eq!(Slots::of_this_thread()?.taken(), 1);
    ring.call(Nop::new())??;
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("slots");
    suite.completed_by(common::completed);
    let closable = [HandleKind::Registered, HandleKind::Closed];
    suite
        .test("h07_restricted", h07_a_restricted_ring_gives_its_slot_back)
        .on(closable)
        .refused_by(restricted_rings_are_not_for_this_kernel);
    suite
        .test(
            "h07_restricted_in_flight",
            h07_what_may_not_be_cancelled_is_leaked,
        )
        .on(closable)
        .refused_by(restricted_rings_are_not_for_this_kernel);
    suite
        .test(
            "h07_restricted_completes",
            h07_what_completes_in_time_is_not_leaked,
        )
        .on(closable)
        .refused_by(restricted_rings_are_not_for_this_kernel);
    suite
        .test(
            "h27_way_out",
            h27_another_ring_empties_a_restricted_rings_slot,
        )
        .on(closable)
        .refused_by(restricted_rings_are_not_for_this_kernel);
    suite
        .test("h11_empty_slot", h11_emptying_an_empty_slot_proves_nothing)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h02_emptied_in_flight",
            h02_a_ring_whose_slot_was_emptied_ends,
        )
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h12_come_and_go",
            h12_rings_come_and_go_without_using_slots_up,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h16_seventeenth", h16_a_full_table_is_said_to_be_full)
        .needs([Feature::RING_FDS])
        .refused_by(h16_without_slots_there_are_descriptors);
    suite
        .test("h16_two_libraries", h16_two_libraries_share_the_table)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h25_closed_behind",
            h25_a_slot_is_given_back_without_its_descriptor,
        )
        .needs([Feature::RING_FDS])
        .refused_by(h16_without_slots_there_are_descriptors);
    suite
        .test("h26_no_slots", h26_a_thread_without_slots_empties_nothing)
        .needs([Feature::RING_FDS])
        .refused_by(h16_without_slots_there_are_descriptors);
    suite
}
