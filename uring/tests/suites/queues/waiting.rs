//! Looking without waiting, and waiting with a limit.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use uring::op::{Nop, Read};
use uring::{Any, Builder, RawBuf, RawTarget, Ring, TaskWork};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

const EXT_ARG: Feature = Feature::ring(uring_sys::IORING_FEAT_EXT_ARG);

pub(crate) fn add_to(suite: &mut Suite) {
    for (task_work, name, feature, handles) in [
        (
            TaskWork::Cooperative,
            "cooperative",
            Feature::COOP_TASKRUN,
            &HandleKind::ALL[..],
        ),
        (
            TaskWork::Deferred,
            "deferred",
            Feature::DEFER_TASKRUN,
            &HandleKind::BOUND[..],
        ),
    ] {
        for (look, how) in [
            (take as Look, "take"),
            (next_completion, "next_completion"),
            (for_each, "for_each"),
            (get_events, "get_events"),
        ] {
            suite
                .test(
                    format!("q04_{how}_sees_{name}_completions"),
                    move |context| a_look_sees_what_waits_in_the_kernel(context, task_work, look),
                )
                .on(handles.iter().copied())
                .needs([feature])
                .no_refusal("the suite builder shows how task work is refused");
        }
    }
    suite
        .test("put_aside_completions_count", put_aside_completions_count)
        .on(HandleKind::ALL)
        .needs([EXT_ARG])
        .refused_by(time_limits_are_refused);
    suite
        .test(
            "a_time_limit_tells_of_what_is_missing",
            a_time_limit_tells_of_what_is_missing,
        )
        .on(HandleKind::ALL)
        .needs([EXT_ARG])
        .refused_by(time_limits_are_refused);
    suite
        .test("a_time_limit_ends_a_wait", a_time_limit_ends_a_wait)
        .on(HandleKind::ALL)
        .needs([EXT_ARG])
        .refused_by(time_limits_are_refused);
    suite
        .test(
            "waiting_for_none_does_not_wait",
            waiting_for_none_does_not_wait,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "a_wait_has_what_it_waited_for",
            a_wait_has_what_it_waited_for,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "no_more_is_waited_for_than_there_is_room_for",
            no_more_is_waited_for_than_there_is_room_for,
        )
        .on(HandleKind::ALL);
}

/// Whether the ring shows the read of a pipe that the test has started, without waiting for it.
type Look = fn(&mut Ring<Any>, &mut Started) -> Result<bool, uring::Error>;

struct Started {
    token: Option<uring::Token<Read<std::os::fd::OwnedFd, Vec<u8>>>>,
}

const RAW: u64 = 77;

fn take(ring: &mut Ring<Any>, started: &mut Started) -> Result<bool, uring::Error> {
    let token = started.token.take().expect("the read was not seen yet");
    match ring.take(token) {
        Ok(done) => {
            assert_eq!(done.buf, b"x");
            Ok(true)
        }
        Err(token) => {
            started.token = Some(token);
            Ok(false)
        }
    }
}

fn next_completion(ring: &mut Ring<Any>, _: &mut Started) -> Result<bool, uring::Error> {
    let completion = ring.next_completion()?;
    Ok(completion.is_some_and(|completion| completion.user_data() == RAW))
}

fn for_each(ring: &mut Ring<Any>, _: &mut Started) -> Result<bool, uring::Error> {
    let mut seen = false;
    let count = ring.for_each(|completion| seen |= completion.user_data() == RAW)?;
    assert_eq!(count, usize::from(seen));
    Ok(seen)
}

/// Brings completions into the queue; what is there then is looked at without entering the kernel.
fn get_events(ring: &mut Ring<Any>, started: &mut Started) -> Result<bool, uring::Error> {
    ring.submit_and_get_events()?;
    for_each(ring, started)
}

fn a_look_sees_what_waits_in_the_kernel(
    context: &Context,
    task_work: TaskWork,
    look: Look,
) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).task_work(task_work))?;
    let mut byte = [0_u8];
    for _ in 0..20 {
        let (owned_reader, owned_writer) = files::pipe()?;
        let (raw_reader, raw_writer) = files::socketpair()?;
        let token = ring.push(Read::new(owned_reader, Vec::with_capacity(8)))?;
        // SAFETY: the socket is open until the read was seen to complete.
        let target = unsafe { RawTarget::descriptor(raw_reader.as_raw_fd()) };
        // SAFETY: so is the byte, which nobody looks at before.
        let buf = unsafe { RawBuf::new(NonNull::from(&mut byte).cast(), 1) };
        ring.push_raw(Read::new(target, buf), RAW)?;
        ring.submit()?;
        let mut started = Started { token: Some(token) };
        std::thread::spawn(move || -> std::io::Result<()> {
            std::fs::File::from(owned_writer).write_all(b"x")?;
            std::fs::File::from(raw_writer).write_all(b"x")
        })
        .join()
        .expect("the writer does not panic")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !look(&mut ring, &mut started)? {
            assert!(Instant::now() < deadline, "the completion was never seen");
            std::thread::yield_now();
        }
        // What this look was not about.
        if let Some(token) = started.token {
            assert_eq!(ring.wait(token)?.buf, b"x");
        } else {
            ring.submit_and_wait(1)?;
            let completion = ring.next_completion()?.ok_or("no completion")?;
            assert_eq!((completion.user_data(), completion.raw_result()), (RAW, 1));
        }
        assert_eq!(byte, *b"x");
        byte = [0];
    }
    Ok(())
}

fn put_aside_completions_count(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.push_raw(Nop::new(), 1)?;
    ring.push_raw(Nop::new(), 2)?;
    // Both completions are put aside while the call waits for its own.
    ring.call(Nop::new())??;
    let long = Duration::from_secs(20);
    let start = Instant::now();
    assert_eq!(ring.submit_and_wait(1)?, 0);
    assert_eq!(ring.submit_and_wait(2)?, 0);
    assert_eq!(ring.submit_and_wait_timeout(2, long)?, 0);
    assert!(
        start.elapsed() < long,
        "it waited for completions that were there"
    );
    let short = Duration::from_millis(5);
    assert!(
        ring.submit_and_wait_timeout(3, short)
            .unwrap_err()
            .is_timed_out()
    );
    // The third is one that has to be submitted first.
    ring.push_raw(Nop::new(), 3)?;
    assert_eq!(ring.submit_and_wait_timeout(3, long)?, 1);
    let mut seen = Vec::new();
    assert_eq!(
        ring.for_each(|completion| seen.push(completion.user_data()))?,
        3
    );
    assert_eq!(seen, [1, 2, 3]);
    assert!(
        ring.submit_and_wait_timeout(1, short)
            .unwrap_err()
            .is_timed_out()
    );
    Ok(())
}

fn a_time_limit_ends_a_wait(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let limit = Duration::from_millis(20);
    let start = Instant::now();
    let error = ring.submit_and_wait_timeout(1, limit).unwrap_err();
    assert!(error.is_timed_out() && !error.is_interrupted() && !error.is_busy());
    assert_eq!(
        std::io::Error::from(error).kind(),
        std::io::ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= limit);

    // What was pushed is submitted although the time ran out.
    let (reader, writer) = files::pipe()?;
    let token = ring.push(Read::new(reader, vec![0; 4]))?;
    let error = ring.submit_and_wait_timeout(1, limit).unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    assert_eq!((ring.pending(), ring.in_flight()), (0, 1));
    std::fs::File::from(writer).write_all(b"y")?;
    assert_eq!(ring.submit_and_wait_timeout(1, Duration::from_secs(20))?, 0);
    assert_eq!(ring.wait(token)?.result?, 1);
    assert_eq!(ring.submit_and_wait_timeout(0, Duration::from_secs(20))?, 0);
    assert!(
        ring.submit_and_wait_timeout(1, Duration::ZERO)
            .unwrap_err()
            .is_timed_out()
    );
    Ok(())
}

/// Also if a part of what was waited for has come, of which the kernel makes a success.
fn a_time_limit_tells_of_what_is_missing(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let limit = Duration::from_millis(5);
    for number in 1..=3 {
        ring.push_raw(Nop::new(), number)?;
        let error = ring.submit_and_wait_timeout(4, limit).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let error = ring.submit_and_wait_timeout(4, limit).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        assert_eq!(ring.pending(), 0);
    }
    ring.push_raw(Nop::new(), 4)?;
    assert_eq!(ring.submit_and_wait_timeout(4, Duration::from_secs(20))?, 1);
    assert_eq!(ring.for_each(drop)?, 4);
    Ok(())
}

fn time_limits_are_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(EXT_ARG, context, 8)? else {
        return Ok(());
    };
    let error = ring
        .submit_and_wait_timeout(1, Duration::from_millis(1))
        .unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    ring.call(Nop::new())??;
    Ok(())
}

fn waiting_for_none_does_not_wait(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    assert_eq!(ring.submit_and_wait(0)?, 0);
    assert_eq!(ring.submit_and_get_events()?, 0);
    ring.push_raw(Nop::new(), 5)?;
    assert_eq!(ring.submit_and_wait(0)?, 1);
    assert_eq!(ring.for_each(drop)?, 1);
    Ok(())
}

fn no_more_is_waited_for_than_there_is_room_for(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).completion_entries(4))?;
    for number in 0..4 {
        ring.push_raw(Nop::new(), number)?;
    }
    assert_eq!(ring.submit_and_wait(5)?, 4);
    // They are still there.
    assert_eq!(ring.submit_and_wait(u32::MAX)?, 0);
    assert_eq!(ring.for_each(drop)?, 4);
    Ok(())
}

fn a_wait_has_what_it_waited_for(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    for count in 1..=16 {
        let mut writers = Vec::new();
        for _ in 0..count {
            let (reader, writer) = files::pipe()?;
            let token = ring.push(Read::new(reader, vec![0; 4]))?;
            ring.detach(token);
            writers.push(writer);
        }
        let raw = ring.in_flight();
        let writer = std::thread::spawn(move || {
            writers.into_iter().try_for_each(|writer| {
                std::thread::sleep(Duration::from_micros(200));
                std::fs::File::from(writer).write_all(b"z")
            })
        });
        assert_eq!(ring.submit_and_wait(raw)?, raw);
        // Nothing is waited for any more: everything is in the queue.
        ring.for_each(drop)?;
        assert_eq!(ring.in_flight(), 0);
        writer.join().expect("the writer does not panic")?;
    }
    Ok(())
}
