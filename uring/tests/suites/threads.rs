//! Rings and threads: whose a slot is, what may move, and a ring for each thread.
//!
//! That a ring with an index does not leave its thread (H1, H3) is the compiler's to see to: the documentation of `Ring` has the
//! programs that do not compile. Here is what would happen, by calls that go past the library.

use crate::common;

use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{pending, raw};
use uring::op::{Nop, Read};
use uring::{Any, BufMut, Builder, Error, Fd, HandleKind as Reached, Hint, PerThread, Ring};
use uring_sys::Errno;
use uring_testkit::process::with_rlimit;
use uring_testkit::raw::{Entry, RawRing};
use uring_testkit::{
    Context, FdTable, Feature, HandleKind, Leaks, SLOTS, Slots, Suite, TestResult, files,
};

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// Runs `body` in a thread of its own, whose rings end with it.
fn in_thread<T: Send>(body: impl FnOnce() -> TestResult<T> + Send) -> TestResult<T> {
    thread::scope(|scope| {
        scope
            .spawn(body)
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn h01_an_index_means_another_ring_elsewhere(context: &Context) -> TestResult {
    let mut ours = common::ring(context, 8)?;
    let token = ours.push(Nop::new())?;
    in_thread(|| {
        let mut theirs = RawRing::new(4, 0)?;
        assert_eq!(theirs.register()?, 0, "the same index");
        // SAFETY: a no-op uses no memory.
        unsafe {
            theirs.push(Entry {
                user_data: 9,
                ..Entry::default()
            })
        };
        assert_eq!(raw::enter_index(0, 1), Ok(1), "it drives the other ring");
        assert_eq!(theirs.take().map(|completed| completed.user_data), Some(9));
        Ok(())
    })?;
    assert_eq!(ours.pending(), 1);
    ours.wait(token)??;
    Ok(())
}

fn h02_an_index_means_nothing_elsewhere(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    in_thread(|| {
        assert_eq!(raw::enter_index(0, 0), Err(Errno::EINVAL), "no table");
        drop(common::ring(context, 8)?);
        assert_eq!(raw::enter_index(0, 0), Err(Errno::EBADF), "an empty slot");
        Ok(())
    })?;
    ring.call(Nop::new())??;
    Ok(())
}

fn h03_a_drop_touches_no_other_threads_slot(context: &Context) -> TestResult {
    let turns = Barrier::new(2);
    let slots_of_one = match context.handle() {
        HandleKind::Fd => 0,
        _ => 1,
    };
    let both = |first: bool| -> TestResult {
        let mut ring = Some(common::ring(context, 8)?);
        turns.wait();
        if first {
            drop(ring.take());
        }
        turns.wait();
        let taken = if first { 0 } else { slots_of_one };
        assert_eq!(Slots::of_this_thread()?.taken(), taken);
        if let Some(ring) = &mut ring {
            ring.call(Nop::new())??;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| both(true));
        both(false)?;
        other.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn h03_a_ring_that_moved_leaves_the_slot_of_its_former_index(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?.register_fd()?;
    ring.call(Nop::new())??;
    let moved: Ring<Fd> = ring.unregister_fd()?;
    in_thread(move || {
        let mut own = Builder::new(8).build_registered()?;
        assert!(Slots::of_this_thread()?.is_taken(0));
        drop(moved);
        assert!(Slots::of_this_thread()?.is_taken(0));
        own.call(Nop::new())??;
        Ok(())
    })
}

fn without_slots_rings_move(_: &Context) -> TestResult {
    let failed = Ring::new(8)?.register_fd().expect_err("not before 5.18");
    let mut ring = failed.into_ring();
    in_thread(move || {
        ring.call(Nop::new())??;
        Ok(())
    })
}

thread_local! {
    static LOCAL: RefCell<Option<Ring<Any>>> = const { RefCell::new(None) };
}

fn h04_a_thread_ends_with_a_ring_in_a_thread_local(context: &Context) -> TestResult {
    let (read, reader, _direct) = in_thread(|| {
        let mut ring = common::ring(context, 8)?;
        let read = pending::submit(&mut ring)?;
        let (reader, direct) = pending::only_writer(&mut ring)?;
        LOCAL.set(Some(ring));
        Ok((read, reader, direct))
    })?;
    assert!(pending::has_no_writer(&reader)?, "the ring lives on");
    read.expect_over()?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

/// H4, H24: a ring that was leaked ends with its thread, unless a mapping of its memory keeps it.
fn h04_a_leaked_ring_ends_with_its_thread(context: &Context) -> TestResult {
    let reader = in_thread(|| {
        let mut ring = common::ring(context, 8)?;
        let (reader, direct) = pending::only_writer(&mut ring)?;
        std::mem::forget((ring, direct));
        Ok(reader)
    })?;
    if context.handle() == HandleKind::Born {
        assert!(pending::has_no_writer(&reader)?, "the ring lives on");
    } else {
        assert!(pending::has_writer(&reader)?, "it is still mapped");
    }
    Ok(())
}

/// M20: what a thread has submitted may be cancelled when the thread has ended. It completes, and the ring works.
fn m20_a_movable_ring_outlives_its_submitter(_: &Context) -> TestResult {
    let (mut ring, mut read) = in_thread(|| {
        let mut ring = Ring::new(8)?;
        let read = pending::submit(&mut ring)?;
        Ok((ring, read))
    })?;
    ring.call(Nop::new())??;
    read.writer.write_all(b"late")?;
    let done = ring.wait(read.token)?;
    match done.result {
        Ok(count) => assert_eq!((count, &done.buf.0[..4]), (4, &b"late"[..])),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
    }
    let next = pending::submit(&mut ring)?;
    next.finish(&mut ring)
}

fn m20_a_movable_ring_is_dropped_after_its_submitter(_: &Context) -> TestResult {
    let (ring, read) = in_thread(|| {
        let mut ring = Ring::new(8)?;
        let read = pending::submit(&mut ring)?;
        Ok((ring, read))
    })?;
    in_thread(move || {
        drop(ring);
        Ok(())
    })?;
    assert_eq!(uring::leaked_operations(), 0);
    read.expect_over()
}

static RINGS: PerThread = PerThread::new(8);
static OTHERS: PerThread = PerThread::new(4);

fn m11_a_thread_ends_with_work_in_flight(_: &Context) -> TestResult {
    let read = in_thread(|| RINGS.with(pending::submit)?)?;
    read.expect_over()?;
    assert_eq!(uring::leaked_operations(), 0);
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

fn per_thread_from_many_threads(_: &Context) -> TestResult {
    let start = Barrier::new(8);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> TestResult {
                    start.wait();
                    for _ in 0..200 {
                        RINGS.with(|ring| ring.call(Nop::new()))???;
                    }
                    assert!(Slots::of_this_thread()?.taken() <= 1);
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok::<_, uring_testkit::Failure>(())
    })?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

fn per_thread_finds_its_ring_again(_: &Context) -> TestResult {
    in_thread(|| {
        let read = RINGS.with(pending::submit)??;
        assert_eq!(RINGS.with(|ring| ring.in_flight())?, 1);
        assert_eq!(OTHERS.with(|ring| ring.in_flight())?, 0);
        assert_eq!(OTHERS.with(|ring| ring.setup().entries())?, 4);
        RINGS.with(|ring| read.finish(ring))?
    })
}

fn per_thread_is_not_entered_twice(_: &Context) -> TestResult {
    in_thread(|| {
        RINGS.with(|ring| -> TestResult {
            let error = RINGS.with(|_| ()).expect_err("it is in use");
            assert!(error.is_nested(), "{error}");
            OTHERS.with(|other| other.call(Nop::new()))???;
            ring.call(Nop::new())??;
            Ok(())
        })??;
        RINGS.with(|ring| ring.call(Nop::new()))???;
        Ok(())
    })
}

fn per_thread_survives_a_panic(_: &Context) -> TestResult {
    in_thread(|| {
        let read = RINGS.with(pending::submit)??;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            RINGS.with(|ring| {
                let _unsubmitted = ring.push(Nop::new());
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        RINGS.with(|ring| read.finish(ring))?
    })
}

/// A buffer whose destructor uses the thread's ring.
struct Reentrant {
    memory: Vec<u8>,
    outcome: Sender<Result<(), Error>>,
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        let outcome = RINGS.with(|ring| ring.call(Nop::new()).map(drop));
        let _ = self.outcome.send(outcome.and_then(|called| called));
    }
}

// SAFETY: heap memory owned by the value, initialised throughout; the methods do nothing else.
unsafe impl BufMut for Reentrant {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

fn submit_reentrant(ring: &mut Ring<Any>) -> TestResult<Receiver<Result<(), Error>>> {
    let (reader, _) = files::pipe()?;
    let (sender, receiver) = channel();
    let buffer = Reentrant {
        memory: vec![0; 8],
        outcome: sender,
    };
    let token = ring.push(Read::new(reader, buffer))?;
    ring.detach(token);
    Ok(receiver)
}

fn m17_destructors_may_ask_for_the_ring_in_use(_: &Context) -> TestResult {
    let at_exit = in_thread(|| {
        let outcome = RINGS.with(|ring| -> TestResult<_> {
            let receiver = submit_reentrant(ring)?;
            ring.submit_and_wait(1)?;
            ring.for_each(|_| ())?;
            Ok(receiver.recv()?)
        })??;
        assert!(outcome.expect_err("it is in use").is_nested());
        let receiver = RINGS.with(submit_reentrant)??;
        Ok(receiver)
    })?;
    let error = at_exit
        .recv()?
        .expect_err("the thread's rings are being dropped");
    assert_eq!(error.hint(), Some(Hint::ThreadExiting), "{error}");
    Ok(())
}

/// Uses the thread's ring from the destructor of a thread-local.
struct AtExit(Sender<Result<(), Error>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        let outcome = RINGS.with(|ring| ring.call(Nop::new()).map(drop));
        let _ = self.0.send(outcome.and_then(|called| called));
    }
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

fn per_thread_while_the_thread_exits(_: &Context) -> TestResult {
    #[derive(Clone, Copy)]
    enum FirstUse {
        Before,
        After,
        Never,
    }
    for first_use in [FirstUse::Before, FirstUse::After, FirstUse::Never] {
        let (sender, receiver) = channel();
        in_thread(|| {
            if let FirstUse::Before = first_use {
                RINGS.with(|ring| ring.call(Nop::new()))???;
            }
            AT_EXIT.set(Some(AtExit(sender)));
            if let FirstUse::After = first_use {
                RINGS.with(|ring| ring.call(Nop::new()))???;
            }
            Ok(())
        })?;
        match receiver.recv()? {
            Ok(()) => {}
            Err(error) => assert_eq!(error.hint(), Some(Hint::ThreadExiting), "{error}"),
        }
        assert_eq!(FdTable::now()?.rings().count(), 0);
    }
    Ok(())
}

struct Service {
    rings: PerThread,
}

fn per_thread_as_a_field(_: &Context) -> TestResult {
    let service = Arc::new(Service {
        rings: PerThread::new(8),
    });
    let (made, gone) = (Barrier::new(2), Barrier::new(2));
    let copy = Arc::clone(&service);
    thread::scope(|scope| {
        let thread = scope.spawn(|| -> TestResult {
            let copy = copy;
            let read = copy.rings.with(pending::submit)??;
            drop(copy);
            let taken = Slots::of_this_thread()?.taken();
            made.wait();
            gone.wait();
            assert!(read.recording.dropped().is_none());
            OTHERS.with(|ring| ring.call(Nop::new()))???;
            assert_eq!(
                Slots::of_this_thread()?.taken(),
                taken,
                "one came, one went"
            );
            read.expect_over()
        });
        made.wait();
        drop(service);
        gone.wait();
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

fn per_thread_rings_of_dropped_owners_are_told_apart(_: &Context) -> TestResult {
    in_thread(|| {
        for entries in [2, 4, 8, 16, 2, 4] {
            let rings = Box::new(PerThread::new(entries));
            assert_eq!(rings.with(|ring| ring.setup().entries())?, entries);
            assert!(Slots::of_this_thread()?.taken() <= 1);
        }
        Ok(())
    })
}

/// H16: a thread without a free slot gets a descriptor, and its end closes that.
fn h16_per_thread_without_a_slot(_: &Context) -> TestResult {
    in_thread(|| {
        let mut others = Vec::new();
        for _ in 0..SLOTS {
            let mut ring = RawRing::new(1, 0)?;
            ring.register()?;
            others.push(ring);
        }
        assert_eq!(RINGS.with(|ring| ring.handle_kind())?, Reached::Fd);
        let error = with_rlimit(libc::RLIMIT_NOFILE, 0, || OTHERS.with(|_| ()))?
            .expect_err("neither a slot nor a descriptor");
        assert!(error.is_limited(), "{error}");
        others.truncate(1);
        assert!(
            OTHERS.with(|ring| ring.handle_kind())? > Reached::Fd,
            "it was not tried again"
        );
        RINGS.with(|ring| ring.call(Nop::new()))???;
        Ok(())
    })?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

fn without_slots_each_thread_has_a_descriptor(_: &Context) -> TestResult {
    in_thread(|| {
        assert_eq!(RINGS.with(|ring| ring.handle_kind())?, Reached::Fd);
        Ok(())
    })?;
    assert_eq!(FdTable::now()?.rings().count(), 0);
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("threads");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite
        .test("h01_same_index", h01_an_index_means_another_ring_elsewhere)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test("h02_no_such_index", h02_an_index_means_nothing_elsewhere)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test("h03_other_slots", h03_a_drop_touches_no_other_threads_slot)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h03_former_index",
            h03_a_ring_that_moved_leaves_the_slot_of_its_former_index,
        )
        .needs([Feature::RING_FDS])
        .refused_by(without_slots_rings_move);
    suite
        .test(
            "h04_thread_local",
            h04_a_thread_ends_with_a_ring_in_a_thread_local,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    for (handle, descriptors, ring_mappings) in [
        (HandleKind::Registered, 1, 2),
        (HandleKind::Closed, 0, 2),
        (HandleKind::Born, 0, 0),
    ] {
        suite
            .test(
                format!("h04_leaked_{handle}"),
                h04_a_leaked_ring_ends_with_its_thread,
            )
            .on([handle])
            .leaks(Leaks {
                slots: 0,
                descriptors,
                ring_mappings,
            })
            .refused_by(the_handle_is_refused);
    }
    suite.test(
        "m20_submitter_ended",
        m20_a_movable_ring_outlives_its_submitter,
    );
    suite.test(
        "m20_dropped_later",
        m20_a_movable_ring_is_dropped_after_its_submitter,
    );
    suite.test("m11_work_in_flight", m11_a_thread_ends_with_work_in_flight);
    suite.test("per_thread_many_threads", per_thread_from_many_threads);
    suite.test("per_thread_found_again", per_thread_finds_its_ring_again);
    suite.test("per_thread_nested", per_thread_is_not_entered_twice);
    suite.test("per_thread_panic", per_thread_survives_a_panic);
    suite.test(
        "m17_destructors",
        m17_destructors_may_ask_for_the_ring_in_use,
    );
    suite.test("per_thread_exit", per_thread_while_the_thread_exits);
    suite.test("per_thread_field", per_thread_as_a_field);
    suite.test(
        "per_thread_owners",
        per_thread_rings_of_dropped_owners_are_told_apart,
    );
    suite
        .test("h16_per_thread", h16_per_thread_without_a_slot)
        .needs([Feature::RING_FDS])
        .refused_by(without_slots_each_thread_has_a_descriptor);
    suite
}
