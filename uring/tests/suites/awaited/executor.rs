//! `block_on` and what is spawned.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use uring::Local;
use uring::op::{Nop, Read, Timeout, Write};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::awaited::buffers::Drops;
use crate::common;

const HOUR: Duration = Duration::from_secs(3600);

/// Gives the others a turn.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(crate) fn tasks(context: &Context) -> TestResult {
    let local = Local::new(common::ring(context, 16)?);
    // Before the executor runs, and from within a task.
    let (reader, writer) = pipe()?;
    let (inner, outer) = (local.clone(), local.clone());
    let read = local.spawn(async move {
        let read = inner.spawn({
            let inner = inner.clone();
            async move { inner.submit(Read::new(reader, Vec::with_capacity(8))).await }
        });
        read.await
            .expect("nobody has aborted it")
            .map(|done| done.buf)
    });
    local.spawn(async move {
        pause().await;
        let write = outer.submit(Write::new(writer, "by a task"));
        write
            .await
            .expect("there is room")
            .result
            .expect("the pipe is open")
    });
    let text = local.block_on(read)?.expect("nobody has aborted it")?;
    assert_eq!(text, b"by a task"[..text.len()]);

    let drops = Drops::default();
    let (reader, _writer) = pipe()?;
    local.block_on(async {
        let guard = drops.counted();
        let one = local.clone();
        let aborted = local.spawn(async move {
            let _done = one.submit(Read::new(reader, guard)).await;
        });
        pause().await;
        assert!(!aborted.is_finished());
        aborted.abort();
        assert!(aborted.is_finished());
        aborted.abort();
        assert!(aborted.await.is_none());
        // Its read is cancelled, and keeps its buffer until then.
        while drops.count() == 0 {
            local.submit(Nop::new()).await??;
        }
        // One that aborts itself ends where it next waits.
        let myself = Rc::new(RefCell::new(None::<uring::JoinHandle<()>>));
        let mine = Rc::clone(&myself);
        let went_on = Rc::new(Cell::new(0));
        let went = Rc::clone(&went_on);
        *myself.borrow_mut() = Some(local.spawn(async move {
            mine.borrow().as_ref().expect("set before it runs").abort();
            went.set(1);
            pause().await;
            went.set(2);
        }));
        pause().await;
        pause().await;
        assert_eq!(went_on.get(), 1);
        let handle = myself.borrow_mut().take().expect("it is there");
        assert!(handle.await.is_none());
        // Many, that all are woken again and again.
        let handles: Vec<_> = (0..50_u32)
            .map(|number| {
                let one = local.clone();
                local.spawn(async move {
                    for _ in 0..3 {
                        one.submit(Nop::new())
                            .await
                            .map(drop)
                            .expect("it waits for a slot");
                        pause().await;
                    }
                    number
                })
            })
            .collect();
        for (number, handle) in (0..).zip(handles) {
            assert_eq!(handle.await, Some(number));
        }
        TestResult::Ok(())
    })??;
    Ok(())
}

/// Tasks hold the ring, and do not keep it from its end.
pub(crate) fn tasks_end_with_block_on(context: &Context) -> TestResult {
    let drops = Drops::default();
    let local = Local::new(common::ring(context, 8)?);
    let handles: Vec<_> = (0..3)
        .map(|_| {
            let (one, guard) = (local.clone(), drops.counted());
            local.spawn(async move {
                let _guard = guard;
                // At its end it spawns another, which ends as well.
                let _spawns = SpawnsOnDrop(one.clone());
                one.submit(Timeout::after(HOUR)).await.map(drop)
            })
        })
        .collect();
    local.block_on(local.submit(Nop::new()))???;
    assert_eq!(drops.count(), 3);
    assert!(handles.iter().all(uring::JoinHandle::is_finished));
    let mut handles = handles.into_iter();
    let first = handles.next().expect("there are three");
    assert!(local.block_on(first)?.is_none());
    // The last clone: the leak check sees whether the ring is gone.
    drop(local);
    drop(handles);
    Ok(())
}

struct SpawnsOnDrop(Local);

impl Drop for SpawnsOnDrop {
    fn drop(&mut self) {
        let local = self.0.clone();
        drop(self.0.spawn(async move {
            let _local = local;
            pending::<()>().await;
        }));
    }
}

pub(crate) fn tasks_panic(context: &Context) -> TestResult {
    let drops = Drops::default();
    let local = Local::new(common::ring(context, 8)?);
    let guard = drops.counted();
    let other = local.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    let panicking = local.spawn(async { panic!("a task's own panic") });
    let ended = catch_unwind(AssertUnwindSafe(|| local.block_on(pending::<()>())));
    let panic = ended.expect_err("the task's panic goes on");
    assert_eq!(panic.downcast_ref(), Some(&"a task's own panic"));
    assert!(other.is_finished() && panicking.is_finished());
    assert_eq!(drops.count(), 1);
    local.block_on(local.submit(Nop::new()))???;
    Ok(())
}
