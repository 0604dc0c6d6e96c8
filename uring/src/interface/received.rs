//! What was received, and its way back to the kernel.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use uring_sys::io_uring_zcrx_rqe;

use crate::fork::Process;
use crate::memory::Mapping;
use crate::queue::RefillQueue;

/// What all rings that the queue is registered with have in common.
pub(super) struct Shared {
    area: Mapping,
    len: usize,
    /// The area's number, in the upper bits of offsets.
    token: u64,
    process: Process,
    back: RefCell<Back>,
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
        let offset = usize::try_from(self.offset & !uring_sys::IORING_ZCRX_AREA_MASK);
        let len = usize::try_from(self.len);
        match (offset, len) {
            (Ok(offset), Ok(len)) if offset.saturating_add(len) <= self.shared.len => {
                // SAFETY: within the area, which lives as long as this. The kernel has said that it has written these bytes, and
                // nobody writes to them before they are given back, which this does when it is dropped.
                unsafe {
                    std::slice::from_raw_parts(self.shared.area.start().as_ptr().add(offset), len)
                }
            }
            // No kernel says that.
            _ => &[],
        }
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
    /// Of the queue's memory, of which the kernel calls `area` by that token.
    pub(super) fn new(
        (area, len): (Mapping, usize),
        token: u64,
        queue: RefillQueue,
        process: Process,
    ) -> Shared {
        Shared {
            area,
            len,
            token,
            process,
            back: RefCell::new(Back {
                queue,
                waiting: Vec::new(),
            }),
        }
    }

    /// The size of the area in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
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
            off: (offset & !uring_sys::IORING_ZCRX_AREA_MASK) | self.token,
            len,
            ..io_uring_zcrx_rqe::default()
        });
        back.push_waiting();
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
