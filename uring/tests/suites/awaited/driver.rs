//! A ring under a reactor that is not its own: here `poll(2)`.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use uring::op::{Nop, Read, Timeout, Write};
use uring::{HandleKind, Local, SetupFlags};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::awaited::poll::{Counts, once};
use crate::common;

/// Waits until there is something to read; gives whether there was before the time was over.
fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> TestResult<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = i32::try_from(timeout.as_millis())?;
    // SAFETY: one descriptor to poll, exclusively borrowed.
    match unsafe { libc::poll(&raw mut poll, 1, timeout) } {
        -1 => Err(std::io::Error::last_os_error().into()),
        ready => Ok(ready == 1),
    }
}

pub(crate) fn driver(context: &Context) -> TestResult {
    drives(context, &Local::new(common::ring(context, 8)?))
}

pub(crate) fn drives(context: &Context, local: &Local) -> TestResult {
    let driver = local.driver()?;
    let counts = Arc::new(Counts::default());
    let waker = Waker::from(Arc::clone(&counts));
    let mut waits = task::Context::from_waker(&waker);
    let long = Duration::from_secs(60);

    // Idle: nothing to read, nothing to submit.
    driver.turn()?;
    assert!(!readable(driver.as_fd(), Duration::ZERO)?);
    assert!(Pin::new(&mut driver.pushed()).poll(&mut waits).is_pending());
    let mut timeout = local.submit(Timeout::after(Duration::from_millis(2)));
    assert!(once(&mut timeout).is_pending());
    assert_eq!(counts.count(), 1, "the driver is told");
    assert!(Pin::new(&mut driver.pushed()).poll(&mut waits).is_ready());
    driver.turn()?;
    while once(&mut timeout).is_pending() {
        assert!(
            readable(driver.as_fd(), long)?,
            "the timeout is over long since"
        );
        driver.turn()?;
    }
    // Again and again, by one that ends at once, later, and by another's hand.
    for _ in 0..context.rounds(50) {
        let (reader, writer) = pipe()?;
        let mut read = local.submit(Read::new(reader, vec![0; 2]));
        let mut nop = local.submit(Nop::new());
        assert!(once(&mut read).is_pending() && once(&mut nop).is_pending());
        driver.turn()?;
        while once(&mut nop).is_pending() {
            assert!(readable(driver.as_fd(), long)?, "a nop is over at once");
            driver.turn()?;
        }
        let mut write = local.submit(Write::new(writer, "go"));
        assert!(once(&mut write).is_pending());
        driver.turn()?;
        let done = loop {
            match once(&mut read) {
                Poll::Ready(done) => break done?,
                Poll::Pending => assert!(readable(driver.as_fd(), long)?, "it was written"),
            }
            driver.turn()?;
        };
        assert_eq!(done.buf, b"go");
    }
    let by_eventfd = local.with(|ring| {
        let is_deferred = ring.setup().flags().contains(SetupFlags::DEFER_TASKRUN);
        is_deferred || ring.handle_kind() == HandleKind::Fdless
    })?;
    if by_eventfd {
        let error = local.driver().expect_err("the ring has an eventfd");
        assert!(error.to_string().contains("EBUSY"), "{error}");
    }
    drop(driver);
    // The next one is told as the first was.
    let driver = local.driver()?;
    local.with(|ring| ring.push(Nop::new()).map(|token| ring.detach(token)))??;
    assert!(Pin::new(&mut driver.pushed()).poll(&mut waits).is_ready());
    driver.turn()?;
    assert!(!format!("{driver:?}").is_empty());
    Ok(())
}
