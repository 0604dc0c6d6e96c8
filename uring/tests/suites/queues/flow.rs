//! Many operations through small queues: none lost, none twice, in order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use uring::op::{Nop, Read};
use uring::{Any, Builder, Ring};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("q02_each_entry_runs_once", each_entry_runs_once)
        .on(HandleKind::ALL);
    suite
        .test(
            "q05_overflowing_completions_are_all_there",
            overflowing_completions_are_all_there,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "q05_overflowing_results_are_all_there",
            overflowing_results_are_all_there,
        )
        .on(HandleKind::ALL);
    suite
        .test("q05_overflow_of_both_kinds", overflow_of_both_kinds)
        .on(HandleKind::ALL);
    suite
        .test("owned_and_raw_on_one_ring", owned_and_raw_on_one_ring)
        .on(HandleKind::ALL);
    suite
        .test(
            "next_completion_keeps_the_order",
            next_completion_keeps_the_order,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "next_completion_takes_one_at_a_time",
            next_completion_takes_one_at_a_time,
        )
        .on(HandleKind::ALL);
    suite
        .test("for_each_survives_a_panic", for_each_survives_a_panic)
        .on(HandleKind::ALL);
    suite
        .test(
            "a_panic_in_for_each_makes_room",
            a_panic_in_for_each_makes_room,
        )
        .on(HandleKind::ALL);
    suite
        .test("submit_counts_what_was_taken", submit_counts_what_was_taken)
        .on(HandleKind::ALL);
    suite
        .test(
            "m15_a_raw_number_ends_no_operation_at_the_ring's_end",
            a_raw_number_ends_no_operation,
        )
        .on(HandleKind::ALL);
}

fn push_nops(ring: &mut Ring<Any>, numbers: std::ops::Range<u64>) -> TestResult {
    for number in numbers {
        ring.push_raw(Nop::new(), number)?;
    }
    Ok(())
}

/// Everything that `next_completion` gives.
fn drained(ring: &mut Ring<Any>) -> Result<Vec<u64>, uring::Error> {
    let mut numbers = Vec::new();
    while let Some(completion) = ring.next_completion()? {
        assert_eq!(completion.raw_result(), 0);
        numbers.push(completion.user_data());
    }
    Ok(numbers)
}

fn each_entry_runs_once(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    let mut seen = Vec::new();
    for round in 0..200 {
        push_nops(&mut ring, 7 * round..7 * (round + 1))?;
        ring.submit()?;
        ring.for_each(|completion| seen.push(completion.user_data()))?;
    }
    seen.extend(drained(&mut ring)?);
    assert_eq!(seen, (0..1400).collect::<Vec<_>>());
    Ok(())
}

/// Submits; old kernels want completions that overflowed reaped first.
fn submit_and_drain(ring: &mut Ring<Any>) -> Result<Vec<u64>, uring::Error> {
    let mut seen = Vec::new();
    while ring.pending() > 0 {
        match ring.submit() {
            Ok(_) => {}
            Err(error) if error.is_completions_waiting() => seen.extend(drained(ring)?),
            Err(error) => return Err(error),
        }
    }
    seen.extend(drained(ring)?);
    Ok(seen)
}

/// Completions that overflow come in order from Linux 6.0 on. Before, those that find room in the queue overtake those that wait in the
/// kernel.
fn assert_complete(context: &Context, mut seen: Vec<u64>, count: u64) {
    if !context.has(Feature::SINGLE_ISSUER) {
        seen.sort_unstable();
    }
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
}

fn overflowing_completions_are_all_there(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).completion_entries(4))?;
    push_nops(&mut ring, 0..100)?;
    let mut seen = Vec::new();
    // What the queue has room for, the rest waits in the kernel; where that takes no more entries, a push has reaped for it.
    let count = ring.for_each(|completion| seen.push(completion.user_data()))?;
    assert_eq!(count, seen.len());
    assert!(if context.has(Feature::SINGLE_ISSUER) {
        count == 4
    } else {
        count >= 4
    });
    seen.extend(submit_and_drain(&mut ring)?);
    push_nops(&mut ring, 100..104)?;
    seen.extend(submit_and_drain(&mut ring)?);
    assert_complete(context, seen, 104);
    assert_eq!(ring.dropped_completions(), 0);
    ring.call(Nop::new())??;
    Ok(())
}

fn overflowing_results_are_all_there(context: &Context) -> TestResult {
    let builder = Builder::new(4).completion_entries(4).in_flight(100);
    let mut ring = common::build(context, &builder)?;
    let zero = std::sync::Arc::new(std::fs::File::open("/dev/zero")?);
    let mut tokens = Vec::new();
    for length in 0..100 {
        let read = Read::new(zero.clone(), Vec::with_capacity(length)).limit(length);
        tokens.push((length, ring.push(read)?));
    }
    for (length, token) in tokens.into_iter().rev() {
        let done = ring.wait(token)?;
        assert_eq!((done.result?, done.buf), (length, vec![0; length]));
    }
    assert_eq!((ring.in_flight(), ring.pending()), (0, 0));
    Ok(())
}

fn overflow_of_both_kinds(context: &Context) -> TestResult {
    let builder = Builder::new(2).completion_entries(2).in_flight(50);
    let mut ring = common::build(context, &builder)?;
    let mut tokens = Vec::new();
    for number in 0..50 {
        ring.push_raw(Nop::new(), number)?;
        tokens.push(ring.push(Nop::new())?);
    }
    for token in tokens {
        ring.wait(token)??;
    }
    assert_complete(context, drained(&mut ring)?, 50);
    assert_eq!(ring.dropped_completions(), 0);
    Ok(())
}

fn owned_and_raw_on_one_ring(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let mut seen = Vec::new();
    for round in 0..100 {
        ring.push_raw(Nop::new(), 2 * round)?;
        let token = ring.push(Nop::new())?;
        ring.push_raw(Nop::new(), 2 * round + 1)?;
        if round % 3 == 0 {
            ring.submit()?;
            ring.for_each(|completion| seen.push(completion.user_data()))?;
        }
        ring.wait(token)??;
        if round % 7 == 0 {
            seen.extend(
                ring.next_completion()?
                    .map(|completion| completion.user_data()),
            );
        }
    }
    seen.extend(drained(&mut ring)?);
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    Ok(())
}

fn next_completion_keeps_the_order(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    assert_eq!(ring.next_completion()?, None);
    push_nops(&mut ring, 0..5)?;
    assert_eq!(ring.next_completion()?, None, "nothing was submitted");
    // These five are put aside by the call, the next five are not.
    ring.call(Nop::new())??;
    push_nops(&mut ring, 5..10)?;
    assert_eq!(ring.submit()?, 5);
    assert_eq!(drained(&mut ring)?, (0..10).collect::<Vec<_>>());
    Ok(())
}

/// Each completion that is given makes room for another in the kernel's queue; those of owned operations among them find their slots.
fn next_completion_takes_one_at_a_time(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).completion_entries(4))?;
    push_nops(&mut ring, 0..4)?;
    ring.submit()?;
    for number in 0..50 {
        let next = ring.next_completion()?.map(|done| done.user_data());
        assert_eq!((next, ring.completions_ready()), (Some(number), 3));
        push_nops(&mut ring, number + 4..number + 5)?;
        assert_eq!(ring.submit_and_wait(4)?, 1);
        assert_eq!(ring.completions_ready(), 4, "it did not fit into the queue");
    }
    assert_eq!(drained(&mut ring)?, [50, 51, 52, 53]);

    push_nops(&mut ring, 0..1)?;
    let token = ring.push(Nop::new())?;
    let detached = ring.push(Nop::new())?;
    ring.detach(detached);
    push_nops(&mut ring, 1..2)?;
    assert_eq!(ring.submit_and_wait(4)?, 4);
    assert_eq!(
        ring.next_completion()?.map(|done| done.user_data()),
        Some(0)
    );
    assert_eq!((ring.in_flight(), ring.completions_ready()), (2, 3));
    assert_eq!(
        ring.next_completion()?.map(|done| done.user_data()),
        Some(1)
    );
    assert_eq!((ring.in_flight(), ring.completions_ready()), (0, 0));
    ring.take(token)
        .expect("it has completed before the last raw one")?;
    Ok(())
}

fn for_each_survives_a_panic(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    push_nops(&mut ring, 0..2)?;
    ring.call(Nop::new())??;
    let token = ring.push(Nop::new())?;
    push_nops(&mut ring, 2..7)?;
    ring.submit()?;
    for last in [1, 4] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            ring.for_each(|completion| assert_ne!(completion.user_data(), last))
        }));
        assert!(panicked.is_err());
    }
    // What the closure has seen is gone, what it has not seen is there, and the ring works.
    assert_eq!(drained(&mut ring)?, [5, 6]);
    assert!(ring.take(token).is_ok());
    push_nops(&mut ring, 0..100)?;
    ring.submit()?;
    assert_eq!(drained(&mut ring)?.len(), 100);
    Ok(())
}

/// What a panicking closure has seen makes room in the kernel's queue at once.
fn a_panic_in_for_each_makes_room(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).completion_entries(4))?;
    push_nops(&mut ring, 0..4)?;
    ring.submit()?;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ring.for_each(|completion| assert_ne!(completion.user_data(), 1))
    }));
    assert!(panicked.is_err());
    push_nops(&mut ring, 4..6)?;
    ring.submit()?;
    let mut seen = Vec::new();
    ring.for_each(|completion| seen.push(completion.user_data()))?;
    assert_eq!(
        seen,
        [2, 3, 4, 5],
        "the last two did not fit into the queue"
    );
    Ok(())
}

fn submit_counts_what_was_taken(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    assert_eq!(ring.submit()?, 0);
    for count in 1..=8 {
        push_nops(&mut ring, 0..count.into())?;
        assert_eq!(ring.pending(), count);
        assert_eq!(ring.submit()?, count);
        assert_eq!(ring.pending(), 0);
        assert_eq!(drained(&mut ring)?.len(), usize::try_from(count)?);
    }
    Ok(())
}

/// The number that tells an operation's completion, without the bit that raw operations may not have.
fn number_of<O>(token: &uring::Token<O>) -> Result<u64, Box<dyn std::error::Error>> {
    let text = format!("{token:?}");
    let field = |name: &str| -> Result<u64, Box<dyn std::error::Error>> {
        let (_, rest) = text.split_once(name).ok_or("no such field")?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        Ok(digits.unwrap_or_default().parse()?)
    };
    Ok((field("sequence: ")? & 0x7fff_ffff) << 32 | field("slot: ")?)
}

fn a_raw_number_ends_no_operation(context: &Context) -> TestResult {
    const LENGTH: usize = 1 << 20;
    let dir = uring_testkit::files::TempDir::new()?;
    let path = dir.random_file("file", LENGTH, 15)?;
    for _ in 0..context.rounds(5) {
        let file = uring_testkit::files::open_direct(&path)?;
        let (buffer, recording) = common::Recorded::new(LENGTH)?;
        let mut ring = common::ring(context, 8)?;
        let token = ring.push(Read::new(file, buffer).at(0))?;
        ring.submit()?;
        // Never submitted, it is taken back when the ring ends, and with it a number that looks like the read's.
        let forged = number_of(&token).map_err(|error| error.to_string())?;
        ring.push_raw(Nop::new(), forged)?;
        drop(ring);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(recording.changed_since_drop(), Some(0));
    }
    Ok(())
}
