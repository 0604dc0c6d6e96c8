//! Lists the opcodes that the running kernel supports, and since when each exists.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    process::ExitCode,
};

use uring_sys::{
    Errno, IO_URING_OP_SUPPORTED, IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_READ, IORING_OP_WRITE,
    IORING_REGISTER_PROBE, io_uring_params, io_uring_probe, io_uring_probe_op, io_uring_register,
    io_uring_setup,
};

/// The header and as many entries as there can be opcodes.
#[repr(C)]
struct Probe {
    header: io_uring_probe,
    ops: [io_uring_probe_op; 256],
}

fn probe() -> Result<Probe, Errno> {
    let mut params = io_uring_params::default();
    // SAFETY: `params` is a valid block that names no memory.
    let fd = unsafe { io_uring_setup(1, &raw mut params) }?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the descriptor was just made and is nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut probe = Probe {
        header: io_uring_probe::default(),
        ops: [io_uring_probe_op::default(); 256],
    };
    // SAFETY: the header is followed by 256 entries.
    unsafe {
        io_uring_register(
            ring.as_raw_fd(),
            IORING_REGISTER_PROBE,
            (&raw mut probe).cast(),
            256,
        )
    }?;
    Ok(probe)
}

fn main() -> ExitCode {
    let probe = match probe() {
        Ok(probe) => probe,
        Err(errno) => {
            eprintln!("sys-only: no ring to ask: {errno}");
            return ExitCode::FAILURE;
        }
    };
    for (name, opcode) in [
        ("IORING_OP_NOP", IORING_OP_NOP),
        ("IORING_OP_OPENAT", IORING_OP_OPENAT),
        ("IORING_OP_READ", IORING_OP_READ),
        ("IORING_OP_WRITE", IORING_OP_WRITE),
    ] {
        let supported = probe.ops[usize::from(opcode)].flags & IO_URING_OP_SUPPORTED != 0;
        let (major, minor) = uring_sys::since(name).unwrap_or_default();
        println!(
            "{name:<18} since Linux {major}.{minor}, {}",
            if supported { "here too" } else { "not here" }
        );
    }
    let supported = probe
        .ops
        .iter()
        .filter(|op| op.flags & IO_URING_OP_SUPPORTED != 0)
        .count();
    println!(
        "{supported} of {} opcodes supported",
        usize::from(probe.header.last_op) + 1
    );
    ExitCode::SUCCESS
}
