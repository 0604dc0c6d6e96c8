//! Operations that complete many times.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use uring::Local;
use uring::op::{Nop, TimeoutMultishot};
use uring_testkit::{Context, TestResult};

use crate::awaited::poll::drain;
use crate::common;

const SHORT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn streams(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 8)?);
    ticks(&local)?;
    dropped(context)
}

/// Some that end by themselves, and some that are cancelled.
pub(crate) fn ticks(local: &Local) -> TestResult {
    let mut ticks = local.stream(TimeoutMultishot::every(SHORT).repeats(4));
    assert!(ticks.take_end().is_none());
    let ticked = local.block_on(async {
        let mut ticked = 0;
        while ticks.next().await.is_some() {
            ticked += 1;
        }
        assert!(ticks.next().await.is_none(), "it has ended");
        ticked
    })?;
    // The last completion is an item of some operations and not of others.
    assert!((3..=4).contains(&ticked), "{ticked}");
    assert!(ticks.take_end().is_some_and(|end| end.is_ok()));
    assert!(ticks.take_end().is_none());

    let mut hours = local.stream(TimeoutMultishot::every(HOUR));
    local.block_on(async {
        let first = poll_fn(|context| Poll::Ready(hours.poll_next(context).is_pending())).await;
        assert!(first);
        local.submit(Nop::new()).await??;
        hours.cancel()?;
        assert!(hours.next().await.is_none());
        TestResult::Ok(())
    })??;
    assert!(hours.take_end().is_some_and(|end| end.is_ok()));
    Ok(())
}

fn dropped(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 8)?);
    for repeats in [0, 3] {
        let mut ticks = local.stream(TimeoutMultishot::every(SHORT).repeats(repeats));
        let pending =
            ticks.poll_next(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(pending.is_pending());
        // All of them may have come with the submission already.
        local.park(Some(SHORT))?;
        drop(ticks);
        drain(&local)?;
    }
    Ok(())
}

/// The kernel ends what it does not know at once.
pub(crate) fn streams_refused(context: &Context) -> TestResult {
    let feature = uring_testkit::Feature::TIMEOUT_MULTISHOT;
    let Some(ring) = common::ring_without(feature, context, 8)? else {
        return Ok(());
    };
    let local = Local::new(ring);
    let mut ticks = local.stream(TimeoutMultishot::every(SHORT));
    assert!(local.block_on(ticks.next())?.is_none());
    assert!(ticks.take_end().is_some());
    Ok(())
}
