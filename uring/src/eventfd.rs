//! An eventfd that tells of completions.

use std::os::fd::{AsFd, AsRawFd as _};

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::ring::Ring;

impl<H: Handle> Ring<H> {
    /// Lets the kernel add to an eventfd when completions come, so that who polls it hears of them.
    ///
    /// It is a descriptor, which the process's table shows; the ring itself still has none, if it had none. The kernel keeps the eventfd until the ring
    /// ends or [`unregister_eventfd`](Ring::unregister_eventfd), whoever closes it. A ring has one at a time;
    /// [`Local::driver`](crate::Local::driver) may have registered one.
    ///
    /// With deferred task work it tells that there is work to be done, and the completions come when the ring is waited in.
    ///
    /// Since Linux 5.2.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read as _;
    /// use std::os::fd::FromRawFd as _;
    /// use uring::op::Nop;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// // SAFETY: it was made for this.
    /// let mut eventfd = unsafe { File::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    /// ring.register_eventfd(&eventfd)?;
    /// let token = ring.push(Nop::new())?;
    /// ring.submit()?;
    /// let mut count = [0; 8];
    /// eventfd.read_exact(&mut count)?;
    /// assert!(u64::from_ne_bytes(count) >= 1);
    /// ring.wait(token)??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the ring has one;
    /// - `EINVAL`: it is no eventfd;
    /// - others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_eventfd(3)`.
    #[doc(alias = "io_uring_register_eventfd")]
    #[doc(alias = "IORING_REGISTER_EVENTFD")]
    pub fn register_eventfd(&mut self, eventfd: impl AsFd) -> Result<(), Error> {
        let opcode = uring_sys::IORING_REGISTER_EVENTFD;
        self.core().register_eventfd(opcode, &eventfd)
    }

    /// The same, for what does not complete at once only: whoever submits knows of the rest.
    ///
    /// Which operations that are is the kernel's affair. Since Linux 5.6.
    ///
    /// # Errors
    ///
    /// Those of [`register_eventfd`](Ring::register_eventfd).
    #[doc(alias = "io_uring_register_eventfd_async")]
    #[doc(alias = "IORING_REGISTER_EVENTFD_ASYNC")]
    pub fn register_eventfd_async(&mut self, eventfd: impl AsFd) -> Result<(), Error> {
        let opcode = uring_sys::IORING_REGISTER_EVENTFD_ASYNC;
        self.core().register_eventfd(opcode, &eventfd)
    }

    /// Takes the ring's eventfd away, of either kind.
    ///
    /// Since Linux 5.2.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: it has none;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_unregister_eventfd")]
    #[doc(alias = "IORING_UNREGISTER_EVENTFD")]
    pub fn unregister_eventfd(&mut self) -> Result<(), Error> {
        let opcode = uring_sys::IORING_UNREGISTER_EVENTFD;
        // SAFETY: the opcode takes no argument.
        unsafe { self.core().register(opcode, std::ptr::null_mut(), 0) }.map(drop)
    }

    /// Whether the kernel adds to the eventfd that the ring has or may get.
    #[doc(alias = "io_uring_cq_eventfd_enabled")]
    #[must_use]
    pub fn is_eventfd_enabled(&self) -> bool {
        self.core().is_eventfd_enabled()
    }

    /// Lets the kernel leave the eventfd alone, or no longer: while completions are taken anyway, for example. It costs no call.
    ///
    /// Completions that come meanwhile are told of by nothing. Since Linux 5.8.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - [`is_forked`](Error::is_forked).
    #[doc(alias = "io_uring_cq_eventfd_toggle")]
    #[doc(alias = "IORING_CQ_EVENTFD_DISABLED")]
    pub fn set_eventfd_enabled(&mut self, enabled: bool) -> Result<(), Error> {
        self.core().set_eventfd_enabled(enabled)
    }
}

impl Core {
    fn register_eventfd(&self, opcode: u32, eventfd: &impl AsFd) -> Result<(), Error> {
        let mut number = eventfd.as_fd().as_raw_fd();
        let arg = (&raw mut number).cast();
        // SAFETY: one descriptor, read during the call; the kernel keeps the file.
        unsafe { self.register(opcode, arg, 1) }.map(drop)
    }

    fn is_eventfd_enabled(&self) -> bool {
        // The queues of a forked child's copy may not be mapped there.
        self.process().is_current() && self.completion_queue().is_eventfd_enabled()
    }

    fn set_eventfd_enabled(&self, enabled: bool) -> Result<(), Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_EVENTFD);
        self.check_process(call)?;
        if self.completion_queue().set_eventfd_enabled(enabled) {
            Ok(())
        } else {
            let hint = Hint::needs_linux(5, 8, &"the completion queue has no flags");
            Err(Error::refused(call, hint))
        }
    }
}
