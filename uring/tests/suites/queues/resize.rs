//! Queues that become larger and smaller in the middle of things.

use std::fs::File;
use std::io::Write as _;

use uring::op::{Nop, Read};
use uring::{Builder, CompletionSize, EntrySize, Hint, SetupFlags};
use uring_testkit::process::with_rlimit;
use uring_testkit::{Context, Facility, Feature, HandleKind, Suite, TestResult, files};

use crate::common::{self, pending};

const RESIZE: Feature = Feature::register(uring_sys::IORING_REGISTER_RESIZE_RINGS);

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("q01_h29_a_resized_ring_keeps_everything", keeps_everything)
        .on([HandleKind::Registered, HandleKind::Born])
        .needs([RESIZE])
        .refused_by(older_kernels_refuse);
    suite
        .test("h09_a_ring_without_descriptor_is_not_lost", is_not_lost)
        .on([HandleKind::Closed])
        .needs([RESIZE])
        .no_refusal("it is refused before the kernel is asked");
    suite
        .test("q05_a_resized_ring_keeps_what_overflowed", keeps_overflowed)
        .on([HandleKind::Registered, HandleKind::Born])
        .needs([RESIZE])
        .no_refusal("the test beside it shows how it is refused");
    suite
        .test("a_resize_that_is_refused", refused_and_tried_again)
        .on([HandleKind::Registered, HandleKind::Born])
        .needs([RESIZE])
        .requires([Facility::PRIVILEGES])
        .no_refusal("the test beside it shows how it is refused")
        .own_process();
    suite
        .test("a_resize_without_memory", fails_without_memory)
        .on([HandleKind::Registered, HandleKind::Born])
        .needs([RESIZE])
        .no_refusal("the test beside it shows how it is refused")
        .own_process();
}

fn refused_and_tried_again(context: &Context) -> TestResult {
    // A user of its own: memory is counted for all processes of a user, and Linux 6.16 lets go of it late.
    let user = match context.handle() {
        HandleKind::Registered => 65_530,
        _ => 65_531,
    };
    // SAFETY: changes the user of this process, which is the test's own.
    let changed = unsafe { libc::setresuid(user, user, user) };
    assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
    // Without privileges the memory of rings counts as locked.
    with_rlimit(libc::RLIMIT_MEMLOCK, 256 << 10, || -> TestResult {
        let mut ring = common::ring(context, 8)?;
        let (reader, writer) = files::pipe()?;
        let token = ring.push(Read::new(reader, vec![0; 4]))?;
        ring.push_raw(Nop::new(), 1)?;
        for _ in 0..3 {
            let Err(error) = ring.resize(8192, 16384) else {
                // Newer kernels count that memory otherwise.
                assert!(context.has(Feature::setup(uring_sys::IORING_SETUP_SQ_REWIND)));
                return Ok(());
            };
            assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
            assert!(error.is_limited() && !error.is_ring_lost(), "{error}");
            assert_eq!((ring.setup().entries(), ring.in_flight()), (8, 1));
        }
        // What was pushed before went out, and the queues are where they were.
        ring.submit_and_wait(1)?;
        assert_eq!(ring.for_each(drop)?, 1);
        for (entries, completions) in [(16, 32), (64, 64), (4, 8)] {
            ring.resize(entries, completions)?;
            assert_eq!(ring.setup().entries(), entries);
            for _ in 0..2 * completions {
                ring.call(Nop::new())??;
            }
            assert!(
                ring.resize(8192, 16384)
                    .is_err_and(|error| error.is_limited())
            );
        }
        File::from(writer).write_all(b"abc")?;
        assert_eq!(ring.wait(token)?.result?, 3);
        Ok(())
    })?
}

fn keeps_everything(context: &Context) -> TestResult {
    let plain = Builder::new(8);
    resize_often(context, &plain)?;
    resize_often(context, &plain.clone().index_array(true))?;
    resize_often(
        context,
        &plain.clone().completion_size(CompletionSize::Large),
    )?;
    resize_often(context, &plain.clone().entry_size(EntrySize::Large))?;
    if context.handle() == HandleKind::Registered {
        resize_often(context, &plain.clone().own_memory(true))?;
    }
    for (feature, builder) in [
        (
            Feature::setup(uring_sys::IORING_SETUP_SQ_REWIND),
            plain.clone().rewind(true),
        ),
        (
            Feature::setup(uring_sys::IORING_SETUP_SQE_MIXED),
            plain.clone().entry_size(EntrySize::Mixed),
        ),
        (
            Feature::CQE_MIXED,
            plain.clone().completion_size(CompletionSize::Mixed),
        ),
    ] {
        if context.has(feature) {
            resize_often(context, &builder)?;
        }
    }
    Ok(())
}

fn resize_often(context: &Context, builder: &Builder<'_>) -> TestResult {
    let mut ring = common::build(context, builder)?;
    let mut number = 0;
    let mut tokens = Vec::new();
    // Twice what it is rounded up to and twice the same: nothing to do for the kernels that see it.
    let sizes = [(64, 128), (4, 8), (3, 5), (256, 1024), (256, 1024), (8, 16)];
    for (entries, completions) in sizes {
        // In flight, not submitted, and not reaped, at places that are not the beginning of the queues.
        let (reader, writer) = files::pipe()?;
        tokens.push((ring.push(Read::new(reader, vec![0; 4]))?, writer));
        number += 1;
        ring.push_raw(Nop::new(), number)?;
        ring.submit_and_wait(1)?;
        number += 1;
        ring.push_raw(Nop::new(), number)?;
        ring.resize(entries, completions)?;
        let setup = ring.setup();
        assert_eq!(
            (setup.entries(), setup.completion_entries()),
            (entries.next_power_of_two(), completions.next_power_of_two())
        );
        assert!(setup.flags().contains(SetupFlags::DEFER_TASKRUN));
        assert_eq!(ring.pending(), 0);
        ring.submit_and_wait(2)?;
        let mut seen = Vec::new();
        ring.for_each(|completion| seen.push(completion.user_data()))?;
        assert_eq!(seen, [number - 1, number]);
        // Twice around the new queues.
        for _ in 0..2 * completions.next_power_of_two() {
            ring.call(Nop::new())??;
        }
    }
    for refused in [(0, 8), (8, 0), (16, 8), (65536, 65536), (8, 131_072)] {
        assert!(ring.resize(refused.0, refused.1).is_err());
    }
    assert_eq!(usize::try_from(ring.in_flight())?, tokens.len());
    for (token, writer) in tokens {
        File::from(writer).write_all(b"abc")?;
        let done = ring.wait(token)?;
        assert_eq!((done.result?, &done.buf[..3]), (3, &b"abc"[..]));
    }
    Ok(())
}

fn is_not_lost(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.push_raw(Nop::new(), 1)?;
    let error = ring.resize(16, 32).unwrap_err();
    assert_eq!(error.hint(), Some(Hint::NeedsDescriptor), "{error}");
    assert_eq!((ring.setup().entries(), ring.pending()), (8, 1));
    assert_eq!(ring.submit_and_wait(1)?, 1);
    assert_eq!(ring.for_each(drop)?, 1);
    // One in memory of its own moves to other memory of its own.
    resize_often(context, &Builder::new(8).own_memory(true))?;
    // One whose task work is not deferred is not lost either.
    let mut movable = uring::Ring::new(8)?;
    assert!(movable.resize(16, 32).unwrap_err().is_invalid_request());
    movable.call(Nop::new())??;
    Ok(())
}

fn keeps_overflowed(context: &Context) -> TestResult {
    const MANY: u64 = 40;
    let mut ring = common::ring(context, 8)?;
    for number in 0..MANY {
        ring.push_raw(Nop::new(), number)?;
        ring.submit()?;
    }
    assert!(u64::from(ring.setup().completion_entries()) < MANY);
    let mut seen = Vec::new();
    for (entries, completions) in [(4, 4), (64, 128)] {
        ring.resize(entries, completions)?;
        ring.push_raw(Nop::new(), MANY + u64::from(entries))?;
        ring.submit()?;
    }
    for _ in 0..MANY {
        ring.for_each(|completion| seen.push(completion.user_data()))?;
    }
    // What did not overflow may overtake what did.
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..MANY).chain([MANY + 4, MANY + 64])));
    Ok(())
}

/// Has the process get no memory from the kernel while `body` runs.
fn without_memory<T>(body: impl FnOnce() -> T) -> T {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a variable of this function.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut before) };
    assert_eq!(got, 0);
    let limit = |soft| {
        let limit = libc::rlimit {
            rlim_cur: soft,
            ..before
        };
        // SAFETY: the limit is only read, and what is mapped already stays.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        assert_eq!(set, 0);
    };
    limit(0);
    let done = body();
    limit(before.rlim_cur);
    done
}

fn fails_without_memory(context: &Context) -> TestResult {
    let own = Builder::new(8).own_memory(true);
    let mut ring = common::build(context, &own)?;
    ring.push_raw(Nop::new(), 1)?;
    let error = without_memory(|| ring.resize(1024, 2048)).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
    assert!(!error.is_ring_lost(), "{error}");
    assert_eq!(ring.setup().entries(), 8);
    ring.submit_and_wait(1)?;
    assert_eq!(ring.for_each(drop)?, 1);
    ring.resize(1024, 2048)?;
    ring.call(Nop::new())??;
    if context.handle() == HandleKind::Born {
        return Ok(());
    }
    // The kernel has made queues that this process cannot see.
    let mut ring = common::ring(context, 8)?;
    let (reader, _writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    let error = without_memory(|| ring.resize(1024, 2048)).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
    assert!(error.is_ring_lost(), "{error}");
    ring.push_raw(Nop::new(), 2)?;
    let error = ring.submit_and_wait(1).unwrap_err();
    assert!(error.is_ring_lost(), "{error}");
    assert!(ring.resize(8, 16).is_err());
    drop(ring);
    assert_eq!(uring::leaked_operations(), 1);
    assert!(
        recording.dropped().is_none(),
        "freed while the kernel has it"
    );
    common::ring(context, 8)?.call(Nop::new())??;
    Ok(())
}

fn older_kernels_refuse(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(RESIZE, context, 8)? else {
        return Ok(());
    };
    let error = ring.resize(16, 32).unwrap_err();
    if ring.setup().flags().contains(SetupFlags::DEFER_TASKRUN) {
        assert!(error.is_unsupported(), "{error}");
    }
    ring.call(Nop::new())??;
    Ok(())
}
