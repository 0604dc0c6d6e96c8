//! Each option, alone, against the flags that the kernel reports.

use std::time::Duration;

use uring::op::{Nop, Read};
use uring::{
    Any, Builder, CompletionSize, EntrySize, Hint, Polling, Ring, SetupFlags, SubmissionThread,
    TaskWork,
};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

/// One option: what it makes of a builder, and of the flags that the ring would have without it.
struct Choice {
    name: &'static str,
    needs: &'static [Feature],
    handles: &'static [HandleKind],
    choose: fn(Builder<'static>) -> Builder<'static>,
    adds: SetupFlags,
    removes: SetupFlags,
}

const PLAIN: Choice = Choice {
    name: "nothing",
    needs: &[],
    handles: &HandleKind::ALL,
    choose: |builder| builder,
    adds: SetupFlags::empty(),
    removes: SetupFlags::empty(),
};

/// What goes where task work is not deferred.
const DEFERRING: SetupFlags = SetupFlags::DEFER_TASKRUN.union(SetupFlags::TASKRUN_FLAG);

const CHOICES: &[Choice] = &[
    PLAIN,
    Choice {
        name: "completion_entries",
        choose: |builder| builder.completion_entries(64),
        adds: SetupFlags::CQSIZE,
        ..PLAIN
    },
    Choice {
        name: "clamp",
        choose: |builder| builder.clamp(true),
        adds: SetupFlags::CLAMP,
        ..PLAIN
    },
    Choice {
        name: "large_entries",
        needs: &[Feature::SQE128],
        choose: |builder| builder.entry_size(EntrySize::Large),
        adds: SetupFlags::SQE128,
        ..PLAIN
    },
    Choice {
        name: "mixed_entries",
        needs: &[Feature::SQE_MIXED],
        choose: |builder| builder.entry_size(EntrySize::Mixed),
        adds: SetupFlags::SQE_MIXED,
        ..PLAIN
    },
    Choice {
        name: "large_completions",
        needs: &[Feature::CQE32],
        choose: |builder| builder.completion_size(CompletionSize::Large),
        adds: SetupFlags::CQE32,
        ..PLAIN
    },
    Choice {
        name: "mixed_completions",
        needs: &[Feature::CQE_MIXED],
        choose: |builder| builder.completion_size(CompletionSize::Mixed),
        adds: SetupFlags::CQE_MIXED,
        ..PLAIN
    },
    Choice {
        name: "submission_thread",
        choose: |builder| builder.submission_thread(SubmissionThread::new()),
        adds: SetupFlags::SQPOLL,
        removes: DEFERRING,
        ..PLAIN
    },
    Choice {
        name: "submission_thread_on_a_processor",
        choose: |builder| {
            let thread = SubmissionThread::new()
                .idle(Duration::from_millis(1))
                .on_cpu(0);
            builder.submission_thread(thread)
        },
        adds: SetupFlags::SQPOLL.union(SetupFlags::SQ_AFF),
        removes: DEFERRING,
        ..PLAIN
    },
    Choice {
        name: "busy_polling",
        choose: |builder| builder.polling(Polling::Busy),
        adds: SetupFlags::IOPOLL,
        ..PLAIN
    },
    Choice {
        name: "hybrid_polling",
        needs: &[Feature::HYBRID_IOPOLL],
        choose: |builder| builder.polling(Polling::Hybrid),
        adds: SetupFlags::IOPOLL.union(SetupFlags::HYBRID_IOPOLL),
        ..PLAIN
    },
    Choice {
        name: "interrupting_task_work",
        choose: |builder| builder.task_work(TaskWork::Interrupting),
        removes: DEFERRING,
        ..PLAIN
    },
    Choice {
        name: "cooperative_task_work",
        needs: &[Feature::COOP_TASKRUN, Feature::TASKRUN_FLAG],
        choose: |builder| builder.task_work(TaskWork::Cooperative),
        adds: SetupFlags::COOP_TASKRUN.union(SetupFlags::TASKRUN_FLAG),
        removes: SetupFlags::DEFER_TASKRUN,
        ..PLAIN
    },
    Choice {
        name: "deferred_task_work",
        needs: &[Feature::SINGLE_ISSUER, Feature::DEFER_TASKRUN],
        handles: &HandleKind::BOUND,
        choose: |builder| builder.task_work(TaskWork::Deferred),
        adds: SetupFlags::SINGLE_ISSUER.union(DEFERRING),
        ..PLAIN
    },
    Choice {
        name: "stop_at_refused",
        choose: |builder| builder.stop_at_refused(true),
        removes: SetupFlags::SUBMIT_ALL,
        ..PLAIN
    },
    Choice {
        name: "index_array",
        choose: |builder| builder.index_array(true),
        removes: SetupFlags::NO_SQARRAY,
        ..PLAIN
    },
    Choice {
        name: "rewind",
        needs: &[Feature::SQ_REWIND],
        choose: |builder| builder.rewind(true),
        adds: SetupFlags::SQ_REWIND,
        ..PLAIN
    },
    Choice {
        name: "own_memory",
        needs: &[Feature::NO_MMAP],
        choose: |builder| builder.own_memory(true),
        adds: SetupFlags::NO_MMAP,
        ..PLAIN
    },
];

pub(crate) fn add_to(suite: &mut Suite) {
    for choice in CHOICES {
        suite
            .test(format!("asking_for_{}", choice.name), |context| {
                the_ring_is_as_asked(context, choice)
            })
            .on(choice.handles.iter().copied())
            .needs(choice.needs.iter().copied())
            .refused_by(|context| what_is_missing_is_named(context, choice));
    }
    suite
        .test("workers_are_shared", workers_are_shared)
        .on(HandleKind::ALL);
    suite
        .test(
            "queues_have_the_size_asked_for",
            queues_have_the_size_asked_for,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "clamped_queues_are_the_largest",
            clamped_queues_are_the_largest,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "polling_other_files_is_an_error",
            polling_other_files_is_an_error,
        )
        .on(HandleKind::ALL);
    suite.test("debug_shows_what_was_asked", debug_shows_what_was_asked);
    suite
        .test("debug_shows_what_the_ring_is", debug_shows_what_the_ring_is)
        .on(HandleKind::ALL);
    suite
        .test("a_disabled_ring_says_so", a_disabled_ring_says_so)
        .needs([Feature::RING_FDS])
        .no_refusal("the suite lifecycle is about enabling rings");
}

/// The flags of a ring of which nothing special is asked, by what the testkit finds in the kernel.
fn defaults(context: &Context) -> SetupFlags {
    let when = |feature, flag| {
        if context.has(feature) {
            flag
        } else {
            SetupFlags::empty()
        }
    };
    let mut flags = when(Feature::NO_SQARRAY, SetupFlags::NO_SQARRAY)
        | when(Feature::SUBMIT_ALL, SetupFlags::SUBMIT_ALL);
    if context.handle() != HandleKind::Fd {
        flags |= when(Feature::SINGLE_ISSUER, SetupFlags::SINGLE_ISSUER)
            | when(Feature::DEFER_TASKRUN, DEFERRING);
    }
    if context.handle() == HandleKind::Born {
        flags |= SetupFlags::NO_MMAP | SetupFlags::REGISTERED_FD_ONLY;
    }
    flags
}

fn the_ring_is_as_asked(context: &Context, choice: &Choice) -> TestResult {
    let mut ring = common::build(context, &(choice.choose)(Builder::new(8)))?;
    let setup = ring.setup();
    let mut expected = (defaults(context) - choice.removes) | choice.adds;
    let born = SetupFlags::NO_MMAP | SetupFlags::REGISTERED_FD_ONLY;
    if !setup.flags().contains(born) && !common::births_are_certain(context) {
        expected -= born - choice.adds;
    }
    assert_eq!(setup.flags(), expected);
    assert_eq!(setup.entries(), 8);
    let asked = choice.adds.contains(SetupFlags::CQSIZE);
    assert_eq!(setup.completion_entries(), if asked { 64 } else { 16 });
    let entry_size = match choice.adds {
        flags if flags.contains(SetupFlags::SQE128) => EntrySize::Large,
        flags if flags.contains(SetupFlags::SQE_MIXED) => EntrySize::Mixed,
        _ => EntrySize::Normal,
    };
    let completion_size = match choice.adds {
        flags if flags.contains(SetupFlags::CQE32) => CompletionSize::Large,
        flags if flags.contains(SetupFlags::CQE_MIXED) => CompletionSize::Mixed,
        _ => CompletionSize::Normal,
    };
    assert_eq!(
        (setup.entry_size(), setup.completion_size()),
        (entry_size, completion_size)
    );
    if !choice.adds.contains(SetupFlags::IOPOLL) {
        all_slots_work(&mut ring)?;
    }
    Ok(())
}

/// Twice around both queues, by a number that divides neither where they are that large.
fn all_slots_work(ring: &mut Ring<Any>) -> TestResult {
    let batch = ring.setup().entries().min(3);
    let mut seen = Vec::new();
    for number in 0..33 {
        ring.push_raw(Nop::new(), number)?;
        if (number + 1) % u64::from(batch) == 0 {
            ring.submit_and_wait(batch)?;
            ring.for_each(|completion| seen.push(completion.user_data()))?;
        }
    }
    assert_eq!(seen, (0..33).collect::<Vec<_>>());
    Ok(())
}

/// The error names the newest flag that is missing, with the kernel that mainline has it from.
fn what_is_missing_is_named(context: &Context, choice: &Choice) -> TestResult {
    let builder = (choice.choose)(Builder::new(8));
    let error = common::build(context, &builder).expect_err("the kernel lacks what is asked for");
    assert!(
        error.is_unsupported() && !error.is_invalid_request(),
        "{error}"
    );
    let Some(Hint::NeedsLinux {
        major,
        minor,
        evidence,
    }) = error.hint()
    else {
        return Err(format!("no evidence: {error}").into());
    };
    let mut missing = context.missing();
    if context.handle() == HandleKind::Born {
        // The older way to a ring without a descriptor.
        missing.push(Feature::REG_REG_RING);
    }
    let named = missing.iter().find(|feature| {
        evidence.as_str().contains(feature.name())
            && feature.since().major == u16::from(major)
            && feature.since().minor == u16::from(minor)
    });
    assert!(named.is_some(), "{error}: {missing:?}");
    Ok(())
}

fn workers_are_shared(context: &Context) -> TestResult {
    let first = Builder::new(8).build()?;
    let mut ring = common::build(context, &Builder::new(8).share_workers(&first))?;
    assert_eq!(
        ring.setup().flags(),
        defaults(context) | SetupFlags::ATTACH_WQ
    );
    all_slots_work(&mut ring)?;
    drop(first);
    all_slots_work(&mut ring)?;
    let file = std::fs::File::open("/dev/null")?;
    let refused = common::build(context, &Builder::new(8).share_workers(&file)).unwrap_err();
    assert_eq!(refused.errno(), Some(libc::EINVAL), "{refused}");
    Ok(())
}

fn queues_have_the_size_asked_for(context: &Context) -> TestResult {
    for (entries, completions, expected) in [
        (1, None, (1, 2)),
        (3, None, (4, 8)),
        (16, None, (16, 32)),
        (16, Some(16), (16, 16)),
        (9, Some(9), (16, 16)),
        (4, Some(33), (4, 64)),
        (1, Some(1), (1, 1)),
    ] {
        let mut builder = Builder::new(entries);
        if let Some(completions) = completions {
            builder = builder.completion_entries(completions);
        }
        let mut ring = common::build(context, &builder)?;
        let setup = ring.setup();
        assert_eq!((setup.entries(), setup.completion_entries()), expected);
        assert_eq!(ring.in_flight_capacity(), expected.1);
        all_slots_work(&mut ring)?;
    }
    Ok(())
}

fn clamped_queues_are_the_largest(context: &Context) -> TestResult {
    for (entries, completions, expected) in [
        (u32::MAX, None, (32768, 65536)),
        (100_000, Some(65536), (32768, 65536)),
        (8, Some(u32::MAX), (8, 65536)),
        (8, Some(8), (8, 8)),
    ] {
        let mut builder = Builder::new(entries).clamp(true).in_flight(16);
        if let Some(completions) = completions {
            builder = builder.completion_entries(completions);
        }
        let mut ring = common::build(context, &builder)?;
        let setup = ring.setup();
        assert_eq!((setup.entries(), setup.completion_entries()), expected);
        all_slots_work(&mut ring)?;
    }
    Ok(())
}

fn polling_other_files_is_an_error(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).polling(Polling::Busy))?;
    let (reader, _writer) = files::pipe()?;
    for _ in 0..20 {
        let done = ring.call(Read::new(&reader, vec![0; 8]))?;
        let errno = done.result.unwrap_err().raw_os_error();
        assert!(
            matches!(errno, Some(libc::EOPNOTSUPP | libc::EINVAL)),
            "{errno:?}"
        );
    }
    // What is still in the queue or completed and not taken is no reason to hang either.
    let _token = ring.push(Read::new(std::fs::File::from(reader), vec![0; 8]))?;
    ring.submit()?;
    Ok(())
}

fn debug_shows_what_was_asked(_: &Context) -> TestResult {
    let thread = SubmissionThread::new()
        .on_cpu(3)
        .idle(Duration::from_secs(2));
    let builder = Builder::new(24)
        .completion_entries(99)
        .submission_thread(thread);
    let text = format!("{builder:?}");
    for words in [
        "entries: 24",
        "completion_entries: Some(99)",
        "cpu: Some(3)",
        "idle: 2s",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    Ok(())
}

fn debug_shows_what_the_ring_is(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Nop::new())?;
    let text = format!("{ring:?}");
    let handle = match context.handle() {
        HandleKind::Fd => "Fd(Fd {",
        HandleKind::Registered => "Registered(Registered {",
        HandleKind::Closed | HandleKind::Born => "Fdless(Fdless {",
    };
    for words in [
        handle,
        "entries: 8, completion_entries: 16",
        "in_flight: 1, pending: 1",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    if context.has(Feature::SUBMIT_ALL) {
        assert!(text.contains("SUBMIT_ALL"), "{text}");
    }
    ring.wait(token)??;
    Ok(())
}

fn a_disabled_ring_says_so(context: &Context) -> TestResult {
    let disabled = Builder::new(8).build_disabled()?;
    assert!(disabled.setup().flags().contains(SetupFlags::R_DISABLED));
    let mut ring: Ring<Any> = disabled.enable()?.into();
    assert!(!ring.setup().flags().contains(SetupFlags::R_DISABLED));
    let single = ring.setup().flags().contains(SetupFlags::SINGLE_ISSUER);
    assert_eq!(single, context.has(Feature::SINGLE_ISSUER));
    all_slots_work(&mut ring)
}
