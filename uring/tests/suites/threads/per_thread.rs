//! A ring for whatever thread calls.

use super::*;

pub(super) fn add_to(suite: &mut Suite) {
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
