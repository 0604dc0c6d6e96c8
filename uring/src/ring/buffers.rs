//! Registering buffers.

use std::ops::Range;

use crate::error::Error;
use crate::handle::Handle;
use crate::resource::{BufferMemory, RegisteredBuf, UnregisteredBuf};
use crate::ring::Ring;
use crate::token::Refused;

impl<H: Handle> Ring<H> {
    /// Registers buffers with the ring: the kernel looks their memory up once, not with each operation, and keeps it resident.
    ///
    /// They are the ring's until they are [taken out](Ring::unregister_buf) or it ends; [`registered_buf`](Ring::registered_buf) gives them out for
    /// use. Each is at most 1 GiB and not empty, and there are at most 16384 (before Linux 5.13, 1024). For other memory than boxes there is
    /// [`register_buf`](Ring::register_buf).
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

    /// Gives the ring a table for that many buffers, all of its slots empty.
    ///
    /// There are at most 16384. [`register_buf`](Ring::register_buf) fills them, [`unregister_buf`](Ring::unregister_buf) empties them.
    ///
    /// Since Linux 5.13 (`IORING_FEAT_RSRC_TAGS`).
    ///
    /// # Errors
    ///
    /// - the ring has some already;
    /// - [`is_unsupported`](Error::is_unsupported);
    /// - others of `io_uring_register(2)`, with no slot or too many of them.
    ///
    /// Source: `io_uring_register_buffers_sparse(3)`.
    #[doc(alias = "io_uring_register_buffers_sparse")]
    #[doc(alias = "IORING_REGISTER_BUFFERS2")]
    #[doc(alias = "IORING_RSRC_REGISTER_SPARSE")]
    pub fn register_buffers_sparse(&mut self, slots: usize) -> Result<(), Error> {
        self.core.register_buffers_sparse(slots)
    }

    /// Registers a buffer in an empty slot of the table.
    ///
    /// It is the ring's until it is [taken out](Ring::unregister_buf) or the ring ends, and longer where somebody uses it or another ring
    /// [has it too](Ring::clone_buffers).
    ///
    /// Since Linux 5.13.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_buffers_sparse(8)?;
    /// ring.register_buf(3, vec![7_u8; 4096])?;
    /// let buf = ring.registered_buf(3).expect("nobody has it yet");
    /// assert!(ring.unregister_buf(3).unwrap_err().is_in_use());
    /// drop(buf);
    /// let memory: Vec<u8> = ring.unregister_buf(3)?.into_memory().expect("nobody else has it");
    /// assert_eq!(memory, [7; 4096]);
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The memory is given back if
    /// - there is no such slot, or a buffer in it ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_limited`](Error::is_limited): `RLIMIT_MEMLOCK` limits how much memory is kept resident;
    /// - `io_uring_register(2)` fails otherwise.
    ///
    /// Source: `io_uring_register_buffers_update_tag(3)`.
    #[doc(alias = "io_uring_register_buffers_update_tag")]
    #[doc(alias = "IORING_REGISTER_BUFFERS_UPDATE")]
    pub fn register_buf<M: BufferMemory>(
        &mut self,
        index: usize,
        memory: M,
    ) -> Result<(), Refused<M>> {
        self.core.register_buf(index, memory, None)
    }

    /// [`register_buf`](Ring::register_buf) with a tag, which tells when the kernel does not keep the memory resident any more for this slot.
    ///
    /// When the buffer has left its slot and all operations on it are over, a completion comes out of the ring as that of an operation that was
    /// pushed [raw](Ring::push_raw): its number is the tag, its result zero. Before Linux 6.13 that takes up to a second,
    /// and none comes when [`unregister_buffers`](Ring::unregister_buffers) takes the buffer away. Whose memory it is does not depend on it.
    ///
    /// Since Linux 5.13.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_buffers_sparse(1)?;
    /// ring.register_buf_tagged(0, vec![0_u8; 4096], 42)?;
    /// let memory = ring.unregister_buf(0)?;
    /// ring.submit_and_wait(1)?;
    /// assert_eq!(ring.next_completion()?.map(|released| released.user_data()), Some(42));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`register_buf`](Ring::register_buf); or the tag is zero or has the top bit set
    /// ([`is_invalid_request`](Error::is_invalid_request)).
    #[doc(alias = "io_uring_register_buffers_tags")]
    pub fn register_buf_tagged<M: BufferMemory>(
        &mut self,
        index: usize,
        memory: M,
        tag: u64,
    ) -> Result<(), Refused<M>> {
        self.core.register_buf(index, memory, Some(tag))
    }

    /// Takes a buffer out of its slot, which is empty then.
    ///
    /// Since Linux 5.13.
    ///
    /// # Errors
    ///
    /// - [`is_in_use`](Error::is_in_use): somebody has the buffer or a part of it from this ring, an operation in flight perhaps;
    /// - there is no such slot, or nothing in it ([`is_invalid_request`](Error::is_invalid_request)); others of `io_uring_register(2)`.
    pub fn unregister_buf(&mut self, index: usize) -> Result<UnregisteredBuf, Error> {
        self.core.unregister_buf(index)
    }

    /// Takes the table away, and gives what was in its slots.
    ///
    /// Before Linux 6.13 the call waits until no operation is in flight that works on any registered buffer or direct descriptor of the
    /// ring, for ever if one never ends; a signal ends the wait ([`is_interrupted`](Error::is_interrupted)).
    ///
    /// Since Linux 5.1.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_buffers(vec![Box::new([1; 64]), Box::new([2; 64])])?;
    /// let taken = ring.unregister_buffers()?;
    /// let second = taken.into_iter().nth(1).flatten().expect("both slots had a buffer");
    /// assert_eq!(*second.into_memory::<Box<[u8]>>().expect("nobody else has it"), [2; 64]);
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_in_use`](Error::is_in_use): somebody has one of them or a part of it from this ring;
    /// - there is no table; others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_unregister_buffers(3)`.
    #[doc(alias = "io_uring_unregister_buffers")]
    #[doc(alias = "IORING_UNREGISTER_BUFFERS")]
    pub fn unregister_buffers(&mut self) -> Result<Vec<Option<UnregisteredBuf>>, Error> {
        self.core.unregister_buffers()
    }

    /// Has all buffers of another ring too, under the same indices.
    ///
    /// The memory is looked up and kept resident once for both. It lives as long as one of them has it, or somebody uses it; and it is given out by
    /// one of them at a time: what one has given out, [`registered_buf_here`](Ring::registered_buf_here) names for the other. The rings may be
    /// of any handle, and may go to different threads afterwards.
    ///
    /// Since Linux 6.12.
    ///
    /// ```
    /// let mut one = uring::Ring::best(8)?;
    /// let mut two = uring::Ring::best(8)?;
    /// one.register_buffers(vec![vec![0; 4096].into()])?;
    /// match two.clone_buffers(&one) {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     cloned => cloned?,
    /// }
    /// drop(one);
    /// assert!(two.registered_buf(0).is_some());
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the ring has some already, or the other has none ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported);
    /// - others of `io_uring_register(2)`: `EINVAL` where the rings were made by different users.
    ///
    /// Source: `io_uring_clone_buffers(3)`.
    #[doc(alias = "io_uring_clone_buffers")]
    #[doc(alias = "__io_uring_clone_buffers")]
    #[doc(alias = "IORING_REGISTER_CLONE_BUFFERS")]
    #[doc(alias = "IORING_REGISTER_SRC_REGISTERED")]
    pub fn clone_buffers<S: Handle>(&mut self, source: &Ring<S>) -> Result<(), Error> {
        self.core.clone_buffers(source.core())
    }

    /// Has those buffers of another ring too, in its own slots from `at` on; the table becomes as long as that takes. Gives what they displace.
    ///
    /// Since Linux 6.13.
    ///
    /// ```
    /// let mut one = uring::Ring::best(8)?;
    /// let mut two = uring::Ring::best(8)?;
    /// one.register_buffers(vec![Box::new([1; 64]), Box::new([2; 64])])?;
    /// match two.clone_some_buffers(&one, 1..2, 3) {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     displaced => assert!(displaced?.is_empty()),
    /// }
    /// assert_eq!(two.registered_bufs(), 4);
    /// assert_eq!(two.registered_buf(3).expect("nobody has it yet")[..], [2; 64]);
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`clone_buffers`](Ring::clone_buffers), though the ring may have some already, and
    /// - [`is_in_use`](Error::is_in_use): somebody has one of those that would be displaced;
    /// - the other ring has no such range, or it is empty ([`is_invalid_request`](Error::is_invalid_request)).
    ///
    /// Source: `io_uring_clone_buffers_offset(3)`.
    #[doc(alias = "io_uring_clone_buffers_offset")]
    #[doc(alias = "__io_uring_clone_buffers_offset")]
    #[doc(alias = "IORING_REGISTER_DST_REPLACE")]
    pub fn clone_some_buffers<S: Handle>(
        &mut self,
        source: &Ring<S>,
        range: Range<usize>,
        at: usize,
    ) -> Result<Vec<UnregisteredBuf>, Error> {
        self.core.clone_some_buffers(source.core(), range, at)
    }

    /// How many slots the table of registered buffers has.
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

    /// The same part of a buffer for operations of this ring, where another has given it out and both
    /// [have it](Ring::clone_buffers).
    ///
    /// ```
    /// let mut one = uring::Ring::best(8)?;
    /// let mut two = uring::Ring::best(8)?;
    /// one.register_buffers(vec![vec![0; 64].into()])?;
    /// match two.clone_buffers(&one) {
    ///     Err(error) if error.is_unsupported() => return Ok(()),
    ///     cloned => cloned?,
    /// }
    /// let buf = one.registered_buf(0).expect("nobody has it yet");
    /// assert!(two.registered_buf(0).is_none());
    /// let buf = two.registered_buf_here(buf)?;
    /// # let zero = std::fs::File::open("/dev/zero")?;
    /// two.call(uring::op::ReadFixed::new(&zero, buf))?.result?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It comes back as it was if this ring has no such buffer ([`is_wrong_ring`](Error::is_wrong_ring)).
    pub fn registered_buf_here(
        &self,
        buf: RegisteredBuf,
    ) -> Result<RegisteredBuf, Refused<RegisteredBuf>> {
        self.core.registered_buf_here(buf)
    }
}
