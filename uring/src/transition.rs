//! How a ring is reached, and how that is changed.

use std::fmt;
use std::io;

use crate::builder::can_close;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::{Any, AnyHandle, Fd, Fdless, Registered, RingIndex};
use crate::ring::Ring;

/// A transition that did not happen. The ring is inside, as it was before.
///
/// `?` converts it into [`Error`] or [`io::Error`], which drops the ring: operations in flight are cancelled and waited for.
#[must_use]
pub struct TransitionError<R> {
    ring: R,
    error: Error,
}

impl<R> TransitionError<R> {
    pub(crate) fn new(ring: R, error: Error) -> TransitionError<R> {
        TransitionError { ring, error }
    }

    /// Why it did not happen.
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// The ring, as it was.
    pub fn into_ring(self) -> R {
        self.ring
    }

    /// Both.
    pub fn into_parts(self) -> (R, Error) {
        (self.ring, self.error)
    }
}

impl<R> fmt::Debug for TransitionError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitionError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Display for TransitionError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<R> std::error::Error for TransitionError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<R> From<TransitionError<R>> for Error {
    fn from(failed: TransitionError<R>) -> Error {
        failed.error
    }
}

impl<R> From<TransitionError<R>> for io::Error {
    fn from(failed: TransitionError<R>) -> io::Error {
        failed.error.into()
    }
}

impl Ring<Fd> {
    /// Puts the ring into the calling thread's table, so that calls go by its index there.
    ///
    /// It saves the kernel a look-up per call, and binds the ring to this thread. The ring keeps the setup that it has: deferred task
    /// work comes with [`Builder::build_registered`](crate::Builder::build_registered), not with this call.
    ///
    /// Since Linux 5.18.
    ///
    /// # Errors
    ///
    /// The ring is given back, with an error that
    /// - [`is_unsupported`](Error::is_unsupported) on older kernels;
    /// - [`is_slots_taken`](Error::is_slots_taken) when 16 rings of this thread are registered already;
    /// - [`is_blocked`](Error::is_blocked) when a restriction or filter forbids it;
    /// - says so when the descriptor was closed or replaced behind the ring's back.
    ///
    /// ```
    /// let ring = uring::Ring::new(8)?;
    /// let ring = match ring.register_fd() {
    ///     Ok(ring) => ring,
    ///     Err(failed) if failed.error().is_unsupported() => return Ok(()),
    ///     Err(failed) => return Err(failed.into()),
    /// };
    /// assert_eq!(ring.handle_kind(), uring::HandleKind::Registered);
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// It cannot be called twice:
    ///
    /// ```compile_fail,E0599
    /// let ring = uring::Ring::new(8)?.register_fd()?.register_fd();
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// Source: `io_uring_register_ring_fd(3)`, `io_uring/tctx.c`.
    #[doc(alias = "io_uring_register_ring_fd")]
    pub fn register_fd(self) -> Result<Ring<Registered>, TransitionError<Ring<Fd>>> {
        let index = self
            .core()
            .check_process(Call::Transition)
            .and_then(|()| self.handle().fd.descriptor().check(Call::Transition))
            .and_then(|()| self.core().register_ring_fd());
        match index {
            Ok(index) => {
                let (core, Fd { fd }) = self.into_parts();
                let handle = Registered {
                    fd,
                    index: RingIndex::filled(index),
                };
                Ok(Ring::renamed(core, handle, Some(index)))
            }
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl Ring<Registered> {
    /// Gives the ring's slot back: the ring goes by its descriptor again and may move to another thread.
    ///
    /// # Errors
    ///
    /// The ring is given back as it was if
    /// - operations are in flight or results unclaimed: what a bound ring keeps need not be `Send`;
    /// - the ring has a single issuer: on another thread each call would fail;
    /// - the kernel refuses.
    ///
    /// A ring without a descriptor has no such call, since it would be lost:
    ///
    /// ```compile_fail,E0599
    /// let ring = uring::Ring::new(8)?.register_fd()?.close_fd()?.unregister_fd();
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// Source: `io_uring_unregister_ring_fd(3)`.
    #[doc(alias = "io_uring_unregister_ring_fd")]
    pub fn unregister_fd(self) -> Result<Ring<Fd>, TransitionError<Ring<Registered>>> {
        match self.give_slot_back() {
            Ok(()) => {
                let (core, Registered { fd, .. }) = self.into_parts();
                Ok(Ring::renamed(core, Fd { fd }, None))
            }
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }

    fn give_slot_back(&self) -> Result<(), Error> {
        let core = self.core();
        core.check_process(Call::Transition)?;
        if core.keeps_something() {
            return Err(Error::refused(Call::Transition, Hint::StillInFlight));
        }
        if core.setup().flags().contains(SetupFlags::SINGLE_ISSUER) {
            return Err(Error::refused(Call::Transition, Hint::SingleIssuer));
        }
        self.handle().fd.descriptor().check(Call::Transition)?;
        core.unregister_ring_fd(self.handle().index.index)
    }

    /// Closes the ring's descriptor. From now on it is in the table of this thread and nowhere else.
    ///
    /// If the host has closed the number already, or put another file there, nothing is closed, and the ring is as much without a
    /// descriptor.
    ///
    /// Since Linux 6.3 (`IORING_FEAT_REG_REG_RING`).
    ///
    /// # Errors
    ///
    /// The ring is given back as it was, with an error that [`is_unsupported`](Error::is_unsupported), on older kernels: there the
    /// descriptor is still needed for `io_uring_register`.
    ///
    /// A ring that is not registered has no such call:
    ///
    /// ```compile_fail,E0599
    /// let ring = uring::Ring::new(8)?.close_fd();
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// Source: `io_uring_close_ring_fd(3)`.
    #[doc(alias = "io_uring_close_ring_fd")]
    pub fn close_fd(self) -> Result<Ring<Fdless>, TransitionError<Ring<Registered>>> {
        let core = self.core();
        let allowed = core
            .check_process(Call::Transition)
            .and_then(|()| can_close(Call::Transition, core.setup().features()));
        match allowed {
            Ok(()) => {
                let (core, Registered { fd, index }) = self.into_parts();
                drop(fd);
                Ok(Ring::renamed(core, Fdless { index }, Some(index.index)))
            }
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl From<Ring<Fd>> for Ring<Any> {
    fn from(ring: Ring<Fd>) -> Ring<Any> {
        let (core, handle) = ring.into_parts();
        Ring::any(core, AnyHandle::Fd(handle))
    }
}

impl From<Ring<Registered>> for Ring<Any> {
    fn from(ring: Ring<Registered>) -> Ring<Any> {
        let (core, handle) = ring.into_parts();
        Ring::any(core, AnyHandle::Registered(handle))
    }
}

impl From<Ring<Fdless>> for Ring<Any> {
    fn from(ring: Ring<Fdless>) -> Ring<Any> {
        let (core, handle) = ring.into_parts();
        Ring::any(core, AnyHandle::Fdless(handle))
    }
}
