//! How operations are pushed, given up and given back.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr;
use std::time::Duration;

use uring::op::{Nop, OpenAt, Read, Timeout};
use uring::{Any, Builder, HandleKind, Push, Ring};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, FdTable, TestResult};

use crate::common;
use crate::files::{as_nobody, assert_errno, c_path};

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

fn register_personality(ring: &Ring<Any>, context: &Context) -> TestResult<u16> {
    assert_ne!(ring.handle_kind(), HandleKind::Fdless, "{}", context.name());
    let rings: Vec<_> = FdTable::now()?.rings().collect();
    let [fd] = rings[..] else {
        return Err(format!("one ring was expected: {rings:?}").into());
    };
    let opcode = uring_sys::IORING_REGISTER_PERSONALITY;
    // SAFETY: the opcode takes no argument.
    let id = unsafe { uring_sys::io_uring_register(fd, opcode, ptr::null_mut(), 0) };
    Ok(u16::try_from(id.map_err(|errno| {
        std::io::Error::from_raw_os_error(errno.raw())
    })?)?)
}

/// An open with the credentials of somebody who may not.
pub(crate) fn personality(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("private");
    std::fs::write(&path, "")?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut ring = common::ring(context, 8)?;
    let nobody = as_nobody(|| register_personality(&ring, context))?;
    let open = || OpenAt::new(c_path(&path));
    let token = ring.push_with(open(), Push::new().personality(nobody))?;
    assert_errno(ring.wait(token)?.result, libc::EACCES);
    let token = ring.push(open())?;
    ring.wait(token)?.result?;
    let token = ring.push_with(open(), Push::new().personality(nobody + 1))?;
    assert_errno(ring.wait(token)?.result, libc::EINVAL);
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
