//! The bits of setup, features and completions.

use bitflags::bitflags;
use uring_sys as sys;

bitflags! {
    /// What the kernel told about itself when it made the ring.
    ///
    /// Bits without a name here are kept as the kernel returned them. No bit was added between Linux 6.15 and 7.3: what is newer
    /// is found by [`Capabilities`](crate::Capabilities), [`Probe`](crate::Probe) or [`Query`](crate::Query).
    ///
    /// Source: `io_uring_setup(2)`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Features: u32 {
        /// One mapping holds the submission and the completion ring.
        ///
        /// Since Linux 5.4.
        #[doc(alias = "IORING_FEAT_SINGLE_MMAP")]
        const SINGLE_MMAP = sys::IORING_FEAT_SINGLE_MMAP;
        /// Completions that find no room in their queue wait in the kernel instead of being lost.
        ///
        /// Since Linux 5.5.
        #[doc(alias = "IORING_FEAT_NODROP")]
        const NODROP = sys::IORING_FEAT_NODROP;
        /// Data that only submission reads (iovecs, paths) may go once an entry was consumed.
        ///
        /// Since Linux 5.5.
        #[doc(alias = "IORING_FEAT_SUBMIT_STABLE")]
        const SUBMIT_STABLE = sys::IORING_FEAT_SUBMIT_STABLE;
        /// An offset of -1 reads and writes at the file's current position.
        ///
        /// Since Linux 5.6.
        #[doc(alias = "IORING_FEAT_RW_CUR_POS")]
        const RW_CUR_POS = sys::IORING_FEAT_RW_CUR_POS;
        /// Requests run with the credentials of the task that submits them.
        ///
        /// Since Linux 5.6.
        #[doc(alias = "IORING_FEAT_CUR_PERSONALITY")]
        const CUR_PERSONALITY = sys::IORING_FEAT_CUR_PERSONALITY;
        /// Requests on sockets and pipes wait by polling, without a worker thread.
        ///
        /// Since Linux 5.7.
        #[doc(alias = "IORING_FEAT_FAST_POLL")]
        const FAST_POLL = sys::IORING_FEAT_FAST_POLL;
        /// Poll requests take 32 bits of events, so that `EPOLLEXCLUSIVE` fits.
        ///
        /// Since Linux 5.9.
        #[doc(alias = "IORING_FEAT_POLL_32BITS")]
        const POLL_32BITS = sys::IORING_FEAT_POLL_32BITS;
        /// A ring with a submission thread takes ordinary descriptors too.
        ///
        /// Since Linux 5.11.
        #[doc(alias = "IORING_FEAT_SQPOLL_NONFIXED")]
        const SQPOLL_NONFIXED = sys::IORING_FEAT_SQPOLL_NONFIXED;
        /// `io_uring_enter` takes a timeout together with a signal mask.
        ///
        /// Since Linux 5.11.
        #[doc(alias = "IORING_FEAT_EXT_ARG")]
        const EXT_ARG = sys::IORING_FEAT_EXT_ARG;
        /// Worker threads are threads of the process.
        ///
        /// Since Linux 5.12.
        #[doc(alias = "IORING_FEAT_NATIVE_WORKERS")]
        const NATIVE_WORKERS = sys::IORING_FEAT_NATIVE_WORKERS;
        /// Registered buffers and files take tags and updates.
        ///
        /// Since Linux 5.13.
        #[doc(alias = "IORING_FEAT_RSRC_TAGS")]
        const RSRC_TAGS = sys::IORING_FEAT_RSRC_TAGS;
        /// Requests can suppress the completion of their success.
        ///
        /// Since Linux 5.17.
        #[doc(alias = "IORING_FEAT_CQE_SKIP")]
        const CQE_SKIP = sys::IORING_FEAT_CQE_SKIP;
        /// A linked request looks its file up when it runs, after its predecessor.
        ///
        /// Since Linux 5.17.
        #[doc(alias = "IORING_FEAT_LINKED_FILE")]
        const LINKED_FILE = sys::IORING_FEAT_LINKED_FILE;
        /// `io_uring_register` takes a registered index, so that the ring's descriptor can be closed.
        ///
        /// Since Linux 6.3.
        #[doc(alias = "IORING_FEAT_REG_REG_RING")]
        const REG_REG_RING = sys::IORING_FEAT_REG_REG_RING;
        /// Sends and receives take bundles of provided buffers.
        ///
        /// Since Linux 6.10.
        #[doc(alias = "IORING_FEAT_RECVSEND_BUNDLE")]
        const RECVSEND_BUNDLE = sys::IORING_FEAT_RECVSEND_BUNDLE;
        /// A wait takes a minimum time besides its timeout.
        ///
        /// Since Linux 6.12.
        #[doc(alias = "IORING_FEAT_MIN_TIMEOUT")]
        const MIN_TIMEOUT = sys::IORING_FEAT_MIN_TIMEOUT;
        /// Reads and writes take attributes such as protection information.
        ///
        /// Since Linux 6.14.
        #[doc(alias = "IORING_FEAT_RW_ATTR")]
        const RW_ATTR = sys::IORING_FEAT_RW_ATTR;
        /// A wait can be kept out of the I/O wait time accounting.
        ///
        /// Since Linux 6.15.
        #[doc(alias = "IORING_FEAT_NO_IOWAIT")]
        const NO_IOWAIT = sys::IORING_FEAT_NO_IOWAIT;
        // The kernel may return bits that have no name here yet.
        const _ = !0;
    }
}

bitflags! {
    /// How a ring is set up.
    ///
    /// A ring reports the flags that it was made with. Bits without a name here are kept as the kernel returned them.
    ///
    /// Source: `io_uring_setup(2)`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct SetupFlags: u32 {
        /// Completions are found by polling the device, on files opened with `O_DIRECT`.
        ///
        /// Since Linux 5.1.
        #[doc(alias = "IORING_SETUP_IOPOLL")]
        const IOPOLL = sys::IORING_SETUP_IOPOLL;
        /// A kernel thread submits the entries.
        ///
        /// Since Linux 5.1.
        #[doc(alias = "IORING_SETUP_SQPOLL")]
        const SQPOLL = sys::IORING_SETUP_SQPOLL;
        /// The submission thread is bound to a CPU. Needs [`SQPOLL`](Self::SQPOLL).
        ///
        /// Since Linux 5.1.
        #[doc(alias = "IORING_SETUP_SQ_AFF")]
        const SQ_AFF = sys::IORING_SETUP_SQ_AFF;
        /// The caller chooses the size of the completion queue.
        ///
        /// Since Linux 5.5.
        #[doc(alias = "IORING_SETUP_CQSIZE")]
        const CQSIZE = sys::IORING_SETUP_CQSIZE;
        /// Queue sizes above the maximum are lowered to it instead of refused.
        ///
        /// Since Linux 5.6.
        #[doc(alias = "IORING_SETUP_CLAMP")]
        const CLAMP = sys::IORING_SETUP_CLAMP;
        /// The ring shares the worker threads, and the submission thread if any, of another ring.
        ///
        /// Since Linux 5.6.
        #[doc(alias = "IORING_SETUP_ATTACH_WQ")]
        const ATTACH_WQ = sys::IORING_SETUP_ATTACH_WQ;
        /// The ring starts disabled, and takes entries once it was enabled.
        ///
        /// Since Linux 5.10.
        #[doc(alias = "IORING_SETUP_R_DISABLED")]
        const R_DISABLED = sys::IORING_SETUP_R_DISABLED;
        /// Submission goes on behind an entry that is refused.
        ///
        /// Since Linux 5.18.
        #[doc(alias = "IORING_SETUP_SUBMIT_ALL")]
        const SUBMIT_ALL = sys::IORING_SETUP_SUBMIT_ALL;
        /// Completions wait until the task enters the kernel, instead of interrupting it.
        ///
        /// Since Linux 5.19.
        #[doc(alias = "IORING_SETUP_COOP_TASKRUN")]
        const COOP_TASKRUN = sys::IORING_SETUP_COOP_TASKRUN;
        /// The submission ring's flags say when completions wait for the task.
        /// Needs [`COOP_TASKRUN`](Self::COOP_TASKRUN) or [`DEFER_TASKRUN`](Self::DEFER_TASKRUN).
        ///
        /// Since Linux 5.19.
        #[doc(alias = "IORING_SETUP_TASKRUN_FLAG")]
        const TASKRUN_FLAG = sys::IORING_SETUP_TASKRUN_FLAG;
        /// Entries have 128 bytes.
        ///
        /// Since Linux 5.19.
        #[doc(alias = "IORING_SETUP_SQE128")]
        const SQE128 = sys::IORING_SETUP_SQE128;
        /// Completions have 32 bytes.
        ///
        /// Since Linux 5.19.
        #[doc(alias = "IORING_SETUP_CQE32")]
        const CQE32 = sys::IORING_SETUP_CQE32;
        /// One task submits: the one that made the ring, or enabled it.
        ///
        /// Since Linux 6.0.
        #[doc(alias = "IORING_SETUP_SINGLE_ISSUER")]
        const SINGLE_ISSUER = sys::IORING_SETUP_SINGLE_ISSUER;
        /// Completions are produced when the task waits for them.
        /// Needs [`SINGLE_ISSUER`](Self::SINGLE_ISSUER).
        ///
        /// Since Linux 6.1.
        #[doc(alias = "IORING_SETUP_DEFER_TASKRUN")]
        const DEFER_TASKRUN = sys::IORING_SETUP_DEFER_TASKRUN;
        /// The caller brings the memory of the queues.
        ///
        /// Since Linux 6.5.
        #[doc(alias = "IORING_SETUP_NO_MMAP")]
        const NO_MMAP = sys::IORING_SETUP_NO_MMAP;
        /// The ring is born registered and never has a descriptor. Needs [`NO_MMAP`](Self::NO_MMAP).
        ///
        /// Since Linux 6.5.
        #[doc(alias = "IORING_SETUP_REGISTERED_FD_ONLY")]
        const REGISTERED_FD_ONLY = sys::IORING_SETUP_REGISTERED_FD_ONLY;
        /// The submission ring has no array of indices in front of the entries.
        ///
        /// Since Linux 6.6.
        #[doc(alias = "IORING_SETUP_NO_SQARRAY")]
        const NO_SQARRAY = sys::IORING_SETUP_NO_SQARRAY;
        /// Polling sleeps for part of the expected time. Needs [`IOPOLL`](Self::IOPOLL).
        ///
        /// Since Linux 6.13.
        #[doc(alias = "IORING_SETUP_HYBRID_IOPOLL")]
        const HYBRID_IOPOLL = sys::IORING_SETUP_HYBRID_IOPOLL;
        /// Completions of 16 and of 32 bytes share the queue.
        ///
        /// Since Linux 6.18.
        #[doc(alias = "IORING_SETUP_CQE_MIXED")]
        const CQE_MIXED = sys::IORING_SETUP_CQE_MIXED;
        /// Entries of 64 and of 128 bytes share the queue.
        ///
        /// Since Linux 6.19.
        #[doc(alias = "IORING_SETUP_SQE_MIXED")]
        const SQE_MIXED = sys::IORING_SETUP_SQE_MIXED;
        /// Each submission starts at the queue's first entry.
        /// Needs [`NO_SQARRAY`](Self::NO_SQARRAY), and excludes [`SQPOLL`](Self::SQPOLL).
        ///
        /// Since Linux 7.0.
        #[doc(alias = "IORING_SETUP_SQ_REWIND")]
        const SQ_REWIND = sys::IORING_SETUP_SQ_REWIND;
        // The kernel may return bits that have no name here yet.
        const _ = !0;
    }
}

bitflags! {
    /// What a submission entry asks for beside its operation, for [`Restrictions`](crate::Restrictions).
    ///
    /// Operations are given none of them by hand: each says here where it comes from.
    ///
    /// Source: `io_uring_enter(2)`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct EntryFlags: u8 {
        /// The file is a [`Direct`](crate::Direct) descriptor.
        #[doc(alias = "IOSQE_FIXED_FILE")]
        const FIXED_FILE = sys::IOSQE_FIXED_FILE;
        /// [`Push::drain`](crate::Push::drain).
        #[doc(alias = "IOSQE_IO_DRAIN")]
        const DRAIN = sys::IOSQE_IO_DRAIN;
        /// The next operation of a [`Chain`](crate::Chain) starts when this one has succeeded.
        #[doc(alias = "IOSQE_IO_LINK")]
        const LINK = sys::IOSQE_IO_LINK;
        /// The next operation of a [`Chain`](crate::Chain) starts whatever has become of this one.
        #[doc(alias = "IOSQE_IO_HARDLINK")]
        const HARDLINK = sys::IOSQE_IO_HARDLINK;
        /// [`Push::always_async`](crate::Push::always_async).
        #[doc(alias = "IOSQE_ASYNC")]
        const ASYNC = sys::IOSQE_ASYNC;
        /// The kernel chooses the buffer from a [group](crate::BufferGroup).
        #[doc(alias = "IOSQE_BUFFER_SELECT")]
        const BUFFER_SELECT = sys::IOSQE_BUFFER_SELECT;
        /// [`Chain::skip_success`](crate::Chain::skip_success).
        ///
        /// Since Linux 5.17.
        #[doc(alias = "IOSQE_CQE_SKIP_SUCCESS")]
        const SKIP_SUCCESS = sys::IOSQE_CQE_SKIP_SUCCESS;
    }
}

bitflags! {
    /// What a completion says beside its result.
    ///
    /// Bits without a name here are kept: the upper 16 bits hold a buffer number, and some operations have bits of their own.
    ///
    /// Source: `io_uring_enter(2)`, `linux/io_uring.h`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct CompletionFlags: u32 {
        /// The kernel picked a provided buffer; its number is in the upper 16 bits.
        ///
        /// Since Linux 5.7.
        #[doc(alias = "IORING_CQE_F_BUFFER")]
        const BUFFER = sys::IORING_CQE_F_BUFFER;
        /// The request is not over: more completions follow.
        ///
        /// Since Linux 5.13.
        #[doc(alias = "IORING_CQE_F_MORE")]
        const MORE = sys::IORING_CQE_F_MORE;
        /// The socket had more to receive.
        ///
        /// Since Linux 5.19.
        #[doc(alias = "IORING_CQE_F_SOCK_NONEMPTY")]
        const SOCK_NONEMPTY = sys::IORING_CQE_F_SOCK_NONEMPTY;
        /// The notification of a zero-copy send: the kernel is done with the buffer.
        ///
        /// Since Linux 6.0.
        #[doc(alias = "IORING_CQE_F_NOTIF")]
        const NOTIF = sys::IORING_CQE_F_NOTIF;
        /// The provided buffer was consumed in part, and the rest of it will be used too.
        ///
        /// Since Linux 6.12.
        #[doc(alias = "IORING_CQE_F_BUF_MORE")]
        const BUF_MORE = sys::IORING_CQE_F_BUF_MORE;
        /// A filler in front of a 32-byte completion that would wrap: to be ignored.
        ///
        /// Since Linux 6.18.
        #[doc(alias = "IORING_CQE_F_SKIP")]
        const SKIP = sys::IORING_CQE_F_SKIP;
        /// A 32-byte completion in a queue of mixed sizes.
        ///
        /// Since Linux 6.18.
        #[doc(alias = "IORING_CQE_F_32")]
        const WIDE = sys::IORING_CQE_F_32;
        // The kernel may return bits that have no name here yet.
        const _ = !0;
    }
}

impl CompletionFlags {
    /// The number of the provided buffer that the kernel picked, if it picked one.
    #[must_use]
    pub const fn buffer_id(self) -> Option<u16> {
        if self.contains(Self::BUFFER) {
            let [high, low, ..] = self.bits().to_be_bytes();
            Some(u16::from_be_bytes([high, low]))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use bitflags::Flags;

    use super::*;

    #[test]
    fn every_bit_up_to_the_newest_has_a_name() {
        assert_eq!(
            Features::FLAGS
                .iter()
                .filter(|flag| flag.is_named())
                .count(),
            18
        );
        assert_eq!(
            SetupFlags::FLAGS
                .iter()
                .filter(|flag| flag.is_named())
                .count(),
            21
        );
        for (index, flag) in Features::FLAGS
            .iter()
            .filter(|flag| flag.is_named())
            .enumerate()
        {
            assert_eq!(flag.value().bits(), 1 << index, "{}", flag.name());
        }
        for (index, flag) in SetupFlags::FLAGS
            .iter()
            .filter(|flag| flag.is_named())
            .enumerate()
        {
            assert_eq!(flag.value().bits(), 1 << index, "{}", flag.name());
        }
    }

    #[test]
    fn bits_without_a_name_are_kept() {
        assert_eq!(Features::from_bits_retain(1 << 30).bits(), 1 << 30);
        assert_eq!(SetupFlags::from_bits_truncate(1 << 30).bits(), 1 << 30);
    }

    #[test]
    fn buffer_id_is_in_the_upper_half() {
        assert_eq!(
            CompletionFlags::from_bits_retain(0xfffe_0001).buffer_id(),
            Some(0xfffe)
        );
        assert_eq!(
            CompletionFlags::from_bits_retain(0x0001_0001).buffer_id(),
            Some(1)
        );
        assert_eq!(
            CompletionFlags::from_bits_retain(0xfffe_0002).buffer_id(),
            None
        );
    }
}
