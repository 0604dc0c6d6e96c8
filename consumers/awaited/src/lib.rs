//! A ring under the reactors of others.

use std::io;

use async_io::Async;
use futures_lite::future;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use uring::{Bound, Driver};

/// Drives a ring under tokio's current-thread runtime, as a task of a `LocalSet`.
///
/// # Errors
///
/// The ring's, or the reactor's.
pub async fn drive_in_tokio<H: Bound>(driver: Driver<H>) -> io::Result<()> {
    // SAFETY: a driver's descriptor is its own, open as long as the driver, and always the same.
    let fd = unsafe { AsyncFd::register_with_interest(driver, Interest::READABLE) }?;
    loop {
        fd.get_ref().turn()?;
        tokio::select! {
            readable = fd.readable() => readable?.clear_ready(),
            () = fd.get_ref().pushed() => {}
        }
    }
}

/// Drives a ring under smol's reactor, as a task of a `LocalExecutor`.
///
/// # Errors
///
/// The ring's, or the reactor's.
pub async fn drive_in_smol<H: Bound>(driver: Driver<H>) -> io::Result<()> {
    let fd = Async::new_nonblocking(driver)?;
    loop {
        fd.get_ref().turn()?;
        let pushed = async {
            fd.get_ref().pushed().await;
            Ok(())
        };
        future::or(fd.readable(), pushed).await?;
    }
}
