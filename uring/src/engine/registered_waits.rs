//! Terms of waits in memory that the kernel has mapped once and for all.

use std::ptr::NonNull;

use uring_sys::{io_uring_mem_region_reg, io_uring_reg_wait, io_uring_region_desc};

use crate::engine::{Core, Deadline, Wait};
use crate::error::{Call, Error, Hint};
use crate::memory::{Mapping, page_size};
use crate::waiting::WaitOptions;

/// One set of terms, with the mask that it points to.
#[repr(C)]
struct Slot {
    wait: io_uring_reg_wait,
    mask: u64,
    /// Slots are a power of two apart, so that none crosses a page.
    _pad: [u64; 7],
}

static_assertions::const_assert!(size_of::<Slot>() == 128);

/// The region, which is the ring's until it ends.
pub(crate) struct RegisteredWaits {
    options: Vec<WaitOptions>,
    memory: Mapping,
}

impl RegisteredWaits {
    fn slot(&self, index: usize) -> NonNull<Slot> {
        // SAFETY: callers pass an index of `options`, and the mapping has room for as many.
        unsafe { self.memory.start().cast::<Slot>().add(index) }
    }

    /// Which set of terms to point the kernel to.
    pub(crate) fn offset(index: usize) -> usize {
        index * size_of::<Slot>()
    }
}

impl Core {
    /// Registers memory for that many sets of terms. The ring is disabled.
    pub(crate) fn register_waits(&mut self, count: u16) -> Result<(), Error> {
        let opcode = uring_sys::IORING_REGISTER_MEM_REGION;
        let call = Call::register(opcode);
        let count = usize::from(count);
        if count == 0 {
            let hint = Hint::contradiction(&"no set of terms was asked for");
            return Err(Error::refused(call, hint));
        }
        let len = (count * size_of::<Slot>()).next_multiple_of(page_size());
        let memory =
            Mapping::private(len, self.process).map_err(|errno| Error::sys(Call::Map, errno))?;
        let mut region = io_uring_region_desc {
            user_addr: crate::entry::address(memory.start().as_ptr()),
            size: u64::try_from(len).unwrap_or(0),
            flags: uring_sys::IORING_MEM_REGION_TYPE_USER,
            ..io_uring_region_desc::default()
        };
        let mut arg = io_uring_mem_region_reg {
            region_uptr: crate::entry::address(&raw mut region),
            flags: uring_sys::IORING_MEM_REGION_REG_WAIT_ARG,
            ..io_uring_mem_region_reg::default()
        };
        let evidence = &"io_uring_register refuses IORING_REGISTER_MEM_REGION";
        // SAFETY: one argument of the kernel's type; the memory that it names is kept with the ring, and the kernel holds its pages.
        unsafe { self.register(opcode, (&raw mut arg).cast(), 1) }
            .map_err(|error| self.unknown(error, opcode, 1, evidence, (6, 13)))?;
        self.waits = Some(RegisteredWaits {
            options: vec![WaitOptions::new(); count],
            memory,
        });
        Ok(())
    }

    pub(crate) fn registered_waits(&self) -> usize {
        self.waits.as_ref().map_or(0, |waits| waits.options.len())
    }

    pub(crate) fn set_registered_wait(
        &mut self,
        index: usize,
        options: &WaitOptions,
    ) -> Result<(), Error> {
        self.check_process(Call::Enter)?;
        let waits = self.waits.as_mut().ok_or_else(no_such)?;
        *waits.options.get_mut(index).ok_or_else(no_such)? = *options;
        let slot = waits.slot(index).as_ptr();
        let time = options.time();
        let (mask, mask_len) = options.mask().map_or((0, 0), |mask| {
            let (bits, len) = mask.as_kernel();
            (*bits, len)
        });
        // SAFETY: the slot lies in the mapping, which nobody else refers to; the kernel reads it in `enter` only. A mask's address is that of the
        // same slot, which lasts as long as the ring.
        unsafe {
            (*slot).mask = mask;
            (*slot).wait = io_uring_reg_wait {
                ts: crate::time::timespec(time.unwrap_or_default()),
                min_wait_usec: options.batch_micros(),
                flags: if time.is_some() {
                    uring_sys::IORING_REG_WAIT_TS
                } else {
                    0
                },
                sigmask: if mask_len > 0 {
                    crate::entry::address(&raw const (*slot).mask)
                } else {
                    0
                },
                sigmask_sz: mask_len,
                ..io_uring_reg_wait::default()
            };
        }
        Ok(())
    }

    pub(crate) fn wait_registered(&mut self, completions: u32, index: usize) -> Result<u32, Error> {
        let waits = self.waits.as_ref().ok_or_else(no_such)?;
        let options = *waits.options.get(index).ok_or_else(no_such)?;
        let count = self.still_to_come(completions);
        let few = self.still_to_come(completions.min(1));
        let mut terms = options.terms(count, few, self.clock);
        // What the kernel has may say of a batch that the limit leaves no time for; such terms go by argument.
        if terms.batch_end.is_some() == options.batches() {
            terms.registered = Some(RegisteredWaits::offset(index));
        }
        self.transact(Wait::On(&terms))
    }
}

impl Deadline {
    /// What goes into the call's flags.
    pub(crate) fn flag(self) -> u32 {
        match self {
            Deadline::At(_) => uring_sys::IORING_ENTER_ABS_TIMER,
            Deadline::Never | Deadline::After(_) => 0,
        }
    }
}

#[cold]
fn no_such() -> Error {
    let hint = Hint::contradiction(&"the ring has no registered wait with that index");
    Error::refused(Call::Enter, hint)
}
