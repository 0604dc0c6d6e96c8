//! What ends a wait beside completions, and what tells of completions without one.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uring::op::{Nop, Read};
use uring::{Builder, Probe, SetupFlags, SignalMask, WaitClock, WaitOptions};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

const EXT_ARG: Feature = Feature::ring(uring_sys::IORING_FEAT_EXT_ARG);
const MIN_TIMEOUT: Feature = Feature::ring(uring_sys::IORING_FEAT_MIN_TIMEOUT);
const ABS_TIMER: Feature = Feature::enter(uring_sys::IORING_ENTER_ABS_TIMER);
const CLOCK: Feature = Feature::register(uring_sys::IORING_REGISTER_CLOCK);
const REG_WAIT: Feature = Feature::enter(uring_sys::IORING_ENTER_EXT_ARG_REG);
const MEM_REGION: Feature = Feature::register(uring_sys::IORING_REGISTER_MEM_REGION);
const NO_IOWAIT: Feature = Feature::ring(uring_sys::IORING_FEAT_NO_IOWAIT);

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(2);

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("a_wait_lets_signals_through", a_wait_lets_signals_through)
        .on(HandleKind::ALL)
        .needs([EXT_ARG])
        .no_refusal("time limits, which need the same feature, show how it is refused");
    suite
        .test("a_wait_for_a_batch", a_wait_for_a_batch)
        .on(HandleKind::ALL)
        .needs([MIN_TIMEOUT])
        .refused_by(batches_are_refused);
    suite
        .test("a_batch_without_a_limit", a_batch_without_a_limit)
        .on(HandleKind::ALL)
        .needs([MIN_TIMEOUT])
        .no_refusal("`a_wait_for_a_batch` shows how it is refused");
    suite
        .test("a_batch_beyond_the_limit", a_batch_beyond_the_limit)
        .on(HandleKind::ALL)
        .needs([MIN_TIMEOUT])
        .no_refusal("`a_wait_for_a_batch` shows how it is refused");
    suite
        .test("a_wait_until_a_time", a_wait_until_a_time)
        .on(HandleKind::ALL)
        .needs([CLOCK, ABS_TIMER])
        .refused_by(clocks_are_refused);
    suite
        .test("a_wait_that_is_registered", a_wait_that_is_registered)
        .on(HandleKind::ALL)
        .needs([REG_WAIT, MEM_REGION])
        .refused_by(registered_waits_are_refused);
    suite
        .test("a_wait_that_is_no_iowait", a_wait_that_is_no_iowait)
        .on(HandleKind::ALL)
        .needs([NO_IOWAIT])
        // Every process of the machine that waits is counted.
        .alone()
        .refused_by(no_iowait_is_refused);
    suite
        .test("small_questions", small_questions)
        .on(HandleKind::ALL);
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// A signal pends that this thread blocks.
fn pend(signal: libc::c_int) -> TestResult {
    // SAFETY: all fields may be zero: no flags, and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = count;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler only counts; old values are not asked for, and the set is initialised before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        let blocked = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        assert_eq!(
            (blocked, libc::pthread_kill(libc::pthread_self(), signal)),
            (0, 0)
        );
    }
    Ok(())
}

fn a_wait_lets_signals_through(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let signal = libc::SIGUSR2;
    pend(signal)?;
    let before = HANDLED.load(Ordering::Relaxed);
    // Blocked by the thread, and by the wait that says so.
    let blocked = WaitOptions::new().at_most(SHORT);
    assert!(
        ring.submit_and_wait_with(1, &blocked)
            .unwrap_err()
            .is_timed_out()
    );
    let blocked = blocked.signals(SignalMask::all());
    assert!(
        ring.submit_and_wait_with(1, &blocked)
            .unwrap_err()
            .is_timed_out()
    );
    let blocked = blocked.signals(SignalMask::empty().with(signal));
    assert!(
        ring.submit_and_wait_with(1, &blocked)
            .unwrap_err()
            .is_timed_out()
    );
    assert_eq!(HANDLED.load(Ordering::Relaxed), before);
    // Let through, which ends a wait that has no limit either.
    let through = WaitOptions::new().signals(SignalMask::all().without(signal));
    assert!(
        ring.submit_and_wait_with(1, &through)
            .unwrap_err()
            .is_interrupted()
    );
    assert_eq!(HANDLED.load(Ordering::Relaxed), before + 1);
    // H31: it stays pending as long as there is nothing to wait for.
    pend(signal)?;
    ring.push_raw(Nop::new(), 1)?;
    assert_eq!(ring.submit_and_wait(1)?, 1);
    assert_eq!(ring.submit_and_wait_with(1, &through)?, 0);
    assert_eq!(ring.for_each(drop)?, 1);
    while HANDLED.load(Ordering::Relaxed) == before + 1 {
        assert!(
            ring.submit_and_wait_with(1, &through)
                .unwrap_err()
                .is_interrupted()
        );
    }
    ring.call(Nop::new())??;
    Ok(())
}

fn a_wait_for_a_batch(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    // Fewer than asked for, once the time for all is over; submitted by the same call or by one before.
    let few = WaitOptions::new().batch_for(SHORT);
    let start = Instant::now();
    ring.push_raw(Nop::new(), 1)?;
    assert_eq!(ring.submit_and_wait_with(4, &few)?, 1);
    assert!(start.elapsed() >= SHORT);
    assert_eq!(ring.submit_and_wait_with(4, &few)?, 0);
    assert_eq!(ring.completions_ready(), 1);
    assert_eq!(ring.for_each(drop)?, 1);
    // One is waited for after that, in the time that there is.
    let (reader, writer) = files::pipe()?;
    let token = ring.push(Read::new(reader, vec![0; 4]))?;
    let short = WaitOptions::new().at_most(2 * SHORT).batch_for(SHORT);
    assert!(
        ring.submit_and_wait_with(4, &short)
            .unwrap_err()
            .is_timed_out()
    );
    File::from(writer).write_all(b"z")?;
    assert_eq!(ring.submit_and_wait_with(4, &few)?, 0);
    assert_eq!(ring.wait(token)?.result?, 1);
    // All, long before the time is over.
    for number in 0..4 {
        ring.push_raw(Nop::new(), number)?;
    }
    let start = Instant::now();
    assert_eq!(ring.submit_and_wait_with(4, &few.batch_for(LONG))?, 4);
    assert!(start.elapsed() < LONG);
    assert_eq!(ring.for_each(drop)?, 4);
    Ok(())
}

/// The time for all may be over before the kernel has been asked, and ends no wait that nothing has come to.
fn a_batch_without_a_limit(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for round in 0..context.rounds(2000) {
        let short = Duration::from_nanos(round % 64 * 100);
        let few = WaitOptions::new().batch_for(short);
        ring.push_raw(Nop::new(), 1)?;
        if round % 2 == 0 {
            ring.submit()?;
        }
        ring.submit_and_wait_with(4, &few)?;
        assert_eq!(ring.for_each(drop)?, 1);
    }
    for submits in [true, false] {
        let (reader, writer) = files::pipe()?;
        let token = ring.push(Read::new(reader, vec![0; 4]))?;
        if !submits {
            ring.submit()?;
        }
        let writer = std::thread::spawn(move || {
            std::thread::sleep(5 * SHORT);
            File::from(writer).write_all(b"z")
        });
        ring.submit_and_wait_with(4, &WaitOptions::new().batch_for(SHORT))?;
        assert_eq!(ring.completions_ready(), 1);
        assert_eq!(ring.wait(token)?.result?, 1);
        writer.join().expect("the writer does not panic")?;
    }
    Ok(())
}

/// A limit ends the wait although the time for all is not over.
fn a_batch_beyond_the_limit(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let batch = WaitOptions::new().batch_for(LONG);
    let start = Instant::now();
    for parts in 0..2 {
        for _ in 0..parts {
            ring.push_raw(Nop::new(), 1)?;
        }
        let error = ring
            .submit_and_wait_with(4, &batch.at_most(SHORT))
            .unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let until = WaitClock::Monotonic.now() + SHORT;
        let error = ring
            .submit_and_wait_with(4, &batch.until(until))
            .unwrap_err();
        assert!(error.is_timed_out(), "{error}");
    }
    assert_eq!(ring.for_each(drop)?, 1);
    assert!(start.elapsed() < LONG);
    Ok(())
}

fn batches_are_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(MIN_TIMEOUT, context, 8)? else {
        return Ok(());
    };
    let options = WaitOptions::new().batch_for(SHORT);
    let error = ring.submit_and_wait_with(1, &options).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    ring.call(Nop::new())??;
    Ok(())
}

fn a_wait_until_a_time(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for (clock, registered) in [
        (WaitClock::Monotonic, false),
        (WaitClock::Boottime, true),
        (WaitClock::Monotonic, true),
    ] {
        if registered {
            ring.register_clock(clock)?;
        }
        let until = |time| WaitOptions::new().until(time);
        let soon = clock.now() + SHORT;
        assert!(
            ring.submit_and_wait_with(1, &until(soon))
                .unwrap_err()
                .is_timed_out()
        );
        assert!(clock.now() >= soon);
        // Of a wait that has a part of what it is for, too.
        ring.push_raw(Nop::new(), 1)?;
        let error = ring
            .submit_and_wait_with(2, &until(clock.now() + SHORT))
            .unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        assert!(
            ring.submit_and_wait_with(2, &until(Duration::ZERO))
                .unwrap_err()
                .is_timed_out()
        );
        assert_eq!(ring.submit_and_wait_with(1, &until(Duration::ZERO))?, 0);
        ring.push_raw(Nop::new(), 2)?;
        assert_eq!(ring.submit_and_wait_with(2, &until(clock.now() + LONG))?, 1);
        assert_eq!(ring.for_each(drop)?, 2);
        let error = ring.submit_and_wait_timeout(1, SHORT).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
    }
    Ok(())
}

fn clocks_are_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(CLOCK, context, 8)? else {
        return Ok(());
    };
    let error = ring.register_clock(WaitClock::Boottime).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    let until = WaitOptions::new().until(WaitClock::Monotonic.now() + SHORT);
    let error = ring.submit_and_wait_with(1, &until).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    ring.call(Nop::new())??;
    Ok(())
}

fn a_wait_that_is_registered(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).registered_waits(40))?;
    assert_eq!(ring.registered_waits(), 40);
    assert!(!ring.setup().flags().contains(SetupFlags::R_DISABLED));
    let options = WaitOptions::new().at_most(SHORT);
    for wrong in [40, usize::MAX] {
        assert!(ring.set_registered_wait(wrong, &options).is_err());
        assert!(ring.submit_and_wait_registered(1, wrong).is_err());
    }
    // None was set: without a limit.
    ring.push_raw(Nop::new(), 1)?;
    assert_eq!(ring.submit_and_wait_registered(1, 39)?, 1);
    assert_eq!(ring.for_each(drop)?, 1);
    // A limit, of a wait that nothing comes to, and of one that a part comes to.
    ring.set_registered_wait(39, &options)?;
    assert!(
        ring.submit_and_wait_registered(1, 39)
            .unwrap_err()
            .is_timed_out()
    );
    ring.push_raw(Nop::new(), 2)?;
    assert!(
        ring.submit_and_wait_registered(2, 39)
            .unwrap_err()
            .is_timed_out()
    );
    assert_eq!((ring.pending(), ring.for_each(drop)?), (0, 1));
    // By the clock.
    ring.set_registered_wait(
        0,
        &WaitOptions::new().until(WaitClock::Monotonic.now() + SHORT),
    )?;
    assert!(
        ring.submit_and_wait_registered(1, 0)
            .unwrap_err()
            .is_timed_out()
    );
    // A part is enough in the end.
    let batch = WaitOptions::new().batch_for(SHORT);
    ring.set_registered_wait(1, &batch)?;
    ring.push_raw(Nop::new(), 3)?;
    assert_eq!(ring.submit_and_wait_registered(4, 1)?, 1);
    assert_eq!(ring.for_each(drop)?, 1);
    // Not if the limit comes first, of whichever kind it is.
    let start = Instant::now();
    let until = WaitClock::Monotonic.now() + SHORT;
    for limited in [batch.at_most(SHORT), batch.until(until)] {
        ring.set_registered_wait(1, &limited.batch_for(LONG))?;
        let error = ring.submit_and_wait_registered(4, 1).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
    }
    assert!(start.elapsed() < LONG);
    // The mask is the ring's own.
    let signal = libc::SIGUSR2;
    pend(signal)?;
    assert!(
        ring.submit_and_wait_registered(1, 39)
            .unwrap_err()
            .is_timed_out()
    );
    ring.set_registered_wait(
        2,
        &WaitOptions::new().signals(SignalMask::all().without(signal)),
    )?;
    assert!(
        ring.submit_and_wait_registered(1, 2)
            .unwrap_err()
            .is_interrupted()
    );

    let none = common::build(context, &Builder::new(8).registered_waits(0));
    assert!(none.is_err_and(|error| !error.is_unsupported()));
    let mut plain = common::ring(context, 8)?;
    assert!(plain.submit_and_wait_registered(1, 0).is_err());
    let disabled = Builder::new(8).registered_waits(1).build_disabled()?;
    let mut ring = disabled.enable_best()?;
    ring.set_registered_wait(0, &options)?;
    assert!(
        ring.submit_and_wait_registered(1, 0)
            .unwrap_err()
            .is_timed_out()
    );
    Ok(())
}

fn registered_waits_are_refused(context: &Context) -> TestResult {
    let refused = common::build(context, &Builder::new(8).registered_waits(1));
    let error = refused.map(drop).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// How many threads of the machine wait for I/O: the fewest of some looks, since others do so for a moment only.
fn waiting_for_io() -> TestResult<u32> {
    let mut fewest = u32::MAX;
    for _ in 0..25 {
        std::thread::sleep(Duration::from_millis(1));
        let statistics = std::fs::read_to_string("/proc/stat")?;
        let mut lines = statistics.lines();
        let count = lines.find_map(|line| line.strip_prefix("procs_blocked "));
        fewest = fewest.min(count.ok_or("the kernel does not count them")?.parse()?);
    }
    Ok(fewest)
}

fn a_wait_that_is_no_iowait(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let mut waits = |counts| -> TestResult<u32> {
        ring.set_iowait(counts)?;
        let (reader, writer) = files::pipe()?;
        let token = ring.push(Read::new(reader, vec![0; 4]))?;
        let error = ring.submit_and_wait_timeout(1, SHORT).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let looking = std::thread::spawn(move || {
            let seen = waiting_for_io().map_err(|error| error.to_string());
            // In any case, so that the wait ends.
            let written = File::from(writer).write_all(b"y");
            written.map_err(|error| error.to_string())?;
            seen
        });
        assert_eq!(ring.wait(token)?.result?, 1);
        Ok(looking.join().expect("it does not panic")?)
    };
    // Others may begin or end to wait in between, so it has to come out some time: several times in a row.
    let (mut in_a_row, start) = (0, Instant::now());
    while in_a_row < context.rounds(3) {
        let seen = (waits(false)?, waits(true)?, waits(false)?);
        let differs = seen.0 == seen.2 && seen.1 == seen.0 + 1;
        in_a_row = if differs { in_a_row + 1 } else { 0 };
        assert!(start.elapsed() < LONG, "{seen:?} at the least");
    }
    Ok(())
}

fn no_iowait_is_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(NO_IOWAIT, context, 8)? else {
        return Ok(());
    };
    let error = ring.set_iowait(false).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    ring.call(Nop::new())??;
    Ok(())
}

fn small_questions(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    assert_eq!(ring.completions_ready(), 0);
    ring.push_raw(Nop::new(), 1)?;
    ring.push_raw(Nop::new(), 2)?;
    ring.submit_and_wait(2)?;
    assert_eq!(ring.completions_ready(), 2);
    // Put aside, on the way to another result.
    ring.call(Nop::new())??;
    assert_eq!(ring.completions_ready(), 2);
    assert_eq!(ring.for_each(drop)?, 2);
    assert_eq!(ring.completions_ready(), 0);

    assert_eq!(ring.probe()?, Probe::get()?);
    let size = |entries| Builder::new(entries).memory_size();
    assert!(size(8)? < size(1024)? && size(1024)? < size(32768)?);
    assert!(size(1024)? >= 1024 * 64 + 2048 * 16);
    assert!(size(0).is_err());
    Ok(())
}
