//! Queues of network interfaces that put what they receive into memory of the process.

mod control;
mod dma_buf;
mod events;
mod options;
mod received;

use std::fmt;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;

use uring_sys::{
    Errno, io_uring_region_desc, io_uring_zcrx_area_reg, io_uring_zcrx_ifq_reg, zcrx_event_desc,
};

pub use self::dma_buf::{DmaBufQueue, ReceivedRange};
pub use self::events::{InterfaceEvent, InterfaceStatistics};
pub use self::options::InterfaceQueueOptions;
pub use self::received::ReceivedBytes;

use self::received::{Area, Shared};
use crate::direct::check_tag;
use crate::engine::Core;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::Bound;
use crate::memory::{Mapping, page_size};
use crate::query::ZeroCopyReceive;
use crate::queue::RefillQueue;
use crate::ring::Ring;

/// A queue of a network interface that puts what it receives into memory of the process, for [`RecvZc`](crate::op::RecvZc).
///
/// What was received comes as [`ReceivedBytes`], which lie in that memory; dropping them gives their buffer back to the kernel. The queue stays
/// registered as long as the rings that it is registered with; the memory stays as long as any clone of this, any operation with it, or anything
/// received.
///
/// Since Linux 6.15, where it is configured (`CONFIG_IO_URING_ZCRX`).
///
/// ```
/// use std::io::Write as _;
/// use std::net::{TcpListener, TcpStream};
/// use uring::op::RecvZc;
/// use uring::{Builder, CompletionSize, InterfaceQueueOptions};
///
/// # let builder = Builder::new(8).completion_size(CompletionSize::Large);
/// # let Ok(mut ring) = builder.build_registered() else { return Ok(()) };
/// let options = InterfaceQueueOptions::without_device().area(16 * 4096);
/// match ring.interface_queue(options) {
///     Ok(queue) => {
///         let listener = TcpListener::bind("127.0.0.1:0")?;
///         let mut sender = TcpStream::connect(listener.local_addr()?)?;
///         sender.write_all(b"copied once")?;
///         let token = ring.push(RecvZc::new(listener.accept()?.0, queue))?;
///         let bytes = ring.wait_item(&token)?.expect("something was sent");
///         assert_eq!(&bytes[..], b"copied once");
///     }
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `linux/io_uring/zcrx.h`, `Documentation/networking/iou-zcrx.rst`.
#[derive(Clone)]
#[doc(alias = "io_uring_zcrx_ifq_reg")]
pub struct InterfaceQueue {
    shared: Rc<Shared>,
    ring: u64,
    /// The ring's number for it.
    id: u32,
}

impl InterfaceQueue {
    /// The ring's number for the queue (`zcrx_id`).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What the kernel had to copy since the queue was registered, if it was asked to [count that](InterfaceQueueOptions::statistics).
    #[must_use]
    pub fn statistics(&self) -> Option<InterfaceStatistics> {
        self.shared.statistics()
    }

    pub(crate) fn ring(&self) -> u64 {
        self.ring
    }

    /// What a completion has told of.
    ///
    /// # Safety
    ///
    /// The completion is of an operation with this queue, and nothing was made of it before.
    pub(crate) unsafe fn received(&self, offset: u64, len: u32) -> ReceivedBytes {
        // SAFETY: passed on to the caller.
        unsafe { ReceivedBytes::new(&self.shared, offset, len) }
    }
}

impl fmt::Debug for InterfaceQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterfaceQueue")
            .field("id", &self.id)
            .field("area", &self.shared.len())
            .finish_non_exhaustive()
    }
}

/// A queue of a network interface, whosever memory it fills. Sealed.
pub trait AnyInterfaceQueue: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        fn queue(&self) -> &super::InterfaceQueue;
    }
}

impl AnyInterfaceQueue for InterfaceQueue {}

impl sealed::Sealed for InterfaceQueue {
    fn queue(&self) -> &InterfaceQueue {
        self
    }
}

impl AnyInterfaceQueue for DmaBufQueue {}

impl sealed::Sealed for DmaBufQueue {
    fn queue(&self) -> &InterfaceQueue {
        DmaBufQueue::queue(self)
    }
}

impl<H: Bound> Ring<H> {
    /// Registers a queue of a network interface, and makes the memory that it fills.
    ///
    /// The ring needs [deferred task work](crate::TaskWork), which bound rings have where nothing else was asked for, and
    /// completions that are [large or mixed](crate::CompletionSize). Since Linux 6.15.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older, was built without `CONFIG_IO_URING_ZCRX`, or does nothing without a device;
    /// - [`is_blocked`](Error::is_blocked): the thread has no `CAP_NET_ADMIN`;
    /// - [`is_invalid_request`](Error::is_invalid_request): the ring is not of the kind, the area is empty, or the number of events is zero or has
    ///   the top bit set;
    /// - `ENODEV`: there is no such interface; `EOPNOTSUPP`, `EINVAL`: the device or its driver cannot do it;
    /// - [`is_limited`](Error::is_limited): `RLIMIT_MEMLOCK` limits the memory, which is kept resident;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_ifq")]
    #[doc(alias = "IORING_REGISTER_ZCRX_IFQ")]
    pub fn interface_queue(
        &mut self,
        options: InterfaceQueueOptions,
    ) -> Result<InterfaceQueue, Error> {
        self.core().interface_queue(options)
    }

    /// Registers with this ring a queue that another ring of this thread has, so that both receive into the same memory.
    ///
    /// For as long as the call takes there is a descriptor. Since Linux 6.19.
    ///
    /// # Errors
    ///
    /// Those of [`interface_queue`](Ring::interface_queue) and of [`export_interface_queue`](Ring::export_interface_queue), which `other` does.
    #[doc(alias = "ZCRX_REG_IMPORT")]
    pub fn share_interface_queue<O: Bound>(
        &mut self,
        other: &Ring<O>,
        queue: &InterfaceQueue,
    ) -> Result<InterfaceQueue, Error> {
        let exported = other.export_interface_queue(queue)?;
        self.core().import(&exported, queue)
    }
}

const REGISTER_OPCODE: u32 = uring_sys::IORING_REGISTER_ZCRX_IFQ;
const REGISTER: Call = Call::register(REGISTER_OPCODE);

const NEEDS_DEVICE: Hint = Hint::needs_linux(
    7,
    1,
    &"the kernel does not say that it knows ZCRX_REG_NODEV",
);
const NEEDS_EVENTS: Hint = Hint::needs_linux(
    7,
    2,
    &"the kernel does not say that it knows ZCRX_FEATURE_EVENT",
);
const NOT_CONFIGURED: Hint =
    Hint::not_configured(&"CONFIG_IO_URING_ZCRX: IORING_OP_RECV_ZC is not supported");

fn contradiction(explanation: &'static &'static str) -> Error {
    Error::refused(REGISTER, Hint::contradiction(explanation))
}

impl Core {
    fn interface_queue(&self, options: InterfaceQueueOptions) -> Result<InterfaceQueue, Error> {
        self.check_kind()?;
        let area = Area::new(options.area, self.process())?;
        let argument = area.argument();
        self.register_interface(options, argument, Some(area))
    }

    /// Registers a queue with an area that is described by the argument: memory of ours, if any is given.
    fn register_interface(
        &self,
        options: InterfaceQueueOptions,
        mut area_argument: io_uring_zcrx_area_reg,
        mut area: Option<Area>,
    ) -> Result<InterfaceQueue, Error> {
        let refills = options.refills.clamp(1, MOST_REFILLS).next_power_of_two();
        let size = RefillQueue::size(refills, options.statistics).next_multiple_of(page_size());
        let memory =
            Mapping::private(size, self.process()).map_err(|errno| Error::sys(REGISTER, errno))?;
        let mut region = io_uring_region_desc {
            user_addr: address(memory.start().as_ptr()),
            size: u64::try_from(size).unwrap_or(u64::MAX),
            flags: uring_sys::IORING_MEM_REGION_TYPE_USER,
            ..io_uring_region_desc::default()
        };
        let mut told = zcrx_event_desc::default();
        if let Some((number, mask)) = options.events {
            check_tag(REGISTER_OPCODE, number)?;
            told.user_data = number;
            told.type_mask = mask;
        }
        if options.statistics {
            told.flags = uring_sys::ZCRX_EVENT_DESC_FLAG_STATS;
            told.stats_offset = u64::try_from(RefillQueue::size(refills, false)).unwrap_or(0);
        }
        let tells = options.events.is_some() || options.statistics;
        let mut argument = io_uring_zcrx_ifq_reg {
            rq_entries: refills,
            rx_buf_len: options.buffer_size,
            area_ptr: address(&raw mut area_argument),
            region_ptr: address(&raw mut region),
            event_desc: if tells { address(&raw mut told) } else { 0 },
            ..io_uring_zcrx_ifq_reg::default()
        };
        match options.device {
            Some((interface, queue)) => {
                argument.if_idx = interface;
                argument.if_rxq = queue;
            }
            None => argument.flags = uring_sys::ZCRX_REG_NODEV,
        }
        // SAFETY: one argument of the kernel's type that points to three more, all of which it reads and writes during the call only. The pages
        // of area and queue it keeps, whoever unmaps them, and nobody else is given that memory (`Mapping`).
        unsafe { self.register(REGISTER_OPCODE, (&raw mut argument).cast(), 1) }
            .map_err(|error| self.explain_queue(error, options.device.is_none(), tells))?;
        let queue = RefillQueue::new(memory, &argument.offsets, refills, options.statistics)
            .ok_or_else(|| Error::sys(REGISTER, Errno::EOVERFLOW))?;
        if let Some(area) = &mut area {
            area.token = area_argument.rq_area_token;
        }
        Ok(InterfaceQueue {
            shared: Rc::new(Shared::new(area, queue, self.process())),
            ring: self.id(),
            id: argument.zcrx_id,
        })
    }

    fn import(&self, exported: &OwnedFd, queue: &InterfaceQueue) -> Result<InterfaceQueue, Error> {
        self.check_kind()?;
        let mut argument = io_uring_zcrx_ifq_reg {
            if_idx: exported.as_raw_fd().unsigned_abs(),
            flags: uring_sys::ZCRX_REG_IMPORT,
            ..io_uring_zcrx_ifq_reg::default()
        };
        // SAFETY: one argument of the kernel's type, which it reads and writes during the call only.
        unsafe { self.register(REGISTER_OPCODE, (&raw mut argument).cast(), 1) }
            .map_err(|error| self.explain_queue(error, false, false))?;
        Ok(InterfaceQueue {
            shared: Rc::clone(&queue.shared),
            ring: self.id(),
            id: argument.zcrx_id,
        })
    }

    /// Whether the ring is of the kind that interface queues belong to.
    fn check_kind(&self) -> Result<(), Error> {
        let flags = self.setup().flags();
        if !flags.contains(SetupFlags::DEFER_TASKRUN) {
            return Err(contradiction(
                &"an interface queue needs a ring with deferred task work",
            ));
        }
        if !flags.intersects(SetupFlags::CQE32 | SetupFlags::CQE_MIXED) {
            return Err(contradiction(
                &"an interface queue needs a ring with completions that are large or mixed",
            ));
        }
        Ok(())
    }

    #[cold]
    fn explain_queue(&self, error: Error, without_device: bool, tells: bool) -> Error {
        if error.hint().is_some() {
            return error;
        }
        let nodev = u64::from(uring_sys::ZCRX_REG_NODEV);
        let knows_nodev =
            || ZeroCopyReceive::get().is_ok_and(|has| has.register_flags & nodev != 0);
        let events = uring_sys::ZCRX_FEATURE_EVENT;
        let knows_events = || ZeroCopyReceive::get().is_ok_and(|has| has.features & events != 0);
        let is_built = || {
            // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
            crate::Probe::read(|opcode, arg, count| unsafe { self.register(opcode, arg, count) })
                .map_or(true, |probe| probe.supports(uring_sys::IORING_OP_RECV_ZC))
        };
        match error.errno() {
            Some(libc::EINVAL) if without_device && !knows_nodev() => error.with_hint(NEEDS_DEVICE),
            Some(libc::EINVAL) if tells && !knows_events() => error.with_hint(NEEDS_EVENTS),
            Some(libc::EOPNOTSUPP) if !is_built() => error.with_hint(NOT_CONFIGURED),
            Some(libc::EPERM) => error.with_hint(Hint::NetworkPrivilege),
            _ => error,
        }
    }
}

/// The kernel's limit (`IO_RQ_MAX_ENTRIES`).
const MOST_REFILLS: u32 = 32768;
