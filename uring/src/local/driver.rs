//! Rings under somebody else's reactor.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Local;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::{Any, Bound, HandleKind};

/// What lets another executor's reactor turn a ring: a descriptor that is readable when something has completed.
///
/// A ring that has a descriptor gives another one for it. For one that has none an eventfd is registered: **that is a descriptor**, which the
/// process's table shows, and which the process may lose as any other. Who wants none sleeps in the ring, with
/// [`Local::block_on`] or [`Local::park`]. A ring with deferred task work ([`TaskWork::Deferred`](crate::TaskWork::Deferred)) takes an eventfd
/// too, since its own descriptor becomes readable only when it is turned.
///
/// Under tokio's current-thread runtime, in a `LocalSet`, this task drives the ring:
///
/// ```ignore (tokio is no dependency; consumers/awaited runs it)
/// // SAFETY: a driver's descriptor is its own, open as long as the driver, and always the same.
/// let fd = unsafe { AsyncFd::register_with_interest(local.driver()?, Interest::READABLE) }?;
/// tokio::task::spawn_local(async move {
///     loop {
///         fd.get_ref().turn()?;
///         tokio::select! {
///             readable = fd.readable() => readable?.clear_ready(),
///             () = fd.get_ref().pushed() => {}
///         }
///     }
/// });
/// ```
///
/// The [guide](crate::guide::awaited) has it for smol too. A ring has one driver at a time; a second one takes what is
/// [pushed](Driver::pushed) from the first.
pub struct Driver<H: Bound = Any> {
    fd: Readable,
    local: Local<H>,
}

enum Readable {
    Ring(OwnedFd),
    Eventfd(File),
}

impl<H: Bound> Local<H> {
    /// What to give to another executor's reactor.
    ///
    /// # Errors
    ///
    /// - [`is_nested`](Error::is_nested) within [`with`](Local::with);
    /// - the ring's completions are [polled for](crate::Polling): they come only to who looks ([`is_invalid_request`](Error::is_invalid_request));
    /// - the ring is to have an eventfd, and has one already, of another driver (`EBUSY`);
    /// - the process may have no more descriptors (`EMFILE`).
    #[doc(alias = "io_uring_register_eventfd")]
    pub fn driver(&self) -> Result<Driver<H>, Error> {
        let kind = {
            let ring = self.inner.borrow()?;
            if ring.setup().flags().contains(SetupFlags::IOPOLL) {
                let hint = Hint::contradiction(
                    &"a reactor hears nothing of a ring whose completions are polled for: block_on or park",
                );
                return Err(Error::refused(Call::Local, hint));
            }
            ring.handle_kind()
        };
        let own = self.inner.access(|core| match kind {
            HandleKind::Fdless => Ok(None),
            HandleKind::Fd | HandleKind::Registered => core.readable_descriptor(),
        })??;
        let fd = match own {
            Some(fd) => Readable::Ring(fd),
            None => Readable::Eventfd(self.register_eventfd()?),
        };
        Ok(Driver {
            fd,
            local: self.clone(),
        })
    }

    fn register_eventfd(&self) -> Result<File, Error> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd == -1 {
            return Err(Error::sys(Call::Local, crate::memory::last_errno()));
        }
        // SAFETY: the descriptor was just made and is known to nobody else.
        let eventfd = unsafe { File::from_raw_fd(fd) };
        let mut number = eventfd.as_raw_fd();
        let opcode = uring_sys::IORING_REGISTER_EVENTFD;
        self.inner.access(|core| {
            // SAFETY: one descriptor, read during the call; the kernel keeps the file.
            unsafe { core.register(opcode, (&raw mut number).cast(), 1) }
        })??;
        Ok(eventfd)
    }
}

impl<H: Bound> Driver<H> {
    /// [`Local::turn`], to be called when the descriptor is readable or something was [pushed](Driver::pushed).
    ///
    /// # Errors
    ///
    /// See [`Local::turn`].
    pub fn turn(&self) -> Result<(), Error> {
        if let Readable::Eventfd(eventfd) = &self.fd {
            // Nothing is there to be read after it was read, or when it was pushed only.
            let _ = (&mut &*eventfd).read(&mut [0; 8]);
        }
        self.local.turn()
    }

    /// Waits until there is something to submit.
    pub fn pushed(&self) -> Pushed<'_, H> {
        Pushed(self)
    }
}

impl<H: Bound> AsFd for Driver<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Readable::Ring(fd) => fd.as_fd(),
            Readable::Eventfd(eventfd) => eventfd.as_fd(),
        }
    }
}

impl<H: Bound> AsRawFd for Driver<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<H: Bound> Drop for Driver<H> {
    fn drop(&mut self) {
        if let Readable::Eventfd(_) = self.fd {
            let opcode = uring_sys::IORING_UNREGISTER_EVENTFD;
            // In a forked child, or within `with`, it stays registered: then the kernel writes to what nobody reads.
            let _ = self.local.inner.access(|core| {
                // SAFETY: the opcode takes no argument.
                unsafe { core.register(opcode, std::ptr::null_mut(), 0) }
            });
        }
    }
}

impl<H: Bound> fmt::Debug for Driver<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

/// The future of [`Driver::pushed`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Pushed<'a, H: Bound>(&'a Driver<H>);

impl<H: Bound> Future for Pushed<'_, H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let inner = &self.0.local.inner;
        let waker = context.waker().clone();
        let is_pushed = inner.borrow().is_ok_and(|ring| ring.core().pending() > 0);
        if is_pushed {
            return Poll::Ready(());
        }
        let before = inner.driver.replace(Some(waker));
        drop(before);
        Poll::Pending
    }
}
