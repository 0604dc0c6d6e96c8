//! Asking for a ring.

mod options;
mod request;

pub use options::{Polling, SubmissionThread, TaskWork};

use request::{Stays, contradiction};

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::capabilities::Capabilities;
use crate::disabled::DisabledRing;
use crate::engine::{Core, Parts};
use crate::entry::EntrySize;
use crate::error::{Call, Error, Hint};
use crate::flags::{Features, SetupFlags};
use crate::handle::{Any, AnyHandle, Fd, Fdless, Registered, RingFd, RingIndex};
use crate::queue::CompletionSize;
use crate::ring::Ring;
use crate::setup::{self, Reach, Request};
use crate::syscall::Name;

/// A description of a ring to be made.
///
/// What is not said is chosen by what the kernel has, and [`Ring::setup`] tells what was chosen: no index array
/// (`NO_SQARRAY`, Linux 6.6), entries after a refused one are submitted all the same (`SUBMIT_ALL`, 5.18), and on rings that stay on their
/// thread a single issuer with deferred task work (6.1). What is said and the kernel does not have is an error that
/// [`is_unsupported`](Error::is_unsupported), never left out silently.
///
/// Since Linux 5.10, the oldest kernel that is tested.
///
/// ```
/// use uring::{Builder, TaskWork};
///
/// let ring = Builder::new(64)
///     .completion_entries(256)
///     .task_work(TaskWork::Interrupting)
///     .build_best()?;
/// assert_eq!(ring.setup().completion_entries(), 256);
/// # Ok::<(), uring::Error>(())
/// ```
///
/// Source: `io_uring_setup(2)`, `io_uring/io_uring.c`.
#[derive(Clone, Debug)]
#[doc(alias = "io_uring_queue_init_params")]
#[must_use]
pub struct Builder<'workers> {
    entries: u32,
    completion_entries: Option<u32>,
    in_flight: Option<u32>,
    direct_slots: Option<u32>,
    registered_waits: Option<u16>,
    clamp: bool,
    entry_size: EntrySize,
    completion_size: CompletionSize,
    submission_thread: Option<SubmissionThread>,
    polling: Option<Polling>,
    task_work: Option<TaskWork>,
    stop_at_refused: bool,
    index_array: bool,
    rewind: bool,
    own_memory: bool,
    workers_of: Option<RawFd>,
    workers: PhantomData<BorrowedFd<'workers>>,
}

impl<'workers> Builder<'workers> {
    /// A ring with room for `entries` entries between two submissions: 1 to 32768, rounded up to a power of two.
    pub const fn new(entries: u32) -> Builder<'workers> {
        Builder {
            entries,
            completion_entries: None,
            in_flight: None,
            direct_slots: None,
            registered_waits: None,
            clamp: false,
            entry_size: EntrySize::Normal,
            completion_size: CompletionSize::Normal,
            submission_thread: None,
            polling: None,
            task_work: None,
            stop_at_refused: false,
            index_array: false,
            rewind: false,
            own_memory: false,
            workers_of: None,
            workers: PhantomData,
        }
    }

    /// Room for that many completions: at least the entries, at most 65536. The default is twice the entries.
    #[doc(alias = "IORING_SETUP_CQSIZE")]
    pub const fn completion_entries(mut self, entries: u32) -> Self {
        self.completion_entries = Some(entries);
        self
    }

    /// How many operations the ring can keep at a time, results that nobody has taken included: 1 to 65536. The default is the number of
    /// completion entries.
    ///
    /// Room for all is allocated with the ring, about 128 bytes each.
    pub const fn in_flight(mut self, operations: u32) -> Self {
        self.in_flight = Some(operations);
        self
    }

    /// Gives the ring a table for that many direct descriptors from the beginning: see
    /// [`Ring::register_direct`], whose errors the build then has too.
    ///
    /// ```
    /// let mut ring = uring::Builder::new(8).direct_slots(4).build_best()?;
    /// assert_eq!(ring.direct_slots(), 4);
    /// # Ok::<(), uring::Error>(())
    /// ```
    #[doc(alias = "io_uring_register_files_sparse")]
    pub const fn direct_slots(mut self, slots: u32) -> Self {
        self.direct_slots = Some(slots);
        self
    }

    /// Gives the ring that many registered waits: see [`Ring::submit_and_wait_registered`]. They last as long as the ring.
    ///
    /// Their memory is this process's, so a ring without a descriptor has them too; it counts against `RLIMIT_MEMLOCK` without
    /// `CAP_IPC_LOCK`. The kernel takes it only from a ring that is disabled, so the ring is made so, and enabled then.
    ///
    /// Since Linux 6.13. On older kernels the build [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring/register.c`, `IORING_REGISTER_MEM_REGION`.
    #[doc(alias = "io_uring_register_region")]
    #[doc(alias = "IORING_REGISTER_MEM_REGION")]
    #[doc(alias = "IORING_MEM_REGION_REG_WAIT_ARG")]
    pub const fn registered_waits(mut self, count: u16) -> Self {
        self.registered_waits = Some(count);
        self
    }

    /// Makes queues that are asked larger than the kernel has them as large as it has them, instead of failing.
    #[doc(alias = "IORING_SETUP_CLAMP")]
    pub const fn clamp(mut self, clamp: bool) -> Self {
        self.clamp = clamp;
        self
    }

    /// The size of entries.
    pub const fn entry_size(mut self, size: EntrySize) -> Self {
        self.entry_size = size;
        self
    }

    /// The size of completions.
    pub const fn completion_size(mut self, size: CompletionSize) -> Self {
        self.completion_size = size;
        self
    }

    /// Has a kernel thread take the entries.
    pub const fn submission_thread(mut self, thread: SubmissionThread) -> Self {
        self.submission_thread = Some(thread);
        self
    }

    /// Polls for completions. Only for files that can be polled (`O_DIRECT` on a device with poll queues).
    pub const fn polling(mut self, polling: Polling) -> Self {
        self.polling = Some(polling);
        self
    }

    /// How completions are produced.
    pub const fn task_work(mut self, task_work: TaskWork) -> Self {
        self.task_work = Some(task_work);
        self
    }

    /// Lets the kernel stop at a refused entry; a submission then takes one more system call for the entries behind it.
    ///
    /// It is what kernels before 5.18 always do.
    #[doc(alias = "IORING_SETUP_SUBMIT_ALL")]
    pub const fn stop_at_refused(mut self, stop: bool) -> Self {
        self.stop_at_refused = stop;
        self
    }

    /// Keeps the array of indices between the kernel and the entries, which nothing needs.
    #[doc(alias = "IORING_SETUP_NO_SQARRAY")]
    pub const fn index_array(mut self, keep: bool) -> Self {
        self.index_array = keep;
        self
    }

    /// Lets each submission begin at the first entry again, which keeps few entries in the cache
    /// (`IORING_SETUP_SQ_REWIND`, Linux 7.0).
    #[doc(alias = "IORING_SETUP_SQ_REWIND")]
    pub const fn rewind(mut self, rewind: bool) -> Self {
        self.rewind = rewind;
        self
    }

    /// Puts the queues into memory of this process (`IORING_SETUP_NO_MMAP`, Linux 6.5) although the ring has a descriptor.
    ///
    /// Such a ring ends with its last name; one in the kernel's memory lives on with its mappings. Rings that are born without a
    /// descriptor have it anyway.
    #[doc(alias = "IORING_SETUP_NO_MMAP")]
    #[doc(alias = "io_uring_queue_init_mem")]
    pub const fn own_memory(mut self, own: bool) -> Self {
        self.own_memory = own;
        self
    }

    /// Shares the worker threads, and the submission thread if both have one, of another ring.
    #[doc(alias = "IORING_SETUP_ATTACH_WQ")]
    pub fn share_workers<'ring>(self, ring: &'ring impl AsFd) -> Builder<'ring> {
        Builder {
            workers_of: Some(ring.as_fd().as_raw_fd()),
            workers: PhantomData,
            ..self
        }
    }

    /// Makes a ring that may move to another thread.
    ///
    /// # Errors
    ///
    /// - what was asked for contradicts itself, or needs a ring that stays on its thread;
    /// - [`is_unsupported`](Error::is_unsupported): the kernel lacks something that was asked for;
    /// - [`is_blocked`](Error::is_blocked): sysctl, seccomp or another policy;
    /// - out of memory, of locked memory, or of descriptors.
    #[doc(alias = "io_uring_queue_init")]
    pub fn build(&self) -> Result<Ring<Fd>, Error> {
        let request = self.request(Stays::No)?;
        let (core, fd) = self.with_descriptor(&request)?;
        Ok(Ring::from_parts(core, Fd { fd }))
    }

    /// Makes a ring that has a descriptor and is used by its index. Since Linux 5.18.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build), and [`is_slots_taken`](Error::is_slots_taken): the thread has 16 registered rings already.
    pub fn build_registered(&self) -> Result<Ring<Registered>, Error> {
        let request = self.request(Stays::Yes)?;
        let (core, fd) = self.with_descriptor(&request)?;
        Ok(Ring::from_parts(core, Fd { fd }).register_fd()?)
    }

    /// Makes a ring without a descriptor: from birth since Linux 6.5, else (since 6.3) by closing the descriptor that it is born with.
    ///
    /// # Errors
    ///
    /// As [`build_registered`](Builder::build_registered). A kernel that can do neither is [`is_unsupported`](Error::is_unsupported),
    /// also when a slot is free.
    #[doc(alias = "IORING_SETUP_REGISTERED_FD_ONLY")]
    #[doc(alias = "io_uring_close_ring_fd")]
    pub fn build_fdless(&self) -> Result<Ring<Fdless>, Error> {
        let request = self.request(Stays::Yes)?;
        if Capabilities::get()?.births_fdless() {
            match self.born_fdless(&request) {
                Err(error) if error.hint() == Some(Hint::ContiguousMemory) => {}
                born => return born,
            }
        }
        let (core, fd) = self.with_descriptor(&request)?;
        // Before it is registered: where it cannot be closed, no free slot would help.
        can_close(Call::Build, core.setup().features())?;
        Ok(Ring::from_parts(core, Fd { fd })
            .register_fd()?
            .close_fd()?)
    }

    /// Makes a ring with the least visible handle that this kernel and this thread have room for.
    ///
    /// In this order: no descriptor from birth (Linux 6.5), none after it was closed (6.3), an index beside the descriptor (5.18), only a
    /// descriptor. A thread whose 16 slots are taken, or that may not register rings, gets a descriptor too.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build).
    pub fn build_best(&self) -> Result<Ring<Any>, Error> {
        let request = self.request(Stays::Yes)?;
        if Capabilities::get()?.births_fdless() {
            match self.born_fdless(&request) {
                Ok(ring) => return Ok(ring.into()),
                Err(error) if error.hint() == Some(Hint::ContiguousMemory) => {}
                Err(error) if error.is_slots_taken() => {}
                Err(error) => return Err(error),
            }
        }
        let (core, fd) = self.with_descriptor(&request)?;
        match Ring::from_parts(core, Fd { fd }).register_fd() {
            Ok(registered) => Ok(match registered.close_fd() {
                Ok(fdless) => fdless.into(),
                Err(failed) => failed.into_ring().into(),
            }),
            Err(failed) => {
                let error = failed.error();
                if error.is_unsupported() || error.is_slots_taken() || error.is_blocked() {
                    Ok(failed.into_ring().into())
                } else {
                    Err(failed.into())
                }
            }
        }
    }

    /// Makes a ring that does nothing yet and may move to the thread that it will belong to.
    ///
    /// It has a descriptor until it is [enabled](DisabledRing::enable) there: an index cannot travel.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build).
    #[doc(alias = "IORING_SETUP_R_DISABLED")]
    pub fn build_disabled(&self) -> Result<DisabledRing, Error> {
        let mut request = self.request(Stays::Yes)?;
        request.flags |= SetupFlags::R_DISABLED;
        let (core, fd) = self.disabled_with_descriptor(&request)?;
        Ok(DisabledRing::new(core, fd))
    }

    /// How many bytes the queues of such a ring take at most, in whole pages; operations in flight take their own.
    ///
    /// It is an upper bound: kernels lay queues out differently. Where ring memory counts against `RLIMIT_MEMLOCK` (Linux 6.16 to 7.1, without
    /// `CAP_IPC_LOCK`), it is what has to be allowed.
    ///
    /// ```
    /// let small = uring::Builder::new(8).memory_size()?;
    /// let large = uring::Builder::new(4096).memory_size()?;
    /// assert!(small < large && large >= 4096 * 64 + 8192 * 16);
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What was asked for contradicts itself, or [`is_unsupported`](Error::is_unsupported).
    #[doc(alias = "io_uring_memory_size")]
    #[doc(alias = "io_uring_memory_size_params")]
    #[doc(alias = "io_uring_mlock_size")]
    #[doc(alias = "io_uring_mlock_size_params")]
    pub fn memory_size(&self) -> Result<usize, Error> {
        let request = self.request(Stays::Yes)?;
        Ok(setup::memory_size(&request))
    }

    fn with_descriptor(&self, request: &Request) -> Result<(Box<Core>, RingFd), Error> {
        let (mut core, fd) = self.disabled_with_descriptor(request)?;
        enable(&mut core)?;
        Ok((core, fd))
    }

    /// The ring as `request` has it, disabled if that says so.
    fn disabled_with_descriptor(&self, request: &Request) -> Result<(Box<Core>, RingFd), Error> {
        let (parts, fd) = if self.own_memory {
            match setup::with_own_memory(request, false)? {
                (parts, Reach::Descriptor(fd)) => (parts, fd),
                (_, Reach::Index(_)) => return Err(contradiction(&"a descriptor was asked for")),
            }
        } else {
            setup::with_kernel_memory(request)?
        };
        let fd =
            RingFd::new(fd).ok_or_else(|| Error::sys(Call::Setup, crate::memory::last_errno()))?;
        let mut core = self.core(parts, Name::descriptor(fd.as_raw_fd()), None)?;
        core.set_descriptor(fd.descriptor());
        Ok((core, fd))
    }

    fn born_fdless(&self, request: &Request) -> Result<Ring<Fdless>, Error> {
        match setup::with_own_memory(request, true)? {
            (parts, Reach::Index(index)) => {
                let mut core = self.core(parts, Name::index(index), Some(index))?;
                enable(&mut core)?;
                Ok(Ring::from_parts(
                    core,
                    Fdless {
                        index: RingIndex::filled(index),
                    },
                ))
            }
            (_, Reach::Descriptor(_)) => {
                Err(contradiction(&"a ring without a descriptor was asked for"))
            }
        }
    }

    fn core(&self, parts: Parts, name: Name, index: Option<u8>) -> Result<Box<Core>, Error> {
        let slots = self.in_flight.unwrap_or(parts.setup.completion_entries());
        let mut core = Core::new(parts, slots.clamp(1, MOST_SLOTS), name, index);
        if let Some(slots) = self.direct_slots {
            core.register_direct(slots)?;
        }
        if let Some(waits) = self.registered_waits {
            core.register_waits(waits)?;
        }
        Ok(core)
    }
}

/// Ends the disabled state of a ring that began in it only for what has to be registered then.
fn enable(core: &mut Core) -> Result<(), Error> {
    if core.setup().flags().contains(SetupFlags::R_DISABLED) {
        core.enable()?;
        core.setup_mut().note_enabled();
    }
    Ok(())
}

/// The most operations that a ring keeps: as many as the largest completion queue has room for.
const MOST_SLOTS: u32 = 65536;

impl Ring<Any> {
    pub(crate) fn any(core: Box<Core>, handle: AnyHandle) -> Ring<Any> {
        Ring::from_parts(core, Any::new(handle))
    }
}

/// Whether closing the descriptor is possible: calls must be able to go by the index.
pub(crate) fn can_close(call: Call, features: Features) -> Result<(), Error> {
    if features.contains(Features::REG_REG_RING) {
        Ok(())
    } else {
        let hint = Hint::needs_linux(6, 3, &"IORING_FEAT_REG_REG_RING is not set");
        Err(Error::refused(call, hint))
    }
}
