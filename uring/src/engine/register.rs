//! What goes through `io_uring_register`.

use std::ffi::c_void;

use uring_sys::{Errno, io_uring_rsrc_update};

use crate::engine::Core;
use crate::error::{Call, Error};
use crate::evidence;
use crate::syscall::{self, Name};

/// How long a structure is, where the kernel wants to know.
pub(crate) const fn size<T>() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's structures are a few words, and const functions cannot use TryFrom"
    )]
    let size = size_of::<T>() as u32;
    size
}

impl Core {
    /// `io_uring_register(2)` on this ring.
    ///
    /// # Safety
    ///
    /// `arg` and `count` are what `opcode` asks for, and what the kernel keeps of them outlives its use.
    pub(crate) unsafe fn register(
        &self,
        opcode: u32,
        arg: *mut c_void,
        count: u32,
    ) -> Result<u32, Error> {
        let call = Call::register(opcode);
        self.check_process(call)?;
        if let (false, Some(descriptor)) = (self.name.registers_by_index(), self.descriptor) {
            descriptor.check(call)?;
        }
        // SAFETY: passed on to the caller.
        unsafe { syscall::register(self.name, opcode, arg, count) }
            .map_err(|errno| evidence::register_failed(self.name, opcode, errno))
    }

    /// Puts the ring into a free slot of the calling thread's table and gives its index.
    pub(crate) fn register_ring_fd(&self) -> Result<u8, Error> {
        self.check_process(Call::register(uring_sys::IORING_REGISTER_RING_FDS))?;
        register_ring_fd(self.name)
    }

    /// Gives the ring's slot back, while the ring goes on by its descriptor.
    pub(crate) fn unregister_ring_fd(&self, index: u8) -> Result<(), Error> {
        self.check_process(Call::register(uring_sys::IORING_UNREGISTER_RING_FDS))?;
        unregister_slot(self.name, index).map_err(|errno| {
            evidence::register_failed(self.name, uring_sys::IORING_UNREGISTER_RING_FDS, errno)
        })
    }

    /// Ends the disabled state; the calling thread becomes the single issuer, where there is one.
    pub(crate) fn enable(&self) -> Result<(), Error> {
        // SAFETY: the opcode takes no argument.
        unsafe {
            self.register(
                uring_sys::IORING_REGISTER_ENABLE_RINGS,
                std::ptr::null_mut(),
                0,
            )
        }
        .map(drop)
    }
}

fn register_ring_fd(name: Name) -> Result<u8, Error> {
    let mut update = io_uring_rsrc_update {
        // Any free slot.
        offset: u32::MAX,
        data: u64::from(name.descriptor_number()),
        ..io_uring_rsrc_update::default()
    };
    let arg = (&raw mut update).cast::<c_void>();
    // SAFETY: one update of the kernel's type, which it reads and writes during the call only.
    unsafe { syscall::register(name, uring_sys::IORING_REGISTER_RING_FDS, arg, 1) }
        .map_err(|errno| evidence::register_ring_fd_failed(name, errno))?;
    let call = Call::register(uring_sys::IORING_REGISTER_RING_FDS);
    u8::try_from(update.offset).map_err(|_| Error::sys(call, Errno::EOVERFLOW))
}

/// Empties slot `index` of the calling thread's table, with any ring of that thread to carry the call.
pub(crate) fn unregister_slot(carrier: Name, index: u8) -> Result<(), Errno> {
    let mut update = io_uring_rsrc_update {
        offset: u32::from(index),
        ..io_uring_rsrc_update::default()
    };
    let arg = (&raw mut update).cast::<c_void>();
    // SAFETY: one update of the kernel's type, which it reads during the call only.
    unsafe { syscall::register(carrier, uring_sys::IORING_UNREGISTER_RING_FDS, arg, 1) }.map(drop)
}

/// Gives the slot of a ring back at its end, through the ring itself or, where that is refused, through another ring.
///
/// A restricted ring may forbid the call (H7), and before Linux 6.3 a ring whose descriptor is gone cannot carry it (H25); any other
/// ring of the thread can (H27). The slot is given back only by the thread and process that filled it: a `Core` named by index never
/// leaves either.
pub(crate) fn release_slot(name: Name, index: u8) {
    match unregister_slot(name, index) {
        // A seccomp filter refuses the call to every ring, and a carrier could not give its own slot back either.
        Ok(()) | Err(Errno::EPERM | Errno::ENOSYS) => {}
        Err(_) => {
            if let Ok(carrier) = crate::setup::Carrier::new() {
                // Nothing else is left to try: a slot that stays is given back when the thread ends.
                let _ = unregister_slot(carrier.name(), index);
            }
        }
    }
}
