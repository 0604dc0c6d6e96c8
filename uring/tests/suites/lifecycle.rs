//! The life of a ring's handle: what it shows, and how it changes.
//!
//! Resizing (H9) is no call of the library: there is nothing that could break a ring without a descriptor.

use crate::common;

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread;

use common::{pending, raw};
use uring::op::{Nop, OpenAt, Read};
use uring::{Builder, DisabledRing, Error, Fd, HandleKind as Reached, Hint, Registered, Ring};
use uring_testkit::{Context, FdTable, Feature, HandleKind, Slots, Suite, TestResult};

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

fn the_descriptor_is_not_inherited_by_programs(context: &Context) -> TestResult {
    let _ring = common::ring(context, 8)?;
    for fd in FdTable::now()?.rings() {
        // SAFETY: asking for the flags of a descriptor changes nothing.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
    }
    Ok(())
}

fn movable_and_registered() -> Result<Ring<Registered>, Error> {
    Ok(Ring::new(8)?.register_fd()?)
}

fn handles_change_there_and_back(context: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    for _ in 0..context.rounds(1000) {
        let mut registered = ring.register_fd()?;
        assert_eq!(Slots::of_this_thread()?.taken(), 1);
        registered.call(Nop::new())??;
        ring = registered.unregister_fd()?;
        assert_eq!(Slots::of_this_thread()?.taken(), 0);
        ring.call(Nop::new())??;
    }
    assert_eq!(FdTable::now()?.rings().count(), 1);
    thread::spawn(move || ring.call(Nop::new()))
        .join()
        .expect("the thread does not panic")??;
    Ok(())
}

fn registering_is_refused_and_the_ring_given_back(_: &Context) -> TestResult {
    let failed = Ring::new(8)?
        .register_fd()
        .expect_err("there are no slots before 5.18");
    assert!(failed.error().is_unsupported(), "{failed}");
    let mut ring = failed.into_ring();
    ring.call(Nop::new())??;
    let error = Builder::new(8).build_registered().expect_err("as above");
    assert!(error.is_unsupported(), "{error}");
    assert_eq!(Ring::best(8)?.handle_kind(), Reached::Fd);
    Ok(())
}

fn work_in_flight_survives_each_transition(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let one = pending::submit(&mut ring)?;
    let two = pending::push(&mut ring)?;
    let mut ring = ring.register_fd()?;
    let three = pending::push(&mut ring)?;
    let mut ring = ring.close_fd()?;
    let four = pending::submit(&mut ring)?;
    for pending in [four, one, three, two] {
        pending.finish(&mut ring)?;
    }
    Ok(())
}

fn h14_fdless_rings_need_no_descriptor_for_anything(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let before = FdTable::now()?;
    assert!(ring.probe()?.supports(uring_sys::IORING_OP_NOP));
    ring.register_direct(2)?;
    let slot = ring.direct_slot()?;
    let path = CString::new("/proc/version")?;
    let opened = ring.call(OpenAt::new(path).into_direct(slot))?;
    let file = opened.result?;
    let read = ring.call(Read::new(&file, vec![0; 5]).at(0))?;
    assert_eq!((read.result?, &*read.buf), (5, &b"Linux"[..]));
    drop(file);
    ring.submit()?;
    let (_one, _two) = (ring.direct_slot()?, ring.direct_slot()?);
    assert!(before.diff(&FdTable::now()?).is_empty());
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

fn h15_closing_leaves_a_ring_by_index(_: &Context) -> TestResult {
    let mut ring = movable_and_registered()?.close_fd()?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    assert!(ring.probe()?.supports(uring_sys::IORING_OP_NOP));
    ring.call(Nop::new())??;
    Ok(())
}

fn h15_closing_is_refused_and_the_ring_given_back(context: &Context) -> TestResult {
    if context.missing().contains(&Feature::RING_FDS) {
        return registering_is_refused_and_the_ring_given_back(context);
    }
    let failed = movable_and_registered()?
        .close_fd()
        .expect_err("register calls go by the descriptor before 6.3");
    assert!(failed.error().is_unsupported(), "{failed}");
    let mut ring = failed.into_ring();
    assert_eq!(FdTable::now()?.rings().count(), 1);
    assert!(ring.probe()?.supports(uring_sys::IORING_OP_NOP));
    ring.call(Nop::new())??;
    let failed = Builder::new(8)
        .build_disabled()?
        .enable_fdless()
        .expect_err("as above");
    assert!(failed.error().is_unsupported(), "{failed}");
    failed.into_ring().enable()?.call(Nop::new())??;
    assert!(Ring::fdless(8).expect_err("as above").is_unsupported());
    assert_eq!(Ring::best(8)?.handle_kind(), Reached::Registered);
    Ok(())
}

fn unregistering_is_refused_while_something_is_kept(_: &Context) -> TestResult {
    let mut ring = movable_and_registered()?;
    let in_flight = pending::submit(&mut ring)?;
    let failed = ring.unregister_fd().expect_err("a read is in flight");
    assert!(failed.error().is_in_flight(), "{failed}");
    let mut ring = failed.into_ring();
    in_flight.finish(&mut ring)?;

    let unclaimed = ring.push(Nop::new())?;
    ring.submit_and_get_events()?;
    let failed = ring.unregister_fd().expect_err("a result is unclaimed");
    assert!(failed.error().is_in_flight(), "{failed}");
    let mut ring = failed.into_ring();
    ring.wait(unclaimed)??;

    let unsubmitted = ring.push(Nop::new())?;
    let failed = ring.unregister_fd().expect_err("an entry is in the queue");
    assert!(failed.error().is_in_flight(), "{failed}");
    let mut ring = failed.into_ring();
    ring.wait(unsubmitted)??;
    ring.unregister_fd()?.call(Nop::new())??;
    Ok(())
}

fn unregistering_a_single_issuer_is_refused(_: &Context) -> TestResult {
    let failed = Builder::new(8)
        .build_registered()?
        .unregister_fd()
        .expect_err("a ring with a single issuer cannot move");
    assert_eq!(failed.error().hint(), Some(Hint::SingleIssuer));
    let mut ring = failed.into_ring();
    assert_eq!(ring.handle_kind(), Reached::Registered);
    ring.call(Nop::new())??;
    Ok(())
}

fn without_single_issuers_a_bound_ring_may_unregister(_: &Context) -> TestResult {
    match Builder::new(8).build_registered() {
        Ok(ring) => ring.unregister_fd()?.call(Nop::new())??,
        Err(error) => assert!(error.is_unsupported(), "{error}"),
    }
    Ok(())
}

/// H10: EEXIST says that a single issuer is asked by another task, or that something is there already.
fn h10_the_wrong_task_is_not_taken_for_a_repetition(_: &Context) -> TestResult {
    let mut ring = Builder::new(8).build_registered()?;
    let elsewhere = thread::scope(|scope| {
        let ring = ring.as_fd();
        scope.spawn(move || raw::enter(ring)).join()
    });
    assert_eq!(
        elsewhere.expect("the thread does not panic"),
        Err(uring_sys::Errno::EEXIST)
    );
    ring.call(Nop::new())??;

    ring.register_direct(4)?;
    let again = ring.register_direct(4).expect_err("it has a table");
    assert!(
        !again.is_wrong_thread() && again.is_invalid_request(),
        "{again}"
    );
    Ok(())
}

fn h10_without_single_issuers_any_task_may_enter(_: &Context) -> TestResult {
    let ring = Ring::new(8)?;
    let elsewhere = thread::scope(|scope| {
        let ring = ring.as_fd();
        scope.spawn(move || raw::enter(ring)).join()
    });
    assert_eq!(elsewhere.expect("the thread does not panic"), Ok(0));
    Ok(())
}

fn enabled(handle: HandleKind, ring: DisabledRing) -> Result<Reached, Error> {
    let kind = match handle {
        HandleKind::Fd => {
            let mut ring = ring.enable_best()?;
            ring.call(Nop::new())?.is_ok().then(|| ring.handle_kind())
        }
        HandleKind::Registered => {
            let mut ring = ring.enable()?;
            ring.call(Nop::new())?.is_ok().then(|| ring.handle_kind())
        }
        HandleKind::Closed | HandleKind::Born => {
            let mut ring = ring.enable_fdless()?;
            ring.call(Nop::new())?.is_ok().then(|| ring.handle_kind())
        }
    };
    Ok(kind.expect("a no-op succeeds"))
}

fn a_disabled_ring_becomes_the_ring_of_the_thread_that_enables_it(context: &Context) -> TestResult {
    let handle = context.handle();
    for own_memory in [false, true] {
        if own_memory && !context.has(Feature::NO_MMAP) {
            continue;
        }
        let ring = Builder::new(8).own_memory(own_memory).build_disabled()?;
        let kind = thread::spawn(move || enabled(handle, ring))
            .join()
            .expect("the thread does not panic")?;
        match handle {
            HandleKind::Fd => {}
            HandleKind::Registered => assert_eq!(kind, Reached::Registered),
            HandleKind::Closed | HandleKind::Born => assert_eq!(kind, Reached::Fdless),
        }
        assert_eq!(Slots::of_this_thread()?.taken(), 0);
        assert_eq!(FdTable::now()?.rings().count(), 0);
    }
    Ok(())
}

fn a_disabled_ring_is_not_asked_to_work(_: &Context) -> TestResult {
    let ring = Builder::new(8).build_disabled()?;
    assert_eq!(raw::enter(&ring), Err(uring_sys::Errno::EBADFD));
    ring.enable_best()?.call(Nop::new())??;
    Ok(())
}

fn a_movable_ring_moves_with_its_work(_: &Context) -> TestResult {
    let mut ring: Ring<Fd> = Ring::new(8)?;
    let pending = pending::submit(&mut ring)?;
    let (mut ring, pending) = thread::spawn(move || -> Result<_, Error> {
        ring.call(Nop::new())?.expect("a no-op succeeds");
        Ok((ring, pending))
    })
    .join()
    .expect("the thread does not panic")?;
    assert!(ring.as_fd().as_raw_fd() > 2);
    pending.finish(&mut ring)
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("lifecycle");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite
        .test(
            "works_and_shows_no_more",
            a_ring_works_and_shows_no_more_than_its_handle,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused_as_unsupported);
    suite
        .test(
            "h17_exec_closes",
            the_descriptor_is_not_inherited_by_programs,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused_as_unsupported);
    suite
        .test("h12_a_thousand_changes", handles_change_there_and_back)
        .needs([Feature::RING_FDS])
        .refused_by(registering_is_refused_and_the_ring_given_back);
    suite
        .test(
            "transitions_keep_work_in_flight",
            work_in_flight_survives_each_transition,
        )
        .needs([Feature::RING_FDS, Feature::REG_REG_RING])
        .refused_by(h15_closing_is_refused_and_the_ring_given_back);
    suite
        .test(
            "h14_no_descriptor_is_needed",
            h14_fdless_rings_need_no_descriptor_for_anything,
        )
        .on(HandleKind::FDLESS)
        .refused_by(the_handle_is_refused_as_unsupported);
    suite
        .test("h15_closing", h15_closing_leaves_a_ring_by_index)
        .needs([Feature::RING_FDS, Feature::REG_REG_RING])
        .refused_by(h15_closing_is_refused_and_the_ring_given_back);
    suite
        .test(
            "unregistering_refused_while_kept",
            unregistering_is_refused_while_something_is_kept,
        )
        .needs([Feature::RING_FDS])
        .refused_by(registering_is_refused_and_the_ring_given_back);
    suite
        .test(
            "unregistering_refused_for_single_issuer",
            unregistering_a_single_issuer_is_refused,
        )
        .needs([Feature::RING_FDS, Feature::SINGLE_ISSUER])
        .refused_by(without_single_issuers_a_bound_ring_may_unregister);
    suite
        .test(
            "h10_wrong_task",
            h10_the_wrong_task_is_not_taken_for_a_repetition,
        )
        .needs([Feature::RING_FDS, Feature::SINGLE_ISSUER])
        .refused_by(h10_without_single_issuers_any_task_may_enter);
    suite
        .test(
            "enabled_elsewhere",
            a_disabled_ring_becomes_the_ring_of_the_thread_that_enables_it,
        )
        .on([HandleKind::Fd, HandleKind::Registered, HandleKind::Closed])
        .refused_by(h15_closing_is_refused_and_the_ring_given_back);
    suite.test(
        "disabled_does_nothing",
        a_disabled_ring_is_not_asked_to_work,
    );
    suite.test(
        "movable_moves_with_its_work",
        a_movable_ring_moves_with_its_work,
    );
    suite
}
