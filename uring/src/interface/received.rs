//! What was received, and its way back to the kernel.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use uring_sys::{io_uring_zcrx_area_reg, io_uring_zcrx_rqe};

use super::{InterfaceStatistics, REGISTER};
use crate::entry::address;
use crate::error::{Error, Hint};
use crate::fork::Process;
use crate::memory::{Mapping, page_size};
use crate::queue::RefillQueue;

/// What all rings that the queue is registered with have in common.
pub(super) struct Shared {
    /// Those that this library has made. None is ever taken away.
    areas: RefCell<Vec<Area>>,
    process: Process,
    back: RefCell<Back>,
}

/// Memory for what is received.
pub(super) struct Area {
    memory: Mapping,
    len: usize,
    /// The area's number, in the upper bits of offsets.
    pub(super) token: u64,
}

/// The way back to the kernel.
struct Back {
    queue: RefillQueue,
    /// What found no room in the queue.
    waiting: Vec<io_uring_zcrx_rqe>,
}

/// Bytes that were received through an [`InterfaceQueue`](crate::InterfaceQueue). Dropping them gives their buffer back to the kernel.
///
/// With a device the kernel takes buffers back by itself; without one, when [`Ring::flush_interface_queue`](crate::Ring::flush_interface_queue) says so.
#[must_use = "dropping them gives their buffer back"]
pub struct ReceivedBytes {
    shared: Rc<Shared>,
    offset: u64,
    len: u32,
}

impl ReceivedBytes {
    /// Where they are: the area's number in the upper 16 bits, and the offset in it.
    pub(super) fn place(&self) -> (u64, u32) {
        (self.offset, self.len)
    }

    /// # Safety
    ///
    /// A completion of an operation with that queue has told of that place and number of bytes, and nothing was made of it before.
    pub(super) unsafe fn new(shared: &Rc<Shared>, offset: u64, len: u32) -> ReceivedBytes {
        ReceivedBytes {
            shared: Rc::clone(shared),
            offset,
            len,
        }
    }
}

impl Deref for ReceivedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.shared.bytes(self.offset, self.len)
    }
}

impl fmt::Debug for ReceivedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReceivedBytes").field(&&self[..]).finish()
    }
}

impl Drop for ReceivedBytes {
    fn drop(&mut self) {
        self.shared.give_back(self.offset, self.len);
    }
}

impl Shared {
    pub(super) fn new(area: Option<Area>, queue: RefillQueue, process: Process) -> Shared {
        Shared {
            areas: RefCell::new(Vec::from_iter(area)),
            process,
            back: RefCell::new(Back {
                queue,
                waiting: Vec::new(),
            }),
        }
    }

    pub(super) fn add(&self, area: Area) {
        self.areas.borrow_mut().push(area);
    }

    /// The size of all areas in bytes.
    pub(super) fn len(&self) -> usize {
        self.areas.borrow().iter().map(|area| area.len).sum()
    }

    pub(super) fn statistics(&self) -> Option<InterfaceStatistics> {
        let (copies, bytes) = self.back.borrow().queue.statistics()?;
        Some(InterfaceStatistics { copies, bytes })
    }

    /// The bytes at a place that a completion has told of.
    fn bytes(&self, place: u64, len: u32) -> &[u8] {
        let token = place & uring_sys::IORING_ZCRX_AREA_MASK;
        let areas = self.areas.borrow();
        let area = areas.iter().find(|area| area.token == token);
        let offset = usize::try_from(place & !uring_sys::IORING_ZCRX_AREA_MASK);
        match (area, offset, usize::try_from(len)) {
            (Some(area), Ok(offset), Ok(len)) if offset.saturating_add(len) <= area.len => {
                // SAFETY: within the area, which lives as long as this, however many are added. The kernel has said that it has written these
                // bytes, and nobody writes to them before they are given back, which happens when what was made of the completion is dropped.
                unsafe { std::slice::from_raw_parts(area.memory.start().as_ptr().add(offset), len) }
            }
            // In memory that is not this process's: a device's, or what somebody else has added who has the queue, too.
            _ => &[],
        }
    }

    /// Puts what waits into the queue, and says whether any of it found room.
    pub(super) fn push_waiting(&self) -> bool {
        let mut back = self.back.borrow_mut();
        let before = back.waiting.len();
        back.push_waiting();
        back.waiting.len() < before
    }

    fn give_back(&self, offset: u64, len: u32) {
        // In a forked child it is a copy, and the buffer is the parent's.
        if !self.process.is_current() {
            return;
        }
        let mut back = self.back.borrow_mut();
        back.waiting.push(io_uring_zcrx_rqe {
            off: offset,
            len,
            ..io_uring_zcrx_rqe::default()
        });
        back.push_waiting();
    }
}

impl Area {
    /// So many bytes, rounded up to whole pages.
    pub(super) fn new(len: usize, process: Process) -> Result<Area, Error> {
        let len = len.checked_next_multiple_of(page_size());
        let Some(len) = len.filter(|len| *len > 0) else {
            let hint = Hint::contradiction(&"the area of an interface queue has at least a page");
            return Err(Error::refused(REGISTER, hint));
        };
        let memory = Mapping::private(len, process).map_err(|errno| Error::sys(REGISTER, errno))?;
        Ok(Area {
            memory,
            len,
            token: 0,
        })
    }

    /// What the kernel is told of it.
    pub(super) fn argument(&self) -> io_uring_zcrx_area_reg {
        io_uring_zcrx_area_reg {
            addr: address(self.memory.start().as_ptr()),
            len: u64::try_from(self.len).unwrap_or(u64::MAX),
            ..io_uring_zcrx_area_reg::default()
        }
    }
}

impl Back {
    /// Puts what waits into the queue, as far as there is room.
    fn push_waiting(&mut self) {
        while let Some(entry) = self.waiting.pop() {
            if !self.queue.push(entry) {
                self.waiting.push(entry);
                break;
            }
        }
    }
}
