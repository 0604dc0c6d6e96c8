//! Chains: members with options and time limits of their own.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use uring::op::{
    Clock, Fsync, Limited, LinkTimeout, Nop, Operation, RawTimespec, Read, Timeout, TimeoutEnd,
    Timespec, Write,
};
use uring::{Any, Builder, Chain, Features, Push, Ring, Token};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::process::{fork_and, with_denied};
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::{assert_cancelled, assert_errno};

const SHORT: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn link_timeout(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let read = || -> TestResult<_> { Ok(Read::new(reader.try_clone()?, vec![0; 4])) };

    // The time is over: what comes after is cancelled, or not, as without a limit.
    let chain = Chain::new(read()?).timeout(LinkTimeout::after(SHORT));
    let ((late, limit), after) = ring.push_chain(chain.then(Nop::new()))?;
    assert_errno(ring.wait(after)?, libc::ECANCELED);
    assert_errno(ring.wait(late)?.result, libc::ECANCELED);
    assert_eq!(ring.wait(limit)??, Limited::TimeOver);
    let chain = Chain::new(read()?).timeout(LinkTimeout::after(SHORT));
    let ((late, limit), after) = ring.push_chain(chain.then_always(Nop::new()))?;
    ring.wait(after)??;
    assert_errno(ring.wait(late)?.result, libc::ECANCELED);
    assert_eq!(ring.wait(limit)??, Limited::TimeOver);

    let limit = LinkTimeout::after(HOUR).clock(Clock::Boottime);
    let chain = Chain::new(read()?).timeout(limit).then(Nop::new());
    let ((in_time, limit), after) = ring.push_chain(chain)?;
    ring.call(Write::new(&writer, "now!"))?.result?;
    assert_eq!(ring.wait(in_time)?.result?, 4);
    assert_eq!(ring.wait(limit)??, Limited::InTime);
    ring.wait(after)??;

    // A limit on a later member, at a point of time, found elsewhere; borrowed memory.
    let past = Timespec::from(Duration::from_nanos(1));
    // SAFETY: it lives to the end of this function, and the scope waits for the operations.
    let past = unsafe { RawTimespec::new((&past).into()) };
    let mut buffer = [0; 4];
    ring.scope(|scope| -> TestResult {
        let chain = Chain::new(Nop::new())
            .then(Read::new(&reader, &mut buffer[..]))
            .timeout(LinkTimeout::at_address(past).absolute());
        let ((first, late), limit) = scope.push_chain(chain)?;
        scope.wait(first)??;
        assert_errno(scope.wait(late)?.result, libc::ECANCELED);
        assert_eq!(scope.wait(limit)??, Limited::TimeOver);
        Ok(())
    })?;

    // A chain that finds no room comes back whole.
    let mut small = common::build(context, &Builder::new(2).in_flight(2))?;
    let chain = Chain::new(read()?)
        .timeout(LinkTimeout::after(HOUR))
        .then(Nop::new());
    let refused = small.push_chain(chain).expect_err("three do not fit");
    let ((token, limit), after) = ring.push_chain(refused.into_inner())?;
    ring.call(Write::new(&writer, "here"))?.result?;
    assert_eq!(ring.wait(token)?.buf, b"here");
    assert_eq!(ring.wait(limit)??, Limited::InTime);
    ring.wait(after)??;
    Ok(())
}

/// Each member is pushed with the options that it was given.
pub(crate) fn chain_options(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let file = File::open("/proc/version")?;
    let read = || -> TestResult<_> { Ok(Read::new(file.try_clone()?, vec![0; 5]).at(0)) };
    // Nobody has registered credentials.
    let stranger = Push::new().personality_id(77);
    for asynchronous in [Push::new(), Push::new().always_async()] {
        let chain = Chain::new(read()?)
            .with(asynchronous)
            .then_always(read()?)
            .with(asynchronous);
        let (first, second) = ring.push_chain(chain)?;
        assert_eq!(ring.wait(second)?.buf, b"Linux");
        assert_eq!(ring.wait(first)?.buf, b"Linux");
        for failing in [0, 1] {
            let with = |member| {
                if member == failing {
                    stranger
                } else {
                    asynchronous
                }
            };
            let chain = Chain::new(read()?)
                .with(with(0))
                .then(read()?)
                .with(with(1));
            let (first, second) = ring.push_chain(chain)?;
            let results = [ring.wait(first)?.result, ring.wait(second)?.result];
            let errno = |result: &std::io::Result<usize>| {
                result.as_ref().err().and_then(std::io::Error::raw_os_error)
            };
            // The kernel looks through a whole chain before it starts it.
            assert_eq!(errno(&results[failing]), Some(libc::EINVAL), "{results:?}");
            assert_eq!(errno(&results[1 - failing]), Some(libc::ECANCELED));
        }
    }
    // A drain on a later member holds for all of them.
    let timeout = ring.push(Timeout::after(SHORT))?;
    let chain = Chain::new(Nop::new())
        .then(Nop::new())
        .with(Push::new().drain());
    let (first, second) = ring.push_chain(chain)?;
    ring.wait(second)??;
    let timeout = ring.take(timeout).expect("the drain has waited");
    assert_eq!(timeout?, TimeoutEnd::TimeOver);
    ring.take(first).expect("the second has come after it")?;
    Ok(())
}

/// What the library does to cancel leaves drains as they are, and is not counted among what is waited for.
pub(crate) fn drain_after_cancel(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let hour = ring.push(Timeout::after(HOUR))?;
    ring.submit()?;
    ring.cancel(&hour)?;
    let soon = ring.push(Timeout::after(10 * SHORT))?;
    ring.submit_and_wait(2)?;
    assert!(ring.take(soon).is_ok(), "it was waited for something else");
    assert_errno(ring.wait(hour)?, libc::ECANCELED);
    let before = ring.push(Timeout::after(SHORT))?;
    let drained = ring.push_with(Nop::new(), Push::new().drain())?;
    ring.wait(drained)??;
    assert!(ring.take(before).is_ok(), "the drain did not wait");
    Ok(())
}

/// What tokens yield is the same whether completions are left out or not.
pub(crate) fn skip_success(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let file = Arc::new(File::create(&path)?);
    let full = Arc::new(File::create("/dev/full")?);
    for round in 0..context.rounds(50) {
        let write = |text, at| Write::new(Arc::clone(&file), text).at(at);
        let chain = Chain::new(write("some", 0))
            .then(write(" more", 4))
            .then(Fsync::new(Arc::clone(&file)).data_only());
        let ((first, second), last) = ring.push_chain(chain.skip_success())?;
        if round == 0 {
            let three = ring.submit_and_wait_timeout(3, 5 * SHORT);
            // Kernels with the one have the other.
            if ring.setup().features().contains(Features::CQE_SKIP) {
                let error = three.expect_err("there is one completion for all");
                assert!(error.is_timed_out(), "{error}");
            }
        }
        let second = ring.wait(second)?;
        assert_eq!((second.result?, second.buf), (5, " more"));
        assert_eq!(ring.wait(first)?.result?, 4);
        ring.wait(last)?.result?;
        assert_eq!(std::fs::read(&path)?, b"some more");

        // The first that fails, in each place; the last also before it begins.
        let failing = |member: usize| {
            let write = |at, text| {
                let target = if at == member { &full } else { &file };
                Write::new(Arc::clone(target), text).at(0)
            };
            Chain::new(write(0, "one"))
                .then(write(1, "three"))
                .then(write(2, "seven!!"))
                .skip_success()
        };
        for member in 0..3 {
            let ((first, second), third) = ring.push_chain(failing(member))?;
            let ((first, second), third) = ring.wait_all(((first, second), third))?;
            let results = [first.result, second.result, third.result];
            let lengths = [3, 5, 7];
            for (at, result) in results.into_iter().enumerate() {
                match at.cmp(&member) {
                    Ordering::Less => assert_eq!(result?, lengths[at]),
                    Ordering::Equal => assert_errno(result, libc::ENOSPC),
                    Ordering::Greater => assert_errno(result, libc::ECANCELED),
                }
            }
        }
        let chain = failing(3).with(Push::new().personality_id(77));
        let ((first, second), third) = ring.push_chain(chain)?;
        let ((first, second), third) = ring.wait_all(((first, second), third))?;
        assert_errno(first.result, libc::ECANCELED);
        assert_errno(second.result, libc::ECANCELED);
        // A kernel that leaves completions out tells nothing of what follows a member that failed, not even that it was at fault.
        let leaves_out = ring.setup().features().contains(Features::CQE_SKIP);
        let errno = if leaves_out {
            libc::ECANCELED
        } else {
            libc::EINVAL
        };
        assert_errno(third.result, errno);

        // Given up, borrowed, and where nothing can be left out.
        let text = String::from("borrowed");
        ring.scope(|scope| -> TestResult {
            let chain = Chain::new(Write::new(&*file, text.as_bytes()).at(0)).then(Nop::new());
            let (first, second) = scope.push_chain(chain.skip_success())?;
            scope.detach(first);
            scope.wait(second)??;
            Ok(())
        })?;
        let chain = Chain::new(Nop::new()).then_always(Fsync::new(Arc::clone(&file)));
        let chain = chain.timeout(LinkTimeout::after(HOUR)).skip_success();
        let (nop_and_sync, limit) = ring.push_chain(chain)?;
        let ((nop, sync), limit) = ring.wait_all((nop_and_sync, limit))?;
        nop?;
        sync.result?;
        assert_eq!(limit?, Limited::InTime);
        assert_eq!(ring.in_flight(), 0);
    }
    Ok(())
}

/// Cancels an operation that may not have begun yet, when no cancellation finds it.
fn cancel_until_done<O: Operation>(
    ring: &mut Ring<Any>,
    mut token: Token<O>,
) -> TestResult<O::Output> {
    loop {
        ring.cancel(&token)?;
        ring.submit_and_get_events()?;
        match ring.take(token) {
            Ok(output) => return Ok(output),
            Err(pending) => token = pending,
        }
    }
}

/// A quiet chain that is stuck is cancelled or ends with its ring, wherever it is.
pub(crate) fn skip_success_is_drained(context: &Context) -> TestResult {
    let (_reader, writer) = pipe()?;
    let writer = Arc::new(File::from(writer));
    // SAFETY: the descriptor is open, and the call only sets its flags.
    let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(set, 0);
    while (&*writer).write(&[0; 4096]).is_ok() {}
    // SAFETY: as above.
    let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0) };
    assert_eq!(set, 0);
    for stuck in 0..3 {
        for submitted in [false, true] {
            let mut ring = common::ring(context, 8)?;
            let write = |member| {
                let null = || Ok::<_, io::Error>(Arc::new(File::create("/dev/null")?));
                let target = if member == stuck {
                    Arc::clone(&writer)
                } else {
                    null()?
                };
                Ok::<_, io::Error>(Write::new(target, "text"))
            };
            let chain = Chain::new(write(0)?).then(write(1)?).then(write(2)?);
            let tokens = ring.push_chain(chain.skip_success())?;
            if submitted {
                ring.submit()?;
            }
            assert_eq!(ring.in_flight(), 3);
            if stuck == 1 {
                let ((first, second), third) = tokens;
                if submitted {
                    assert_cancelled(cancel_until_done(&mut ring, second)?.result);
                    assert_eq!(ring.wait(first)?.result?, 4);
                    assert_errno(ring.wait(third)?.result, libc::ECANCELED);
                    assert_eq!(ring.in_flight(), 0);
                }
            }
            drop(ring);
        }
    }
    assert_eq!(Arc::strong_count(&writer), 1, "each chain has been dropped");
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

/// A kernel that takes a part of a chain whose completions are left out ends the process.
///
/// A kernel does so for want of memory only. Here a filter answers the ring's own calls with nothing taken, and the kernel is asked past the
/// ring for one entry.
pub(crate) fn torn_skip_success(_: &Context) -> TestResult {
    let torn = |skip: bool| {
        fork_and(move || {
            let mut ring = Ring::new(8)?;
            let file = Arc::new(File::create("/dev/null")?);
            let write = || Write::new(Arc::clone(&file), "nowhere");
            let chain = Chain::new(write()).then(write()).then(Nop::new());
            let chain = if skip { chain.skip_success() } else { chain };
            let tokens = ring.push_chain(chain)?;
            let nothing_taken = [(libc::SYS_io_uring_enter, 0)];
            // It is published, and the ring sees that this is no answer of a kernel's.
            let told = with_denied(&nothing_taken, || ring.submit())?;
            assert!(told.is_err_and(|error| error.is_ring_lost()));
            let number = u32::try_from(ring.as_fd().as_raw_fd())?;
            // SAFETY: the entries own nothing, and are in the queue; there is no argument.
            let taken = unsafe { uring_sys::io_uring_enter(number, 1, 0, 0, std::ptr::null(), 0) };
            assert_eq!(taken, Ok(1));
            let told = with_denied(&nothing_taken, || ring.submit())?;
            assert!(told.is_err_and(|error| error.is_ring_lost()));
            let ((first, second), third) = ring.wait_all(tokens)?;
            assert_eq!((first.result?, second.result?), (7, 7));
            third?;
            Ok(())
        })
    };
    torn(false)?.check()?;
    let ended = torn(true)?;
    if Ring::new(1)?
        .setup()
        .features()
        .contains(Features::CQE_SKIP)
    {
        assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{ended:?}");
        Ok(())
    } else {
        ended.check()
    }
}
