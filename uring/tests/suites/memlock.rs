//! `RLIMIT_MEMLOCK`, met by a user without `CAP_IPC_LOCK`. Rings count against it on some kernels only.

use crate::common;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use uring::op::Nop;
use uring::{Builder, Error, Hint, PerThread, Ring};
use uring_testkit::{
    Context, Facility, HandleKind, KernelVersion, Lane, Observation, Suite, TestResult,
};

const LIMIT: u64 = 64 << 10;

/// The smallest limit that distributions have, for somebody whom it binds.
const LITTLE_LOCKED_MEMORY: Facility = Facility::new(
    "little-locked-memory",
    "run the tests as an ordinary user after `ulimit -l 64`",
    || match fs::read_to_string("/proc/self/status") {
        Ok(status) => match is_limited(&status) {
            Some(true) => Observation::Present,
            Some(false) => Observation::Absent,
            None => Observation::Inconclusive("/proc/self/status has no CapEff".to_owned()),
        },
        Err(error) => Observation::Inconclusive(format!("/proc/self/status: {error}")),
    },
);

fn is_limited(status: &str) -> Option<bool> {
    const CAP_IPC_LOCK: u64 = 1 << 14;
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).ok()?;
    Some(capabilities & CAP_IPC_LOCK == 0 && limit() == LIMIT)
}

fn limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: room for the answer; the call fails for no resource that exists.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    limit.rlim_cur
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("memlock");
    suite.handles_refused_in("lifecycle");
    suite
        .test("h28_a_ring_counts_on_some_kernels", rings_count)
        .on(HandleKind::ALL)
        .requires([LITTLE_LOCKED_MEMORY])
        .alone();
    suite
        .test("h28_small_rings_go_on", small_rings_go_on)
        .requires([LITTLE_LOCKED_MEMORY])
        .alone();
    suite
        .test("h28_no_other_handle_is_tried", no_other_handle)
        .requires([LITTLE_LOCKED_MEMORY])
        .alone();
    suite
}

/// Whether this kernel counts the memory of rings: it is not to be probed with rings, so its version has to say.
fn counts() -> TestResult<bool> {
    let kernel = Lane::from_env()?.kernel;
    Ok((KernelVersion::new(6, 16)..=KernelVersion::new(7, 1)).contains(&kernel))
}

/// A small ring. What dead rings had is given back some time after they are gone.
fn small_ring<T>(build: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        match build() {
            Err(error) if error.is_limited() && start.elapsed() < Duration::from_secs(20) => {
                thread::sleep(Duration::from_millis(5));
            }
            built => return built,
        }
    }
}

/// Entries of 64 KiB alone.
const LARGE: u32 = 1024;

fn assert_memlock(error: &Error) {
    assert_eq!(
        error.hint(),
        Some(Hint::Memlock { limit: LIMIT }),
        "{error}"
    );
    assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
    assert!(error.is_limited() && !error.is_blocked() && !error.is_unsupported());
    let text = error.to_string();
    assert!(
        text.contains("65536 bytes of memory (RLIMIT_MEMLOCK)"),
        "{text}"
    );
    assert!(
        text.contains("; raise the limit, or ask for smaller queues"),
        "{text}"
    );
}

fn rings_count(context: &Context) -> TestResult {
    let mut small = small_ring(|| common::ring(context, 8))?;
    match (common::ring(context, LARGE), counts()?) {
        (Err(error), true) => assert_memlock(&error),
        (Ok(mut large), false) => {
            large.call(Nop::new())??;
        }
        (Err(error), false) => return Err(error.into()),
        (Ok(_), true) => return Err("a ring of more than the limit was made".into()),
    }
    // The one that was there has not noticed.
    small.call(Nop::new())??;
    Ok(())
}

/// A refused ring costs nothing: it can be refused any number of times.
fn small_rings_go_on(_: &Context) -> TestResult {
    for _ in 0..20 {
        match Ring::best(LARGE) {
            Ok(_) => assert!(!counts()?),
            Err(error) => assert_memlock(&error),
        }
        small_ring(|| Ring::best(8))?.call(Nop::new())??;
    }
    Ok(())
}

/// Another handle would need the same memory.
fn no_other_handle(_: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(LARGE);
    let results = [
        Ring::best(LARGE).map(drop),
        Builder::new(LARGE).build_disabled().map(drop),
        thread::spawn(|| RINGS.with(|_| ()))
            .join()
            .map_err(|_| "a panic")?,
    ];
    for result in results {
        match (result, counts()?) {
            (Err(error), true) => assert_memlock(&error),
            (Ok(()), false) => {}
            (result, _) => return Err(format!("{result:?}").into()),
        }
    }
    Ok(())
}
