//! Destructors and wakers that use the ring that they are called from (M10, M17).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use uring::op::{Nop, Operation, Read, Timeout, Write};
use uring::{Error, Local, Submitted};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::awaited::buffers::{Drops, OnDrop};
use crate::awaited::poll::{Counts, drain, in_flight, once, started};
use crate::common;

const HOUR: Duration = Duration::from_secs(3600);

/// Everything that there is to do with a ring, from within it.
fn use_everything(local: &Local) {
    local.turn().expect("the ring is not borrowed");
    local
        .with(|ring| ring.call(Nop::new()).expect("it is whole"))
        .expect("the ring is not borrowed")
        .expect("a nop");
    let mut nop = local.submit(Nop::new());
    assert!(once(&mut nop).is_pending());
    drop(nop);
    let mut nop = local.submit(Nop::new());
    // Whoever is called meanwhile may turn the ring too, so that there is nothing left to sleep for.
    while once(&mut nop).is_pending() {
        local.turn().expect("the ring is not borrowed");
    }
}

pub(crate) fn m17_destructors(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 4)?);
    let runs = Rc::new(Cell::new(0));
    let using = || {
        let (local, runs) = (local.clone(), Rc::clone(&runs));
        OnDrop::new(move || {
            use_everything(&local);
            runs.set(runs.get() + 1);
        })
    };
    // Dropped by the turn that sees them end.
    for _ in 0..3 {
        drop(started(&local, using().written()?)?);
    }
    let (reader, _writer) = pipe()?;
    drop(started(&local, Read::new(reader, using()))?);
    drain(&local)?;
    assert_eq!(runs.get(), 4);
    // Dropped when they have ended and nobody wants them.
    let landed = started(&local, using().written()?)?;
    drain(&local)?;
    drop(landed);
    assert_eq!(runs.get(), 5);
    // Dropped without having been pushed, and with their output.
    drop(local.submit(using().written()?));
    let mut written = local.submit(using().written()?);
    while once(&mut written).is_pending() {
        local.park(None)?;
    }
    assert_eq!(runs.get(), 7);
    // Within `with` they are dropped by the ring's own rules, and get errors instead.
    let refused = Rc::new(RefCell::new(Vec::new()));
    let failing = {
        let (local, refused) = (local.clone(), Rc::clone(&refused));
        OnDrop::new(move || refused.borrow_mut().push(local.turn()))
    };
    let write = failing.written()?;
    local.with(|ring| ring.call(write).map(drop))??;
    let nested = |result: &Result<(), Error>| result.as_ref().is_err_and(Error::is_nested);
    assert!(refused.borrow().iter().all(nested) && refused.borrow().len() == 1);
    Ok(())
}

/// A waker that calls a closure wherever it can: when it is cloned, woken and dropped. It stays on its thread.
struct Closure {
    run: Box<dyn Fn()>,
    thread: ThreadId,
}

impl Closure {
    fn waker(run: impl Fn() + 'static) -> Waker {
        let closure = Rc::new(Closure {
            run: Box::new(run),
            thread: thread::current().id(),
        });
        // SAFETY: the functions keep the count of the `Rc` as they should, and refuse to work on another thread.
        unsafe { Waker::from_raw(RawWaker::new(Rc::into_raw(closure).cast(), &VTABLE)) }
    }

    /// The closure that the data of a waker leads to.
    ///
    /// # Safety
    ///
    /// `data` is from `Closure::waker`, and its count is not used up.
    unsafe fn of<'a>(data: *const ()) -> &'a Closure {
        // SAFETY: passed on to the caller.
        let closure = unsafe { &*data.cast::<Closure>() };
        assert_eq!(closure.thread, thread::current().id());
        closure
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: wakers call it with their own data.
        unsafe {
            (Closure::of(data).run)();
            Rc::increment_strong_count(data.cast::<Closure>());
        }
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        // SAFETY: as above; the count passes to the `Rc`.
        unsafe {
            (Closure::of(data).run)();
            drop(Rc::from_raw(data.cast::<Closure>()));
        }
    },
    // SAFETY: as above.
    |data| unsafe { (Closure::of(data).run)() },
    |data| {
        // SAFETY: as above; the count passes to the `Rc`.
        unsafe {
            (Closure::of(data).run)();
            drop(Rc::from_raw(data.cast::<Closure>()));
        }
    },
);

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut task::Context::from_waker(waker))
}

pub(crate) fn m17_wakers(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 4)?);
    let runs = Rc::new(Cell::new(0));
    let using = || {
        let (local, runs, depth) = (local.clone(), Rc::clone(&runs), Cell::new(0));
        Closure::waker(move || {
            runs.set(runs.get() + 1);
            // What it does wakes and drops others like it.
            depth.set(depth.get() + 1);
            if depth.get() == 1 {
                use_everything(&local);
            }
            depth.set(depth.get() - 1);
        })
    };
    let mut nop = local.submit(Nop::new());
    while poll_with(&mut nop, &using()).is_pending() {
        // Another waker each time, so the first is dropped while it watches.
        local.turn()?;
    }
    let mut hour = local.submit(Timeout::after(HOUR));
    for _ in 0..3 {
        assert!(poll_with(&mut hour, &using()).is_pending());
    }
    drop(hour);
    // Waiting for a slot, and woken when there is one.
    let slots = local.with(|ring| ring.in_flight_capacity())?;
    let mut held: Vec<Submitted<Timeout>> = Vec::new();
    drain(&local)?;
    for _ in 0..slots {
        held.push(started(&local, Timeout::after(HOUR))?);
    }
    let quiet = Closure::waker({
        let runs = Rc::clone(&runs);
        move || runs.set(runs.get() + 1)
    });
    let mut waits = local.submit(Nop::new());
    assert!(poll_with(&mut waits, &quiet).is_pending());
    let before = runs.get();
    drop(held);
    while runs.get() == before {
        local.turn()?;
    }
    while poll_with(&mut waits, &using()).is_pending() {
        local.turn()?;
    }
    Ok(())
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's own panic");
    }
}

/// A panic in one destructor or waker keeps no other from running.
pub(crate) fn m10_panics(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 16)?);
    let bomb = Waker::from(Arc::new(Panics));
    for (panicking, in_waker) in (0..3).flat_map(|index| [(index, false), (index, true)]) {
        let (drops, counts) = (Drops::default(), Arc::new(Counts::default()));
        let counting = Waker::from(Arc::clone(&counts));
        let mut woken = Vec::new();
        for index in 0..3 {
            let is_bomb = index == panicking;
            if is_bomb && !in_waker {
                give_up(&local, drops.panicking().written()?);
            } else {
                give_up(&local, drops.counted().written()?);
            }
            let mut nop = local.submit(Nop::new());
            let waker = if is_bomb && in_waker {
                &bomb
            } else {
                &counting
            };
            assert!(poll_with(&mut nop, waker).is_pending());
            woken.push(nop);
        }
        let mut panics = 0;
        while panics == 0 || in_flight(&local)? > 0 {
            let turned = catch_unwind(AssertUnwindSafe(|| local.turn()));
            if let Err(payload) = turned {
                let own = if in_waker {
                    "a waker's own panic"
                } else {
                    "a destructor's own panic"
                };
                assert_eq!(payload.downcast_ref(), Some(&own));
                panics += 1;
            }
        }
        assert_eq!((panics, drops.count()), (1, 3));
        assert_eq!(counts.count(), if in_waker { 2 } else { 3 });
        for mut nop in woken {
            assert!(once(&mut nop).is_ready());
        }
    }
    local.block_on(local.submit(Nop::new()))???;
    Ok(())
}

/// Pushes an operation that nobody waits for.
fn give_up<O: Operation + 'static>(local: &Local, op: O) {
    assert!(once(&mut local.submit(op)).is_pending());
}

pub(crate) fn nested(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 8)?);
    let is_nested = |result: Result<(), Error>| result.is_err_and(|error| error.is_nested());
    let drops = Drops::default();
    let (reader, _writer) = pipe()?;
    let (given_up, mut nop) = (
        started(&local, Read::new(reader, drops.counted()))?,
        started(&local, Nop::new())?,
    );
    local.with(|ring| -> TestResult {
        assert!(is_nested(local.with(|_| ())));
        assert!(is_nested(local.turn()));
        assert!(is_nested(local.park(None)));
        assert!(is_nested(local.driver().map(drop)));
        assert!(is_nested(local.block_on(std::future::pending())));
        assert_eq!(local.handle_kind(), None);
        let Poll::Ready(Err(refused)) = once(&mut local.submit(Nop::new())) else {
            return Err("pushed while the ring was in use".into());
        };
        assert!(refused.error().is_nested() && refused.into_inner().is_some());
        let Poll::Ready(Err(refused)) = once(&mut nop) else {
            return Err("looked at while the ring was in use".into());
        };
        assert!(refused.error().is_nested() && refused.into_inner().is_none());
        // Its operation is cancelled when the ring is free again.
        drop(given_up);
        assert_eq!(drops.count(), 0);
        ring.call(Nop::new())??;
        Ok(())
    })??;
    // It goes on where it was.
    while once(&mut nop).is_pending() {
        local.park(None)?;
    }
    drain(&local)?;
    assert_eq!(drops.count(), 1);
    let inner = local.clone();
    let within = local.block_on(async move { is_nested(inner.block_on(async {})) })?;
    assert!(within);
    local
        .block_on(local.submit(Write::new(std::fs::File::create("/dev/null")?, "more")))??
        .result?;
    Ok(())
}
