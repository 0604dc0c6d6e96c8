//! What the kernel reads late is there as long as it reads (M5, M8); ring memory is nobody else's (M13); chains complete (M16).

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use uring::op::{
    Clock, EndReason, Limited, LinkTimeout, Nop, OpenAt, RawTimespec, Read, Statx, Timeout,
    TimeoutEnd, TimeoutMultishot, Timespec, UnlinkAt, Write,
};
use uring::{Builder, Chain};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;

/// Overwrites what was freed, on the heap and on the stack.
fn churn() {
    let heap: Vec<Box<[u8]>> = (4..200).map(|length| vec![0xa5; length].into()).collect();
    black_box((heap, [0xa5_u8; 4096]));
}

pub(crate) fn m05_temporaries(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    for round in 0..context.rounds(100) {
        let path = dir.path().join(format!("file-{round}"));
        let name = path.to_str().ok_or("the directory has a name in UTF-8")?;
        let mut ring = common::ring(context, 16)?;
        let (open, write, statx, timeout, unlink) = {
            let path = || CString::new(format!("{name}{}", "")).expect("no zero byte");
            let open = ring.push(OpenAt::new(path()).write_only().create(0o600))?;
            let null = File::options().write(true).open("/dev/null")?;
            let write = ring.push(Write::new(null, format!("{round}").into_bytes()))?;
            let statx = ring.push(Statx::new(CString::new("/proc/self/exe")?))?;
            let timeout = ring.push(Timeout::after(Duration::from_millis(1)))?;
            let missing = format!("{name}-missing");
            let unlink = ring.push(UnlinkAt::new(CString::new(missing)?))?;
            (open, write, statx, timeout, unlink)
        };
        churn();
        ring.submit()?;
        churn();
        let opened = ring.wait(open)?;
        assert_eq!(
            File::from(opened.result?).metadata()?.ino(),
            path.metadata()?.ino()
        );
        assert_eq!(opened.path.to_str()?, name);
        let written = ring.wait(write)?;
        assert_eq!(
            (written.result?, written.buf),
            (round.to_string().len(), round.to_string().into())
        );
        let inode = std::fs::metadata("/proc/self/exe")?.ino();
        assert_eq!(ring.wait(statx)?.result?.inode(), inode);
        assert_eq!(ring.wait(timeout)??, TimeoutEnd::TimeOver);
        let error = ring
            .wait(unlink)?
            .result
            .expect_err("there is no such file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    Ok(())
}

const PERIOD: Duration = Duration::from_millis(3);

pub(crate) fn m08_multishot_timeout(context: &Context) -> TestResult {
    const TIMES: u32 = 10;
    let mut ring = common::ring(context, 8)?;
    let start = Instant::now();
    let token = {
        let period = PERIOD;
        ring.push(
            TimeoutMultishot::every(period)
                .repeats(TIMES)
                .clock(Clock::Boottime),
        )?
    };
    ring.submit()?;
    let mut items = 0;
    while ring.wait_item(&token)?.is_some() {
        items += 1;
        churn();
        // Other operations come and go in the slots around it.
        for _ in 0..8 {
            ring.call(Timeout::after(Duration::from_nanos(1)))??;
        }
        assert!(start.elapsed() >= PERIOD * items, "it fired too early");
    }
    assert_eq!(items, TIMES);
    assert!(matches!(ring.wait(token)?.reason, EndReason::Finished));
    assert!(start.elapsed() >= PERIOD * TIMES);
    Ok(())
}

/// Nobody takes its items, and it ends with its scope or ring, also when it fires while it is being cancelled.
pub(crate) fn m08_multishot_timeout_given_up(context: &Context) -> TestResult {
    const SOON: Duration = Duration::from_micros(50);
    for _ in 0..context.rounds(100) {
        let mut ring = common::build(context, &Builder::new(4).completion_entries(256))?;
        let kept = ring.push(TimeoutMultishot::every(SOON))?;
        let detached = ring.push(TimeoutMultishot::every(SOON))?;
        ring.detach(detached);
        ring.scope(|scope| scope.push(TimeoutMultishot::every(SOON)).map(drop))?;
        assert!(ring.wait_item(&kept)?.is_some());
        assert_eq!(ring.in_flight(), 2);
        churn();
        assert!(ring.wait_item(&kept)?.is_some());
    }
    Ok(())
}

/// On kernels without it: the operation fails as documented, and the ring goes on.
pub(crate) fn m08_multishot_timeout_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(Feature::TIMEOUT_MULTISHOT, context, 4)? else {
        return Ok(());
    };
    match ring.call(TimeoutMultishot::every(PERIOD))?.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        other => panic!("the kernel does not know it: {other:?}"),
    }
    ring.call(Nop::new())??;
    Ok(())
}

pub(crate) fn m08_linked_timeout(context: &Context) -> TestResult {
    for taken in [true, false] {
        for _ in 0..context.rounds(20) {
            let mut ring = common::ring(context, 8)?;
            let (reader, _writer) = pipe()?;
            let start = Instant::now();
            let (read, limit) = {
                let limit = LinkTimeout::after(PERIOD);
                ring.push_chain(Chain::new(Read::new(reader, vec![0; 16])).timeout(limit))?
            };
            churn();
            ring.submit()?;
            churn();
            if taken {
                let read = ring.wait(read)?;
                let error = read.result.expect_err("nobody writes");
                assert!(
                    matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EINTR)),
                    "{error}"
                );
                assert!(
                    start.elapsed() >= PERIOD,
                    "the limit was read after it was gone"
                );
                assert_eq!(read.buf, [0; 16]);
                assert_eq!(ring.wait(limit)??, Limited::TimeOver);
            } else {
                ring.detach(read);
                ring.detach(limit);
                ring.call(Timeout::after(PERIOD * 2))??;
            }
        }
    }
    Ok(())
}

/// The kernel posts the completions of raw operations into the memory of a ring that is gone: it must be nobody else's by then.
pub(crate) fn m13_ring_memory_is_not_reused(context: &Context) -> TestResult {
    const KEPT: usize = 64;
    let soon = Box::leak(Box::new(Timespec::from(Duration::from_millis(2))));
    let mut kept = VecDeque::new();
    for _ in 0..context.rounds(1000) {
        let mut ring = common::ring(context, 8)?;
        for number in 0..8 {
            // SAFETY: the time was leaked.
            let time = unsafe { RawTimespec::new(NonNull::from(&*soon)) };
            ring.push_raw(Timeout::at_address(time), number)?;
        }
        ring.submit()?;
        drop(ring);
        // The addresses that were just unmapped are the first to be given out again.
        kept.push_back(Pattern::new()?);
        if kept.len() > KEPT {
            kept.pop_front().expect("there are some").check();
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    kept.into_iter().for_each(Pattern::check);
    Ok(())
}

/// A fresh mapping full of one byte.
struct Pattern(NonNull<u8>);

impl Pattern {
    const LENGTH: usize = 1 << 16;
    const BYTE: u8 = 0x5a;

    fn new() -> TestResult<Pattern> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choosing, filled over its whole length.
        unsafe {
            let start = libc::mmap(ptr::null_mut(), Self::LENGTH, access, flags, -1, 0);
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error().into());
            }
            let start = NonNull::new(start.cast::<u8>()).ok_or("mmap gave address zero")?;
            start.write_bytes(Self::BYTE, Self::LENGTH);
            Ok(Pattern(start))
        }
    }

    fn check(self) {
        // SAFETY: the mapping is this long, and nobody writes to it, which is what is looked at.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr(), Self::LENGTH) };
        assert!(
            bytes.iter().all(|byte| *byte == Self::BYTE),
            "somebody wrote to it"
        );
        // SAFETY: the mapping was made in `new`, and ends with this value.
        unsafe { libc::munmap(self.0.as_ptr().cast(), Self::LENGTH) };
    }
}

/// An operation that fails; the failure of a `Statx` would not end a chain.
fn missing() -> OpenAt<&'static CStr> {
    OpenAt::new(c"/no/such/file")
}

pub(crate) fn m16_failing_chain_completes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let cancelled = |result: io::Result<()>| {
        let error = result.expect_err("the member before it failed");
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    };
    let not_found = |result: io::Result<std::os::fd::OwnedFd>| {
        let error = result.expect_err("there is no such file");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    };
    for _ in 0..context.rounds(100) {
        let first = Chain::new(missing()).then(Nop::new()).then(Nop::new());
        let ((failed, second), third) = ring.push_chain(first)?;
        not_found(ring.wait(failed)?.result);
        cancelled(ring.wait(second)?);
        cancelled(ring.wait(third)?);

        let middle = Chain::new(Nop::new()).then(missing()).then(Nop::new());
        let ((first, failed), third) = ring.push_chain(middle)?;
        cancelled(ring.wait(third)?);
        not_found(ring.wait(failed)?.result);
        ring.wait(first)??;

        let hard = Chain::new(missing())
            .then_always(Nop::new())
            .then(Nop::new());
        let ((failed, second), third) = ring.push_chain(hard)?;
        ring.wait(third)??;
        ring.wait(second)??;
        not_found(ring.wait(failed)?.result);

        let short = Read::new(File::open("/dev/null")?, vec![0; 16]);
        let (short, second) = ring.push_chain(Chain::new(short).then(Nop::new()))?;
        assert_eq!(ring.wait(short)?.result?, 0);
        cancelled(ring.wait(second)?);
    }
    assert_eq!(ring.in_flight(), 0);
    Ok(())
}

/// Neither a scope nor a ring waits for ever for the members of a chain that failed.
pub(crate) fn m16_failing_chain_is_drained(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    for submitted in [false, true] {
        for _ in 0..context.rounds(50) {
            ring.scope(|scope| -> TestResult {
                let chain = Chain::new(missing())
                    .then(Nop::new())
                    .then_always(Nop::new());
                drop(scope.push_chain(chain)?);
                if submitted {
                    scope.submit()?;
                }
                Ok(())
            })?;
            assert_eq!(ring.in_flight(), 0);
            let chain = Chain::new(Nop::new()).then(missing()).then(Nop::new());
            let ((first, second), third) = ring.push_chain(chain)?;
            ring.detach(second);
            drop((first, third));
            if submitted {
                ring.submit()?;
            }
            drop(std::mem::replace(&mut ring, common::ring(context, 16)?));
        }
    }
    Ok(())
}
