//! The three system calls on the running kernel, with what Linux 5.11 has.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use uring_sys::{
    __kernel_timespec, Errno, IO_URING_OP_SUPPORTED, IORING_ENTER_EXT_ARG, IORING_ENTER_GETEVENTS,
    IORING_OP_NOP, IORING_OP_READ, IORING_REGISTER_EVENTFD, IORING_REGISTER_PROBE, io_uring_enter,
    io_uring_getevents_arg, io_uring_params, io_uring_probe, io_uring_probe_op, io_uring_register,
    io_uring_setup,
};

/// A ring's descriptor, and what the kernel said about it.
fn ring(entries: u32) -> (OwnedFd, io_uring_params) {
    let mut params = io_uring_params::default();
    // SAFETY: `params` is a valid block that names no memory.
    let fd = unsafe { io_uring_setup(entries, &raw mut params) }.expect("io_uring_setup");
    // SAFETY: the descriptor was just made and is nobody else's.
    (
        unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("a descriptor")) },
        params,
    )
}

fn number(fd: &impl AsRawFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("an open descriptor is not negative")
}

#[test]
fn setup_makes_a_ring_and_describes_it() {
    let (fd, params) = ring(3);
    assert_eq!((params.sq_entries, params.cq_entries), (4, 8));
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .expect("an open descriptor");
    assert_eq!(link.to_str(), Some("anon_inode:[io_uring]"));
}

#[test]
fn setup_tells_its_errors_apart() {
    let mut params = io_uring_params {
        flags: 1 << 30,
        ..Default::default()
    };
    // SAFETY: `params` is a valid block; the kernel refuses what is in it.
    let refused = unsafe { io_uring_setup(4, &raw mut params) };
    assert_eq!(refused, Err(Errno::EINVAL));
    // SAFETY: the kernel checks the address and refuses it.
    let refused = unsafe { io_uring_setup(4, ptr::null_mut()) };
    assert_eq!(refused, Err(Errno::EFAULT));
}

#[test]
fn enter_and_register_refuse_what_is_no_ring() {
    let file = File::open("/proc/self/status").expect("this process's status");
    let closed = u32::MAX;
    // SAFETY: nothing is submitted and there is no argument.
    let enter = |fd| unsafe { io_uring_enter(fd, 0, 0, 0, ptr::null(), 0) };
    assert_eq!(enter(closed), Err(Errno::EBADF));
    assert_eq!(enter(number(&file)), Err(Errno::EOPNOTSUPP));
    // SAFETY: the kernel looks at the descriptor first and refuses it.
    let register =
        |fd| unsafe { io_uring_register(fd, IORING_REGISTER_EVENTFD, ptr::null_mut(), 1) };
    assert_eq!(register(i32::MAX), Err(Errno::EBADF));
    assert_eq!(register(file.as_raw_fd()), Err(Errno::EOPNOTSUPP));
}

#[test]
fn an_argument_of_the_wrong_size_or_address_is_an_error() {
    let (fd, _) = ring(1);
    let oops = ptr::without_provenance_mut(1);
    // SAFETY: the kernel checks the address and refuses it.
    let refused = unsafe { io_uring_register(fd.as_raw_fd(), IORING_REGISTER_EVENTFD, oops, 1) };
    assert_eq!(refused, Err(Errno::EFAULT));
    // SAFETY: the kernel refuses the count before it looks at the address.
    let refused = unsafe { io_uring_register(fd.as_raw_fd(), IORING_REGISTER_EVENTFD, oops, 2) };
    assert_eq!(refused, Err(Errno::EINVAL));
}

#[test]
fn all_six_arguments_arrive() {
    let (fd, _) = ring(1);
    let time = __kernel_timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let wait = io_uring_getevents_arg {
        ts: u64::try_from((&raw const time).expose_provenance()).expect("an address"),
        ..Default::default()
    };
    let enter = |min_complete, flags, size| {
        let arg = (&raw const wait).cast();
        // SAFETY: nothing is submitted, and the argument and the time in it outlive the call.
        unsafe { io_uring_enter(number(&fd), 0, min_complete, flags, arg, size) }
    };
    let flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    assert_eq!(enter(0, flags, size_of_val(&wait)), Ok(0));
    // There is nothing to wait for, so the time in the argument passes.
    assert_eq!(enter(1, flags, size_of_val(&wait)), Err(Errno::ETIME));
    assert_eq!(enter(1, flags, size_of_val(&wait) - 1), Err(Errno::EINVAL));
    assert_eq!(enter(0, 1 << 31, 0), Err(Errno::EINVAL));
}

#[test]
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
))]
fn errno_is_left_alone() {
    // SAFETY: `errno` is this thread's own.
    unsafe { *libc::__errno_location() = 1234 };
    // SAFETY: nothing is submitted and there is no argument.
    let refused = unsafe { io_uring_enter(u32::MAX, 0, 0, 0, ptr::null(), 0) };
    let errno = io::Error::last_os_error().raw_os_error();
    assert_eq!((refused, errno), (Err(Errno::EBADF), Some(1234)));
}

#[test]
fn the_probe_knows_the_opcodes_of_5_6() {
    #[repr(C)]
    struct Probe {
        header: io_uring_probe,
        ops: [io_uring_probe_op; 256],
    }
    let (fd, _) = ring(1);
    let mut probe = Probe {
        header: io_uring_probe::default(),
        ops: [io_uring_probe_op::default(); 256],
    };
    let address = (&raw mut probe).cast();
    // SAFETY: the header is followed by as many entries as the call is told.
    let answer = unsafe { io_uring_register(fd.as_raw_fd(), IORING_REGISTER_PROBE, address, 256) };
    assert_eq!(answer, Ok(0));
    assert!(probe.header.last_op >= IORING_OP_READ);
    for opcode in [IORING_OP_NOP, IORING_OP_READ] {
        let op = probe.ops[usize::from(opcode)];
        assert_eq!(
            (op.op, op.flags & IO_URING_OP_SUPPORTED),
            (opcode, IO_URING_OP_SUPPORTED)
        );
    }
}
