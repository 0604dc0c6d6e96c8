//! Rings whose entries a kernel thread takes.

use std::time::{Duration, Instant};

use uring::op::{Nop, Read};
use uring::{Any, Builder, Chain, Ring, SubmissionThread};
use uring_testkit::{Context, HandleKind, Suite, TestResult, files};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test(
            "q03_a_thread_that_sleeps_is_woken",
            a_thread_that_sleeps_is_woken,
        )
        .on(HandleKind::ALL);
    suite
        .test("q03_one_at_a_time", one_at_a_time)
        .on(HandleKind::ALL);
    suite
        .test(
            "q03_a_full_queue_waits_for_the_thread",
            a_full_queue_waits_for_the_thread,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "q03_the_end_waits_for_the_thread",
            the_end_waits_for_the_thread,
        )
        .on(HandleKind::ALL);
}

/// The shortest time that the kernel knows for it to fall asleep.
fn ring(context: &Context, entries: u32) -> Result<Ring<Any>, uring::Error> {
    let thread = SubmissionThread::new().idle(Duration::from_millis(1));
    common::build(context, &Builder::new(entries).submission_thread(thread))
}

fn a_thread_that_sleeps_is_woken(context: &Context) -> TestResult {
    let nops = context.rounds(20_000);
    let mut ring = ring(context, 64)?;
    let (mut pushed, mut seen) = (0, 0);
    for batch in (1..=64).step_by(9).cycle() {
        let end = nops.min(pushed + batch);
        while pushed < end {
            ring.push_raw(Nop::new(), pushed)?;
            pushed += 1;
        }
        ring.submit()?;
        while seen < pushed {
            ring.submit_and_wait(1)?;
            ring.for_each(|completion| {
                assert_eq!(completion.user_data(), seen);
                seen += 1;
            })?;
        }
        if batch == 64 {
            // On both sides of the moment at which it falls asleep.
            std::thread::sleep(Duration::from_micros(500 + pushed % 1000));
        }
        if pushed == nops {
            break;
        }
    }
    // The thread says what it has taken after what it took may have completed.
    let deadline = Instant::now() + Duration::from_secs(10);
    while ring.pending() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(ring.pending(), 0);
    Ok(())
}

fn one_at_a_time(context: &Context) -> TestResult {
    let mut ring = ring(context, 1)?;
    for round in 0..context.rounds(300) {
        ring.call(Nop::new())??;
        if round % 3 == 0 {
            std::thread::sleep(Duration::from_micros(800 + 5 * round));
        }
    }
    Ok(())
}

fn a_full_queue_waits_for_the_thread(context: &Context) -> TestResult {
    let nops = context.rounds(2000);
    let mut ring = ring(context, 4)?;
    let mut seen = Vec::new();
    for number in 0..nops {
        ring.push_raw(Nop::new(), number)?;
        if number % 16 == 0 {
            ring.for_each(|completion| seen.push(completion.user_data()))?;
        }
    }
    ring.submit()?;
    let expected: Vec<_> = (0..nops).collect();
    while seen.len() < expected.len() {
        ring.submit_and_wait(1)?;
        ring.for_each(|completion| seen.push(completion.user_data()))?;
    }
    assert_eq!(seen, expected);
    for _ in 0..context.rounds(100) {
        let chain = Chain::new(Nop::new()).then(Nop::new()).then(Nop::new());
        let ((first, second), third) = ring.push_chain(chain)?;
        for token in [first, second, third] {
            ring.detach(token);
        }
    }
    while ring.in_flight() > 0 {
        ring.submit_and_get_events()?;
        ring.for_each(drop)?;
    }
    let chain = Chain::new(Nop::new()).then(Nop::new()).then(Nop::new());
    let too_long = chain.then(Nop::new()).then(Nop::new());
    assert!(
        ring.push_chain(too_long)
            .unwrap_err()
            .error()
            .is_queue_full()
    );
    Ok(())
}

fn the_end_waits_for_the_thread(context: &Context) -> TestResult {
    for _ in 0..context.rounds(10) {
        let mut ring = ring(context, 8)?;
        let (reader, _writer) = files::pipe()?;
        let (buffer, recording) = common::Recorded::new(4096)?;
        let _forgotten = ring.push(Read::new(reader, buffer))?;
        let _never_submitted = ring.push(Nop::new())?;
        std::thread::sleep(Duration::from_millis(2));
        drop(ring);
        assert_eq!(recording.changed_since_drop(), Some(0));
    }
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}
