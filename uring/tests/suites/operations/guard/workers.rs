//! The worker threads of a ring: how many, and where.

use std::fs::{self, File};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use uring::op::{OpenAt, Read};
use uring::{CpuSet, Push, WorkerLimits};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::c_path;

const AFFINITY: Feature = Feature::register(uring_sys::IORING_REGISTER_IOWQ_AFF);
const LIMITS: Feature = Feature::register(uring_sys::IORING_REGISTER_IOWQ_MAX_WORKERS);

/// The processors that each of the process's workers may run on, as the kernel lists them.
fn of_workers() -> TestResult<Vec<String>> {
    let mut workers = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        // One that ends meanwhile is none of those that are looked for.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        if field(&status, "Name:").is_some_and(|name| name.starts_with("iou-wrk")) {
            workers.extend(field(&status, "Cpus_allowed_list:"));
        }
    }
    workers.sort();
    Ok(workers)
}

fn field(status: &str, name: &str) -> Option<String> {
    let mut lines = status.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

pub(crate) fn pinned(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let refused = ring
        .pin_workers(&CpuSet::new())
        .expect_err("nowhere to run");
    assert!(refused.is_invalid_request(), "{refused}");
    // An open that waits for somebody to open the other end keeps its worker busy, so that the next has another.
    let dir = TempDir::new()?;
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU)?;
    let own = field(
        &fs::read_to_string("/proc/thread-self/status")?,
        "Cpus_allowed_list:",
    );
    let own = own.ok_or("the kernel does not say")?;
    let (mut tokens, mut expected) = (Vec::new(), Vec::new());
    for pinned in [None, Some(0), None, Some(0)] {
        match pinned {
            Some(cpu) => ring.pin_workers(&CpuSet::from_iter([cpu]))?,
            None if expected.is_empty() => {}
            None => ring.unpin_workers()?,
        }
        let open = OpenAt::new(c_path(&fifo));
        tokens.push(ring.push_with(open, Push::new().always_async())?);
        ring.submit()?;
        // Those that are there stay where they are.
        expected.push(pinned.map_or_else(|| own.clone(), |cpu| cpu.to_string()));
        expected.sort();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut workers = of_workers()?;
        // The name is given, and the processors are, when the worker begins.
        while workers != expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            workers = of_workers()?;
        }
        assert_eq!(workers, expected);
    }
    let _writer = File::options().write(true).open(&fifo)?;
    for token in tokens {
        ring.wait(token)?.result?;
    }
    ring.unpin_workers()?;
    Ok(())
}

pub(crate) fn pinned_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(AFFINITY, context, 8)? else {
        return Ok(());
    };
    let set = CpuSet::from_iter([0]);
    for refused in [ring.pin_workers(&set), ring.unpin_workers()] {
        let error = refused.expect_err("the kernel does not know it");
        assert!(error.is_unsupported(), "{error}");
    }
    Ok(())
}

pub(crate) fn limited(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let limits = |bounded, unbounded| WorkerLimits {
        bounded: NonZeroU32::new(bounded),
        unbounded: NonZeroU32::new(unbounded),
    };
    let first = ring.limit_workers(limits(3, 0))?;
    assert!(
        first.bounded.is_some() && first.unbounded.is_some(),
        "{first:?}"
    );
    let second = ring.limit_workers(limits(0, 5))?;
    assert_eq!(
        (second.bounded, second.unbounded),
        (NonZeroU32::new(3), first.unbounded)
    );
    assert_eq!(ring.limit_workers(WorkerLimits::default())?, limits(3, 5));
    for wrong in [limits(1 << 31, 0), limits(0, u32::MAX)] {
        let refused = ring
            .limit_workers(wrong)
            .expect_err("more than there can be");
        assert!(refused.is_invalid_request(), "{refused}");
    }
    assert_eq!(ring.limit_workers(WorkerLimits::default())?, limits(3, 5));
    // Work goes on with one worker, one piece after the other.
    ring.limit_workers(limits(1, 1))?;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let (reader, writer) = pipe()?;
        drop(writer);
        let read = Read::new(reader, vec![0; 1]);
        tokens.push(ring.push_with(read, Push::new().always_async())?);
    }
    for token in tokens {
        assert_eq!(ring.wait(token)?.result?, 0);
    }
    Ok(())
}

pub(crate) fn limited_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(LIMITS, context, 8)? else {
        return Ok(());
    };
    let error = ring
        .limit_workers(WorkerLimits::default())
        .expect_err("the kernel does not know it");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}
