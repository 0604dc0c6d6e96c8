//! Completions that an eventfd tells of.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};

use uring::op::{Nop, Read};
use uring::{Any, Push, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;

/// Longer than anything is late by.
const BOUND: libc::c_int = 30_000;

fn eventfd() -> io::Result<File> {
    // SAFETY: the call takes no pointers.
    match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor was just made and is known to nobody else.
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

/// How much was added since the last time: nothing, or something that is waited for.
fn added(eventfd: &mut File, waits: bool) -> TestResult<u64> {
    let mut poll = libc::pollfd {
        fd: eventfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, valid during the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, if waits { BOUND } else { 0 }) };
    if ready == 0 {
        return Ok(0);
    }
    let mut count = [0; 8];
    eventfd.read_exact(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn nop(ring: &mut Ring<Any>) -> TestResult {
    ring.call(Nop::new())??;
    Ok(())
}

pub(crate) fn eventfds(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (mut one, mut other) = (eventfd()?, eventfd()?);
    let none = ring.unregister_eventfd().expect_err("it has none");
    assert_eq!(none.errno(), Some(libc::ENXIO), "{none}");
    ring.register_eventfd(&one)?;
    let second = ring.register_eventfd(&other).expect_err("it has one");
    assert_eq!(second.errno(), Some(libc::EBUSY), "{second}");
    nop(&mut ring)?;
    assert!(added(&mut one, true)? >= 1);

    // Off and on again.
    assert!(ring.is_eventfd_enabled());
    ring.set_eventfd_enabled(false)?;
    assert!(!ring.is_eventfd_enabled());
    nop(&mut ring)?;
    assert_eq!(added(&mut one, false)?, 0);
    ring.set_eventfd_enabled(true)?;
    nop(&mut ring)?;
    assert!(added(&mut one, true)? >= 1);
    ring.unregister_eventfd()?;
    nop(&mut ring)?;
    assert_eq!(added(&mut one, false)?, 0);

    // Only what does not complete at once, told of before anybody waits in the ring.
    ring.register_eventfd_async(&other)?;
    // What a worker does by itself from beginning to end is of that kind on every kernel.
    let read = Read::new(File::open("/proc/version")?, vec![0; 5]).at(0);
    let token = ring.push_with(read, Push::new().always_async())?;
    ring.submit()?;
    assert!(added(&mut other, true)? >= 1);
    assert_eq!(ring.wait(token)?.result?, 5);
    drop(other);
    nop(&mut ring)?;
    ring.unregister_eventfd()?;
    let wrong = ring
        .register_eventfd(pipe()?.0)
        .expect_err("a pipe is none");
    assert_eq!(wrong.errno(), Some(libc::EINVAL), "{wrong}");
    assert_eq!(wrong.hint(), None, "{wrong}");
    Ok(())
}
