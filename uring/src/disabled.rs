//! A ring on its way to the thread that it will belong to.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use static_assertions::assert_impl_all;

use crate::builder::can_close;
use crate::engine::Core;
use crate::error::{Call, Error};
use crate::handle::{Any, Fd, Fdless, Registered, RingFd, RingIndex};
use crate::ring::Ring;
use crate::setup::Setup;
use crate::transition::TransitionError;

/// A ring that does nothing yet (`IORING_SETUP_R_DISABLED`).
///
/// It has a descriptor and may move to another thread; [`enable`](DisabledRing::enable) makes it a ring of the thread that calls
/// it. Made by [`Builder::build_disabled`](crate::Builder::build_disabled).
///
/// ```
/// let ring = uring::Builder::new(8).build_disabled()?;
/// std::thread::spawn(move || -> Result<(), uring::Error> {
///     let ring = ring.enable_best()?;
///     println!("{}", ring.handle_kind());
///     Ok(())
/// })
/// .join()
/// .unwrap()?;
/// # Ok::<(), uring::Error>(())
/// ```
pub struct DisabledRing {
    core: Box<Core>,
    fd: RingFd,
}

assert_impl_all!(DisabledRing: Send);

impl DisabledRing {
    pub(crate) fn new(core: Box<Core>, fd: RingFd) -> DisabledRing {
        DisabledRing { core, fd }
    }

    /// What the ring was made with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        self.core.setup()
    }

    /// Registers the ring in the calling thread's table and enables it. Registering needs Linux 5.18.
    ///
    /// # Errors
    ///
    /// The ring is given back disabled, with the errors of [`Ring::register_fd`], or those of the kernel's enabling.
    #[doc(alias = "io_uring_enable_rings")]
    pub fn enable(self) -> Result<Ring<Registered>, TransitionError<DisabledRing>> {
        let (core, fd, index) = self.enable_here()?;
        Ok(Ring::renamed(
            core,
            Registered { fd, index },
            Some(index.index),
        ))
    }

    /// Refuses in a forked child, and where the number leads to another file.
    pub(crate) fn check(&self, call: Call) -> Result<(), Error> {
        self.core.check_process(call)?;
        self.fd.descriptor().check(call)
    }

    pub(crate) fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn enable_here(self) -> Result<(Box<Core>, RingFd, RingIndex), TransitionError<DisabledRing>> {
        let index = match self
            .check(Call::Transition)
            .and_then(|()| self.core.register_ring_fd())
        {
            Ok(index) => index,
            Err(error) => return Err(TransitionError::new(self, error)),
        };
        if let Err(error) = self.core.enable() {
            // The slot is this thread's, and the ring is to be given back without one.
            let _ = self.core.unregister_ring_fd(index);
            return Err(TransitionError::new(self, error));
        }
        let DisabledRing { mut core, fd } = self;
        core.setup_mut().note_enabled();
        Ok((core, fd, RingIndex::filled(index)))
    }

    /// The same, and closes the descriptor. Since Linux 6.3.
    ///
    /// # Errors
    ///
    /// The ring is given back disabled, with the errors of [`enable`](DisabledRing::enable), or because the kernel still needs the
    /// descriptor ([`is_unsupported`](crate::Error::is_unsupported)).
    pub fn enable_fdless(self) -> Result<Ring<Fdless>, TransitionError<DisabledRing>> {
        let closable = self
            .check(Call::Transition)
            .and_then(|()| can_close(Call::Transition, self.core.setup().features()));
        if let Err(error) = closable {
            return Err(TransitionError::new(self, error));
        }
        let (core, fd, index) = self.enable_here()?;
        drop(fd);
        Ok(Ring::renamed(core, Fdless { index }, Some(index.index)))
    }

    /// Enables the ring on the calling thread with the least visible handle that the kernel has.
    ///
    /// # Errors
    ///
    /// The ring is given back disabled when the kernel refuses to enable it.
    pub fn enable_best(self) -> Result<Ring<Any>, TransitionError<DisabledRing>> {
        match self.enable() {
            Ok(registered) => Ok(match registered.close_fd() {
                Ok(fdless) => fdless.into(),
                Err(failed) => failed.into_ring().into(),
            }),
            Err(failed) if failed.error().is_unsupported() || failed.error().is_slots_taken() => {
                failed.into_ring().enable_by_descriptor()
            }
            Err(failed) => Err(failed),
        }
    }

    fn enable_by_descriptor(self) -> Result<Ring<Any>, TransitionError<DisabledRing>> {
        match self
            .check(Call::Transition)
            .and_then(|()| self.core.enable())
        {
            Ok(()) => {
                let DisabledRing { mut core, fd } = self;
                core.setup_mut().note_enabled();
                Ok(Ring::from_parts(core, Fd { fd }).into())
            }
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl AsFd for DisabledRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for DisabledRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DisabledRing")
            .field("fd", &self.fd)
            .field("setup", self.core.setup())
            .finish_non_exhaustive()
    }
}
