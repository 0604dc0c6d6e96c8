//! Groups of buffers that the kernel chooses from.

use crate::buffers::{BufferRing, ProvidedBuffers};
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::ring::Ring;

impl<H: Handle> Ring<H> {
    /// Makes a group of `count` buffers of `size` bytes, and gives all of them to the kernel.
    ///
    /// `count` is a power of two, and at most 32768. An operation takes a whole buffer, however little it puts into it.
    ///
    /// Since Linux 5.19.
    ///
    /// # Errors
    ///
    /// - `count` is no such number, or `size` is zero ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported);
    /// - others of `io_uring_register(2)`.
    pub fn buffer_ring(&mut self, count: u16, size: u32) -> Result<BufferRing, Error> {
        self.core_mut().buffer_ring(count, size, false)
    }

    /// Makes a group of which operations take no more than they fill: the next goes on behind it in the same buffer.
    ///
    /// For a few large buffers. One operation at a time may take from it, a multishot one for example; the push of a second is refused until
    /// the first has been redeemed. That is how it stays certain which bytes are whose. A buffer is given to the kernel again when
    /// it is used up and all leases of its parts have ended, with the ring's next submission.
    ///
    /// Since Linux 6.12.
    ///
    /// # Errors
    ///
    /// See [`buffer_ring`](Ring::buffer_ring).
    #[doc(alias = "IOU_PBUF_RING_INC")]
    pub fn incremental_buffer_ring(&mut self, count: u16, size: u32) -> Result<BufferRing, Error> {
        self.core_mut().buffer_ring(count, size, true)
    }

    /// How many buffers of the group the kernel has taken since the group was made, modulo 2¹⁶.
    ///
    /// Since Linux 6.8.
    ///
    /// # Errors
    ///
    /// - the group is of another ring ([`is_wrong_ring`](Error::is_wrong_ring));
    /// - [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring_buf_ring_head(3)`.
    #[doc(alias = "io_uring_buf_ring_head")]
    #[doc(alias = "IORING_REGISTER_PBUF_STATUS")]
    pub fn buffer_ring_head(&self, buffers: &BufferRing) -> Result<u16, Error> {
        let group = buffers.group();
        let call = Call::register(uring_sys::IORING_REGISTER_PBUF_STATUS);
        if group.belongs_to(self.core().id()).is_err() {
            return Err(Error::refused(call, Hint::WrongRing));
        }
        self.core().buffer_ring_head(group.id)
    }

    /// Makes a group of `count` buffers of `size` bytes for [`ProvideBuffers`](crate::op::ProvideBuffers), which gives them to the kernel.
    ///
    /// # Errors
    ///
    /// `count` or `size` is zero, or there is not enough memory.
    pub fn provided_buffers(&mut self, count: u16, size: u32) -> Result<ProvidedBuffers, Error> {
        self.core_mut().provided_buffers(count, size)
    }
}
