//! The table of direct descriptors whose slots the library gives out.

use crate::error::Error;
use crate::handle::Handle;
use crate::ring::Ring;

impl<H: Handle> Ring<H> {
    /// Gives the ring a table for that many direct descriptors, all empty.
    ///
    /// ```
    /// use uring::op::{CloseDirect, OpenAt, Read};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(1)?;
    /// for path in [c"/proc/version", c"/proc/uptime"] {
    ///     let slot = ring.direct_slot()?;
    ///     let file = ring.call(OpenAt::new(path).into_direct(slot))?.result?;
    ///     let done = ring.call(Read::new(&file, Vec::with_capacity(4096)))?;
    ///     assert!(done.result? > 0);
    ///     // Dropping closes as well; this hears of errors.
    ///     ring.call(CloseDirect::new(file))??;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the ring has one already;
    /// - [`is_limited`](Error::is_limited): `RLIMIT_NOFILE` limits the size of the table, though not what is opened into it;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_files_sparse")]
    pub fn register_direct(&mut self, slots: u32) -> Result<(), Error> {
        self.core.register_direct(slots)
    }

    /// Gives the ring a table for that many direct descriptors, whose slots the kernel gives out.
    ///
    /// It is for operations that make files without end, such as
    /// [`AcceptMultishot`](crate::op::AcceptMultishot), for which no slot can be reserved beforehand. A table is of one kind or the other, and the
    /// range that the kernel allocates from is all of it: not every kernel keeps to a part of a table if files come and go beside it, and slots
    /// that the library has reserved there would not be safe.
    ///
    /// Since Linux 6.0.
    ///
    /// ```
    /// # if uring::Ring::best(8)?.setup().features().contains(uring::Features::REG_REG_RING) {
    /// use uring::op::{OpenAt, Read};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct_allocated(4)?;
    /// let slot = ring.any_direct_slot()?;
    /// let version = ring.call(OpenAt::new(c"/proc/version").into_any_direct(slot))?.result?;
    /// let done = ring.call(Read::new(&version, Vec::with_capacity(100)))?;
    /// assert!(done.buf.starts_with(b"Linux version"));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`register_direct`](Ring::register_direct); on older kernels [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring_register_file_alloc_range(3)`.
    #[doc(alias = "io_uring_register_file_alloc_range")]
    #[doc(alias = "IORING_REGISTER_FILE_ALLOC_RANGE")]
    pub fn register_direct_allocated(&mut self, slots: u32) -> Result<(), Error> {
        self.core.register_direct_allocated(slots)
    }

    /// Whichever slot is free when a file is opened.
    ///
    /// # Errors
    ///
    /// The kernel gives out no slots: there is no table, or the library gives its slots out.
    pub fn any_direct_slot(&self) -> Result<crate::AnyDirectSlot, Error> {
        self.core.any_direct_slot()
    }

    /// Slots of the ring's table of direct descriptors; zero without a table.
    #[must_use]
    pub fn direct_slots(&self) -> u32 {
        self.core.direct_len()
    }

    /// Reserves an empty slot of the table, to open a file into.
    ///
    /// # Errors
    ///
    /// There is no table, every slot is taken, or the kernel gives them out.
    pub fn direct_slot(&mut self) -> Result<crate::DirectSlot, Error> {
        self.core.direct_slot()
    }

    /// Reserves two empty slots of the table that lie side by side, to make a [pipe](crate::op::Pipe) in.
    ///
    /// # Errors
    ///
    /// As for [`direct_slot`](Ring::direct_slot); or no two neighbours are free.
    pub fn direct_pair(&mut self) -> Result<crate::DirectPair, Error> {
        self.core.direct_pair()
    }
}
