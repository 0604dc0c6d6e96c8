//! Wakers that are called from other threads while `block_on` sleeps in its ring.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use uring::op::{Nop, Timeout};
use uring::{HandleKind, Local, SetupFlags, WakeUp};
use uring_testkit::{Context, FdTable, Feature, TestResult};

use crate::awaited::poll::{in_flight, started};
use crate::common;

pub(crate) const FUTEX_WAIT: Feature = Feature::opcode(uring_sys::IORING_OP_FUTEX_WAIT);

const ROUNDS: u64 = 100;

/// A future that ends when another thread says so.
#[derive(Clone, Default)]
struct Signal(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Signal {
    fn give(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            *self.0.1.lock().unwrap() = Some(context.waker().clone());
            if self.0.0.load(Ordering::SeqCst) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Other threads wake the main future and a task, early and late; nothing else would end the sleep.
pub(crate) fn woken(context: &Context, local: &Local) -> TestResult {
    let is_polled = local.with(|ring| ring.setup().flags().contains(SetupFlags::IOPOLL))?;
    for round in 0..context.rounds(ROUNDS) {
        let (first, second) = (Signal::default(), Signal::default());
        let caller = thread::spawn({
            let (first, second) = (first.clone(), second.clone());
            move || {
                thread::sleep(Duration::from_micros(20 * (round % 50)));
                first.give();
                second.give();
            }
        });
        let task = local.spawn({
            let second = second.clone();
            async move { second.wait().await }
        });
        local.block_on(async {
            first.wait().await;
            task.await.expect("nobody has aborted it");
            match local.submit(Nop::new()).await? {
                // Older kernels have no no-op for rings whose completions are polled for.
                Err(error) if is_polled => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
                result => result?,
            }
            TestResult::Ok(())
        })??;
        caller.join().expect("it does not panic");
    }
    Ok(())
}

fn local(context: &Context, wake_up: WakeUp) -> TestResult<Local> {
    Ok(Local::with_wake_up(common::ring(context, 8)?, wake_up))
}

/// How many eventfds the process has.
fn eventfds() -> TestResult<usize> {
    let is_eventfd = |target: &std::path::Path| target.to_string_lossy().contains("eventfd");
    Ok(FdTable::now()?
        .iter()
        .filter(|(_, target)| is_eventfd(target))
        .count())
}

/// The eventfd is made for the first sleep, and a call may come so early that there is none.
fn woken_with_eventfds(context: &Context, local: &Local, expected: usize) -> TestResult {
    for _ in 0..1000 {
        woken(context, local)?;
        if eventfds()? == expected {
            break;
        }
    }
    assert_eq!(eventfds()?, expected);
    Ok(())
}

pub(crate) fn woken_by_futex(context: &Context) -> TestResult {
    let local = local(context, WakeUp::Futex)?;
    woken(context, &local)?;
    assert_eq!(eventfds()?, 0);
    // One wait listens for all calls.
    assert!(in_flight(&local)? <= 1);
    Ok(())
}

pub(crate) fn woken_by_futex_refused(context: &Context) -> TestResult {
    let Some(ring) = common::ring_without(FUTEX_WAIT, context, 8)? else {
        return Ok(());
    };
    let local = Local::with_wake_up(ring, WakeUp::Futex);
    let error = local
        .block_on(std::future::pending::<()>())
        .expect_err("nothing can wake it");
    assert!(error.is_unsupported(), "{error}");
    // What needs no sleep works.
    local.block_on(async {})?;
    Ok(())
}

pub(crate) fn woken_by_eventfd(context: &Context) -> TestResult {
    let local = local(context, WakeUp::Eventfd)?;
    woken_with_eventfds(context, &local, 1)
}

pub(crate) fn woken_by_short_waits(context: &Context) -> TestResult {
    let local = local(context, WakeUp::ShortWaits)?;
    woken(context, &local)?;
    assert_eq!((eventfds()?, in_flight(&local)?), (0, 0));
    Ok(())
}

pub(crate) fn woken_as_best(context: &Context) -> TestResult {
    let local = local(context, WakeUp::Best)?;
    let has_descriptor = local.handle_kind() != Some(HandleKind::Fdless);
    let expected = usize::from(has_descriptor && !context.has(FUTEX_WAIT));
    woken_with_eventfds(context, &local, expected)
}

/// Where every slot is taken, the wake-up comes nevertheless.
pub(crate) fn woken_without_a_slot(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 1)?);
    let slots = local.with(|ring| ring.in_flight_capacity())?;
    let held: Vec<_> = (0..slots)
        .map(|_| started(&local, Timeout::after(Duration::from_secs(3600))))
        .collect::<TestResult<_>>()?;
    let signal = Signal::default();
    let caller = thread::spawn({
        let signal = signal.clone();
        move || {
            thread::sleep(Duration::from_millis(5));
            signal.give();
        }
    });
    local.block_on(signal.wait())?;
    caller.join().expect("it does not panic");
    drop(held);
    Ok(())
}
