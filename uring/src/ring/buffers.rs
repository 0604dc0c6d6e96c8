//! Registering buffers.

use crate::handle::Handle;
use crate::resource::RegisteredBuf;
use crate::ring::Ring;
use crate::token::Refused;

impl<H: Handle> Ring<H> {
    /// Registers buffers with the ring: the kernel looks their memory up once, not with each operation, and keeps it resident.
    ///
    /// They are the ring's until it ends; [`registered_buf`](Ring::registered_buf) gives them out for use. Each is at most 1 GiB and not
    /// empty, and there are at most 16384 (before Linux 5.13, 1024).
    ///
    /// Since Linux 5.1.
    ///
    /// # Errors
    ///
    /// The buffers are given back if
    /// - the ring has some already;
    /// - [`is_limited`](crate::Error::is_limited): `RLIMIT_MEMLOCK` limits how much memory is kept resident;
    /// - `io_uring_register(2)` fails otherwise.
    #[doc(alias = "io_uring_register_buffers")]
    #[doc(alias = "IORING_REGISTER_BUFFERS")]
    pub fn register_buffers(
        &mut self,
        bufs: Vec<Box<[u8]>>,
    ) -> Result<(), Refused<Vec<Box<[u8]>>>> {
        self.core.register_buffers(bufs)
    }

    /// How many buffers are registered.
    #[must_use]
    pub fn registered_bufs(&self) -> usize {
        self.core.registered_bufs()
    }

    /// The registered buffer with that index; none if there is no such, or if somebody has it or a part of it.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_buffers(vec![vec![0; 4096].into(), vec![0; 4096].into()])?;
    /// let (front, back) = ring.registered_buf(1).expect("nobody has it yet").split_at(1024);
    /// assert_eq!((front.len(), back.len()), (1024, 3072));
    /// drop(front);
    /// assert!(ring.registered_buf(1).is_none());
    /// drop(back);
    /// assert!(ring.registered_buf(1).is_some());
    /// # Ok::<(), uring::Error>(())
    /// ```
    pub fn registered_buf(&mut self, index: usize) -> Option<RegisteredBuf> {
        self.core.registered_buf(index)
    }
}
