//! Queues of each size: what is asked for, what there is, and every place of it used.

use crate::common;

use std::ffi::CString;

use uring::op::{Nop, OpenAt};
use uring::{Builder, CompletionSize, EntrySize, Error, Handle, Hint, Ring};
use uring_testkit::process::with_rlimit;
use uring_testkit::{Context, FdTable, Feature, HandleKind, Suite, TestResult};

/// Fills the submission queue and then the completion queue up to its last place, several times over, and sees each number again.
fn fill<H: Handle>(context: &Context, ring: &mut Ring<H>) -> TestResult {
    let entries = ring.setup().entries();
    let completions = ring.setup().completion_entries();
    // Smaller ones go around at least once.
    let least = if completions <= 512 { 2 } else { 1 };
    for round in 0..context.rounds(3).max(least) {
        let mut pushed = 0;
        while pushed < completions {
            let batch = entries.min(completions - pushed);
            for _ in 0..batch {
                assert_ne!(ring.pending(), entries, "room for {entries} entries");
                ring.push_raw(Nop::new(), round << 32 | u64::from(pushed))?;
                pushed += 1;
            }
            assert_eq!(ring.submit()?, batch);
        }
        ring.submit_and_get_events()?;
        let mut seen = 0;
        let count = ring.for_each(|completion| {
            assert_eq!(completion.raw_result(), 0);
            assert_eq!(completion.user_data(), round << 32 | seen);
            seen += 1;
        })?;
        assert_eq!(u32::try_from(count)?, completions);
        assert_eq!(ring.dropped_completions(), 0);
    }
    Ok(())
}

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// H19: 512 and more entries take more than a page, which some kernels want contiguous.
fn h19_each_size_is_filled(context: &Context) -> TestResult {
    for exponent in 0..=15 {
        let entries = 1 << exponent;
        let builder = Builder::new(entries).in_flight(1);
        let mut ring = common::build(context, &builder)?;
        assert_eq!(ring.setup().entries(), entries);
        assert_eq!(ring.setup().completion_entries(), 2 * entries);
        fill(context, &mut ring)?;
    }
    Ok(())
}

fn h19_odd_sizes_are_rounded_up(context: &Context) -> TestResult {
    for (asked, given) in [(3, 4), (9, 16), (100, 128), (2000, 2048)] {
        let builder = Builder::new(asked).in_flight(1);
        let mut ring = common::build(context, &builder)?;
        assert_eq!(ring.setup().entries(), given);
        fill(context, &mut ring)?;
    }
    Ok(())
}

fn sizes_out_of_range_are_refused_or_clamped(context: &Context) -> TestResult {
    let entry_count = |builder: Builder<'_>| {
        let error = common::build(context, &builder).expect_err("out of range");
        assert!(error.is_invalid_request(), "{error}");
    };
    entry_count(Builder::new(0));
    entry_count(Builder::new(32769));
    entry_count(Builder::new(8).completion_entries(65537));
    entry_count(Builder::new(8).completion_entries(4));
    let builder = Builder::new(100_000)
        .completion_entries(1_000_000)
        .in_flight(1)
        .clamp(true);
    let ring = common::build(context, &builder)?;
    let setup = ring.setup();
    assert_eq!(
        (setup.entries(), setup.completion_entries()),
        (32768, 65536)
    );
    Ok(())
}

/// H20: of caller-provided memory the kernel must not be given less than it uses. The ring's own check would refuse it.
fn h20_completion_queues_of_their_own_size(context: &Context) -> TestResult {
    for entries in [1, 2, 4, 5, 64, 128, 512] {
        for completions in [1, 2, 8, 100, 128, 192, 256, 500, 1024, 4096, 65536] {
            if completions < entries {
                continue;
            }
            let builder = Builder::new(entries)
                .completion_entries(completions)
                .in_flight(1);
            let mut ring = common::build(context, &builder)?;
            assert_eq!(
                ring.setup().completion_entries(),
                completions.next_power_of_two().max(ring.setup().entries())
            );
            if completions <= 4096 {
                fill(context, &mut ring)?;
            }
        }
    }
    Ok(())
}

fn h20_large_entries_and_completions(context: &Context) -> TestResult {
    let sizes = [
        (EntrySize::Large, CompletionSize::Normal),
        (EntrySize::Normal, CompletionSize::Large),
        (EntrySize::Large, CompletionSize::Large),
    ];
    for (entry_size, completion_size) in sizes {
        for index_array in [false, true] {
            for exponent in [0, 1, 4, 5, 6, 7, 8, 9, 12] {
                let builder = Builder::new(1 << exponent)
                    .entry_size(entry_size)
                    .completion_size(completion_size)
                    .index_array(index_array)
                    .in_flight(1);
                let mut ring = common::build(context, &builder)?;
                assert_eq!(ring.setup().entry_size(), entry_size);
                assert_eq!(ring.setup().completion_size(), completion_size);
                fill(context, &mut ring)?;
            }
        }
    }
    Ok(())
}

fn large_sizes_are_refused(context: &Context) -> TestResult {
    for builder in [
        Builder::new(8).entry_size(EntrySize::Large),
        Builder::new(8).completion_size(CompletionSize::Large),
    ] {
        let error: Error = common::build(context, &builder).expect_err("not before 5.19");
        assert!(error.is_unsupported(), "{error}");
    }
    Ok(())
}

/// H20 with a descriptor: the same memory, the kernel's other way in.
fn h20_own_memory_with_a_descriptor(context: &Context) -> TestResult {
    fill(context, &mut Builder::new(8).own_memory(true).build()?)?;
    for entries in [1, 8, 64, 100, 4096] {
        for completions in [4096, 8192] {
            let built = Builder::new(entries)
                .completion_entries(completions)
                .own_memory(true)
                .index_array(true)
                .in_flight(1)
                .build();
            let mut ring = match built {
                Ok(ring) => ring,
                // Some kernels want more than a page contiguous, and a machine need not have huge pages.
                Err(error) if error.hint() == Some(Hint::ContiguousMemory) => continue,
                Err(error) => return Err(error.into()),
            };
            assert_eq!(FdTable::now()?.rings().count(), 1);
            fill(context, &mut ring)?;
        }
    }
    Ok(())
}

fn own_memory_is_refused(_: &Context) -> TestResult {
    let error = Builder::new(8)
        .own_memory(true)
        .build()
        .expect_err("not before 6.5");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// H28: the limit is about the table's size and not about what is opened into it.
fn h28_the_limit_of_descriptors_is_that_of_the_table(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    with_rlimit(libc::RLIMIT_NOFILE, 8, || -> TestResult {
        let error = ring.register_direct(9).expect_err("above the limit");
        assert!(error.is_limited(), "{error}");
        assert_eq!(ring.direct_slots(), 0);
        ring.register_direct(8)?;
        let mut open = Vec::new();
        for _ in 0..8 {
            let slot = ring.direct_slot()?;
            let path = CString::new("/proc/version")?;
            let opened = ring.call(OpenAt::new(path).into_direct(slot))?;
            open.push(opened.result?);
        }
        assert!(ring.direct_slot().is_err(), "every slot is taken");
        Ok(())
    })?
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("sizes");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite
        .test("h19_each_size", h19_each_size_is_filled)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h19_odd_sizes", h19_odd_sizes_are_rounded_up)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("out_of_range", sizes_out_of_range_are_refused_or_clamped)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h20_completion_queues",
            h20_completion_queues_of_their_own_size,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h20_large", h20_large_entries_and_completions)
        .on(HandleKind::ALL)
        .needs([Feature::SQE128, Feature::CQE32])
        .refused_by(large_sizes_are_refused);
    suite
        .test("h20_own_memory", h20_own_memory_with_a_descriptor)
        .needs([Feature::NO_MMAP])
        .refused_by(own_memory_is_refused);
    suite
        .test(
            "h28_table_limit",
            h28_the_limit_of_descriptors_is_that_of_the_table,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
}
