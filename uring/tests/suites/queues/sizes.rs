//! Entries of 128 and completions of 32 bytes.

use uring::op::{Nop, Nop128};
use uring::{Builder, Chain, CompletionSize, EntrySize, Hint, TaskWork};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult};

use crate::common;

const NOP128: Feature = Feature::opcode(uring_sys::IORING_OP_NOP128);

const LARGE_COMPLETIONS: Builder<'static> = Builder::new(8).completion_size(CompletionSize::Large);
const MIXED_COMPLETIONS: Builder<'static> = Builder::new(4).completion_size(CompletionSize::Mixed);
const LARGE_ENTRIES: Builder<'static> = Builder::new(8).entry_size(EntrySize::Large);
const MIXED_ENTRIES: Builder<'static> = Builder::new(8).entry_size(EntrySize::Mixed);
const REWINDING: Builder<'static> = Builder::new(8).rewind(true);

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("q06_large_completions", large_completions)
        .on(HandleKind::ALL)
        .needs([Feature::CQE32])
        .refused_by(|context| refused(context, &LARGE_COMPLETIONS));
    suite
        .test("q06_large_completions_carry_more", |context| {
            completions_carry_more(context, &LARGE_COMPLETIONS)
        })
        .on(HandleKind::ALL)
        .needs([Feature::CQE_MIXED])
        .no_refusal("the flag of NOPs came with mixed completions");
    suite
        .test("q06_mixed_completions_carry_more", |context| {
            completions_carry_more(context, &MIXED_COMPLETIONS)
        })
        .on(HandleKind::ALL)
        .needs([Feature::CQE_MIXED])
        .refused_by(|context| refused(context, &MIXED_COMPLETIONS));
    suite
        .test(
            "q06_large_completions_of_owned_operations",
            owned_large_completions,
        )
        .on(HandleKind::ALL)
        .needs([Feature::CQE_MIXED])
        .no_refusal("see q06_mixed_completions_carry_more");
    suite
        .test(
            "q06_a_large_completion_ends_a_wait_for_two",
            a_large_completion_counts_twice,
        )
        .on(HandleKind::ALL)
        .needs([Feature::CQE_MIXED])
        .no_refusal("see q06_mixed_completions_carry_more");
    suite
        .test("q06_no_large_completion_in_small_ones", no_large_completion)
        .on(HandleKind::ALL)
        .needs([Feature::NOP_INJECT_RESULT])
        .no_refusal("older kernels do not look at the flags of NOPs");
    suite
        .test("q06_large_entries", |context| nops(context, &LARGE_ENTRIES))
        .on(HandleKind::ALL)
        .needs([Feature::SQE128])
        .refused_by(|context| refused(context, &LARGE_ENTRIES));
    suite
        .test("q06_large_operations_in_large_entries", |context| {
            large_operations(context, &LARGE_ENTRIES)
        })
        .on(HandleKind::ALL)
        .needs([Feature::SQE128, NOP128])
        .refused_by(an_unknown_large_operation_is_an_error);
    suite
        .test("q06_large_operations_in_mixed_entries", |context| {
            large_operations(context, &MIXED_ENTRIES)
        })
        .on(HandleKind::ALL)
        .needs([Feature::SQE_MIXED])
        .refused_by(|context| refused(context, &MIXED_ENTRIES));
    suite
        .test("q06_chains_of_both_sizes", chains_of_both_sizes)
        .on(HandleKind::ALL)
        .needs([Feature::SQE_MIXED])
        .no_refusal("see q06_large_operations_in_mixed_entries");
    suite
        .test(
            "q06_large_operations_in_the_smallest_mixed_queue",
            |context| large_operations(context, &Builder::new(3).entry_size(EntrySize::Mixed)),
        )
        .on(HandleKind::ALL)
        .needs([Feature::SQE_MIXED])
        .no_refusal("see q06_large_operations_in_mixed_entries");
    suite
        .test(
            "q06_small_entries_take_no_large_operation",
            small_entries_refuse,
        )
        .on(HandleKind::ALL);
    suite
        .test("a_rewinding_queue_runs_everything", |context| {
            nops(context, &REWINDING)
        })
        .on(HandleKind::ALL)
        .needs([Feature::SQ_REWIND])
        .refused_by(|context| refused(context, &REWINDING));
}

/// Which setup flag is missing, and since when mainline has it.
fn refused(context: &Context, builder: &Builder<'_>) -> TestResult {
    let missing = context.missing();
    // The handle itself may be what the kernel lacks; then that is refused first or second.
    let error = common::build(context, builder).expect_err("the kernel lacks what is asked for");
    assert!(error.is_unsupported(), "{error}");
    let Some(Hint::NeedsLinux {
        major,
        minor,
        evidence,
    }) = error.hint()
    else {
        return Err(format!("no evidence: {error}").into());
    };
    let named = missing
        .iter()
        .find(|feature| evidence.as_str().contains(feature.name()));
    if let Some(feature) = named {
        let since = feature.since();
        assert_eq!(
            (u16::from(major), u16::from(minor)),
            (since.major, since.minor)
        );
    } else {
        assert!(missing.len() > 1, "{error}");
    }
    Ok(())
}

/// More than a queue holds, with refused entries in between, and in batches of every size.
fn nops(context: &Context, builder: &Builder<'_>) -> TestResult {
    let mut ring = common::build(context, builder)?;
    let mut next = 0;
    let mut seen = Vec::new();
    for batch in (1..=8).cycle().take(100) {
        for _ in 0..batch {
            ring.push_raw(Nop::new(), next)?;
            next += 1;
        }
        assert_eq!(ring.submit()?, batch);
        ring.for_each(|completion| {
            assert_eq!((completion.raw_result(), completion.extra()), (0, [0; 2]));
            seen.push(completion.user_data());
        })?;
    }
    assert_eq!(seen, (0..next).collect::<Vec<_>>());
    for _ in 0..20 {
        ring.call(Nop::new())??;
    }
    Ok(())
}

fn large_completions(context: &Context) -> TestResult {
    let ring = common::build(context, &LARGE_COMPLETIONS)?;
    assert_eq!(ring.setup().completion_size(), CompletionSize::Large);
    drop(ring);
    nops(context, &LARGE_COMPLETIONS)
}

fn completions_carry_more(context: &Context, builder: &Builder<'_>) -> TestResult {
    let mut ring = common::build(context, builder)?;
    let mut seen = 0;
    // One, two or three slots of completions a round: the large ones come to every place in the queue.
    for number in 0..1000 {
        let large = number % 3 != 0;
        let extra = if large { [number, !number] } else { [0; 2] };
        let nop = if large {
            Nop::new().large_completion(extra)
        } else {
            Nop::new()
        };
        ring.push_raw(nop, number)?;
        if number % 4 == 3 {
            ring.submit()?;
            ring.for_each(|completion| {
                let number = completion.user_data();
                assert_eq!((number, completion.raw_result()), (seen, 0));
                let extra = if number % 3 == 0 {
                    [0; 2]
                } else {
                    [number, !number]
                };
                assert_eq!(completion.extra(), extra);
                seen += 1;
            })?;
        }
    }
    while let Some(completion) = ring.next_completion()? {
        assert_eq!(completion.user_data(), seen);
        seen += 1;
    }
    assert_eq!(seen, 1000);
    Ok(())
}

fn owned_large_completions(context: &Context) -> TestResult {
    let mut ring = common::build(context, &MIXED_COMPLETIONS)?;
    for round in 0..100 {
        let small = ring.push(Nop::new())?;
        let large = ring.push(Nop::new().large_completion([round, round]))?;
        ring.push_raw(Nop::new().large_completion([1, round]), round)?;
        ring.wait(large)??;
        ring.wait(small)??;
        let completion = ring.next_completion()?.ok_or("no completion")?;
        assert_eq!(
            (completion.user_data(), completion.extra()),
            (round, [1, round])
        );
    }
    Ok(())
}

fn a_large_completion_counts_twice(context: &Context) -> TestResult {
    let mut ring = common::build(context, &MIXED_COMPLETIONS)?;
    let limit = std::time::Duration::from_secs(10);
    ring.push_raw(Nop::new().large_completion([1, 2]), 1)?;
    assert_eq!(ring.submit_and_wait_timeout(2, limit)?, 1);
    assert_eq!(ring.for_each(drop)?, 1);
    let short = std::time::Duration::from_millis(1);
    ring.push_raw(Nop::new(), 2)?;
    assert!(
        ring.submit_and_wait_timeout(2, short)
            .unwrap_err()
            .is_timed_out()
    );
    Ok(())
}

fn no_large_completion(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let result = ring.call(Nop::new().large_completion([1, 2]))?;
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    Ok(())
}

fn large_operations(context: &Context, builder: &Builder<'_>) -> TestResult {
    let mut ring = common::build(context, builder)?;
    let mut seen = Vec::new();
    for number in 0..500 {
        if number % 3 == 0 {
            ring.push_raw(Nop::new(), number)?;
        } else {
            ring.push_raw(Nop128::new(), number)?;
        }
        if number % 5 == 0 {
            ring.submit()?;
            assert_eq!(ring.pending(), 0);
        }
        ring.for_each(|completion| {
            assert_eq!(completion.raw_result(), 0);
            seen.push(completion.user_data());
        })?;
    }
    ring.call(Nop128::new())??;
    while let Some(completion) = ring.next_completion()? {
        seen.push(completion.user_data());
    }
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    Ok(())
}

fn chains_of_both_sizes(context: &Context) -> TestResult {
    let mut ring = common::build(context, &MIXED_ENTRIES)?;
    for _ in 0..50 {
        let chain = Chain::new(Nop::new()).then(Nop128::new()).then(Nop::new());
        let ((first, second), third) = ring.push_chain(chain)?;
        ring.wait(third)??;
        ring.wait(second)??;
        ring.wait(first)??;
    }
    Ok(())
}

fn an_unknown_large_operation_is_an_error(context: &Context) -> TestResult {
    let mut ring = match common::build(context, &LARGE_ENTRIES) {
        Ok(ring) => ring,
        Err(_) => return refused(context, &LARGE_ENTRIES),
    };
    let result = ring.call(Nop128::new())?;
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    ring.call(Nop::new())??;
    Ok(())
}

fn small_entries_refuse(context: &Context) -> TestResult {
    let builder = Builder::new(8).task_work(TaskWork::Interrupting);
    let mut ring = common::build(context, &builder)?;
    let refused = ring.push(Nop128::new()).unwrap_err();
    assert!(refused.error().is_invalid_request());
    assert_eq!(refused.error().hint(), Some(Hint::EntryTooLarge));
    let raw = ring.push_raw(refused.into_inner(), 1).unwrap_err();
    assert_eq!(raw.error().hint(), Some(Hint::EntryTooLarge));
    let chain = Chain::new(Nop::new()).then(Nop128::new());
    let chain = ring.push_chain(chain).unwrap_err();
    assert_eq!(chain.error().hint(), Some(Hint::EntryTooLarge));
    assert_eq!((ring.pending(), ring.in_flight()), (0, 0));
    Ok(())
}
