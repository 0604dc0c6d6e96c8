//! What the kernel keeps but its headers do not say, and this crate and its users rely on.

use core::mem::{align_of, offset_of, size_of};

use static_assertions::{
    assert_eq_align, assert_eq_size, assert_impl_all, const_assert, const_assert_eq,
};

use crate::{bindings::*, errno::Errno};

// The queues are arrays of these: an index times the size is an address that the kernel computes too. The doubled forms
// (`IORING_SETUP_SQE128`, `IORING_SETUP_CQE32`) are two of them in a row.
const_assert_eq!(size_of::<io_uring_sqe>(), 64);
const_assert_eq!(size_of::<io_uring_cqe>(), 16);
assert_eq_align!(io_uring_sqe, io_uring_cqe, u64);

// Entries are written as a whole and completions read as a whole; nothing in them may need a destructor.
assert_impl_all!(io_uring_sqe: Copy, Default, Send, Sync);
assert_impl_all!(io_uring_cqe: Copy, Default, Send, Sync);

// Members without a name in C are not in the generated assertions. They are what an operation is made of.
const_assert_eq!(offset_of!(io_uring_sqe, anon_1), 8);
const_assert_eq!(offset_of!(io_uring_sqe, anon_2), 16);
const_assert_eq!(offset_of!(io_uring_sqe, anon_3), 28);
const_assert_eq!(offset_of!(io_uring_sqe, anon_4), 40);
const_assert_eq!(offset_of!(io_uring_sqe, anon_5), 44);
const_assert_eq!(offset_of!(io_uring_sqe, anon_6), 48);
assert_eq_size!(io_uring_sqe_anon_1, io_uring_sqe_anon_2, u64);
assert_eq_size!(io_uring_sqe_anon_3, io_uring_sqe_anon_5, u32);
assert_eq_size!(io_uring_sqe_anon_4, u16);
assert_eq_size!(io_uring_sqe_anon_6, [u64; 2]);

// Command data begins at 48 and goes on to the end of the entry: 16 bytes, or 80 in a doubled one.
const_assert_eq!(
    offset_of!(io_uring_sqe, anon_6) + offset_of!(io_uring_sqe_anon_6, cmd),
    48
);
// The other half of a doubled completion follows the first at once.
const_assert_eq!(offset_of!(io_uring_cqe, big_cqe), size_of::<io_uring_cqe>());

// The kernel copies exactly this much in both directions; a larger struct would be read beyond the caller's, and
// resizing a ring takes the same block.
const_assert_eq!(size_of::<io_uring_params>(), 120);
const_assert_eq!(offset_of!(io_uring_params, sq_off), 40);
const_assert_eq!(offset_of!(io_uring_params, cq_off), 80);

// The kernel takes an argument of this size only; the newer form with `min_wait_usec` reuses the padding.
const_assert_eq!(size_of::<io_uring_getevents_arg>(), 24);
// A wait region holds these at byte offsets, which the program computes and the kernel checks against its end.
const_assert_eq!(size_of::<io_uring_reg_wait>(), 64);

// The ring's tail lies over the reserved member of the first buffer, so that header and buffers share one page.
const_assert_eq!(size_of::<io_uring_buf_ring>(), size_of::<io_uring_buf>());
const_assert_eq!(
    offset_of!(io_uring_buf_ring_anon_1_anon_1, tail),
    offset_of!(io_uring_buf, resv)
);
const_assert_eq!(
    offset_of!(io_uring_buf_ring, anon_1) + offset_of!(io_uring_buf_ring_anon_1, bufs),
    0
);

// Registering a ring and updating a table take the same struct; the index comes back in `offset`, the descriptor
// goes into `data`.
const_assert_eq!(size_of::<io_uring_rsrc_update>(), 16);
const_assert_eq!(offset_of!(io_uring_rsrc_update, data), 8);

// The answer to a probe is a header and up to 256 entries, as the caller lays them out.
const_assert_eq!(size_of::<io_uring_probe>(), 16);
const_assert_eq!(size_of::<io_uring_probe_op>(), 8);

// The life of a ring's descriptor goes through these numbers, and a wrong one names some other operation of the ring.
const_assert_eq!(IORING_REGISTER_RING_FDS, 20);
const_assert_eq!(IORING_UNREGISTER_RING_FDS, 21);
const_assert_eq!(IORING_ENTER_REGISTERED_RING, 1 << 4);
const_assert_eq!(IORING_SETUP_NO_MMAP, 1 << 14);
const_assert_eq!(IORING_SETUP_REGISTERED_FD_ONLY, 1 << 15);
const_assert_eq!(IORING_FEAT_REG_REG_RING, 1 << 13);

// The flag is or-ed into a register opcode, so it may not share a bit with any.
const_assert!(IORING_REGISTER_LAST <= IORING_REGISTER_USE_REGISTERED_RING);
const_assert_eq!(IORING_REGISTER_USE_REGISTERED_RING, 1 << 31);

// 64-bit expressions, which bindgen gives 32 bits or a sign.
const_assert_eq!(IORING_OFF_PBUF_RING, 0x8000_0000_u64);
const_assert_eq!(IORING_OFF_MMAP_MASK, 0xf800_0000_u64);
const_assert_eq!(
    IORING_ZCRX_AREA_MASK,
    !((1_u64 << IORING_ZCRX_AREA_SHIFT) - 1)
);
// `~0U` and `-2` are written into fields of 32 bits.
const_assert_eq!(IORING_FILE_INDEX_ALLOC, !0_u32);
const_assert_eq!(IORING_REGISTER_FILES_SKIP, -2_i32);
// Where the id of a buffer stands in a completion's flags.
const_assert_eq!(IORING_CQE_BUFFER_SHIFT, 16);

// A timeout is handed to the kernel where libc's type of 64-bit seconds is at hand.
#[cfg(target_pointer_width = "64")]
assert_eq_size!(__kernel_timespec, libc::timespec);
#[cfg(target_pointer_width = "64")]
assert_eq_align!(__kernel_timespec, libc::timespec);

// An error fits where the raw number does.
assert_eq_size!(Errno, i32);
assert_eq_size!(Result<u32, Errno>, u64);
const_assert!(align_of::<Errno>() == align_of::<i32>());

// The calls have these numbers on every target whose table of calls was unified; MIPS and x32 add a base to them.
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
    all(target_arch = "x86_64", target_pointer_width = "32")
)))]
mod numbers {
    use static_assertions::const_assert_eq;

    const_assert_eq!(libc::SYS_io_uring_setup, 425);
    const_assert_eq!(libc::SYS_io_uring_enter, 426);
    const_assert_eq!(libc::SYS_io_uring_register, 427);
}
