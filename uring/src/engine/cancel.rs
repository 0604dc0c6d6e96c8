//! Cancelling operations: with an entry of the library's own, or with a call that waits.

use std::ffi::c_void;
use std::ptr;
use std::time::{Duration, Instant};

use uring_sys::{__kernel_timespec, io_uring_sync_cancel_reg};

use crate::engine::{Core, Place, Wait};
use crate::entry::{Entry, IGNORED};
use crate::error::{Call, Error, Hint};
use crate::op::{Cancel, Cancelled, Operation as _};

/// How the kernel is told to wait without an end.
const FOR_EVER: __kernel_timespec = __kernel_timespec {
    tv_sec: -1,
    tv_nsec: -1,
};

/// What a call to cancel one operation has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CancelCall {
    Found,
    NotFound,
    /// Before Linux 6.0 there is no such call, and restrictions may forbid it.
    Unusable,
}

impl Core {
    /// Asks the kernel to cancel one operation. Whether it did shows in the operation's own completion.
    ///
    /// The request goes out with the next submission, or at once where there was a drain, which would hold it back.
    pub(crate) fn cancel(&mut self, place: Place) -> Result<(), Error> {
        self.check_process(Call::Push)?;
        self.reap();
        match self.slots.flying_at(place) {
            Some(user_data) => {
                if self.drained && self.transact(Wait::Not).is_ok() {
                    if let CancelCall::Found = self.cancel_by_call(user_data) {
                        return Ok(());
                    }
                }
                self.make_room(1, 0, false, true)?;
                self.place_cancel(user_data);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn place_cancel(&mut self, user_data: u64) {
        let mut entry = Entry::new(uring_sys::IORING_OP_ASYNC_CANCEL);
        entry.set_fd(-1);
        entry.set_addr(user_data);
        // Not with CQE_SKIP_SUCCESS: the kernel refuses drains from the first such entry on, for as long as the ring lives.
        if let Some(restrictions) = self.restrictions() {
            entry.add_flags(restrictions.required().bits());
        }
        entry.set_user_data(IGNORED);
        self.answers_due = self.answers_due.saturating_add(1);
        self.enqueue(&mut entry, false, None);
    }

    /// Submits what is in the queue, cancels and waits until what was cancelled is over. Signals do not end the wait.
    pub(crate) fn cancel_sync(
        &mut self,
        cancel: Cancel,
        timeout: Option<Duration>,
    ) -> Result<Cancelled, Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_SYNC_CANCEL);
        self.check_process(call)?;
        cancel
            .admit(self.id())
            .map_err(|hint| Error::refused(call, hint))?;
        self.transact(Wait::Not)?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.cancel_until(cancel, deadline) {
                Err(error) if error.is_interrupted() => {}
                Err(error) if error.errno() == Some(libc::ENOENT) => {
                    return Ok(Cancelled::NotFound);
                }
                Err(error) if error.errno() == Some(libc::EINVAL) => {
                    return Err(self.explain_cancel(cancel, error));
                }
                answer => return answer.map(|answer| cancel.answer(answer)),
            }
        }
    }

    /// Cancels without an entry, which a drain would hold back until what is to be cancelled is over.
    ///
    /// Whether it was cancelled shows in its completion.
    pub(super) fn cancel_by_call(&self, user_data: u64) -> CancelCall {
        let mut arg = io_uring_sync_cancel_reg {
            addr: user_data,
            fd: -1,
            timeout: crate::time::timespec(Duration::ZERO),
            ..io_uring_sync_cancel_reg::default()
        };
        match self.register_cancel((&raw mut arg).cast()) {
            Ok(_) => CancelCall::Found,
            Err(error) => match error.errno() {
                // Found, and not over yet.
                Some(libc::ETIME | libc::EALREADY) => CancelCall::Found,
                Some(libc::ENOENT) => CancelCall::NotFound,
                _ => CancelCall::Unusable,
            },
        }
    }

    fn cancel_until(&self, cancel: Cancel, deadline: Option<Instant>) -> Result<u32, Error> {
        let fields = cancel.fields();
        let mut arg = io_uring_sync_cancel_reg {
            addr: fields.addr,
            fd: fields.fd,
            flags: fields.flags,
            opcode: fields.opcode,
            timeout: deadline.map_or(FOR_EVER, |deadline| {
                crate::time::timespec(deadline.saturating_duration_since(Instant::now()))
            }),
            ..io_uring_sync_cancel_reg::default()
        };
        self.register_cancel((&raw mut arg).cast())
    }

    fn register_cancel(&self, arg: *mut c_void) -> Result<u32, Error> {
        // SAFETY: one argument of the kernel's type, or an address that holds nothing, which the kernel reads during the call only.
        unsafe { self.register(uring_sys::IORING_REGISTER_SYNC_CANCEL, arg, 1) }
    }

    /// Does the kernel not know the call, or not the kind of cancellation?
    #[cold]
    fn explain_cancel(&self, cancel: Cancel, error: Error) -> Error {
        // A kernel that knows the call reads the argument, which is not there.
        let nowhere = ptr::without_provenance_mut(8);
        let known = self
            .register_cancel(nowhere)
            .is_err_and(|error| error.errno() == Some(libc::EFAULT));
        match (known, cancel.has_opcode()) {
            (false, _) => error.with_hint(Hint::needs_linux(
                6,
                0,
                &"the kernel does not know IORING_REGISTER_SYNC_CANCEL",
            )),
            (true, true) => error.with_hint(Hint::needs_linux(
                6,
                6,
                &"the kernel does not know IORING_ASYNC_CANCEL_OP",
            )),
            (true, false) => error,
        }
    }
}
