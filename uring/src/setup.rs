//! Making a ring: the setup call, and the memory of its queues.

use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use uring_sys::{Errno, io_uring_params};

use crate::closes_direct;
use crate::engine::{Parts, release_slot, unregister_slot};
use crate::entry::EntrySize;
use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::{Features, SetupFlags};
use crate::fork::Process;
use crate::memory::{HUGE_PAGE, Mapping, page_size};
use crate::queue::{CompletionQueue, CompletionSize, RingLayout, SubmissionQueue};
use crate::syscall::Name;

/// What a ring was made with, as the kernel reported it.
///
/// ```
/// use uring::{Builder, Features, SetupFlags};
///
/// let ring = Builder::new(100).build_best()?;
/// let setup = ring.setup();
/// assert_eq!((setup.entries(), setup.completion_entries()), (128, 256));
/// if setup.flags().contains(SetupFlags::DEFER_TASKRUN) {
///     println!("completions are produced when this thread asks for them");
/// }
/// assert!(setup.features().contains(Features::NODROP));
/// # Ok::<(), uring::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "io_uring_params")]
pub struct Setup {
    flags: SetupFlags,
    features: Features,
    entries: u32,
    completion_entries: u32,
}

impl Setup {
    /// The setup flags in force: those asked for, and the defaults that this kernel has.
    #[must_use]
    pub const fn flags(&self) -> SetupFlags {
        self.flags
    }

    /// What the kernel says that it can do.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Slots of the submission queue: what was asked for, rounded up to a power of two.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Slots of the completion queue.
    #[must_use]
    pub const fn completion_entries(&self) -> u32 {
        self.completion_entries
    }

    /// The size of the queue's entries.
    #[must_use]
    pub fn entry_size(&self) -> EntrySize {
        if self.flags.contains(SetupFlags::SQE128) {
            EntrySize::Large
        } else if self.flags.contains(SetupFlags::SQE_MIXED) {
            EntrySize::Mixed
        } else {
            EntrySize::Normal
        }
    }

    /// The size of the queue's completions.
    #[must_use]
    pub fn completion_size(&self) -> CompletionSize {
        if self.flags.contains(SetupFlags::CQE32) {
            CompletionSize::Large
        } else if self.flags.contains(SetupFlags::CQE_MIXED) {
            CompletionSize::Mixed
        } else {
            CompletionSize::Normal
        }
    }

    /// The same of a ring whose queues have these sizes.
    pub(crate) fn with_sizes(&self, entries: u32, completion_entries: u32) -> Setup {
        Setup {
            entries,
            completion_entries,
            ..self.clone()
        }
    }

    /// The ring is not disabled any more.
    pub(crate) fn note_enabled(&mut self) {
        self.flags.remove(SetupFlags::R_DISABLED);
    }

    fn of(params: &io_uring_params) -> Setup {
        let features = Features::from_bits_retain(params.features);
        closes_direct::KNOWN.learn(features);
        Setup {
            flags: SetupFlags::from_bits_retain(params.flags),
            features,
            entries: params.sq_entries,
            completion_entries: params.cq_entries,
        }
    }
}

/// What `io_uring_setup` is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) entries: u32,
    pub(crate) completion_entries: u32,
    pub(crate) flags: SetupFlags,
    pub(crate) thread_cpu: u32,
    pub(crate) thread_idle_ms: u32,
    pub(crate) workers_of: Option<RawFd>,
}

impl Request {
    fn params(&self, more: SetupFlags) -> io_uring_params {
        io_uring_params {
            cq_entries: self.completion_entries,
            flags: (self.flags | more).bits(),
            sq_thread_cpu: self.thread_cpu,
            sq_thread_idle: self.thread_idle_ms,
            wq_fd: self.workers_of.unwrap_or(0).unsigned_abs(),
            ..io_uring_params::default()
        }
    }

    /// # Safety
    ///
    /// Memory that `params` name is long enough for the queues, and used by nobody else.
    unsafe fn setup(&self, params: &mut io_uring_params) -> Result<u32, Error> {
        let asked = *params;
        // SAFETY: the parameters are the kernel's struct; the caller vouches for what they name.
        unsafe { uring_sys::io_uring_setup(self.entries, params) }
            .map_err(|errno| evidence::setup_failed(errno, self.entries, &asked))
    }
}

/// How a new ring is reached.
pub(crate) enum Reach {
    Descriptor(OwnedFd),
    /// The slot of the calling thread's table that the kernel has filled.
    Index(u8),
}

/// A ring whose queues are the kernel's memory.
pub(crate) fn with_kernel_memory(request: &Request) -> Result<(Parts, OwnedFd), Error> {
    let process = Process::current().map_err(map_failed)?;
    let mut params = request.params(SetupFlags::empty());
    // SAFETY: the parameters name no memory.
    let fd = own(unsafe { request.setup(&mut params) }?);
    let setup = Setup::of(&params);
    if !setup.features.contains(Features::SINGLE_MMAP) {
        let hint = Hint::needs_linux(5, 4, &"IORING_FEAT_SINGLE_MMAP is not set");
        return Err(Error::refused(Call::Setup, hint));
    }
    let map = |offset: u64, len: usize| {
        Mapping::of_ring(fd.as_fd(), offset, len, process).map_err(map_failed)
    };
    let rings = map(uring_sys::IORING_OFF_SQ_RING, rings_len(&params))?;
    let entries = map(uring_sys::IORING_OFF_SQES, entries_len(&setup))?;
    // SAFETY: the mappings are those of the ring just made, as long as the kernel says that the parts are.
    let parts = unsafe { parts(&params, setup, process, entries, Some(rings)) };
    Ok((parts, fd))
}

/// A ring whose queues are our own memory (`IORING_SETUP_NO_MMAP`, Linux 6.5), with a descriptor or, from birth, without one.
pub(crate) fn with_own_memory(request: &Request, fdless: bool) -> Result<(Parts, Reach), Error> {
    let process = Process::current().map_err(map_failed)?;
    let size = MemorySize::of(request);
    let small = Mapping::private(size.total(), process).map_err(map_failed)?;
    match in_memory(request, fdless, small, &size, process) {
        // Linux 6.5 and its successors want the queues physically contiguous: one page is, and a huge page is.
        Err(error)
            if error.errno() == Some(libc::EINVAL)
                && !size.is_contiguous()
                && works_in_single_pages(request, process) =>
        {
            let refused = error.with_hint(Hint::ContiguousMemory);
            let size = size.in_huge_pages();
            let huge = Mapping::private_huge(size.total(), process).map_err(|_| refused)?;
            // The largest queues do not fit in one of them either.
            in_memory(request, fdless, huge, &size, process).map_err(|error| match error.errno() {
                Some(libc::EINVAL) => refused,
                _ => error,
            })
        }
        other => other,
    }
}

/// Whether it is the size of the queues that the kernel refuses: with few entries each of the two parts is one page.
fn works_in_single_pages(request: &Request, process: Process) -> bool {
    let few = Request {
        entries: 8,
        completion_entries: 16,
        ..*request
    };
    let size = MemorySize::of(&few);
    let Ok(memory) = Mapping::private(size.total(), process) else {
        return false;
    };
    match in_memory(&few, true, memory, &size, process) {
        Ok((_, Reach::Index(index))) => {
            release_slot(Name::index(index), index);
            true
        }
        Ok((_, Reach::Descriptor(_))) | Err(_) => false,
    }
}

fn in_memory(
    request: &Request,
    fdless: bool,
    memory: Mapping,
    size: &MemorySize,
    process: Process,
) -> Result<(Parts, Reach), Error> {
    let mut more = SetupFlags::NO_MMAP;
    more.set(SetupFlags::REGISTERED_FD_ONLY, fdless);
    let mut params = request.params(more);
    size.place(memory.start(), &mut params);
    // SAFETY: the two addresses lie in a private mapping that is at least as long as the kernel's own rules make the queues,
    // and that nothing else uses.
    let number = unsafe { request.setup(&mut params) }?;
    let reach = if fdless {
        // The kernel's table has 16 slots.
        Reach::Index(u8::try_from(number).unwrap_or(u8::MAX))
    } else {
        Reach::Descriptor(own(number))
    };
    let setup = Setup::of(&params);
    if entries_len(&setup) > size.entries || rings_len(&params) > size.rings {
        if let Reach::Index(index) = reach {
            release_slot(Name::index(index), index);
        }
        let hint =
            Hint::contradiction(&"the kernel made queues larger than the memory it was given");
        return Err(Error::refused(Call::Setup, hint));
    }
    // SAFETY: entries first, then the rings, in one mapping; both are as long as the kernel says, as was just checked.
    let parts = unsafe { parts(&params, setup, process, memory, None) };
    Ok((parts, reach))
}

/// The queues of a ring that is new, or has new ones.
///
/// # Safety
///
/// The queues were just made with `params`. `first` begins with its entries; its rings are in `second`, or in `first` at the address that was given
/// to the kernel.
pub(crate) unsafe fn parts(
    params: &io_uring_params,
    setup: Setup,
    process: Process,
    first: Mapping,
    second: Option<Mapping>,
) -> Parts {
    let entries = first.start();
    let rings = match &second {
        Some(rings) => rings.start(),
        None => {
            let offset = params.cq_off.user_addr - params.sq_off.user_addr;
            // SAFETY: the rings were laid into the same mapping at that distance.
            unsafe { entries.add(usize::try_from(offset).unwrap_or(0)) }
        }
    };
    let layout = RingLayout {
        rings,
        sq: &params.sq_off,
        cq: &params.cq_off,
    };
    // SAFETY: the offsets are those that the kernel has just reported for this ring, which nobody else drives yet, and the mappings are kept with
    // the queues.
    let (sq, cq) = unsafe {
        (
            SubmissionQueue::new(
                &layout,
                entries,
                setup.entries,
                setup.entry_size(),
                setup.flags,
            ),
            CompletionQueue::new(&layout, setup.completion_entries, setup.completion_size()),
        )
    };
    let memory = std::iter::once(first).chain(second).collect();
    Parts {
        sq,
        cq,
        memory,
        process,
        setup,
    }
}

fn map_failed(errno: Errno) -> Error {
    Error::sys(Call::Map, errno)
}

fn own(fd: u32) -> OwnedFd {
    // SAFETY: the kernel has just returned this descriptor to us, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) }
}

fn bytes(count: u32, shift: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX) << shift
}

pub(crate) fn entries_len(setup: &Setup) -> usize {
    bytes(setup.entries, setup.entry_size().shift())
}

/// How long the shared rings are, by the offsets that the kernel reported.
pub(crate) fn rings_len(params: &io_uring_params) -> usize {
    let setup = Setup::of(params);
    let completions = bytes(setup.completion_entries, setup.completion_size().shift());
    let end_of_completions = bytes(params.cq_off.cqes, 0) + completions;
    let end_of_array = if setup.flags.contains(SetupFlags::NO_SQARRAY) {
        0
    } else {
        bytes(params.sq_off.array, 0) + bytes(setup.entries, 2)
    };
    end_of_completions.max(end_of_array)
}

/// How long the queues are at most.
pub(crate) fn memory_size(request: &Request) -> usize {
    MemorySize::of(request).total()
}

/// How much memory a ring needs before it exists, never less than the kernel will use (H20).
pub(crate) struct MemorySize {
    /// Whole pages: the rings begin on one.
    entries: usize,
    rings: usize,
}

/// More than the kernel's header before the completions takes on any architecture: its largest cache line is 256 bytes.
const RINGS_HEADER: usize = 1024;
pub(crate) const MOST_ENTRIES: u32 = 32768;
pub(crate) const MOST_COMPLETIONS: u32 = 65536;

impl MemorySize {
    /// Says that the entries are at `start`, and the rings behind them.
    pub(crate) fn place(&self, start: NonNull<u8>, params: &mut io_uring_params) {
        let start = crate::entry::address(start.as_ptr());
        params.sq_off.user_addr = start;
        params.cq_off.user_addr = start + u64::try_from(self.entries).unwrap_or(u64::MAX);
    }

    pub(crate) fn of(request: &Request) -> MemorySize {
        let wide_entries = u32::from(request.flags.contains(SetupFlags::SQE128));
        let wide_completions = u32::from(request.flags.contains(SetupFlags::CQE32));
        let entries = request.entries.clamp(1, MOST_ENTRIES).next_power_of_two();
        let completions = if request.flags.contains(SetupFlags::CQSIZE) {
            request
                .completion_entries
                .clamp(1, MOST_COMPLETIONS)
                .next_power_of_two()
        } else {
            2 * entries
        };
        let array = bytes(entries, 2);
        MemorySize {
            entries: bytes(entries, 6 + wide_entries).next_multiple_of(page_size()),
            rings: (RINGS_HEADER + bytes(completions, 4 + wide_completions) + array)
                .next_multiple_of(page_size()),
        }
    }

    /// The same with each part in one huge page, if it is no larger than that.
    fn in_huge_pages(&self) -> MemorySize {
        let entries = if self.total() > HUGE_PAGE {
            self.entries.next_multiple_of(HUGE_PAGE)
        } else {
            self.entries
        };
        MemorySize { entries, ..*self }
    }

    /// Whether each part is one page, and so physically contiguous.
    fn is_contiguous(&self) -> bool {
        self.entries.max(self.rings) <= page_size()
    }

    pub(crate) fn total(&self) -> usize {
        self.entries + self.rings
    }
}

/// A ring made only to carry one call for another ring of the same thread.
pub(crate) struct Carrier {
    _parts: Parts,
    reach: Reach,
}

impl Carrier {
    /// Without a descriptor where the kernel can.
    pub(crate) fn new() -> Result<Carrier, Error> {
        let request = Request {
            entries: 1,
            completion_entries: 0,
            flags: SetupFlags::empty(),
            thread_cpu: 0,
            thread_idle_ms: 0,
            workers_of: None,
        };
        let (parts, reach) = match with_own_memory(&request, true) {
            Ok(made) => made,
            Err(_) => {
                let (parts, fd) = with_kernel_memory(&request)?;
                (parts, Reach::Descriptor(fd))
            }
        };
        Ok(Carrier {
            _parts: parts,
            reach,
        })
    }

    pub(crate) fn name(&self) -> Name {
        match &self.reach {
            Reach::Descriptor(fd) => Name::descriptor(std::os::fd::AsRawFd::as_raw_fd(fd)),
            Reach::Index(index) => Name::index(*index),
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Reach::Index(index) = self.reach {
            // A ring that was just born can give its own slot back; if it may not, no other ring can either.
            let _ = unregister_slot(Name::index(index), index);
        }
    }
}
