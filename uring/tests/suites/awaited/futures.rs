//! What a future yields, and how it fails.

use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uring::op::{Fsync, Nop, OpenAt, Read, Timeout, Write};
use uring::{Chain, Local, Push};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::process::fork_and;
use uring_testkit::{Context, TestResult};

use crate::awaited::poll::{in_flight, once, started};
use crate::common;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn futures(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(dir.path().join("file"))?;
    let file = Arc::new(file);
    let local = Local::new(common::ring(context, 8)?);
    assert!(local.handle_kind().is_some());
    local.block_on(async {
        local.submit(Nop::new()).await??;
        // Both are in flight at once, and are awaited in another order.
        let mut late = local.submit(Timeout::after(Duration::from_millis(2)));
        assert!(once(&mut late).is_pending());
        let written = local
            .submit(Write::new(file.clone(), "a text").at(0))
            .await?;
        assert_eq!(written.result?, 6);
        late.await??;
        let read = Read::new(file.clone(), Vec::with_capacity(16)).at(0);
        let done = local.submit_with(read, Push::new().always_async()).await?;
        assert_eq!((done.result?, &*done.buf), (6, &b"a text"[..]));

        let chain =
            Chain::new(Write::new(file.clone(), "more").at(6)).then(Fsync::new(file.clone()));
        let (write, sync) = local.with(|ring| ring.push_chain(chain))??;
        local.redeem(sync).await?.result?;
        assert_eq!(local.redeem(write).await?.result?, 4);
        // One completion for both wakes whoever awaits the other.
        let chain =
            Chain::new(Write::new(file.clone(), "less").at(6)).then(Fsync::new(file.clone()));
        let (write, sync) = local.with(|ring| ring.push_chain(chain.skip_success()))??;
        assert_eq!(local.redeem(write).await?.result?, 4);
        local.redeem(sync).await?.result?;
        // The failure of an operation is in its output, with the resources.
        let wrong = local
            .submit(Read::new(file.clone(), vec![1; 4]).at(u64::MAX - 1))
            .await?;
        let error = wrong.result.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
        assert_eq!(wrong.buf, [1; 4]);
        TestResult::Ok(())
    })??;
    let (reader, _writer) = pipe()?;
    let read = started(&local, Read::new(reader, vec![3; 4]))?;
    read.cancel()?;
    let done = local.block_on(read)??;
    assert_eq!(
        done.result.map_err(|error| error.raw_os_error()),
        Err(Some(libc::ECANCELED))
    );
    assert_eq!(done.buf, [3; 4]);
    // Nothing is pushed before the first poll.
    drop(local.submit(Nop::new()));
    local.with(|ring| assert_eq!(ring.pending(), 0))?;
    Ok(())
}

/// With more futures than slots all come to their end, those dropped while they wait excepted.
pub(crate) fn futures_wait_for_slots(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 1)?);
    let slots = local.with(|ring| ring.in_flight_capacity())?;
    let ended = Rc::new(Cell::new(0));
    let futures = 20 * slots;
    for _ in 0..futures {
        let (one, ended) = (local.clone(), Rc::clone(&ended));
        local.spawn(async move {
            one.submit(Nop::new())
                .await
                .expect("it waits")
                .expect("as before");
            ended.set(ended.get() + 1);
        });
    }
    local.block_on(async {
        while ended.get() < futures {
            local.submit(Nop::new()).await??;
        }
        TestResult::Ok(())
    })??;

    // Another, since the first may listen for other threads in a slot.
    let local = Local::new(common::ring(context, 1)?);
    let held: Vec<_> = (0..slots)
        .map(|_| started(&local, Timeout::after(HOUR)))
        .collect::<TestResult<_>>()?;
    let (mut gone, mut last) = (local.submit(Nop::new()), local.submit(Nop::new()));
    assert!(once(&mut gone).is_pending() && once(&mut last).is_pending());
    assert_eq!(in_flight(&local)?, slots);
    drop(gone);
    drop(held);
    local.block_on(last)???;
    Ok(())
}

pub(crate) fn futures_refused(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 8)?);
    let mut other = common::ring(context, 8)?;
    local.with(|ring| ring.register_direct(1))??;
    let slot = local.with(|ring| ring.direct_slot())??;
    let file = local
        .block_on(local.submit(OpenAt::new(c"/dev/zero").into_direct(slot)))??
        .result?;
    other.register_direct(1)?;
    let stranger = Local::new(other);
    let refused = stranger.block_on(stranger.submit(Read::new(file, vec![9; 4])))?;
    let (op, error) = refused.expect_err("of another ring").into_parts();
    assert!(error.is_wrong_ring(), "{error}");
    // The operation came back whole.
    let done = local.block_on(local.submit(op.expect("it was not pushed")))??;
    assert_eq!((done.result?, done.buf), (4, vec![0; 4]));

    let token = local.with(|ring| ring.push(Nop::new()))??;
    let refused = stranger.block_on(stranger.redeem(token))?;
    assert!(
        refused
            .expect_err("of another ring")
            .error()
            .is_wrong_ring()
    );
    Ok(())
}

pub(crate) fn futures_forked(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 8)?);
    let (reader, writer) = pipe()?;
    let writer = Arc::new(writer);
    let mut parents = Some(started(&local, Read::new(reader, vec![0; 4]))?);
    let mut childs = Some(started(&local, Timeout::after(HOUR))?);
    fork_and(|| {
        let forked = |error: uring::Error| assert!(error.is_forked(), "{error}");
        let new = once(&mut local.submit(Nop::new()));
        let std::task::Poll::Ready(Err(refused)) = new else {
            return Err("the child's copy of the ring works".into());
        };
        let (op, error) = refused.into_parts();
        assert!(op.is_some());
        forked(error);
        let mut childs = childs.take().expect("the child has its copy");
        let std::task::Poll::Ready(Err(refused)) = once(&mut childs) else {
            return Err("the child's copy of the ring works".into());
        };
        forked(refused.into());
        forked(childs.cancel().unwrap_err());
        drop(childs);
        forked(local.turn().unwrap_err());
        forked(local.park(None).unwrap_err());
        forked(local.block_on(std::future::pending::<()>()).unwrap_err());
        forked(local.driver().expect_err("it is the child's copy"));
        drop(parents.take());
        drop(local.clone());
        Ok(())
    })?
    .check()?;
    drop(childs);
    let write = local.submit(Write::new(writer, "ours"));
    local.block_on(write)??.result?;
    let done = local.block_on(parents.take().expect("the parent has its own"))??;
    assert_eq!(done.buf, b"ours");
    Ok(())
}
