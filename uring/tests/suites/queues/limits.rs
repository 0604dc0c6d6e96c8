//! Full queues and full slots: what does not fit comes back whole.

use uring::op::{Nop, Write};
use uring::{Builder, Chain};
use uring_testkit::{Context, HandleKind, Suite, TestResult, files, process};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("q02_a_full_queue_gives_back", a_full_queue_gives_back)
        .on(HandleKind::ALL);
    suite
        .test("q02_one_entry_is_enough", one_entry_is_enough)
        .on(HandleKind::ALL);
    suite
        .test("q02_the_largest_ring_fills_up", the_largest_ring_fills_up)
        .on(HandleKind::ALL);
    suite
        .test("in_flight_is_limited", in_flight_is_limited)
        .on(HandleKind::ALL);
    suite
        .test(
            "a_forked_copy_can_be_looked_at",
            a_forked_copy_can_be_looked_at,
        )
        .on(HandleKind::ALL);
    suite.test("in_flight_is_kept_in_range", in_flight_is_kept_in_range);
    suite
        .test(
            "a_chain_fits_whole_or_not_at_all",
            a_chain_fits_whole_or_not_at_all,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "a_chain_needs_a_slot_for_each",
            a_chain_needs_a_slot_for_each,
        )
        .on(HandleKind::ALL);
}

fn a_full_queue_gives_back(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    let (reader, writer) = files::pipe()?;
    let writer = std::sync::Arc::new(writer);
    let mut tokens = Vec::new();
    for text in ["a", "b", "c", "d"] {
        tokens.push(ring.try_push(Write::new(writer.clone(), text))?);
    }
    let refused = ring.try_push(Write::new(writer.clone(), "e")).unwrap_err();
    assert!(refused.error().is_queue_full() && refused.error().is_busy());
    assert!(refused.to_string().contains("queue is full"), "{refused}");
    assert_eq!(ring.pending(), 4);
    assert_eq!(files::bytes_waiting(&reader)?, 0, "nothing was submitted");
    // What came back is the operation itself, and a push that may submit takes it.
    tokens.push(ring.push(refused.into_inner())?);
    assert_eq!(ring.pending(), 1);
    for token in tokens {
        assert_eq!(ring.wait(token)?.result?, 1);
    }
    let mut text = [0; 8];
    let count = std::io::Read::read(&mut std::fs::File::from(reader), &mut text)?;
    // Operations that are not linked may run in any order, and on Linux 6.1 writes to a pipe do.
    text[..count].sort_unstable();
    assert_eq!(&text[..count], b"abcde");
    Ok(())
}

fn one_entry_is_enough(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 1)?;
    assert_eq!(ring.setup().entries(), 1);
    assert_eq!(ring.setup().completion_entries(), 2);
    for _ in 0..100 {
        ring.call(Nop::new())??;
    }
    for number in 0..100 {
        ring.push_raw(Nop::new(), number)?;
    }
    let mut seen = Vec::new();
    while let Some(completion) = {
        ring.submit()?;
        ring.next_completion()?
    } {
        seen.push(completion.user_data());
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    let refused = ring.push_chain(Chain::new(Nop::new()).then(Nop::new()));
    assert!(refused.unwrap_err().error().is_queue_full());
    Ok(())
}

fn the_largest_ring_fills_up(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 32768)?;
    assert_eq!(ring.setup().completion_entries(), 65536);
    let mut tokens = Vec::new();
    for _ in 0..32768 {
        tokens.push(ring.try_push(Nop::new())?);
    }
    assert!(
        ring.try_push(Nop::new())
            .unwrap_err()
            .error()
            .is_queue_full()
    );
    assert_eq!(ring.submit()?, 32768);
    for number in 0..32768 {
        ring.push_raw(Nop::new(), number)?;
    }
    assert_eq!(ring.submit()?, 32768);
    let mut next = 0;
    ring.for_each(|completion| {
        assert_eq!(completion.user_data(), next);
        next += 1;
    })?;
    assert_eq!(next, 32768);
    for token in tokens {
        assert!(matches!(ring.take(token), Ok(Ok(()))));
    }
    Ok(())
}

fn in_flight_is_limited(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).in_flight(2))?;
    assert_eq!(ring.in_flight_capacity(), 2);
    let first = ring.push(Nop::new())?;
    let second = ring.push(Nop::new())?;
    let refused = ring
        .push(Write::new(std::io::stdout(), vec![1, 2, 3]))
        .unwrap_err();
    assert!(refused.error().is_out_of_slots() && refused.error().is_busy());
    assert!(!refused.error().is_queue_full());
    assert!(format!("{:?}", refused.into_inner()).contains("[1, 2, 3]"));
    assert_eq!(ring.in_flight(), 2);

    // A result that nobody has taken keeps its slot; raw operations need none.
    assert_eq!(ring.submit_and_wait(2)?, 2);
    assert!(ring.push(Nop::new()).unwrap_err().error().is_out_of_slots());
    assert_eq!(ring.in_flight(), 0);
    ring.push_raw(Nop::new(), 1)?;
    ring.wait(first)??;
    let third = ring.push(Nop::new())?;
    ring.detach(second);
    let fourth = ring.push(Nop::new())?;
    assert!(ring.push(Nop::new()).unwrap_err().error().is_out_of_slots());
    ring.wait(third)??;
    ring.wait(fourth)??;
    Ok(())
}

/// A child's copy of a ring may be asked what it holds, though the queues are the parent's.
fn a_forked_copy_can_be_looked_at(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Nop::new())?;
    process::fork_and(|| {
        assert_eq!((ring.pending(), ring.in_flight()), (1, 1));
        assert_eq!(ring.dropped_completions(), 0);
        assert!(format!("{ring:?}").contains("in_flight: 1, pending: 1"));
        assert!(ring.submit().unwrap_err().is_forked());
        assert!(ring.for_each(drop).unwrap_err().is_forked());
        assert!(ring.next_completion().unwrap_err().is_forked());
        assert!(ring.push(Nop::new()).unwrap_err().error().is_forked());
        Ok(())
    })?
    .check()?;
    ring.wait(token)??;
    Ok(())
}

fn in_flight_is_kept_in_range(_: &Context) -> TestResult {
    for (asked, given) in [(0, 1), (1, 1), (65536, 65536), (u32::MAX, 65536)] {
        let mut ring = Builder::new(1).in_flight(asked).build()?;
        assert_eq!(ring.in_flight_capacity(), given);
        ring.call(Nop::new())??;
    }
    let ring = Builder::new(4).completion_entries(32).build()?;
    assert_eq!(ring.in_flight_capacity(), 32);
    Ok(())
}

fn a_chain_fits_whole_or_not_at_all(context: &Context) -> TestResult {
    let (reader, writer) = files::pipe()?;
    let writer = std::sync::Arc::new(writer);
    let write = |text| Write::new(writer.clone(), text);
    let mut ring = common::ring(context, 2)?;
    let chain = Chain::new(write("a")).then(write("b")).then(write("c"));
    let refused = ring.push_chain(chain).unwrap_err();
    assert!(refused.error().is_queue_full());
    assert_eq!((ring.pending(), ring.in_flight()), (0, 0));
    ring.call(Nop::new())??;
    assert_eq!(files::bytes_waiting(&reader)?, 0, "a part of the chain ran");

    // It goes into a longer queue, after what is in its way was submitted.
    let mut ring = common::ring(context, 4)?;
    let nops = [ring.push(Nop::new())?, ring.push(Nop::new())?];
    let ((a, b), c) = ring.push_chain(refused.into_inner())?;
    assert_eq!(ring.pending(), 3);
    for token in [a, b, c] {
        assert_eq!(ring.wait(token)?.result?, 1);
    }
    let mut text = [0; 8];
    let count = std::io::Read::read(&mut std::fs::File::from(reader), &mut text)?;
    assert_eq!(&text[..count], b"abc");
    for token in nops {
        ring.wait(token)??;
    }
    Ok(())
}

fn a_chain_needs_a_slot_for_each(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).in_flight(3))?;
    let chain = || Chain::new(Nop::new()).then(Nop::new());
    let (first, second) = ring.push_chain(chain())?;
    assert!(
        ring.push_chain(chain())
            .unwrap_err()
            .error()
            .is_out_of_slots()
    );
    assert_eq!((ring.pending(), ring.in_flight()), (2, 2));
    ring.wait(first)??;
    let (third, fourth) = ring.push_chain(chain())?;
    for token in [second, third, fourth] {
        ring.wait(token)??;
    }
    Ok(())
}
