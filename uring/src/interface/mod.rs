//! Queues of network interfaces that put what they receive into memory of the process.

mod received;

use std::fmt;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::rc::Rc;

use uring_sys::{
    Errno, io_uring_region_desc, io_uring_zcrx_area_reg, io_uring_zcrx_ifq_reg, zcrx_ctrl,
};

pub use self::received::ReceivedBytes;

use self::received::Shared;
use crate::engine::Core;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::Bound;
use crate::memory::{Mapping, page_size};
use crate::query::ZeroCopyReceive;
use crate::queue::RefillQueue;
use crate::ring::Ring;

/// What an [`InterfaceQueue`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct InterfaceQueueOptions {
    /// The interface's index and its receive queue's; none if the kernel copies.
    device: Option<(u32, u32)>,
    area: usize,
    refills: u32,
    buffer_size: u32,
}

impl InterfaceQueueOptions {
    /// The receive queue of that number of the network interface with that index (`if_nametoindex(3)`).
    ///
    /// The device splits headers from data, has an own queue for the connections that are received from (flow steering), and its driver can put
    /// data where it is told to.
    pub const fn device(interface: u32, queue: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            device: Some((interface, queue)),
            area: 1 << 20,
            refills: 1024,
            buffer_size: 0,
        }
    }

    /// No device: the kernel copies what any connection receives. Since Linux 7.1.
    #[doc(alias = "ZCRX_REG_NODEV")]
    pub const fn without_device() -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            device: None,
            ..InterfaceQueueOptions::device(0, 0)
        }
    }

    /// The size of the memory for what is received, in bytes, rounded up to whole pages; 1 MiB where nothing is said.
    pub const fn area(self, bytes: usize) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            area: bytes,
            ..self
        }
    }

    /// How many buffers can be on their way back to the kernel, at most 32768, rounded up to a power of two; 1024 where nothing is said.
    ///
    /// More wait in this library.
    pub const fn refills(self, count: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            refills: count,
            ..self
        }
    }

    /// The size of each buffer in the area, in bytes: a power of two and at least a page. Since Linux 7.0; otherwise it is a page.
    #[doc(alias = "rx_buf_len")]
    #[doc(alias = "ZCRX_FEATURE_RX_PAGE_SIZE")]
    pub const fn buffer_size(self, bytes: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            buffer_size: bytes,
            ..self
        }
    }
}

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
    /// - [`is_invalid_request`](Error::is_invalid_request): the ring is not of the kind, or the area is empty;
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
    pub fn flush_interface_queue(&mut self, queue: &InterfaceQueue) -> Result<(), Error> {
        loop {
            let mut control = queue.control(uring_sys::ZCRX_CTRL_FLUSH_RQ);
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
    pub fn export_interface_queue(&self, queue: &InterfaceQueue) -> Result<OwnedFd, Error> {
        let mut control = queue.control(uring_sys::ZCRX_CTRL_EXPORT);
        self.core().control(queue, &mut control)?;
        // SAFETY: the call has succeeded, so the kernel has filled in this member.
        let number = unsafe { control.anon_1.zc_export.zcrx_fd };
        match i32::try_from(number) {
            // SAFETY: the kernel has just made the descriptor for this call.
            Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
            _ => Err(Error::sys(CONTROL, Errno::EBADF)),
        }
    }
}

impl InterfaceQueue {
    fn control(&self, op: u32) -> zcrx_ctrl {
        zcrx_ctrl {
            zcrx_id: self.id,
            op,
            ..zcrx_ctrl::default()
        }
    }
}

const REGISTER_OPCODE: u32 = uring_sys::IORING_REGISTER_ZCRX_IFQ;
const CONTROL_OPCODE: u32 = uring_sys::IORING_REGISTER_ZCRX_CTRL;
const REGISTER: Call = Call::register(REGISTER_OPCODE);
const CONTROL: Call = Call::register(CONTROL_OPCODE);

const NEEDS_DEVICE: Hint = Hint::needs_linux(
    7,
    1,
    &"the kernel does not say that it knows ZCRX_REG_NODEV",
);
const NOT_CONFIGURED: Hint =
    Hint::not_configured(&"CONFIG_IO_URING_ZCRX: IORING_OP_RECV_ZC is not supported");

fn contradiction(explanation: &'static &'static str) -> Error {
    Error::refused(REGISTER, Hint::contradiction(explanation))
}

impl Core {
    fn interface_queue(&self, options: InterfaceQueueOptions) -> Result<InterfaceQueue, Error> {
        self.check_kind()?;
        let map = |len| {
            Mapping::private(len, self.process()).map_err(|errno| Error::sys(REGISTER, errno))
        };
        let len = options.area.checked_next_multiple_of(page_size());
        let Some(len) = len.filter(|len| *len > 0) else {
            return Err(contradiction(
                &"the area of an interface queue has at least a page",
            ));
        };
        let refills = options.refills.clamp(1, MOST_REFILLS).next_power_of_two();
        let size = RefillQueue::size(refills).next_multiple_of(page_size());
        let (area, memory) = (map(len)?, map(size)?);
        let bytes = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let mut area_argument = io_uring_zcrx_area_reg {
            addr: address(area.start().as_ptr()),
            len: bytes(len),
            ..io_uring_zcrx_area_reg::default()
        };
        let mut region = io_uring_region_desc {
            user_addr: address(memory.start().as_ptr()),
            size: bytes(size),
            flags: uring_sys::IORING_MEM_REGION_TYPE_USER,
            ..io_uring_region_desc::default()
        };
        let mut argument = io_uring_zcrx_ifq_reg {
            rq_entries: refills,
            rx_buf_len: options.buffer_size,
            area_ptr: address(&raw mut area_argument),
            region_ptr: address(&raw mut region),
            ..io_uring_zcrx_ifq_reg::default()
        };
        match options.device {
            Some((interface, queue)) => {
                argument.if_idx = interface;
                argument.if_rxq = queue;
            }
            None => argument.flags = uring_sys::ZCRX_REG_NODEV,
        }
        // SAFETY: one argument of the kernel's type that points to two more, all of which it reads and writes during the call only. The pages of
        // area and queue it keeps, whoever unmaps them, and nobody else is given that memory (`Mapping`).
        unsafe { self.register(REGISTER_OPCODE, (&raw mut argument).cast(), 1) }
            .map_err(|error| self.explain_queue(error, options.device.is_none()))?;
        let queue = RefillQueue::new(memory, &argument.offsets, refills)
            .ok_or_else(|| Error::sys(REGISTER, Errno::EOVERFLOW))?;
        Ok(InterfaceQueue {
            shared: Rc::new(Shared::new(
                (area, len),
                area_argument.rq_area_token,
                queue,
                self.process(),
            )),
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
            .map_err(|error| self.explain_queue(error, false))?;
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

    fn control(&self, queue: &InterfaceQueue, control: &mut zcrx_ctrl) -> Result<(), Error> {
        if queue.ring != self.id() {
            return Err(Error::refused(CONTROL, Hint::WrongRing));
        }
        let pointer = std::ptr::from_mut(control).cast();
        // SAFETY: one argument of the kernel's type, which it reads and writes during the call only.
        unsafe { self.register(CONTROL_OPCODE, pointer, 0) }.map(drop)
    }

    #[cold]
    fn explain_queue(&self, error: Error, without_device: bool) -> Error {
        if error.hint().is_some() {
            return error;
        }
        let nodev = u64::from(uring_sys::ZCRX_REG_NODEV);
        let knows_nodev =
            || ZeroCopyReceive::get().is_ok_and(|has| has.register_flags & nodev != 0);
        let is_built = || {
            // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
            crate::Probe::read(|opcode, arg, count| unsafe { self.register(opcode, arg, count) })
                .map_or(true, |probe| probe.supports(uring_sys::IORING_OP_RECV_ZC))
        };
        match error.errno() {
            Some(libc::EINVAL) if without_device && !knows_nodev() => error.with_hint(NEEDS_DEVICE),
            Some(libc::EOPNOTSUPP) if !is_built() => error.with_hint(NOT_CONFIGURED),
            Some(libc::EPERM) => error.with_hint(Hint::NetworkPrivilege),
            _ => error,
        }
    }
}

/// The kernel's limit (`IO_RQ_MAX_ENTRIES`).
const MOST_REFILLS: u32 = 32768;
