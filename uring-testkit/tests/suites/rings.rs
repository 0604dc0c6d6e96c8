//! The testkit's own view of rings, checked with real ones: slots, features, raw rings on every handle.

use uring_sys::{
    Errno, IORING_ENTER_REGISTERED_RING, IORING_SETUP_CQE32, IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_R_DISABLED, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SQE128,
};
use uring_testkit::{
    Context, FdTable, Feature, HandleKind, Leaks, Observation, SLOTS, Slots, Suite, TestResult,
    raw::{Entry, RawRing},
};

fn ring(context: &Context) -> TestResult<RawRing> {
    let mut ring = match context.handle() {
        HandleKind::Born => RawRing::born(8, 0)?,
        _ => RawRing::new(8, 0)?,
    };
    if matches!(
        context.handle(),
        HandleKind::Registered | HandleKind::Closed
    ) {
        ring.register()?;
    }
    if context.handle() == HandleKind::Closed {
        ring.close();
    }
    Ok(ring)
}

fn a_ring_works_and_is_where_it_should_be(context: &Context) -> TestResult {
    let before = FdTable::now()?;
    let mut ring = ring(context)?;
    let fdless = HandleKind::FDLESS.contains(&context.handle());
    let now = FdTable::now()?;
    assert_eq!(now.rings().count(), usize::from(!fdless));
    assert_eq!(before.diff(&now).added.len(), usize::from(!fdless));
    assert_eq!(
        Slots::of_this_thread()?.taken(),
        usize::from(context.handle() != HandleKind::Fd)
    );
    for round in 0..20 {
        let nop = Entry {
            user_data: round,
            ..Entry::default()
        };
        // SAFETY: a NOP uses no memory.
        let completed = unsafe { ring.call(nop)? };
        assert_eq!((completed.user_data, completed.res), (round, 0));
    }
    Ok(())
}

fn no_such_handle(context: &Context) -> TestResult {
    assert!(!context.missing().is_empty());
    let refusal = match ring(context) {
        Err(refusal) => refusal.to_string(),
        Ok(ring) => {
            // From 5.18 to 6.2 a closed ring is entered by its index, and cannot be registered with.
            assert_eq!(context.handle(), HandleKind::Closed);
            assert!(context.has(Feature::RING_FDS));
            ring.enter(0, 0)?;
            let opcode = uring_sys::IORING_UNREGISTER_FILES;
            // SAFETY: the opcode takes no argument.
            let refused = unsafe { ring.register_call(opcode, std::ptr::null_mut(), 0) };
            let errno = refused.err().ok_or("the index was taken for the ring")?;
            std::io::Error::from_raw_os_error(errno.raw()).to_string()
        }
    };
    assert!(refusal.contains("Invalid argument"), "{refusal}");
    Ok(())
}

/// Also where the ring cannot carry the call that gives its slot back (6.1).
fn a_closed_ring_gives_its_slot_back(_: &Context) -> TestResult {
    let mut ring = RawRing::new(1, 0)?;
    ring.register()?;
    ring.close();
    drop(ring);
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    Ok(())
}

fn a_new_thread_has_no_slots(_: &Context) -> TestResult {
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    let mut ring = RawRing::new(1, 0)?;
    ring.register()?;
    let elsewhere = std::thread::spawn(|| Slots::of_this_thread().map(|slots| slots.taken()));
    assert_eq!(elsewhere.join().unwrap()?, 0);
    Ok(())
}

fn each_slot_is_seen(_: &Context) -> TestResult {
    let mut rings = Vec::new();
    for expected in 0..SLOTS {
        assert_eq!(Slots::of_this_thread()?.taken(), expected);
        let mut ring = RawRing::new(1, 0)?;
        assert_eq!(usize::try_from(ring.register()?)?, expected);
        rings.push(ring);
    }
    assert_eq!(Slots::of_this_thread()?.taken(), SLOTS);
    drop(rings.remove(5));
    let slots = Slots::of_this_thread()?;
    assert!(
        !slots.is_taken(5) && slots.is_taken(4) && slots.is_taken(6),
        "{slots:?}"
    );
    Ok(())
}

fn a_disabled_ring_is_a_taken_slot(_: &Context) -> TestResult {
    let mut ring = RawRing::new(1, IORING_SETUP_R_DISABLED)?;
    ring.register()?;
    assert_eq!(Slots::of_this_thread()?.taken(), 1);
    Ok(())
}

fn large_entries_and_completions_have_their_places(_: &Context) -> TestResult {
    let mut ring = RawRing::new(4, IORING_SETUP_SQE128 | IORING_SETUP_CQE32)?;
    for round in 0..3 {
        let marks = [round, round + 10, round + 20];
        for user_data in marks {
            let nop = Entry {
                user_data,
                ..Entry::default()
            };
            // SAFETY: a NOP uses no memory.
            unsafe { ring.push_command(nop, &[0xff; 80]) };
        }
        ring.enter(3, 3)?;
        for user_data in marks {
            let completed = ring.wait()?;
            assert_eq!((completed.user_data, completed.res), (user_data, 0));
            assert_eq!(completed.extra, [0; 2]);
        }
    }
    Ok(())
}

fn looking_at_slots_leaves_a_ring_alone(_: &Context) -> TestResult {
    let flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    let mut ring = RawRing::new(4, flags)?;
    ring.register()?;
    let nop = Entry {
        user_data: 3,
        ..Entry::default()
    };
    // SAFETY: a NOP uses no memory.
    unsafe { ring.push(nop) };
    assert_eq!(Slots::of_this_thread()?.taken(), 1);
    assert_eq!(ring.take(), None, "looking must not submit");
    assert_eq!(ring.enter(1, 1)?, 1);
    assert_eq!(ring.take().map(|completed| completed.user_data), Some(3));
    Ok(())
}

fn every_probe_has_an_answer(_: &Context) -> TestResult {
    for feature in Feature::all() {
        if let Observation::Inconclusive(evidence) = feature.observe() {
            return Err(format!("{feature:?}: {evidence}").into());
        }
    }
    Ok(())
}

fn probes_leave_the_caller_as_it_was(_: &Context) -> TestResult {
    let before = FdTable::now()?;
    for feature in Feature::all() {
        let _ = feature.observe();
    }
    assert!(before.diff(&FdTable::now()?).is_empty());
    let flags = IORING_ENTER_REGISTERED_RING;
    // SAFETY: nothing is submitted and no argument is given.
    let answer = unsafe { uring_sys::io_uring_enter(0, 0, 0, flags, std::ptr::null(), 0) };
    assert_eq!(answer, Err(Errno::EINVAL), "this thread has used io_uring");
    Ok(())
}

fn an_announced_leak_is_there(_: &Context) -> TestResult {
    let mut ring = RawRing::new(1, 0)?;
    ring.register()?;
    ring.leak();
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("rings");
    suite.share_processes();
    suite
        .test("works", a_ring_works_and_is_where_it_should_be)
        .on(HandleKind::ALL)
        .refused_by(no_such_handle);
    suite
        .test(
            "closed_ring_gives_its_slot_back",
            a_closed_ring_gives_its_slot_back,
        )
        .needs([Feature::RING_FDS])
        .no_refusal("works[registered] shows it");
    suite
        .test("new_thread_has_no_slots", a_new_thread_has_no_slots)
        .needs([Feature::RING_FDS])
        .no_refusal("works[registered] shows it");
    suite
        .test("each_slot_is_seen", each_slot_is_seen)
        .needs([Feature::RING_FDS])
        .no_refusal("works[registered] shows it");
    suite
        .test(
            "disabled_ring_is_a_taken_slot",
            a_disabled_ring_is_a_taken_slot,
        )
        .needs([Feature::RING_FDS])
        .no_refusal("works[registered] shows it");
    suite
        .test(
            "looking_at_slots_leaves_a_ring_alone",
            looking_at_slots_leaves_a_ring_alone,
        )
        .needs([Feature::RING_FDS, Feature::DEFER_TASKRUN])
        .no_refusal("works[registered] shows it");
    suite
        .test(
            "large_entries_and_completions_have_their_places",
            large_entries_and_completions_have_their_places,
        )
        .needs([Feature::SQE128, Feature::CQE32])
        .no_refusal("table_is_right_about has both");
    suite.test("every_probe_has_an_answer", every_probe_has_an_answer);
    suite.test(
        "probes_leave_the_caller_as_it_was",
        probes_leave_the_caller_as_it_was,
    );
    suite
        .test("announced_leak_is_there", an_announced_leak_is_there)
        .needs([Feature::RING_FDS])
        .no_refusal("works[registered] shows it")
        .leaks(Leaks {
            slots: 1,
            descriptors: 1,
            ring_mappings: 2,
        });
    for feature in Feature::all() {
        suite
            .test(
                format!("table_is_right_about_{}", feature.name()),
                |context| {
                    assert!(context.has(*feature));
                    Ok(())
                },
            )
            .needs([*feature])
            .refused_by(|context| {
                assert_eq!(context.missing(), [*feature]);
                Ok(())
            });
    }
    suite
}
