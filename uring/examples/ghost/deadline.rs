//! A point of time that moves on as long as there is progress.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use uring::op::Timeout;
use uring::{Local, Submitted};

/// When a connection has to have got on.
///
/// Moving it costs nothing: the timer stays in flight, and is asked for the rest only when it has gone off too early.
pub(crate) struct Deadline {
    local: Local,
    at: Instant,
    timer: Option<(Instant, Submitted<Timeout>)>,
}

impl Deadline {
    pub(crate) fn after(local: &Local, span: Duration) -> Deadline {
        Deadline {
            local: local.clone(),
            at: Instant::now() + span,
            timer: None,
        }
    }

    /// From now on it is that far away.
    pub(crate) fn put_off(&mut self, span: Duration) {
        self.at = Instant::now() + span;
        // One that would go off too late is of no use.
        self.timer.take_if(|(at, _)| *at > self.at);
    }

    /// What the future yields, or nothing if the deadline comes first; the future is dropped then.
    pub(crate) async fn limit<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            self.poll_over(context).map(|()| None)
        })
        .await
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = self.at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let (_, timer) = self
                .timer
                .get_or_insert_with(|| (self.at, self.local.submit(Timeout::after(left))));
            let end = ready!(Pin::new(timer).poll(context));
            self.timer = None;
            // Without a timer nothing would ever come to an end.
            if !matches!(end, Ok(Ok(_))) {
                return Poll::Ready(());
            }
        }
    }
}

/// Which of two futures was first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two futures, and drops the other.
pub(crate) async fn either<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}
