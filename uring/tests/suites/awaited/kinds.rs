//! Rings with a submission thread, and rings whose completions are polled for.

use std::fs::File;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use uring::op::{Fsync, Nop, Read, Timeout, Write};
use uring::{Builder, Chain, Local, Polling, Push, SubmissionThread, WakeUp};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::fixtures::Nvme;
use uring_testkit::{Context, TestResult};

use crate::awaited::poll::{drain, in_flight, started};
use crate::awaited::{driver, streams, threads};
use crate::common;

const HOUR: Duration = Duration::from_secs(3600);
const BLOCK: usize = 4096;

/// The thread falls asleep as soon as the kernel lets it.
fn on_a_thread(context: &Context, wake_up: WakeUp) -> TestResult<Local> {
    let thread = SubmissionThread::new().idle(Duration::from_millis(1));
    let ring = common::build(context, &Builder::new(8).submission_thread(thread))?;
    Ok(Local::with_wake_up(ring, wake_up))
}

pub(crate) fn submission_thread(context: &Context) -> TestResult {
    let local = on_a_thread(context, WakeUp::Best)?;
    let dir = TempDir::new()?;
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(dir.path().join("file"))?;
    let file = Arc::new(file);
    for round in 0..context.rounds(200) {
        local.block_on(async {
            local.submit(Nop::new()).await??;
            let written = local
                .submit(Write::new(file.clone(), "a text").at(0))
                .await?;
            assert_eq!(written.result?, 6);
            let read = Read::new(file.clone(), Vec::with_capacity(16)).at(0);
            let done = local.submit_with(read, Push::new().always_async()).await?;
            assert_eq!(done.buf, b"a text");
            let chain =
                Chain::new(Write::new(file.clone(), "more").at(0)).then(Fsync::new(file.clone()));
            let (write, sync) = local.with(|ring| ring.push_chain(chain.skip_success()))??;
            local.redeem(sync).await?.result?;
            assert_eq!(local.redeem(write).await?.result?, 4);
            if round % 16 == 0 {
                // The thread is asleep by now.
                let pause = Timeout::after(Duration::from_millis(8));
                local.submit(pause).await??;
            }
            TestResult::Ok(())
        })??;
    }
    // More than the queue holds, from as many tasks.
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let one = local.clone();
            local.spawn(async move { one.submit(Nop::new()).await.expect("it waits") })
        })
        .collect();
    local.block_on(async {
        for task in tasks {
            task.await.expect("nobody has aborted it")?;
        }
        TestResult::Ok(())
    })??;

    // What is dropped is cancelled, and its memory kept till then.
    let (reader, writer) = pipe()?;
    let reader = Arc::new(reader);
    drop(started(&local, Read::new(Arc::clone(&reader), vec![0; 4]))?);
    drop(started(&local, Timeout::after(HOUR))?);
    while Arc::strong_count(&reader) > 1 {
        local.park(Some(Duration::from_millis(1)))?;
    }
    local
        .block_on(local.submit(Write::new(writer, "left")))??
        .result?;
    let read = local.block_on(local.submit(Read::new(reader, vec![0; 4])))??;
    assert_eq!(read.buf, b"left");
    // The ring ends with something in flight.
    let _hour = started(&local, Timeout::after(HOUR))?;
    Ok(())
}

/// Calls from other threads reach `block_on`, however it sleeps.
pub(crate) fn submission_thread_woken(context: &Context) -> TestResult {
    for wake_up in [WakeUp::Best, WakeUp::Eventfd, WakeUp::ShortWaits] {
        threads::woken(context, &on_a_thread(context, wake_up)?)?;
    }
    Ok(())
}

pub(crate) fn submission_thread_driven(context: &Context) -> TestResult {
    driver::drives(context, &on_a_thread(context, WakeUp::Best)?)
}

pub(crate) fn submission_thread_streams(context: &Context) -> TestResult {
    streams::ticks(&on_a_thread(context, WakeUp::Best)?)
}

/// Without a device that is polled nothing but no-ops can be carried out, and wakers are heard all the same.
pub(crate) fn polled(context: &Context) -> TestResult {
    let polling = Builder::new(8).polling(Polling::Busy);
    let ring = |wake_up| -> TestResult<Local> {
        let ring = common::build(context, &polling)?;
        Ok(Local::with_wake_up(ring, wake_up))
    };
    for wake_up in [WakeUp::Best, WakeUp::ShortWaits] {
        let local = ring(wake_up)?;
        threads::woken(context, &local)?;
        assert_eq!(in_flight(&local)?, 0);
        let refused = local.driver().expect_err("a reactor would hear nothing");
        assert!(refused.is_invalid_request(), "{refused}");
        // What cannot be polled for fails, or works on a newer kernel.
        let (reader, _writer) = pipe()?;
        let mut read = pin!(local.submit(Read::new(reader, vec![5; 4])));
        let mut turns = 0;
        let ended = local.block_on(poll_fn(|context| {
            turns += 1;
            match read.as_mut().poll(context) {
                Poll::Pending if turns > 100 => Poll::Ready(None),
                Poll::Pending => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(done) => Poll::Ready(Some(done)),
            }
        }))?;
        if let Some(done) = ended {
            let done = done?;
            let error = done.result.expect_err("nothing was written");
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
            assert_eq!(done.buf, [5; 4]);
        }
    }
    for wake_up in [WakeUp::Futex, WakeUp::Eventfd] {
        let local = ring(wake_up)?;
        local.block_on(async {})?;
        let error = local
            .block_on(std::future::pending::<()>())
            .expect_err("nothing can wake it");
        assert!(error.is_invalid_request(), "{error}");
        assert!(error.to_string().contains("ShortWaits"), "{error}");
    }
    Ok(())
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// A block that goes to the device and back.
struct Aligned(Box<Block>);

// SAFETY: heap memory owned by the value; no method does more than return.
unsafe impl uring::Buf for Aligned {
    fn as_ptr(&self) -> *const u8 {
        self.0.0.as_ptr()
    }

    fn len(&self) -> usize {
        BLOCK
    }
}

// SAFETY: as above.
unsafe impl uring::BufMut for Aligned {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.0.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        BLOCK
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// Reads and writes of a device whose completions are polled for, alone and in tasks, dropped and kept.
pub(crate) fn polled_device(context: &Context) -> TestResult {
    let device = Nvme::open()?;
    let file = Arc::new(device.file().try_clone()?);
    let ring = common::build(context, &Builder::new(8).polling(Polling::Busy))?;
    let local = Local::new(ring);
    let block = |byte| Aligned(Box::new(Block([byte; BLOCK])));
    let tasks: Vec<_> = (0..20_u8)
        .map(|byte| {
            let (local, file) = (local.clone(), Arc::clone(&file));
            let at = u64::from(byte) * BLOCK as u64;
            local.clone().spawn(async move {
                let write = Write::new(Arc::clone(&file), block(byte)).at(at);
                let done = local.submit(write).await.expect("the ring is there");
                assert_eq!(done.result.expect("the device takes it"), BLOCK);
                let read = Read::new(file, block(0xff)).at(at);
                let done = local.submit(read).await.expect("the ring is there");
                assert_eq!(done.result.expect("the device has it"), BLOCK);
                assert_eq!(done.buf.0.0, [byte; BLOCK]);
            })
        })
        .collect();
    local.block_on(async {
        for task in tasks {
            task.await.expect("nobody has aborted it");
        }
    })?;
    // What is dropped comes to its end, though it cannot be cancelled.
    for _ in 0..4 {
        drop(started(&local, Read::new(file.clone(), block(0)).at(0))?);
    }
    drain(&local)?;
    assert_eq!(Arc::strong_count(&file), 1);
    // ... also if the ring ends first, and called from another thread meanwhile.
    let _left = started(&local, Read::new(file.clone(), block(0)).at(0))?;
    let (tell, told) = std::sync::mpsc::channel::<std::task::Waker>();
    let caller = thread::spawn(move || told.recv().map(std::task::Waker::wake));
    let mut tell = Some(tell);
    local.block_on(poll_fn(|context| match tell.take() {
        Some(tell) => {
            tell.send(context.waker().clone()).expect("it listens");
            Poll::Pending
        }
        None => Poll::Ready(()),
    }))?;
    caller.join().expect("it does not panic")?;
    Ok(())
}
