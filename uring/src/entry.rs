//! A submission queue entry in the making.

mod socket;

use uring_sys::{io_uring_sqe, io_uring_sqe_anon_5_anon_2, io_uring_sqe_anon_6_anon_2};

use crate::resource::TargetName;

/// How large submission queue entries are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntrySize {
    /// 64 bytes each.
    #[default]
    Normal,
    /// 128 bytes each (`IORING_SETUP_SQE128`, Linux 5.19).
    #[doc(alias = "IORING_SETUP_SQE128")]
    Large,
    /// 64 bytes, and 128 where the operation needs them (`IORING_SETUP_SQE_MIXED`, Linux 6.19).
    #[doc(alias = "IORING_SETUP_SQE_MIXED")]
    Mixed,
}

impl EntrySize {
    /// The size of a slot of the queue, as a power of two.
    pub(crate) const fn shift(self) -> u32 {
        match self {
            EntrySize::Normal | EntrySize::Mixed => 6,
            EntrySize::Large => 7,
        }
    }
}

/// The first 64 bytes of an entry, built beside the queue and copied in whole.
///
/// The setters are named after the kernel's fields; which of them an operation uses is in its `prepare`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Entry(io_uring_sqe);

impl Entry {
    #[inline]
    pub(crate) fn new(opcode: u8) -> Entry {
        Entry(io_uring_sqe {
            opcode,
            ..io_uring_sqe::default()
        })
    }

    /// Takes over everything from a raw entry, and keeps the flags and credentials that the push has asked for.
    pub(crate) fn become_raw(&mut self, raw: io_uring_sqe) {
        let (flags, personality) = (self.0.flags, self.0.personality);
        self.0 = raw;
        self.add_flags(flags);
        if personality != 0 {
            self.set_personality(personality);
        }
    }

    /// A no-op whose completion nobody waits for, for the slot that a large entry would wrap at.
    pub(crate) fn filler() -> Entry {
        let mut entry = Entry::new(uring_sys::IORING_OP_NOP);
        entry.add_flags(uring_sys::IOSQE_CQE_SKIP_SUCCESS);
        entry.set_user_data(FILLER);
        entry
    }

    /// The entry where a call takes one.
    pub(crate) fn as_argument(&mut self) -> *mut std::ffi::c_void {
        (&raw mut self.0).cast()
    }

    #[inline]
    pub(crate) fn user_data(&self) -> u64 {
        self.0.user_data
    }

    #[cfg(any(uring_coverage, test))]
    pub(crate) fn opcode(&self) -> u8 {
        self.0.opcode
    }

    /// Whether it takes 128 bytes also where entries are mixed.
    pub(crate) fn is_large(&self) -> bool {
        matches!(
            self.0.opcode,
            uring_sys::IORING_OP_NOP128 | uring_sys::IORING_OP_URING_CMD128
        )
    }

    #[inline]
    pub(crate) fn set_user_data(&mut self, user_data: u64) {
        self.0.user_data = user_data;
    }

    /// `IOSQE_*` bits, on top of those already there.
    #[inline]
    pub(crate) fn add_flags(&mut self, flags: u8) {
        self.0.flags |= flags;
    }

    /// How the entry is tied to the next one.
    #[inline]
    pub(crate) fn link(&self) -> u8 {
        self.0.flags & (uring_sys::IOSQE_IO_LINK | uring_sys::IOSQE_IO_HARDLINK)
    }

    #[inline]
    pub(crate) fn set_personality(&mut self, personality: u16) {
        self.0.personality = personality;
    }

    #[inline]
    pub(crate) fn set_target(&mut self, target: TargetName) {
        self.0.fd = target.number();
        if target.is_direct() {
            self.add_flags(uring_sys::IOSQE_FIXED_FILE);
        }
    }

    /// The `fd` field where it is no target: a directory, a descriptor to close.
    #[inline]
    pub(crate) fn set_fd(&mut self, fd: i32) {
        self.0.fd = fd;
    }

    /// Where it is no target: the second of two directories, which has its place in `len`.
    pub(crate) fn set_second_directory(&mut self, directory: TargetName) {
        self.set_len(u32::from_ne_bytes(directory.number().to_ne_bytes()));
    }

    /// The second target of a splice.
    pub(crate) fn set_splice_from(&mut self, from: TargetName) {
        self.0.anon_5.splice_fd_in = from.number();
        if from.is_direct() {
            self.add_op_flags(uring_sys::SPLICE_F_FD_IN_FIXED);
        }
    }

    /// Attributes of a read or write, and which kinds there are.
    pub(crate) fn set_attributes(&mut self, attributes: u64, kinds: u64) {
        self.0.anon_6.anon_2 = io_uring_sqe_anon_6_anon_2 {
            attr_ptr: attributes,
            attr_type_mask: kinds,
        };
    }

    /// The third address.
    pub(crate) fn set_addr3(&mut self, addr: u64) {
        self.0.anon_6.anon_1.addr3 = addr;
    }

    #[inline]
    pub(crate) fn set_addr(&mut self, addr: u64) {
        self.0.anon_2.addr = addr;
    }

    #[inline]
    pub(crate) fn set_pointer<T: ?Sized>(&mut self, pointer: *const T) {
        self.set_addr(address(pointer));
    }

    #[inline]
    pub(crate) fn set_off(&mut self, off: u64) {
        self.0.anon_1.off = off;
    }

    #[inline]
    pub(crate) fn set_len(&mut self, len: u32) {
        self.0.len = len;
    }

    /// The per-operation flags: `open_flags`, `fsync_flags`, `timeout_flags`, …
    #[inline]
    pub(crate) fn set_op_flags(&mut self, flags: u32) {
        self.0.anon_3.rw_flags = flags;
    }

    /// More of the same, on top of those already there.
    #[inline]
    pub(crate) fn add_op_flags(&mut self, flags: u32) {
        // SAFETY: all members of the union are 32 bits of plain data.
        let before = unsafe { self.0.anon_3.rw_flags };
        self.set_op_flags(before | flags);
    }

    /// The registered buffer that the memory is in.
    #[inline]
    pub(crate) fn set_buf_index(&mut self, index: u16) {
        self.0.anon_4.buf_index = index;
    }

    /// The stream that a write is of; zero means none.
    #[inline]
    pub(crate) fn set_write_stream(&mut self, stream: u8) {
        self.0.anon_5.anon_2 = io_uring_sqe_anon_5_anon_2 {
            write_stream: stream,
            ..io_uring_sqe_anon_5_anon_2::default()
        };
    }

    /// The group of buffers to choose from, with `IOSQE_BUFFER_SELECT`.
    #[inline]
    pub(crate) fn set_buf_group(&mut self, group: u16) {
        self.0.anon_4.buf_group = group;
    }

    /// What `POLL_ADD` waits for. As 32 bits it is stored so that its lower half is where older kernels look.
    pub(crate) fn set_poll_events(&mut self, events: u32) {
        let swapped = cfg!(target_endian = "big");
        self.set_op_flags(if swapped {
            events.rotate_left(16)
        } else {
            events
        });
    }

    /// What a command of `URING_CMD` takes besides its number.
    pub(crate) fn set_argument(&mut self, argument: [u8; 16]) {
        let [first, second] = [&argument[..8], &argument[8..]].map(|half| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(half);
            u64::from_ne_bytes(bytes)
        });
        self.0.anon_6.anon_1.addr3 = first;
        self.0.anon_6.anon_1.__pad2 = [second];
    }

    /// A command that takes 128 bytes has an opcode of its own where entries of both sizes are mixed.
    pub(crate) fn name_for_mixed_queue(&mut self) {
        if self.0.opcode == uring_sys::IORING_OP_URING_CMD {
            self.0.opcode = uring_sys::IORING_OP_URING_CMD128;
        }
    }

    /// One more than the index in the ring's file table; zero means none.
    #[inline]
    pub(crate) fn set_file_index(&mut self, file_index: u32) {
        self.0.anon_5.file_index = file_index;
    }
}

/// The address that the kernel is told. It will write there, so the pointer's provenance is exposed.
#[inline]
pub(crate) fn address<T: ?Sized>(pointer: *const T) -> u64 {
    let address = pointer.cast::<()>().expose_provenance();
    // Every supported target has addresses of at most 64 bits.
    u64::try_from(address).unwrap_or(u64::MAX)
}

/// The bits of a signed number, where an entry has an unsigned field for it.
pub(crate) fn bits(number: i32) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}

/// The bit of `user_data` that marks what the library itself tracks. User code never has it (M15).
pub(crate) const TRACKED: u64 = 1 << 63;

/// The `user_data` of the library's own cancellations: tracked, but at no slot.
pub(crate) const IGNORED: u64 = u64::MAX;

/// The `user_data` of fillers, which complete only if they are in a chain that has failed.
pub(crate) const FILLER: u64 = u64::MAX - 1;

/// A `user_data` that no entry has.
pub(crate) const NOBODY: u64 = u64::MAX - 2;
