//! Polling by hand.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use uring::op::Operation;
use uring::{Any, Local, SubmitError, Submitted};
use uring_testkit::TestResult;

/// Polls once, with nobody to wake.
pub(crate) fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A future whose operation the kernel has.
pub(crate) fn started<O: Operation + 'static>(local: &Local, op: O) -> TestResult<Submitted<O>> {
    let mut future = local.submit(op);
    assert!(once(&mut future).is_pending(), "it was only pushed");
    local.turn()?;
    Ok(future)
}

pub(crate) fn in_flight(local: &Local) -> TestResult<u32> {
    Ok(local.with(|ring| ring.in_flight())?)
}

/// Turns the ring until nothing is in flight.
pub(crate) fn drain(local: &Local) -> TestResult {
    while in_flight(local)? > 0 {
        local.park(None)?;
    }
    Ok(())
}

/// Whichever of two futures ends first; the other one is dropped.
pub(crate) async fn first<A: Operation, B: Operation>(
    mut a: Submitted<A, Any>,
    mut b: Submitted<B, Any>,
) -> Either<Result<A::Output, SubmitError<A>>, Result<B::Output, SubmitError<B>>> {
    poll_fn(|context| {
        if let Poll::Ready(output) = Pin::new(&mut a).poll(context) {
            return Poll::Ready(Either::A(output));
        }
        Pin::new(&mut b).poll(context).map(Either::B)
    })
    .await
}

pub(crate) enum Either<A, B> {
    A(A),
    B(B),
}

/// A waker that is counted.
#[derive(Default)]
pub(crate) struct Counts(AtomicU32);

impl Counts {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
