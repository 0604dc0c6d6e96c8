//! Changing the ring's table of direct descriptors by call.

use std::os::fd::{AsFd, AsRawFd as _, RawFd};

use crate::Direct;
use crate::error::Error;
use crate::handle::Handle;
use crate::ring::Ring;

impl<H: Handle> Ring<H> {
    /// Gives the ring a table of direct descriptors that begins with these files and goes on with `empty` empty slots.
    ///
    /// The descriptors stay the caller's; closing them leaves the direct descriptors open. What is a ring itself is not taken.
    ///
    /// Since Linux 5.1, with empty slots since 5.5.
    ///
    /// ```
    /// use uring::op::Read;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let files = [std::fs::File::open("/proc/version")?, std::fs::File::open("/dev/zero")?];
    /// let direct = ring.register_files(&files, 6)?;
    /// drop(files);
    /// let done = ring.call(Read::new(&direct[0], vec![0; 5]))?;
    /// assert_eq!(done.buf, b"Linux");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the ring has a table already;
    /// - [`is_limited`](Error::is_limited): `RLIMIT_NOFILE` limits the size of the table;
    /// - others of `io_uring_register(2)`; nothing is registered then.
    ///
    /// Source: `io_uring_register_files(3)`.
    #[doc(alias = "io_uring_register_files")]
    #[doc(alias = "IORING_REGISTER_FILES")]
    pub fn register_files(
        &mut self,
        files: &[impl AsFd],
        empty: u32,
    ) -> Result<Vec<Direct>, Error> {
        self.core
            .register_files(files.iter().map(number).collect(), None, empty)
    }

    /// [`register_files`](Ring::register_files) with a tag for each file, which tells when the kernel has let go of it.
    ///
    /// When a tagged file has left its slot, and all operations on it are over, a completion comes out of the ring as that of an operation that
    /// was pushed [raw](Ring::push_raw): its number is the tag, its result zero. Before Linux 6.13 that takes up to a second. None comes
    /// when the ring ends with the file in its table.
    ///
    /// Since Linux 5.13.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// let mut direct = ring.register_files_tagged(&[(std::io::stdin(), 1), (std::io::stdin(), 2)], 0)?;
    /// drop(direct.remove(1));
    /// ring.submit_and_wait(1)?;
    /// assert_eq!(ring.next_completion()?.map(|released| released.user_data()), Some(2));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`register_files`](Ring::register_files), and
    /// - a tag is zero or has the top bit set ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring_register_files_tags(3)`, `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_files_tags")]
    #[doc(alias = "IORING_REGISTER_FILES2")]
    pub fn register_files_tagged(
        &mut self,
        files: &[(impl AsFd, u64)],
        empty: u32,
    ) -> Result<Vec<Direct>, Error> {
        let (files, tags) = files.iter().map(|(file, tag)| (number(file), *tag)).unzip();
        self.core.register_files(files, Some(tags), empty)
    }

    /// Puts a file into an empty slot of the table, as a direct descriptor beside its descriptor.
    ///
    /// What [`FilesUpdate`](crate::op::FilesUpdate) does as an operation, at once. The slots of an
    /// [allocated](Ring::register_direct_allocated) table are the kernel's to give out, which it does for the operation only.
    ///
    /// Since Linux 5.5.
    ///
    /// ```
    /// use std::os::fd::OwnedFd;
    /// use uring::op::Read;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(1)?;
    /// let descriptor: OwnedFd = std::fs::File::open("/proc/version")?.into();
    /// let direct = ring.adopt(&descriptor)?;
    /// drop(descriptor);
    /// assert_eq!(ring.call(Read::new(&direct, vec![0; 5]))?.buf, b"Linux");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no table, every slot is taken, the kernel gives the slots out, or others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_files_update(3)`.
    #[doc(alias = "io_uring_register_files_update")]
    #[doc(alias = "IORING_REGISTER_FILES_UPDATE")]
    pub fn adopt(&mut self, file: &impl AsFd) -> Result<Direct, Error> {
        self.adopt_one(number(file), None)
    }

    /// [`adopt`](Ring::adopt) with a [tag](Ring::register_files_tagged), which tells when the kernel has let go of the file.
    ///
    /// Since Linux 5.13.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(1)?;
    /// let direct = ring.adopt_tagged(&std::io::stdin(), 42)?;
    /// // It is closed with the next submission.
    /// drop(direct);
    /// ring.submit_and_wait(1)?;
    /// let released = ring.next_completion()?.expect("it was waited for");
    /// assert_eq!((released.user_data(), released.result()?), (42, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`adopt`](Ring::adopt), and
    /// - the tag is zero or has the top bit set ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported).
    ///
    /// Source: `io_uring_register_files_update_tag(3)`.
    #[doc(alias = "io_uring_register_files_update_tag")]
    #[doc(alias = "IORING_REGISTER_FILES_UPDATE2")]
    pub fn adopt_tagged(&mut self, file: &impl AsFd, tag: u64) -> Result<Direct, Error> {
        self.adopt_one(number(file), Some(tag))
    }

    fn adopt_one(&mut self, file: RawFd, tag: Option<u64>) -> Result<Direct, Error> {
        let [direct] = <[Direct; 1]>::try_from(self.core.adopt_files(&[file], tag)?)
            .unwrap_or_else(|_| unreachable!("one file was adopted"));
        Ok(direct)
    }

    /// Puts several files into empty slots in one call: all of them, or none.
    ///
    /// Since Linux 5.12.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(3)?;
    /// let reserved = ring.direct_slot()?;
    /// let direct = ring.adopt_all(&[std::io::stdin(), std::io::stdin()])?;
    /// assert_eq!((direct.len(), ring.direct_slots_taken()), (2, 3));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`adopt`](Ring::adopt). Files that the kernel has taken before it refused one are closed with the next submission.
    #[doc(alias = "IORING_REGISTER_FILES_SKIP")]
    pub fn adopt_all(&mut self, files: &[impl AsFd]) -> Result<Vec<Direct>, Error> {
        let files: Vec<_> = files.iter().map(number).collect();
        self.core.adopt_files(&files, None)
    }

    /// Puts another file into the slot of a direct descriptor, as `dup2` does with descriptors. Operations that were submitted before go on with
    /// the old one, which then closes.
    ///
    /// Since Linux 5.5.
    ///
    /// ```
    /// use uring::op::Read;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(1)?;
    /// let direct = ring.adopt(&std::fs::File::open("/dev/zero")?)?;
    /// ring.replace_direct(&direct, &std::fs::File::open("/proc/version")?)?;
    /// assert_eq!(ring.call(Read::new(&direct, vec![0; 5]))?.buf, b"Linux");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the direct descriptor is another ring's ([`is_wrong_ring`](Error::is_wrong_ring));
    /// - others of `io_uring_register(2)`: the slot may be empty then, and operations on it complete with `EBADF`.
    pub fn replace_direct(&mut self, direct: &Direct, file: &impl AsFd) -> Result<(), Error> {
        self.core.replace_file(direct, number(file), None)
    }

    /// [`replace_direct`](Ring::replace_direct) with a [tag](Ring::register_files_tagged) for the new file.
    ///
    /// Since Linux 5.13.
    ///
    /// # Errors
    ///
    /// As for [`replace_direct`](Ring::replace_direct) and [`adopt_tagged`](Ring::adopt_tagged).
    pub fn replace_direct_tagged(
        &mut self,
        direct: &Direct,
        file: &impl AsFd,
        tag: u64,
    ) -> Result<(), Error> {
        self.core.replace_file(direct, number(file), Some(tag))
    }

    /// Takes the table of direct descriptors away, so that the ring may have another. What was dropped and is still open in it closes.
    ///
    /// Before Linux 6.13 the call waits until no operation is in flight that works on any direct descriptor or registered buffer of the
    /// ring, for ever if one never ends; a signal ends the wait ([`is_interrupted`](Error::is_interrupted)).
    ///
    /// Since Linux 5.1.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.register_direct(1)?;
    /// let slot = ring.direct_slot()?;
    /// assert!(ring.unregister_direct().unwrap_err().is_in_use());
    /// drop(slot);
    /// ring.unregister_direct()?;
    /// ring.register_direct(100)?;
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_in_use`](Error::is_in_use): somebody has a direct descriptor or a slot of it, an operation in flight perhaps;
    /// - there is none; others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_unregister_files(3)`.
    #[doc(alias = "io_uring_unregister_files")]
    #[doc(alias = "IORING_UNREGISTER_FILES")]
    pub fn unregister_direct(&mut self) -> Result<(), Error> {
        self.core.unregister_direct()
    }

    /// How many slots of the table are taken: open files, reserved slots, and what was dropped since the last submission.
    #[must_use]
    pub fn direct_slots_taken(&self) -> u32 {
        self.core.direct_taken()
    }
}

fn number(file: &impl AsFd) -> RawFd {
    file.as_fd().as_raw_fd()
}
