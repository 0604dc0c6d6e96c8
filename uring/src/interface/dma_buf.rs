//! Queues whose memory is another device's.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd as _};

use uring_sys::io_uring_zcrx_area_reg;

use super::{
    InterfaceQueue, InterfaceQueueOptions, InterfaceStatistics, ReceivedBytes, contradiction,
};
use crate::error::Error;
use crate::handle::Bound;
use crate::ring::Ring;

/// A queue of a network interface that puts what it receives into the memory of another device (a dma-buf), for [`RecvZc`](crate::op::RecvZc).
///
/// What was received is told as [`ReceivedRange`]: the processor need not be able to read that memory. What the device did not put there is not
/// copied; receiving it fails. As an [`InterfaceQueue`] it stays as long as the rings that it is registered with, and the kernel keeps the memory.
///
/// Since Linux 6.16, where it is configured (`CONFIG_IO_URING_ZCRX`, `CONFIG_DMA_SHARED_BUFFER`).
#[derive(Clone)]
#[doc(alias = "IORING_ZCRX_AREA_DMABUF")]
pub struct DmaBufQueue(InterfaceQueue);

/// Where in another device's memory bytes were received. Dropping it gives their buffer back to the kernel.
#[must_use = "dropping it gives the buffer back"]
pub struct ReceivedRange(ReceivedBytes);

impl DmaBufQueue {
    /// The ring's number for the queue (`zcrx_id`).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As of [`InterfaceQueue::statistics`].
    #[must_use]
    pub fn statistics(&self) -> Option<InterfaceStatistics> {
        self.0.statistics()
    }

    pub(crate) fn queue(&self) -> &InterfaceQueue {
        &self.0
    }

    /// What a completion has told of.
    ///
    /// # Safety
    ///
    /// As of [`InterfaceQueue::received`].
    pub(crate) unsafe fn received(&self, place: u64, len: u32) -> ReceivedRange {
        // SAFETY: passed on to the caller.
        ReceivedRange(unsafe { self.0.received(place, len) })
    }
}

impl fmt::Debug for DmaBufQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DmaBufQueue")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl ReceivedRange {
    /// Where in the dma-buf the bytes begin.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.place().0 & !uring_sys::IORING_ZCRX_AREA_MASK
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.place().1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for ReceivedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRange")
            .field("offset", &self.offset())
            .field("len", &self.len())
            .finish()
    }
}

impl<H: Bound> Ring<H> {
    /// Registers a queue of a network interface that puts what it receives into a dma-buf, all of it: `bytes` is its size.
    ///
    /// The descriptor can be closed afterwards. The options' [`area`](InterfaceQueueOptions::area) is not asked for. Since Linux 6.16.
    ///
    /// # Errors
    ///
    /// As of [`interface_queue`](Ring::interface_queue), and
    /// - [`is_invalid_request`](Error::is_invalid_request): there is [no device](InterfaceQueueOptions::without_device) to write there;
    /// - `EINVAL`: that is not the size, or the kernel has no dma-bufs, or does not take them here; `EBADF`: the descriptor is not of one.
    pub fn dma_buf_queue(
        &mut self,
        options: InterfaceQueueOptions,
        memory: &impl AsFd,
        bytes: u64,
    ) -> Result<DmaBufQueue, Error> {
        let core = self.core();
        core.check_kind()?;
        if options.device.is_none() {
            return Err(contradiction(
                &"only a device can receive into a dma-buf: InterfaceQueueOptions::device",
            ));
        }
        let argument = io_uring_zcrx_area_reg {
            len: bytes,
            flags: uring_sys::IORING_ZCRX_AREA_DMABUF,
            dmabuf_fd: memory.as_fd().as_raw_fd().unsigned_abs(),
            ..io_uring_zcrx_area_reg::default()
        };
        core.register_interface(options, argument, None)
            .map(DmaBufQueue)
    }
}
