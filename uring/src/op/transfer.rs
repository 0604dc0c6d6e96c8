//! Where and how: what all reads and writes have in common.

use bitflags::bitflags;

use crate::entry::Entry;
use crate::op::entry_len;
use crate::resource::Target;

bitflags! {
    /// How a read or write is to be done.
    ///
    /// What the kernel or the file does not know makes the operation complete with `EOPNOTSUPP`, or with `EINVAL` where that is said.
    ///
    /// ```
    /// use uring::op::{Read, RwFlags};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let (nobody_writes, _writer) = std::os::unix::net::UnixStream::pair()?;
    /// let read = Read::new(&nobody_writes, vec![0; 8]).flags(RwFlags::NOWAIT);
    /// let error = ring.call(read)?.result.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Source: `preadv2(2)`, `io_uring_prep_readv2(3)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RwFlags: u32 {
        /// Completes with `EAGAIN` instead of waiting. Since Linux 5.1, of sockets and pipes since 6.5.
        #[doc(alias = "RWF_NOWAIT")]
        const NOWAIT = libc::RWF_NOWAIT.unsigned_abs();
        /// Polls the device. Since Linux 5.1; a ring made with [`Polling`](crate::Polling) always does, and on any other the operation
        /// completes with `EINVAL`.
        #[doc(alias = "RWF_HIPRI")]
        const HIPRI = libc::RWF_HIPRI.unsigned_abs();
        /// A write completes when its data is on the device, as with `O_DSYNC`. Since Linux 5.1.
        #[doc(alias = "RWF_DSYNC")]
        const DSYNC = libc::RWF_DSYNC.unsigned_abs();
        /// A write completes when its data and all metadata is on the device, as with `O_SYNC`. Since Linux 5.1.
        #[doc(alias = "RWF_SYNC")]
        const SYNC = libc::RWF_SYNC.unsigned_abs();
        /// A write goes to the end of the file, wherever it was to go. Since Linux 5.1.
        #[doc(alias = "RWF_APPEND")]
        const APPEND = libc::RWF_APPEND.unsigned_abs();
        /// A write goes where it was to go though the file was opened with `O_APPEND`. Since Linux 6.9.
        #[doc(alias = "RWF_NOAPPEND")]
        const NOAPPEND = libc::RWF_NOAPPEND.unsigned_abs();
        /// A write is all or nothing, also when the power fails. Since Linux 6.11, with `O_DIRECT`, on files and devices that can; sizes and places that
        /// they cannot write so make it complete with `EINVAL`.
        #[doc(alias = "RWF_ATOMIC")]
        const ATOMIC = libc::RWF_ATOMIC.unsigned_abs();
        /// What was transferred leaves the page cache again. Since Linux 6.14, on file systems that can.
        #[doc(alias = "RWF_DONTCACHE")]
        const DONTCACHE = libc::RWF_DONTCACHE.unsigned_abs();
        /// A write to a pipe or socket that nobody reads sends no `SIGPIPE`. Since Linux 6.18.
        #[doc(alias = "RWF_NOSIGNAL")]
        const NOSIGNAL = 0x100;
    }
}

/// The place in the file, and the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) offset: u64,
    pub(crate) flags: RwFlags,
    /// The kind of data that is written, where the device keeps such apart.
    pub(crate) stream: u8,
}

impl Transfer {
    /// At the file's own position, which moves by the bytes transferred.
    pub(crate) const CURRENT: Transfer = Transfer {
        offset: u64::MAX,
        flags: RwFlags::empty(),
        stream: 0,
    };

    /// Fills in all that an entry says: which file, which memory, and how.
    #[inline]
    pub(crate) fn fill<P>(
        self,
        target: &impl Target,
        memory: *const P,
        len: usize,
        entry: &mut Entry,
    ) {
        entry.set_target(target.target());
        entry.set_pointer(memory);
        entry.set_len(entry_len(len));
        entry.set_off(self.offset);
        entry.set_op_flags(self.flags.bits());
        entry.set_write_stream(self.stream);
    }
}
