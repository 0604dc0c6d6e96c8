//! Calls on a queue that is registered.

use std::os::fd::{FromRawFd as _, OwnedFd};

use uring_sys::{
    Errno, io_uring_zcrx_area_reg, zcrx_ctrl, zcrx_ctrl_add_area, zcrx_ctrl_arm_event,
};

use super::events::InterfaceEvent;
use super::received::Area;
use super::{AnyInterfaceQueue, InterfaceQueue};
use crate::engine::Core;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::handle::Bound;
use crate::query::ZeroCopyReceive;
use crate::ring::Ring;

const OPCODE: u32 = uring_sys::IORING_REGISTER_ZCRX_CTRL;
const CONTROL: Call = Call::register(OPCODE);

impl<H: Bound> Ring<H> {
    /// Makes the kernel take in what was given back of the queue: where it copies, nothing else makes it.
    ///
    /// Since Linux 6.19.
    ///
    /// # Errors
    ///
    /// - [`is_wrong_ring`](Error::is_wrong_ring);
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_zcrx_ctrl")]
    #[doc(alias = "IORING_REGISTER_ZCRX_CTRL")]
    #[doc(alias = "ZCRX_CTRL_FLUSH_RQ")]
    pub fn flush_interface_queue(&mut self, queue: &impl AnyInterfaceQueue) -> Result<(), Error> {
        let queue = queue.queue();
        loop {
            let mut control = zcrx_ctrl {
                op: uring_sys::ZCRX_CTRL_FLUSH_RQ,
                ..zcrx_ctrl::default()
            };
            self.core().control(queue, &mut control)?;
            if !queue.shared.push_waiting() {
                return Ok(());
            }
        }
    }

    /// A descriptor by which other rings, also in other processes, can register the queue.
    ///
    /// The queue lasts as long as the descriptor, too. Since Linux 6.19.
    ///
    /// # Errors
    ///
    /// - [`is_wrong_ring`](Error::is_wrong_ring);
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - [`is_limited`](Error::is_limited): the process has as many descriptors as it may have;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "ZCRX_CTRL_EXPORT")]
    pub fn export_interface_queue(&self, queue: &impl AnyInterfaceQueue) -> Result<OwnedFd, Error> {
        let mut control = zcrx_ctrl {
            op: uring_sys::ZCRX_CTRL_EXPORT,
            ..zcrx_ctrl::default()
        };
        self.core().control(queue.queue(), &mut control)?;
        // SAFETY: the call has succeeded, so the kernel has filled in this member.
        let number = unsafe { control.anon_1.zc_export.zcrx_fd };
        match i32::try_from(number) {
            // SAFETY: the kernel has just made the descriptor for this call.
            Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
            _ => Err(Error::sys(CONTROL, Errno::EBADF)),
        }
    }

    /// Asks to be told once more of an event that was told of.
    ///
    /// Since Linux 7.2.
    ///
    /// # Errors
    ///
    /// - [`is_wrong_ring`](Error::is_wrong_ring);
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - `EINVAL`: it was not told of since it was asked for;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "ZCRX_CTRL_ARM_EVENT")]
    pub fn arm_interface_event(
        &mut self,
        queue: &impl AnyInterfaceQueue,
        event: InterfaceEvent,
    ) -> Result<(), Error> {
        let mut control = zcrx_ctrl {
            op: uring_sys::ZCRX_CTRL_ARM_EVENT,
            ..zcrx_ctrl::default()
        };
        control.anon_1.zc_arm_event = zcrx_ctrl_arm_event {
            event_type: event as u32,
            ..zcrx_ctrl_arm_event::default()
        };
        self.core().control(queue.queue(), &mut control)
    }

    /// Gives the queue more memory for what is received, of that size in bytes, rounded up to whole pages. It stays as long as the queue's first.
    ///
    /// Since Linux 7.3.
    ///
    /// # Errors
    ///
    /// - [`is_wrong_ring`](Error::is_wrong_ring);
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - [`is_invalid_request`](Error::is_invalid_request): the area is empty;
    /// - [`is_limited`](Error::is_limited): `RLIMIT_MEMLOCK` limits the memory, which is kept resident;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "ZCRX_CTRL_ADD_AREA")]
    pub fn add_interface_area(
        &mut self,
        queue: &InterfaceQueue,
        bytes: usize,
    ) -> Result<(), Error> {
        let mut area = Area::new(bytes, self.core().process())?;
        let mut argument: io_uring_zcrx_area_reg = area.argument();
        let mut control = zcrx_ctrl {
            op: uring_sys::ZCRX_CTRL_ADD_AREA,
            ..zcrx_ctrl::default()
        };
        control.anon_1.zc_area = zcrx_ctrl_add_area {
            area_ptr: address(&raw mut argument),
            ..zcrx_ctrl_add_area::default()
        };
        self.core().control(queue, &mut control)?;
        area.token = argument.rq_area_token;
        queue.shared.add(area);
        Ok(())
    }
}

impl Core {
    fn control(&self, queue: &InterfaceQueue, control: &mut zcrx_ctrl) -> Result<(), Error> {
        if queue.ring != self.id() {
            return Err(Error::refused(CONTROL, Hint::WrongRing));
        }
        control.zcrx_id = queue.id;
        let op = control.op;
        let pointer = std::ptr::from_mut(control).cast();
        // SAFETY: one argument of the kernel's type, and what it points to, which the kernel reads and writes during the call only. The pages of
        // an area it keeps, whoever unmaps them.
        unsafe { self.register(OPCODE, pointer, 0) }.map_err(|error| explain(error, op))?;
        Ok(())
    }
}

#[cold]
fn explain(error: Error, op: u32) -> Error {
    let hint = match op {
        uring_sys::ZCRX_CTRL_ARM_EVENT => Hint::needs_linux(
            7,
            2,
            &"the kernel does not say that it knows ZCRX_CTRL_ARM_EVENT",
        ),
        uring_sys::ZCRX_CTRL_ADD_AREA => Hint::needs_linux(
            7,
            3,
            &"the kernel does not say that it knows ZCRX_CTRL_ADD_AREA",
        ),
        _ => return error,
    };
    let knows = || ZeroCopyReceive::get().is_ok_and(|has| op < has.control_opcodes);
    match error.errno() {
        Some(libc::EOPNOTSUPP | libc::EINVAL) if error.hint().is_none() && !knows() => {
            error.with_hint(hint)
        }
        _ => error,
    }
}
