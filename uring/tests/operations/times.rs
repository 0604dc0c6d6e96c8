//! Timeouts and cancellation.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uring::Chain;
use uring::op::{
    Cancel, Clock, EndReason, LinkTimeout, Nop, Read, Timeout, TimeoutEnd, TimeoutMultishot, Write,
};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::files::assert_errno;

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

pub(crate) fn link_timeout(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let read = || -> TestResult<_> { Ok(Read::new(reader.try_clone()?, vec![0; 4])) };
    let (late, limit) = ring.push_chain(Chain::new(read()?).then(LinkTimeout::after(SHORT)))?;
    assert!(ring.wait(late)?.result.is_err());
    assert_eq!(ring.wait(limit)??, TimeoutEnd::TimeOver);

    let limit = LinkTimeout::after(HOUR).clock(Clock::Boottime);
    let (in_time, limit) = ring.push_chain(Chain::new(read()?).then(limit))?;
    ring.call(Write::new(&writer, "now"))?.result?;
    assert_eq!(ring.wait(in_time)?.result?, 3);
    assert_errno(ring.wait(limit)?, libc::ECANCELED);
    assert_errno(ring.call(LinkTimeout::after(SHORT))?, libc::EINVAL);
    Ok(())
}

pub(crate) fn cancel_by_token_and_number(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Timeout::after(HOUR))?;
    ring.submit()?;
    let cancel = ring.push(Cancel::token(&token))?;
    assert_errno(ring.wait(token)?, libc::ECANCELED);
    assert_eq!(ring.wait(cancel)??, 1);

    let done = ring.push(Nop::new())?;
    ring.submit_and_wait(1)?;
    assert_errno(ring.call(Cancel::token(&done))?, libc::ENOENT);
    ring.wait(done)??;
    assert_errno(ring.call(Cancel::user_data(12345))?, libc::ENOENT);
    let (reader, writer) = pipe()?;
    let read = ring.push(Read::new(reader, vec![3; 4]))?;
    ring.submit()?;
    ring.scope(|scope| -> std::io::Result<()> {
        let cancel = scope.push(Cancel::token(&read))?;
        assert_eq!(scope.wait(cancel)??, 1);
        Ok(())
    })?;
    let cancelled = ring.wait(read)?;
    assert_errno(cancelled.result, libc::ECANCELED);
    assert_eq!(cancelled.buf, [3; 4]);
    drop((cancelled.target, writer));
    Ok(())
}

pub(crate) fn cancel_by_target_any_and_every(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let (reader, _writer) = pipe()?;
    let (other, other_writer) = pipe()?;
    let mut reads = Vec::new();
    for _ in 0..3 {
        reads.push(ring.push(Read::new(reader.try_clone()?, vec![0; 4]))?);
    }
    ring.submit()?;
    // Each read has a descriptor of its own.
    assert_eq!(ring.call(Cancel::target(&other).every())??, 0);
    assert_errno(ring.call(Cancel::target(&other))?, libc::ENOENT);
    assert_eq!(ring.call(Cancel::any())??, 3);
    assert_eq!(ring.call(Cancel::any())??, 0);
    for read in reads {
        assert_errno(ring.wait(read)?.result, libc::ECANCELED);
    }
    ring.scope(|scope| -> std::io::Result<()> {
        let reads = [
            scope.push(Read::new(&other, vec![0; 4]))?,
            scope.push(Read::new(&other, vec![0; 4]))?,
        ];
        let kept = scope.push(Read::new(&reader, vec![0; 4]))?;
        scope.submit()?;
        let cancel = scope.push(Cancel::target(&other).every())?;
        assert_eq!(scope.wait(cancel)??, 2);
        for read in reads {
            assert_errno(scope.wait(read)?.result, libc::ECANCELED);
        }
        let kept = scope.take(kept).expect_err("nobody has cancelled it");
        scope.cancel(&kept)?;
        assert_errno(scope.wait(kept)?.result, libc::ECANCELED);
        Ok(())
    })?;
    ring.call(Write::new(&other_writer, "left"))?.result?;
    assert_eq!(ring.call(Read::new(&other, vec![0; 4]))?.buf, b"left");
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
    Ok(())
}
