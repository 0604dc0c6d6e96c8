//! Queues of another size, of a ring that goes on.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use uring_sys::{Errno, io_uring_params};

use crate::engine::{Core, Wait};
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::{Descriptor, Handle, HandleKind};
use crate::memory::Mapping;
use crate::ring::Ring;
use crate::setup::{self, MemorySize, Request, Setup};

const OPCODE: u32 = uring_sys::IORING_REGISTER_RESIZE_RINGS;
const CALL: Call = Call::register(OPCODE);

impl<H: Handle> Ring<H> {
    /// Gives the ring queues of another size, larger or smaller, rounded up to powers of two, while operations are in flight.
    ///
    /// What is in the submission queue is submitted first, and completions that have come are taken in, so neither is lost. How many operations
    /// the ring can [keep](Ring::in_flight_capacity) does not change: ask for more with
    /// [`Builder::in_flight`](crate::Builder::in_flight) if the ring is to grow. Where the completion queue becomes too small for all of them,
    /// completions wait in the kernel as always.
    ///
    /// The ring has deferred task work ([`TaskWork::Deferred`](crate::TaskWork::Deferred)), which rings that stay on their thread have by
    /// themselves. Queues in the kernel's memory are mapped anew, which needs the descriptor; those of rings born without one, or with
    /// [own memory](crate::Builder::own_memory), move to other memory of this process. A ring whose descriptor was closed cannot do the one and has
    /// not the other.
    ///
    /// Since Linux 6.13; with own memory since 6.16 at the latest.
    ///
    /// ```
    /// let mut ring = uring::Ring::best(8)?;
    /// match ring.resize(64, 256) {
    ///     Ok(()) => assert_eq!(ring.setup().entries(), 64),
    ///     // An older kernel, or no deferred task work.
    ///     Err(_) => assert_eq!(ring.setup().entries(), 8),
    /// }
    /// ring.call(uring::op::Nop::new())??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The ring is as it was if
    /// - a number is zero or too large, or there are fewer completion entries than entries;
    /// - the ring has no deferred task work;
    /// - its queues are the kernel's and it has no descriptor ([`Hint::NeedsDescriptor`](crate::Hint::NeedsDescriptor));
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - those of [`submit`](Ring::submit);
    /// - the kernel has no memory.
    ///
    /// Should the new queues not be mapped though they are made, the ring [is lost](Error::is_ring_lost).
    ///
    /// Source: `io_uring_resize_rings(3)`, `io_uring/register.c`.
    #[doc(alias = "io_uring_resize_rings")]
    #[doc(alias = "IORING_REGISTER_RESIZE_RINGS")]
    pub fn resize(&mut self, entries: u32, completion_entries: u32) -> Result<(), Error> {
        let has_descriptor = self.handle_kind() != HandleKind::Fdless;
        self.core_mut()
            .resize(entries, completion_entries, has_descriptor)
    }
}

impl Core {
    fn resize(
        &mut self,
        entries: u32,
        completion_entries: u32,
        has_descriptor: bool,
    ) -> Result<(), Error> {
        self.check_process(CALL)?;
        let flags = self.setup().flags();
        let own_memory = flags.contains(SetupFlags::NO_MMAP);
        refuse(flags, entries, completion_entries)?;
        let descriptor = self.descriptor().filter(|_| has_descriptor);
        if !own_memory && descriptor.is_none() {
            return Err(Error::refused(CALL, Hint::NeedsDescriptor));
        }
        self.transact(Wait::Not)?;
        if self.pending() > 0 {
            return Err(Error::refused(CALL, Hint::QueueFull));
        }
        self.reap();
        let mut params = io_uring_params {
            sq_entries: entries,
            cq_entries: completion_entries,
            flags: SetupFlags::CQSIZE.bits(),
            ..io_uring_params::default()
        };
        if own_memory {
            self.resize_in_own_memory(&mut params)
        } else {
            self.resize_in_kernel_memory(&mut params, descriptor)
        }
    }

    fn resize_in_own_memory(&mut self, params: &mut io_uring_params) -> Result<(), Error> {
        let size = MemorySize::of(&Request {
            entries: params.sq_entries,
            completion_entries: params.cq_entries,
            flags: self.setup().flags() | SetupFlags::CQSIZE,
            thread_cpu: 0,
            thread_idle_ms: 0,
            workers_of: None,
        });
        let memory = Mapping::private(size.total(), self.process()).map_err(map_failed)?;
        size.place(memory.start(), params);
        self.ask(params)?;
        let setup = self.resized(params);
        let sizes = |setup: &Setup| (setup.entries(), setup.completion_entries());
        let same = sizes(&setup) == sizes(self.setup());
        // SAFETY: the kernel has just laid the ring's queues out as it says, in the mapping that it was given, or has not touched that: then it is
        // zeroed memory of the same form.
        let parts = unsafe { setup::parts(params, setup, self.process(), memory, None) };
        // Up to Linux 6.16 the kernel finds nothing to do where the sizes are those that the ring has, and stays where it is.
        if !same || parts.sq.memory_is_intact() {
            self.move_to(parts);
        }
        Ok(())
    }

    fn resize_in_kernel_memory(
        &mut self,
        params: &mut io_uring_params,
        descriptor: Option<Descriptor>,
    ) -> Result<(), Error> {
        let Some(descriptor) = descriptor else {
            return Err(Error::refused(CALL, Hint::NeedsDescriptor));
        };
        let fd = descriptor.borrow(CALL)?;
        self.ask(params)?;
        let setup = self.resized(params);
        match self.map(fd, params, &setup) {
            Ok((rings, entries)) => {
                // SAFETY: the mappings are those of the ring's new queues, as long as the kernel says that the parts are.
                let parts =
                    unsafe { setup::parts(params, setup, self.process(), entries, Some(rings)) };
                self.move_to(parts);
                Ok(())
            }
            Err(errno) => {
                // The kernel works on queues that cannot be seen.
                self.give_queues_up();
                Err(map_failed(errno).with_hint(Hint::RingMemoryLost))
            }
        }
    }

    fn map(
        &self,
        fd: BorrowedFd<'_>,
        params: &io_uring_params,
        setup: &Setup,
    ) -> Result<(Mapping, Mapping), Errno> {
        let map = |offset, len| Mapping::of_ring(fd, offset, len, self.process());
        Ok((
            map(uring_sys::IORING_OFF_SQ_RING, setup::rings_len(params))?,
            map(uring_sys::IORING_OFF_SQES, setup::entries_len(setup))?,
        ))
    }

    fn ask(&self, params: &mut io_uring_params) -> Result<(), Error> {
        let arg = std::ptr::from_mut(params).cast::<c_void>();
        let evidence = &"io_uring_register refuses IORING_REGISTER_RESIZE_RINGS";
        // SAFETY: one set of parameters of the kernel's type; memory that it names is long enough for the queues, and used by nobody else.
        unsafe { self.register(OPCODE, arg, 1) }
            .map(drop)
            .map_err(|error| self.unknown(error, OPCODE, 1, evidence, (6, 13)))
    }

    /// What the ring is now; completes what the kernel has said of it.
    fn resized(&self, params: &mut io_uring_params) -> Setup {
        let setup = self
            .setup()
            .with_sizes(params.sq_entries, params.cq_entries);
        params.flags = setup.flags().bits();
        // Linux 6.16 to 6.18 do not say where the array is (H29): behind the completions, on a cache line of its own.
        if params.sq_off.array == 0 && !setup.flags().contains(SetupFlags::NO_SQARRAY) {
            let completions = params.cq_entries << setup.completion_size().shift();
            params.sq_off.array = (params.cq_off.cqes + completions).next_multiple_of(CACHE_LINE);
        }
        setup
    }
}

const CACHE_LINE: u32 = 64;

fn refuse(flags: SetupFlags, entries: u32, completion_entries: u32) -> Result<(), Error> {
    for (asked, most) in [
        (entries, setup::MOST_ENTRIES),
        (completion_entries, setup::MOST_COMPLETIONS),
    ] {
        if asked == 0 || asked > most {
            return Err(Error::refused(CALL, Hint::EntryCount { asked }));
        }
    }
    let contradiction = if completion_entries < entries {
        &"fewer completion entries than submission entries"
    } else if flags.contains(SetupFlags::SQE_MIXED) && entries < 3 {
        &"a queue of mixed entries has at least 3"
    } else if !flags.contains(SetupFlags::DEFER_TASKRUN) {
        &"only rings with deferred task work can be resized"
    } else {
        return Ok(());
    };
    Err(Error::refused(CALL, Hint::contradiction(contradiction)))
}

fn map_failed(errno: Errno) -> Error {
    Error::sys(Call::Map, errno)
}
