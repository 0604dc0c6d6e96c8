//! The kernel's submission thread: where it runs, when it sleeps, with whom it is shared.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use uring::op::Nop;
use uring::{Builder, SubmissionThread};
use uring_testkit::{Context, HandleKind, Suite, TestResult};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    // They look for the threads of their process, and one of another ring may take its time to end.
    suite
        .test(
            "a_submission_thread_runs_where_it_should",
            runs_where_it_should,
        )
        .on(HandleKind::ALL)
        .own_process();
    suite
        .test("a_submission_thread_needs_a_processor", needs_a_processor)
        .on(HandleKind::ALL)
        .own_process();
    suite
        .test("a_submission_thread_sleeps", sleeps)
        .on(HandleKind::ALL)
        .own_process();
    suite
        .test("a_submission_thread_is_shared", is_shared)
        .own_process();
}

/// The submission threads of this process, which have their name from when they first run.
fn threads() -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may end while it is looked at.
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.starts_with("iou-sqp") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The value of a line of a thread's status.
fn status(thread: &std::path::Path, key: &str) -> std::io::Result<String> {
    let status = std::fs::read_to_string(thread.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let value = line.ok_or_else(|| std::io::Error::other(format!("no {key} in {status}")))?;
    Ok(value.trim_start_matches(':').trim().to_owned())
}

fn runs_where_it_should(context: &Context) -> TestResult {
    let anywhere = SubmissionThread::new().idle(Duration::from_millis(1));
    for cpu in [0, 1] {
        let thread = anywhere.on_cpu(cpu);
        let mut ring = match common::build(context, &Builder::new(8).submission_thread(thread)) {
            // A machine with one processor.
            Err(error) if cpu > 0 && std::thread::available_parallelism()?.get() == 1 => {
                assert_eq!(error.errno(), Some(libc::EINVAL));
                continue;
            }
            ring => ring?,
        };
        ring.call(Nop::new())??;
        let threads = threads()?;
        assert_eq!(threads.len(), 1);
        assert_eq!(status(&threads[0], "Cpus_allowed_list")?, cpu.to_string());
        drop(ring);
        wait_until(|| Ok(crate::builder::thread::threads()?.is_empty()))?;
    }
    Ok(())
}

fn needs_a_processor(context: &Context) -> TestResult {
    let thread = SubmissionThread::new().on_cpu(100_000);
    let error = common::build(context, &Builder::new(8).submission_thread(thread)).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
    assert!(!error.is_unsupported(), "{error}");
    assert!(threads()?.is_empty());
    Ok(())
}

fn wait_until(mut holds: impl FnMut() -> std::io::Result<bool>) -> TestResult {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        if Instant::now() > deadline {
            return Err("it never came".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn sleeps(context: &Context) -> TestResult {
    // Less than a millisecond must not become the kernel's default, which is a second.
    for idle in [Duration::from_micros(300), Duration::from_millis(2)] {
        let thread = SubmissionThread::new().idle(idle);
        let mut ring = common::build(context, &Builder::new(8).submission_thread(thread))?;
        ring.call(Nop::new())??;
        let threads = threads()?;
        assert_eq!(threads.len(), 1);
        let quick = (0..10).any(|_| {
            let start = Instant::now();
            let called = ring.call(Nop::new());
            assert!(matches!(called, Ok(Ok(()))));
            let slept = wait_until(|| Ok(status(&threads[0], "State")?.starts_with('S')));
            slept.is_ok() && start.elapsed() < Duration::from_millis(900)
        });
        assert!(quick, "it looks for entries much longer than asked");
        drop(ring);
        wait_until(|| Ok(crate::builder::thread::threads()?.is_empty()))?;
    }
    Ok(())
}

fn is_shared(_: &Context) -> TestResult {
    let thread = SubmissionThread::new().idle(Duration::from_millis(1));
    let builder = Builder::new(8).submission_thread(thread);
    let mut first = builder.build()?;
    let mut second = builder.clone().share_workers(&first).build()?;
    for ring in [&mut first, &mut second] {
        ring.call(Nop::new())??;
    }
    assert_eq!(threads()?.len(), 1);
    let mut third = builder.build()?;
    for ring in [&mut first, &mut second, &mut third] {
        ring.call(Nop::new())??;
    }
    assert_eq!(threads()?.len(), 2);
    drop(first);
    second.call(Nop::new())??;
    Ok(())
}
