//! Chains: members with options and time limits of their own.

use std::fs::File;
use std::time::Duration;

use uring::op::{Clock, Limited, LinkTimeout, Nop, RawTimespec, Read, Timeout, Timespec, Write};
use uring::{Builder, Chain, Push};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::files::assert_errno;

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
    let stranger = Push::new().personality(77);
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
    assert!(ring.take(timeout).is_ok(), "the drain did not wait");
    assert!(ring.take(first).is_ok());
    Ok(())
}

/// What the library does to cancel leaves drains as they are, and is not counted among what is waited for.
pub(crate) fn drain_after_cancel(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let hour = ring.push(Timeout::after(HOUR))?;
    let soon = ring.push(Timeout::after(10 * SHORT))?;
    ring.submit()?;
    ring.cancel(&hour)?;
    ring.submit_and_wait(2)?;
    assert!(ring.take(soon).is_ok(), "it was waited for something else");
    assert_errno(ring.wait(hour)?, libc::ECANCELED);
    let before = ring.push(Timeout::after(SHORT))?;
    let drained = ring.push_with(Nop::new(), Push::new().drain())?;
    ring.wait(drained)??;
    assert!(ring.take(before).is_ok(), "the drain did not wait");
    Ok(())
}
