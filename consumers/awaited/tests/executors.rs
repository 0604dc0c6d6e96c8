//! The same work under tokio, smol, and the ring's own executor.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use async_executor::LocalExecutor;
use awaited::{drive_in_smol, drive_in_tokio};
use futures_lite::StreamExt as _;
use uring::op::{Nop, Read, Timeout, TimeoutMultishot, Write};
use uring::{Any, Builder, Local, Ring};
use uring_testkit::process::fork_and;
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

type Body = fn(&Context) -> TestResult;

fn ring(context: &Context) -> Result<Ring<Any>, uring::Error> {
    let builder = Builder::new(8);
    Ok(match context.handle() {
        HandleKind::Fd => builder.build()?.into(),
        HandleKind::Registered => builder.build_registered()?.into(),
        HandleKind::Closed => builder.build_registered()?.close_fd()?.into(),
        HandleKind::Born => builder.build_fdless()?.into(),
    })
}

/// Operations that end at once, later, by each other's hand and never.
async fn work(local: &Local, rounds: u64) -> TestResult {
    for _ in 0..rounds {
        local.submit(Nop::new()).await??;
        local
            .submit(Timeout::after(Duration::from_micros(50)))
            .await??;
        let (reader, writer) = files::pipe()?;
        let never = local.submit(Read::new(reader.try_clone()?, vec![0; 4]));
        let raced = futures_lite::future::or(async { never.await.is_ok() }, async { false }).await;
        assert!(!raced, "nobody has written");
        let read = local.submit(Read::new(reader, vec![0; 4]));
        let write = local.submit(Write::new(writer, "text"));
        let (read, write) = futures_lite::future::zip(read, write).await;
        write?.result?;
        assert_eq!(read?.buf, b"text");
    }
    Ok(())
}

/// The operations of another reactor beside those of the ring.
fn sockets() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

fn own(context: &Context) -> TestResult {
    let local = Local::new(ring(context)?);
    local.block_on(work(&local, context.rounds(100)))?
}

fn tokio_current_thread(context: &Context) -> TestResult {
    let local = Local::new(ring(context)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    let driver = tasks.spawn_local(drive_in_tokio(local.driver()?));
    let rounds = context.rounds(100);
    let beside = tasks.spawn_local({
        let local = local.clone();
        async move {
            work(&local, rounds)
                .await
                .map_err(|failure| failure.to_string())
        }
    });
    tasks.block_on(&runtime, async {
        work(&local, rounds).await?;
        beside.await.map_err(io::Error::other)??;
        let (here, there) = sockets()?;
        there.set_nonblocking(true)?;
        let there = tokio::net::TcpStream::from_std(there)?;
        let write = Write::new(OwnedFd::from(here), "from the ring");
        local.submit(write).await?.result?;
        there.readable().await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut buf = [0; 16];
        let length = there.try_read(&mut buf)?;
        assert_eq!(&buf[..length], b"from the ring");
        assert!(!driver.is_finished(), "the driver has ended");
        driver.abort();
        TestResult::Ok(())
    })
}

/// Its reactor lasts as long as the process, which is one of its own.
fn smol(context: &Context) -> TestResult {
    fork_and(|| in_smol(context))?.check()
}

fn in_smol(context: &Context) -> TestResult {
    let local = Local::new(ring(context)?);
    let executor = Rc::new(LocalExecutor::new());
    let driver = executor.spawn(drive_in_smol(local.driver()?));
    let rounds = context.rounds(100);
    async_io::block_on(executor.run(async {
        let one = local.clone();
        let beside = executor.spawn(async move {
            work(&one, rounds)
                .await
                .map_err(|failure| failure.to_string())
        });
        work(&local, rounds).await?;
        beside.await?;
        let (here, there) = sockets()?;
        let there = async_io::Async::new(there)?;
        let write = Write::new(OwnedFd::from(here), "from the ring");
        local.submit(write).await?.result?;
        there.readable().await?;
        async_io::Timer::after(Duration::from_millis(1)).await;
        assert!(!driver.is_finished(), "the driver has ended");
        TestResult::Ok(())
    }))
}

fn streams(context: &Context) -> TestResult {
    let local = Local::new(ring(context)?);
    let ticks = local.stream(TimeoutMultishot::every(Duration::from_millis(1)).repeats(3));
    let ticked = local.block_on(ticks.map(|_| 1).fold(0, |sum, one| sum + one))?;
    assert!(ticked >= 2, "{ticked}");
    // Beside a file of another kind, so that the trait is what counts.
    let mut both = local
        .stream(TimeoutMultishot::every(Duration::from_millis(1)).repeats(2))
        .map(|_| ())
        .or(futures_lite::stream::once(()));
    local.block_on(async { while both.next().await.is_some() {} })?;
    let done = local.block_on(local.submit(Read::new(File::open("/dev/zero")?, vec![1; 2])))??;
    assert_eq!(done.buf, [0; 2]);
    Ok(())
}

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = ring(context).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new("executors");
    let tests: [(&str, Body); 3] = [
        ("own", own),
        ("tokio_current_thread", tokio_current_thread),
        ("smol", smol),
    ];
    for (name, body) in tests {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .refused_by(the_handle_is_refused);
    }
    suite
        .test("streams", streams)
        .on([HandleKind::Fd])
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("awaited::streams of uring's own suites has it");
    suite.run()
}
