//! Groups of buffers that the kernel chooses from.

use std::os::fd::AsFd;

use crate::buffers::{BufferRing, ProvidedBuffers, QueueKind, SendQueue};
use crate::error::Error;
use crate::handle::Handle;
use crate::resource::Buf;
use crate::ring::Ring;

impl<H: Handle + AsFd> Ring<H> {
    /// Makes a group as [`buffer_ring`](Ring::buffer_ring) does, with the queue by which its buffers are handed to the kernel in memory of the
    /// kernel's.
    ///
    /// Such memory does not count against `RLIMIT_MEMLOCK`. It is mapped through the ring's descriptor, so a ring without one has no such
    /// call (H22); one whose descriptor is closed later keeps its groups. The mapping keeps the kernel's part of the ring alive as
    /// long as the group, or a lease of it.
    ///
    /// Since Linux 6.4.
    ///
    /// ```
    /// use uring::op::ReadSelected;
    ///
    /// let mut ring = uring::Ring::new(8)?;
    /// let buffers = match ring.kernel_buffer_ring(4, 4096) {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     buffers => buffers?,
    /// };
    /// let file = std::fs::File::open("/proc/version")?;
    /// assert!(ring.call(ReadSelected::new(&file, &buffers))?.result?.starts_with(b"Linux"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```compile_fail,E0599
    /// uring::Ring::fdless(8)?.kernel_buffer_ring(4, 4096)?;
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`buffer_ring`](Ring::buffer_ring); or the memory cannot be mapped.
    ///
    /// Source: `io_uring_register_buf_ring(3)`.
    #[doc(alias = "IOU_PBUF_RING_MMAP")]
    pub fn kernel_buffer_ring(&mut self, count: u16, size: u32) -> Result<BufferRing, Error> {
        self.in_kernel_memory(count, size, false)
    }

    /// Makes a group as [`incremental_buffer_ring`](Ring::incremental_buffer_ring) does, with its queue in memory of the kernel's, as
    /// [`kernel_buffer_ring`](Ring::kernel_buffer_ring) does.
    ///
    /// Since Linux 6.12.
    ///
    /// # Errors
    ///
    /// See [`kernel_buffer_ring`](Ring::kernel_buffer_ring).
    pub fn kernel_incremental_buffer_ring(
        &mut self,
        count: u16,
        size: u32,
    ) -> Result<BufferRing, Error> {
        self.in_kernel_memory(count, size, true)
    }

    fn in_kernel_memory(
        &mut self,
        count: u16,
        size: u32,
        incremental: bool,
    ) -> Result<BufferRing, Error> {
        let kind = QueueKind {
            incremental,
            kernel_memory: Some(self.handle.as_fd()),
        };
        self.core.buffer_ring(count, size, kind)
    }
}

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
        let kind = QueueKind {
            incremental: false,
            kernel_memory: None,
        };
        self.core_mut().buffer_ring(count, size, kind)
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
        let kind = QueueKind {
            incremental: true,
            kernel_memory: None,
        };
        self.core_mut().buffer_ring(count, size, kind)
    }

    /// How many buffers of the group the kernel has taken since the group was made, modulo 2¹⁶.
    ///
    /// Since Linux 6.8.
    ///
    /// # Errors
    ///
    /// - the group is of another ring ([`is_wrong_ring`](Error::is_wrong_ring)), or was unregistered;
    /// - [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring_buf_ring_head(3)`.
    #[doc(alias = "io_uring_buf_ring_head")]
    #[doc(alias = "IORING_REGISTER_PBUF_STATUS")]
    pub fn buffer_ring_head(&self, buffers: &BufferRing) -> Result<u16, Error> {
        self.core().buffer_ring_taken(buffers.group())
    }

    /// How many buffers of the group the kernel has at hand: those that nobody has and no operation has taken.
    ///
    /// Since Linux 6.8.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// let buffers = ring.buffer_ring(4, 4096)?;
    /// match ring.buffer_ring_available(&buffers) {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     available => assert_eq!(available?, 4),
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`buffer_ring_head`](Ring::buffer_ring_head).
    ///
    /// Source: `io_uring_buf_ring_available(3)`.
    #[doc(alias = "io_uring_buf_ring_available")]
    pub fn buffer_ring_available(&self, buffers: &BufferRing) -> Result<u16, Error> {
        self.core().buffer_ring_available(buffers.group())
    }

    /// Takes a group away from the kernel now, while its handles and leases may be alive.
    ///
    /// What is leased stays where it is; no buffer goes back to the kernel, and an operation that would take one completes with `ENOBUFS`. Without
    /// this call it happens with the next submission after the last of all that has gone.
    ///
    /// Since Linux 5.19.
    ///
    /// ```
    /// use uring::op::ReadSelected;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// # let buffers = match ring.buffer_ring(2, 4096) {
    /// #     Err(error) if error.is_unsupported() => return Ok(()),
    /// #     buffers => buffers?,
    /// # };
    /// let file = std::fs::File::open("/proc/version")?;
    /// let lease = ring.call(ReadSelected::new(&file, &buffers))?.result?;
    /// ring.unregister_buffer_ring(&buffers)?;
    /// assert!(lease.starts_with(b"Linux"));
    /// assert!(ring.call(ReadSelected::new(&file, &buffers))?.result.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_in_use`](Error::is_in_use): an operation that may take from it is in flight, or was not redeemed;
    /// - it was unregistered already ([`is_invalid_request`](Error::is_invalid_request));
    /// - the group is of another ring ([`is_wrong_ring`](Error::is_wrong_ring)); others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_unregister_buf_ring(3)`.
    #[doc(alias = "io_uring_unregister_buf_ring")]
    #[doc(alias = "io_uring_free_buf_ring")]
    #[doc(alias = "IORING_UNREGISTER_PBUF_RING")]
    pub fn unregister_buffer_ring(&mut self, buffers: &BufferRing) -> Result<(), Error> {
        self.core.unregister_buffer_ring(buffers.group())
    }

    /// Makes a group of `count` buffers of `size` bytes for [`ProvideBuffers`](crate::op::ProvideBuffers), which gives them to the kernel.
    ///
    /// # Errors
    ///
    /// `count` or `size` is zero, or there is not enough memory.
    pub fn provided_buffers(&mut self, count: u16, size: u32) -> Result<ProvidedBuffers, Error> {
        self.core_mut().provided_buffers(count, size)
    }

    /// Makes a queue with room for `count` buffers that are to be sent.
    ///
    /// `count` is a power of two, and at most 32768.
    ///
    /// Since Linux 6.10 (`IORING_FEAT_RECVSEND_BUNDLE`).
    ///
    /// # Errors
    ///
    /// See [`buffer_ring`](Ring::buffer_ring).
    pub fn send_queue<B: Buf + Send + 'static>(
        &mut self,
        count: u16,
    ) -> Result<SendQueue<B>, Error> {
        self.core_mut().send_queue(count)
    }
}
