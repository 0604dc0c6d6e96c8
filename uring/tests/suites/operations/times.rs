//! Timeouts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uring::op::{Clock, EndReason, Nop, Timeout, TimeoutEnd, TimeoutMultishot};
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw_forms;

const SHORT: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);

fn now(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is exclusively borrowed.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("below a billion"),
    )
}

pub(crate) fn timeouts(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for (clock, id) in [
        (Clock::Monotonic, libc::CLOCK_MONOTONIC),
        (Clock::Boottime, libc::CLOCK_BOOTTIME),
        (Clock::Realtime, libc::CLOCK_REALTIME),
    ] {
        let start = Instant::now();
        let token = ring.push(Timeout::after(SHORT).clock(clock))?;
        assert_eq!(ring.wait(token)??, TimeoutEnd::TimeOver);
        assert!(start.elapsed() >= SHORT);
        let until = now(id) + SHORT;
        let end = ring.call(Timeout::after(until).absolute().clock(clock))??;
        assert_eq!(end, TimeoutEnd::TimeOver);
        assert!(now(id) >= until);
        let past = Timeout::after(now(id) - SHORT).absolute().clock(clock);
        assert_eq!(ring.call(past)??, TimeoutEnd::TimeOver);
    }
    let today = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let token = ring.push(
        Timeout::after(today + HOUR)
            .absolute()
            .clock(Clock::Realtime),
    )?;
    ring.submit()?;
    let token = ring.take(token).expect_err("an hour is not over");
    ring.cancel(&token)?;
    assert_errno(ring.wait(token)?, libc::ECANCELED);
    Ok(())
}

pub(crate) fn timeout_or_completions(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Timeout::after(HOUR).or_completions(2))?;
    let nops = [ring.push(Nop::new())?, ring.push(Nop::new())?];
    assert_eq!(ring.wait(token)??, TimeoutEnd::Completions);
    for nop in nops {
        ring.wait(nop)??;
    }
    Ok(())
}

pub(crate) fn multishot_items(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(TimeoutMultishot::every(SHORT).repeats(3))?;
    assert!(ring.take_item(&token).is_none());
    assert!(ring.wait_item(&token)?.is_some());
    let end = Instant::now() + Duration::from_secs(10);
    while ring.take_item(&token).is_none() {
        assert!(Instant::now() < end, "the second item never came");
        ring.submit_and_get_events()?;
    }
    assert!(ring.wait_item(&token)?.is_some());
    assert!(ring.wait_item(&token)?.is_none());
    let ended = ring.wait(token)?;
    assert!(matches!(ended.reason, EndReason::Finished));
    // The same once more, of which nobody takes an item.
    let token = ring.push(ended.op)?;
    assert!(matches!(ring.wait(token)?.reason, EndReason::Finished));
    let token = ring.push(TimeoutMultishot::every(HOUR))?;
    ring.submit()?;
    ring.cancel(&token)?;
    assert!(ring.wait_item(&token)?.is_none());
    let ended = ring.wait(token)?;
    assert!(matches!(ended.reason, EndReason::Cancelled));
    ring.scope(|scope| -> TestResult {
        let token = scope.push(TimeoutMultishot::every(SHORT))?;
        assert!(scope.wait_item(&token)?.is_some());
        let _ = scope.take_item(&token);
        Ok(())
    })?;
    assert_eq!(ring.in_flight(), 0);
    raw_forms::timeout_multishot(&mut ring)
}
