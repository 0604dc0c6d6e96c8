//! A ring made of system calls alone, for probes and for tests that must not trust the code under test.

mod queues;

use std::{
    ffi::c_void,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use uring_sys::{
    Errno, IORING_ENTER_GETEVENTS, IORING_ENTER_REGISTERED_RING, IORING_REGISTER_RING_FDS,
    IORING_REGISTER_USE_REGISTERED_RING, IORING_SETUP_CQE32, IORING_SETUP_NO_MMAP,
    IORING_SETUP_NO_SQARRAY, IORING_SETUP_REGISTERED_FD_ONLY, IORING_SETUP_SQE128,
    IORING_UNREGISTER_RING_FDS, io_uring_params, io_uring_rsrc_update, io_uring_sqe,
};

use self::queues::Queues;
use crate::{mapping::Mapping, sys};

/// A submission entry with the fields under neutral names: a union's members share theirs.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    missing_docs,
    reason = "the fields are those of io_uring_sqe, in its order"
)]
pub struct Entry {
    pub opcode: u8,
    pub flags: u8,
    pub ioprio: u16,
    pub fd: i32,
    pub off: u64,
    pub addr: u64,
    pub len: u32,
    pub op_flags: u32,
    pub user_data: u64,
    pub buf_index: u16,
    pub personality: u16,
    pub file_index: u32,
    pub addr3: u64,
    pub reserved: u64,
}

const _: () = assert!(size_of::<Entry>() == size_of::<io_uring_sqe>());

/// What one completion said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// The entry's own mark.
    pub user_data: u64,
    /// Its result, a negative errno included.
    pub res: i32,
    /// Its `IORING_CQE_F_*`.
    pub flags: u32,
    /// The second half of a completion of 32 bytes, zeroes of one of 16.
    pub extra: [u64; 2],
}

/// What a device is told by `IORING_OP_URING_CMD` in an entry of 128 bytes.
pub type Command = [u8; 80];

/// A ring that uses nothing but `uring-sys`: entries and completions of one size each, no SQPOLL.
///
/// It reaches the kernel through its index once it has one. Dropping it unmaps the queues, gives the slot back
/// and closes the descriptor, in this order, and waits for nothing: what is in flight is the caller's affair.
#[derive(Debug)]
pub struct RawRing {
    queues: Option<Queues>,
    index: Option<u32>,
    fd: Option<OwnedFd>,
    features: u32,
}

impl RawRing {
    /// Makes a ring of `entries` with the setup `flags`, reached by its descriptor.
    ///
    /// # Errors
    ///
    /// What `io_uring_setup` or `mmap` said.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_testkit::raw::{Entry, RawRing};
    ///
    /// let mut ring = RawRing::new(4, 0)?;
    /// let nop = Entry { user_data: 7, ..Entry::default() };
    /// // SAFETY: a NOP uses no memory.
    /// let completed = unsafe { ring.call(nop)? };
    /// assert_eq!((completed.user_data, completed.res), (7, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(entries: u32, flags: u32) -> io::Result<Self> {
        let mut params = io_uring_params {
            flags,
            ..io_uring_params::default()
        };
        let fd = sys::setup(entries, &mut params).map_err(to_io)?;
        let fd = RawFd::try_from(fd).expect("a descriptor is a small number");
        // SAFETY: the kernel made this descriptor for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            features: params.features,
            queues: Some(Queues::map(&fd, params)?),
            index: None,
            fd: Some(fd),
        })
    }

    /// Makes a ring that never has a descriptor (6.5), in one page for its queues and one for its entries.
    ///
    /// # Errors
    ///
    /// What `io_uring_setup` said: `EINVAL` before 6.5, `EBUSY` where all 16 slots are taken.
    ///
    /// # Panics
    ///
    /// `entries` is above 64, which no longer fits into one page; nor do large entries and completions.
    pub fn born(entries: u32, flags: u32) -> io::Result<Self> {
        assert!(entries <= 64, "{entries} entries do not fit into one page");
        assert_eq!(
            flags & (IORING_SETUP_SQE128 | IORING_SETUP_CQE32),
            0,
            "large entries do not fit into one page"
        );
        let rings = Mapping::anonymous(4096)?;
        let sqes = Mapping::anonymous(4096)?;
        let mut params = io_uring_params {
            flags: flags
                | IORING_SETUP_NO_MMAP
                | IORING_SETUP_REGISTERED_FD_ONLY
                | IORING_SETUP_NO_SQARRAY,
            ..io_uring_params::default()
        };
        params.cq_off.user_addr = rings.address() as u64;
        params.sq_off.user_addr = sqes.address() as u64;
        let index = sys::setup(entries, &mut params).map_err(to_io)?;
        Ok(Self {
            features: params.features,
            queues: Some(Queues::new(rings, sqes, params)),
            index: Some(index),
            fd: None,
        })
    }

    /// Registers the descriptor in this thread's table (5.18) and uses the index from now on.
    ///
    /// # Errors
    ///
    /// What `io_uring_register` said: `EBUSY` where all 16 slots are taken.
    ///
    /// # Panics
    ///
    /// The ring has no descriptor or is registered already.
    pub fn register(&mut self) -> io::Result<u32> {
        assert!(self.index.is_none(), "the ring is registered already");
        let fd = self.fd.as_ref().expect("the ring has a descriptor");
        let mut update = io_uring_rsrc_update {
            offset: u32::MAX,
            resv: 0,
            data: u64::from(number_of(fd)),
        };
        // SAFETY: one update structure, as `IORING_REGISTER_RING_FDS` wants; the kernel writes the index into it.
        unsafe {
            sys::register(
                fd.as_raw_fd(),
                IORING_REGISTER_RING_FDS,
                (&raw mut update).cast::<c_void>(),
                1,
            )
        }
        .map_err(to_io)?;
        self.index = Some(update.offset);
        Ok(update.offset)
    }

    /// Closes the descriptor of a registered ring, which register calls can do without from 6.3 on.
    ///
    /// # Panics
    ///
    /// The ring is not registered: it could not be reached any more.
    pub fn close(&mut self) {
        assert!(
            self.index.is_some(),
            "only a registered ring does without its descriptor"
        );
        self.fd = None;
    }

    /// The slot of this thread's table, where the ring has one.
    #[must_use]
    pub const fn index(&self) -> Option<u32> {
        self.index
    }

    /// The descriptor, where the ring has one.
    #[must_use]
    pub const fn fd(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    /// The kernel's `IORING_FEAT_*` bits.
    #[must_use]
    pub const fn features(&self) -> u32 {
        self.features
    }

    /// Pushes one entry, submits it and waits for one completion.
    ///
    /// # Errors
    ///
    /// What `io_uring_enter` said.
    ///
    /// # Safety
    ///
    /// The memory that the entry names stays valid until its last completion.
    pub unsafe fn call(&mut self, entry: Entry) -> io::Result<Completed> {
        // SAFETY: the caller's contract is the same.
        unsafe { self.push(entry) };
        self.enter(1, 1)?;
        self.wait()
    }

    /// Waits for a completion, if none is there, and takes it.
    ///
    /// # Errors
    ///
    /// What `io_uring_enter` said.
    pub fn wait(&mut self) -> io::Result<Completed> {
        loop {
            if let Some(completed) = self.take() {
                return Ok(completed);
            }
            // A ring that polls comes back without one when the kernel has something else to do, and others are
            // interrupted when a worker of theirs is made or ends.
            match self.enter(0, 1) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                entered => drop(entered?),
            }
        }
    }

    /// Writes one entry into the queue; [`enter`](Self::enter) submits it.
    ///
    /// # Panics
    ///
    /// The queue is full.
    ///
    /// # Safety
    ///
    /// The memory that the entry names stays valid until its last completion.
    pub unsafe fn push(&mut self, entry: Entry) {
        self.queues().push(entry, None);
    }

    /// Writes one entry of 128 bytes, which ends in `command`; [`enter`](Self::enter) submits it.
    ///
    /// # Panics
    ///
    /// The queue is full, or has entries of 64 bytes.
    ///
    /// # Safety
    ///
    /// The memory that entry and command name stays valid until its last completion.
    pub unsafe fn push_command(&mut self, entry: Entry, command: &Command) {
        self.queues().push(entry, Some(command));
    }

    /// Submits `submit` entries and waits until `wait` completions are there.
    ///
    /// # Errors
    ///
    /// What `io_uring_enter` said.
    pub fn enter(&self, submit: u32, wait: u32) -> io::Result<u32> {
        let (number, flag) = match (self.index, &self.fd) {
            (Some(index), _) => (index, IORING_ENTER_REGISTERED_RING),
            (None, Some(fd)) => (number_of(fd), 0),
            (None, None) => unreachable!("a ring has a descriptor or an index"),
        };
        sys::enter(number, submit, wait, flag | IORING_ENTER_GETEVENTS).map_err(to_io)
    }

    /// Takes the next completion, if one is there.
    pub fn take(&mut self) -> Option<Completed> {
        self.queues().take()
    }

    /// Calls `io_uring_register` on this ring, through its descriptor while it has one, then through the index (6.3).
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    ///
    /// # Safety
    ///
    /// `argument` and what it points to are as the opcode wants them, for as long as the kernel uses them.
    pub unsafe fn register_call(
        &self,
        opcode: u32,
        argument: *mut c_void,
        count: u32,
    ) -> Result<u32, Errno> {
        let (number, flag) = match (&self.fd, self.index) {
            (Some(fd), _) => (fd.as_raw_fd(), 0),
            (None, Some(index)) => {
                let index = i32::try_from(index).expect("an index is below 16");
                (index, IORING_REGISTER_USE_REGISTERED_RING)
            }
            (None, None) => unreachable!("a ring has a descriptor or an index"),
        };
        // SAFETY: the caller's contract is the same.
        unsafe { sys::register(number, opcode | flag, argument, count) }
    }

    /// Leaves the ring as it is: the slot stays taken, descriptor and mappings stay.
    pub fn leak(self) {
        std::mem::forget(self);
    }

    fn queues(&self) -> &Queues {
        self.queues.as_ref().expect("only drop takes the queues")
    }
}

impl Drop for RawRing {
    fn drop(&mut self) {
        self.queues = None;
        let Some(index) = self.index else { return };
        let mut update = io_uring_rsrc_update {
            offset: index,
            resv: 0,
            data: 0,
        };
        let mut empty_through = |ring: &Self| {
            // SAFETY: one update structure, as `IORING_UNREGISTER_RING_FDS` wants.
            unsafe {
                ring.register_call(
                    IORING_UNREGISTER_RING_FDS,
                    (&raw mut update).cast::<c_void>(),
                    1,
                )
            }
        };
        if empty_through(self).is_err() {
            // Before 6.3 a ring without its descriptor cannot carry the call, but any other can. A refusal leaves the slot
            // taken, which the check after a test reports.
            let _ = Self::new(1, 0).map(|carrier| empty_through(&carrier));
        }
    }
}

pub(crate) fn number_of(fd: &OwnedFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("an open descriptor is not negative")
}

pub(crate) fn to_io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw())
}
