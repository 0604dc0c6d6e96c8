//! Panics and destructors in the middle of things (M10, M14, M17).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use uring::op::{Nop, Read, Timeout};
use uring::{PerThread, Ring};
use uring_testkit::{Context, FdTable, RecordingBuffer, Slots, TestResult};

use crate::common;
use crate::memory::buffers::{Disk, Drops, LENGTH, OnDrop, assert_untouched_since_drop};

const HOUR: Duration = Duration::from_secs(3600);

/// One unwinding destructor leaves the others their drop, and the ring its slot and descriptor to give back.
pub(crate) fn m10_destructor_in_the_ring_s_end(context: &Context) -> TestResult {
    for panicking in 0..4 {
        let (slots, descriptors) = (Slots::of_this_thread()?, FdTable::now()?);
        let drops = Drops::default();
        let mut ring = common::ring(context, 8)?;
        for index in 0..4 {
            if index == panicking {
                drop(ring.push(drops.panicking().written()?)?);
            } else {
                drop(ring.push(drops.counted().written()?)?);
            }
        }
        let hour = ring.push(Timeout::after(HOUR))?;
        ring.submit()?;
        let ended = catch_unwind(AssertUnwindSafe(|| drop(ring)));
        assert!(ended.is_err(), "the panic was swallowed");
        assert_eq!(drops.count(), 4);
        assert_eq!(Slots::of_this_thread()?, slots);
        assert!(descriptors.diff(&FdTable::now()?).is_empty());
        drop(hour);
    }
    Ok(())
}

/// A destructor that unwinds while a ring waits for its last operations does not end the wait.
pub(crate) fn m10_destructor_while_a_ring_drains(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    for _ in 0..3 {
        let drops = Drops::default();
        let mut ring = common::ring(context, 8)?;
        let (read, recording) = disk.read()?;
        let read = ring.push(read)?;
        let bomb = ring.push(drops.panicking().written()?)?;
        ring.detach(bomb);
        ring.submit()?;
        let ended = catch_unwind(AssertUnwindSafe(|| drop(ring)));
        assert!(ended.is_err(), "the panic was swallowed");
        assert_eq!(drops.count(), 1);
        assert_untouched_since_drop(&[recording]);
        drop(read);
    }
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

/// The same where the memory is borrowed, and would be free when the panic has left the scope.
pub(crate) fn m10_destructor_while_a_scope_drains(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    for _ in 0..3 {
        let drops = Drops::default();
        let (mut buffer, recording) = RecordingBuffer::new(LENGTH)?;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let read = Read::new(&disk.file, &mut buffer[..]).at(0);
                drop(scope.push(read).unwrap());
                let bomb = scope.push(drops.panicking().written().unwrap()).unwrap();
                scope.detach(bomb);
                scope.submit().unwrap();
            });
        }));
        assert!(ended.is_err(), "the panic was swallowed");
        assert_eq!(ring.in_flight(), 0);
        drop(buffer);
        assert_eq!(drops.count(), 1);
        assert_untouched_since_drop(&[recording]);
        ring.call(Nop::new())??;
    }
    Ok(())
}

pub(crate) fn m10_scope_s_body(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let drops = Drops::default();
    for round in 1..=u32::try_from(context.rounds(100))? {
        let kept = ring.push(Nop::new())?;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                drop(scope.push(Timeout::after(HOUR)).unwrap());
                drop(scope.push(drops.counted().written().unwrap()).unwrap());
                panic!("between push and reap");
            })
        }));
        common::assert_panicked(ended, "between push and reap");
        assert_eq!((ring.in_flight(), drops.count()), (0, round));
        ring.wait(kept)??;
        ring.call(Nop::new())??;
    }
    Ok(())
}

/// What the closure has not seen is there for the next look, and what it has seen is not.
pub(crate) fn m10_for_each_s_closure(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for _ in 0..context.rounds(100) {
        for number in 0..4 {
            ring.push_raw(Nop::new(), number)?;
        }
        let tracked = ring.push(Nop::new())?;
        ring.submit_and_wait(5)?;
        let mut seen = Vec::new();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ring.for_each(|completion| {
                seen.push(completion.user_data());
                assert!(completion.user_data() < 1, "the closure's own panic");
            })
        }));
        common::assert_panicked(ended, "the closure's own panic");
        assert_eq!(seen, [0, 1]);
        let more = ring.for_each(|completion| seen.push(completion.user_data()))?;
        assert_eq!((more, seen), (2, vec![0, 1, 2, 3]));
        ring.wait(tracked)??;
    }
    Ok(())
}

/// Results that nobody took are dropped before the scope is left, all of them, once.
pub(crate) fn m14_destructor_at_a_scope_s_end(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for body_panics in [false, true] {
        let drops = Drops::default();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                for index in 0..5 {
                    if index == 2 {
                        drop(scope.push(drops.panicking().written().unwrap()).unwrap());
                    } else {
                        drop(scope.push(drops.counted().written().unwrap()).unwrap());
                    }
                }
                assert!(!body_panics, "the body's own panic");
            })
        }));
        assert_eq!(drops.count(), 5);
        let payload = ended.expect_err("a panic was swallowed");
        let text = payload.downcast_ref::<&str>().copied();
        let expected = if body_panics {
            "the body's own panic"
        } else {
            "a destructor's own panic"
        };
        assert_eq!(text, Some(expected));
        ring.call(Nop::new())??;
        assert_eq!(drops.count(), 5);
    }
    Ok(())
}

/// A destructor that uses other rings while its own ring reaps.
pub(crate) fn m17_destructor_uses_rings(context: &Context) -> TestResult {
    in_a_thread(|| uses_rings(context))
}

fn uses_rings(context: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(4);
    let mut ring = common::ring(context, 8)?;
    let mut other = common::ring(context, 8)?;
    let mut calls = 0;
    for round in 1..=u32::try_from(context.rounds(100))? {
        ring.scope(|scope| {
            let buffer = OnDrop::new(|| {
                RINGS
                    .with(|ring| ring.call(Nop::new()))
                    .unwrap()
                    .unwrap()
                    .unwrap();
                other.call(Nop::new()).unwrap().unwrap();
                drop(Ring::best(2).unwrap());
                calls += 1;
            });
            let token = scope.push(buffer.written().unwrap()).unwrap();
            scope.detach(token);
        });
        assert_eq!(calls, round);
        ring.call(Nop::new())??;
    }
    Ok(())
}

/// A destructor that asks for the very ring that is reaping is told so.
pub(crate) fn m17_destructor_asks_for_its_own_ring(_: &Context) -> TestResult {
    in_a_thread(asks_for_its_own_ring)
}

fn asks_for_its_own_ring() -> TestResult {
    static RINGS: PerThread = PerThread::new(4);
    let mut refusals = 0;
    RINGS.with(|ring| {
        ring.scope(|scope| {
            let buffer = OnDrop::new(|| {
                let error = RINGS.with(|_| ()).expect_err("the ring is in use");
                assert!(error.is_nested(), "{error}");
                refusals += 1;
            });
            drop(scope.push(buffer.written().unwrap()).unwrap());
        });
    })?;
    assert_eq!(refusals, 1);
    Ok(())
}

/// The rings of a `PerThread` are there until their thread ends.
fn in_a_thread(body: impl FnOnce() -> TestResult + Send) -> TestResult {
    thread::scope(|threads| {
        let thread = threads.spawn(body);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
