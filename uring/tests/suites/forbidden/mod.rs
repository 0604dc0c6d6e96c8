//! Machines that forbid io_uring, by the sysctl or by a filter around everything: each way to a ring says so, and why.
//!
//! The suite runs on such machines only (`cargo xtask test --faults all`).

use crate::common;
mod programs;
mod sysctl;

use std::thread;

use uring::op::Nop;
use uring::{
    Builder, Call, Capabilities, Error, HandleKind as Reached, Hint, PerThread, Query, Ring,
};
use uring_testkit::process::fork_and;
use uring_testkit::{Cause, Context, Feature, Forbidden, HandleKind, Lane, Suite, TestResult};

const SETUP: &str = "io_uring_setup";
const REGISTER: &str = "io_uring_register";

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("forbidden");
    suite.where_forbidden();
    suite
        .test("rings_are_refused", rings_are_refused)
        .on(HandleKind::ALL)
        .refused_by(rings_are_refused);
    suite.test("the_best_ring", the_best_ring);
    suite.test("a_ring_for_each_thread", a_ring_for_each_thread);
    suite.test("a_ring_that_is_enabled_later", a_ring_that_is_enabled_later);
    suite.test("a_forked_child", a_forked_child);
    suite.test("a_refusal_leaves_nothing", a_refusal_leaves_nothing);
    suite.test("what_the_kernel_has", what_the_kernel_has);
    suite.test("queries", queries);
    programs::add_to(&mut suite);
    sysctl::add_to(&mut suite);
    suite
}

/// The hint for what the lane declares.
fn hint(forbidden: &Forbidden) -> Hint {
    match forbidden.cause() {
        Cause::Sysctl(value) => {
            let group = std::fs::read_to_string("/proc/sys/kernel/io_uring_group");
            let group = group.unwrap_or_default().trim().parse().ok();
            Hint::DisabledBySysctl { value, group }
        }
        Cause::SeccompFilter => Hint::SeccompFilter,
        other => panic!("no test is about {other:?}"),
    }
}

/// The error is the machine's refusal, with its true cause, and says what to do.
#[track_caller]
fn assert_forbidden(error: Error, context: &Context) {
    let forbidden = context.forbidden();
    let text = error.to_string();
    assert_eq!(error.hint(), Some(hint(&forbidden)), "{text}");
    assert_eq!(error.errno(), Some(forbidden.errno()), "{text}");
    match (forbidden.call(), error.call()) {
        (SETUP, Call::Setup) | (REGISTER, Call::Register(_)) => {}
        (call, tried) => panic!("{call} is forbidden, and {tried} failed"),
    }
    assert!(error.is_blocked(), "{text}");
    assert!(
        !error.is_unsupported() && !error.is_limited() && !error.is_ring_lost(),
        "{text}"
    );
    assert!(
        !error.is_slots_taken() && !error.is_forked() && !error.is_busy(),
        "{text}"
    );
    let (cause, advice) = match forbidden.cause() {
        Cause::Sysctl(2) => (
            "kernel.io_uring_disabled=2",
            "; ask the administrator to set it to 0",
        ),
        Cause::Sysctl(_) => (
            "kernel.io_uring_disabled=1",
            "; ask the administrator to set it to 0, or to add this user to the group",
        ),
        _ => (
            "a seccomp filter is active in this thread",
            "; allow io_uring_setup, io_uring_enter and",
        ),
    };
    assert!(
        text.contains(forbidden.call()) && text.contains(cause) && text.contains(advice),
        "{text}"
    );
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

/// Whether rings can be made, and only what takes a register call is refused.
fn only_registering_is_forbidden(context: &Context) -> bool {
    match context.forbidden().call() {
        SETUP => false,
        REGISTER => true,
        other => panic!("no test is about {other}"),
    }
}

/// Whether the declared kernel has it: it cannot be probed here.
fn kernel_has(feature: Feature) -> TestResult<bool> {
    Ok(Lane::from_env()?.kernel >= feature.since())
}

/// A ring that can be had works, but for what is forbidden.
fn works_without_registering(ring: &mut Ring<uring::Any>, context: &Context) -> TestResult {
    ring.call(Nop::new())??;
    assert_forbidden(ring.register_direct(4).unwrap_err(), context);
    assert_forbidden(ring.probe().unwrap_err(), context);
    ring.call(Nop::new())??;
    Ok(())
}

/// Runs `body` in a thread of its own: a slot that cannot be given back, since that takes a register call, ends with it.
fn on_a_thread(body: impl FnOnce() -> TestResult + Send) -> TestResult {
    thread::scope(|scope| {
        let ended = scope.spawn(body).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn rings_are_refused(context: &Context) -> TestResult {
    on_a_thread(|| rings_are_refused_here(context))
}

fn rings_are_refused_here(context: &Context) -> TestResult {
    let made = common::ring(context, 8);
    if !only_registering_is_forbidden(context) {
        assert_forbidden(made.unwrap_err(), context);
        // Again, now that something may be remembered.
        assert_forbidden(common::ring(context, 512).unwrap_err(), context);
        return Ok(());
    }
    let births = kernel_has(Feature::REGISTERED_FD_ONLY)?;
    match (context.handle(), made) {
        (HandleKind::Fd, Ok(mut ring)) => works_without_registering(&mut ring, context),
        (HandleKind::Born, Ok(mut ring)) if births => works_without_registering(&mut ring, context),
        (HandleKind::Born, Err(error)) if !births => {
            assert!(error.is_unsupported() && !error.is_blocked(), "{error}");
            Ok(())
        }
        // Before 6.3 it could not be closed either.
        (HandleKind::Closed, Err(error)) if !kernel_has(Feature::REG_REG_RING)? => {
            assert!(error.is_blocked() || error.is_unsupported(), "{error}");
            Ok(())
        }
        (HandleKind::Registered | HandleKind::Closed, Err(error)) => {
            assert_forbidden(error, context);
            Ok(())
        }
        (handle, made) => Err(format!("{handle}: {made:?}").into()),
    }
}

fn the_best_ring(context: &Context) -> TestResult {
    on_a_thread(|| the_best_ring_here(context))
}

fn the_best_ring_here(context: &Context) -> TestResult {
    if !only_registering_is_forbidden(context) {
        assert_forbidden(Ring::best(8).unwrap_err(), context);
        let demanding = Builder::new(4096).direct_slots(8);
        assert_forbidden(demanding.build_best().unwrap_err(), context);
        return Ok(());
    }
    let mut ring = Ring::best(8)?;
    let expected = match kernel_has(Feature::REGISTERED_FD_ONLY)? {
        true => Reached::Fdless,
        false => Reached::Fd,
    };
    assert_eq!(ring.handle_kind(), expected);
    works_without_registering(&mut ring, context)?;
    let demanding = Builder::new(8).direct_slots(8);
    assert_forbidden(demanding.build_best().unwrap_err(), context);
    Ok(())
}

fn a_ring_for_each_thread(context: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(8);
    let check = || -> TestResult {
        for _ in 0..3 {
            if only_registering_is_forbidden(context) {
                RINGS.call(Nop::new())??;
                RINGS.with(|ring| works_without_registering(ring, context))??;
            } else {
                assert_forbidden(RINGS.call(Nop::new()).unwrap_err(), context);
                let used = RINGS.with(|_| panic!("there is no ring"));
                assert_forbidden(used.unwrap_err(), context);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(check)).collect();
        let mut results = threads.into_iter().map(thread::ScopedJoinHandle::join);
        results
            .try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn a_ring_that_is_enabled_later(context: &Context) -> TestResult {
    let made = Builder::new(8).build_disabled();
    if !only_registering_is_forbidden(context) {
        assert_forbidden(made.unwrap_err(), context);
        return Ok(());
    }
    let failed = made?.enable().unwrap_err();
    assert_forbidden(*failed.error(), context);
    let failed = failed.into_ring().enable_best().unwrap_err();
    assert_forbidden(*failed.error(), context);
    Ok(())
}

fn a_forked_child(context: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(8);
    let use_it = || match RINGS.call(Nop::new()) {
        Ok(result) => {
            assert!(only_registering_is_forbidden(context));
            result
        }
        Err(error) => {
            assert_forbidden(error, context);
            Ok(())
        }
    };
    on_a_thread(|| {
        use_it()?;
        fork_and(|| Ok(use_it()?))?.check()
    })
}

/// What was reserved for a ring that is refused is given back, however often it is.
fn a_refusal_leaves_nothing(context: &Context) -> TestResult {
    let mapped = || {
        std::fs::read_to_string("/proc/self/statm").map(|statm| {
            let pages = statm.split(' ').next().unwrap_or_default();
            pages.parse::<u64>().unwrap_or(0)
        })
    };
    let refuse = || {
        let demanding = Builder::new(32768).direct_slots(8);
        assert_forbidden(demanding.build_best().unwrap_err(), context);
    };
    on_a_thread(|| {
        refuse();
        let before = mapped()?;
        for _ in 0..50 {
            refuse();
        }
        // The queues alone are 800 pages each time.
        let now = mapped()?;
        assert!(now < before + 400, "{before} pages have become {now}");
        Ok(())
    })
}

fn what_the_kernel_has(context: &Context) -> TestResult {
    let asked = Capabilities::get();
    if only_registering_is_forbidden(context) {
        assert_eq!(
            asked?.births_fdless(),
            kernel_has(Feature::REGISTERED_FD_ONLY)?
        );
    } else {
        assert_forbidden(asked.unwrap_err(), context);
        assert_forbidden(Capabilities::get().unwrap_err(), context);
    }
    Ok(())
}

/// They need no ring, only the call itself.
fn queries(context: &Context) -> TestResult {
    let opcode = uring_sys::IORING_REGISTER_PROBE;
    // SAFETY: no process has this descriptor, and there is no argument to read.
    let called = unsafe { uring_sys::io_uring_register(i32::MAX, opcode, std::ptr::null_mut(), 0) };
    let refused = called.err().map(uring_sys::Errno::raw) == Some(context.forbidden().errno());
    match Query::get() {
        Err(error) if refused => {
            assert_eq!(error.hint(), Some(Hint::SeccompFilter), "{error}");
            assert!(error.is_blocked(), "{error}");
            Ok(())
        }
        Ok(_) if !refused && kernel_has(Feature::register(uring_sys::IORING_REGISTER_QUERY))? => {
            Ok(())
        }
        Err(error) if !refused && error.is_unsupported() => Ok(()),
        other => Err(format!("{other:?}, refused: {refused}").into()),
    }
}
