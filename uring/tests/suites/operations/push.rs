//! How operations are pushed, given up and given back.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use uring::op::{Nop, Read, Timeout};
use uring::{Builder, Push};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::assert_errno;

const SHORT: Duration = Duration::from_millis(5);

/// What is behind a drain starts when what is before it has completed.
pub(crate) fn drain(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for _ in 0..20 {
        let timeout = ring.push(Timeout::after(SHORT))?;
        let drained = ring.push_with(Nop::new(), Push::new().drain())?;
        let after = ring.push(Nop::new())?;
        ring.wait(after)??;
        assert!(ring.take(timeout).is_ok(), "the drain did not wait");
        assert!(
            ring.take(drained).is_ok(),
            "the operation behind the drain did not wait"
        );
    }
    Ok(())
}

pub(crate) fn always_async(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let file = File::open("/proc/version")?;
    for _ in 0..100 {
        let read = Read::new(file.try_clone()?, vec![0; 5]).at(0);
        let token = ring.push_with(read, Push::new().always_async())?;
        let done = ring.wait(token)?;
        assert_eq!((done.result?, &done.buf[..]), (5, &b"Linux"[..]));
    }
    Ok(())
}

/// What is not pushed comes back with its resources.
pub(crate) fn refused_gives_back(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(2).completion_entries(4).in_flight(3))?;
    let (reader, writer) = pipe()?;
    let number = reader.as_raw_fd();
    let read = || -> TestResult<_> { Ok(Read::new(writer.try_clone()?, vec![4; 4])) };
    let first = ring.try_push(Nop::new())?;
    let second = ring.try_push(Nop::new())?;
    let refused = ring
        .try_push(Read::new(reader, vec![5; 5]))
        .expect_err("the queue is full");
    assert!(refused.error().is_queue_full(), "{refused}");
    assert_eq!(ring.pending(), 2);
    // A push that may submit makes room.
    let third = ring.push(refused.into_inner())?;
    let refused = ring.push(read()?).expect_err("all three slots are taken");
    assert!(refused.error().is_out_of_slots(), "{refused}");
    drop(refused.into_inner());
    ring.wait(first)??;
    ring.wait(second)??;
    ring.cancel(&third)?;
    let done = ring.wait(third)?;
    assert_errno(done.result, libc::ECANCELED);
    assert_eq!((done.buf, done.target.as_raw_fd()), (vec![5; 5], number));
    let bad = ring.call(read()?)?;
    assert_errno(bad.result, libc::EBADF);
    assert_eq!(bad.buf, [4; 4]);
    Ok(())
}

pub(crate) fn detach_and_cancel_of_done(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).in_flight(2))?;
    for _ in 0..100 {
        // Detached before and after it has completed: its slot is free again.
        let early = ring.push(Nop::new())?;
        ring.detach(early);
        let late = ring.push(Nop::new())?;
        ring.submit_and_wait(2)?;
        ring.cancel(&late)?;
        ring.detach(late);
        assert_eq!(ring.in_flight(), 0);
        let done = ring.push(Nop::new())?;
        ring.submit_and_wait(1)?;
        ring.cancel(&done)?;
        assert!(
            ring.take(done).is_ok(),
            "a cancellation of what is done changes nothing"
        );
    }
    Ok(())
}
