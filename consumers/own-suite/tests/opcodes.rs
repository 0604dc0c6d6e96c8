//! The opcodes of rings on every handle and on every kernel.

use std::{os::fd::AsFd as _, process::ExitCode};

use own_suite::{Opcodes, Reach};
use uring_sys::{
    Errno, IORING_OP_FUTEX_WAIT, IORING_OP_FUTEX_WAITV, IORING_OP_NOP, IORING_OP_READ_MULTISHOT,
    IORING_OP_UNLINKAT,
};
use uring_testkit::{
    Context, Feature, HandleKind, KernelVersion, Observation, Suite, TestResult, raw::RawRing,
};

/// Of the kernel, but not of io_uring: what the table of features does not have.
const FUTEX_WAITV: Feature = Feature::new("futex_waitv", KernelVersion::new(5, 16), || {
    let no_futex = std::ptr::null::<u32>();
    // SAFETY: no futex is given, which the kernel refuses, if it has the call.
    unsafe { libc::syscall(libc::SYS_futex_waitv, no_futex, 0, 0, no_futex, 0) };
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EINVAL) => Observation::Present,
        Some(libc::ENOSYS) => Observation::Absent,
        other => Observation::Inconclusive(format!("futex_waitv without a futex: {other:?}")),
    }
});

/// A ring that is reached in the way that this run of the test is about.
fn ring(handle: HandleKind) -> std::io::Result<RawRing> {
    if handle == HandleKind::Born {
        return RawRing::born(4, 0);
    }
    let mut ring = RawRing::new(4, 0)?;
    if handle != HandleKind::Fd {
        ring.register()?;
    }
    if handle == HandleKind::Closed {
        ring.close();
    }
    Ok(ring)
}

fn reach(ring: &RawRing) -> Option<Reach<'_>> {
    let by_index = ring.index().map(Reach::Index);
    by_index.or_else(|| ring.fd().map(|fd| Reach::Descriptor(fd.as_fd())))
}

fn every_ring_does_nothing_when_asked(context: &Context) -> TestResult {
    let ring = ring(context.handle())?;
    let reach = reach(&ring).ok_or("a ring is reached somehow")?;
    let opcodes = match Opcodes::of(reach) {
        // An index alone does not do for this call before 6.3; the descriptor does while it is open.
        Err(Errno::EINVAL) if !context.has(Feature::REG_REG_RING) => {
            let fd = ring.fd().ok_or("this handle is not for this kernel")?;
            Opcodes::of(Reach::Descriptor(fd.as_fd()))?
        }
        opcodes => opcodes?,
    };
    assert!(opcodes.has(IORING_OP_NOP));
    assert!(!opcodes.has(u8::MAX));
    Ok(())
}

fn the_kernel_refuses_such_a_handle(context: &Context) -> TestResult {
    let refused = match ring(context.handle()) {
        Err(error) => error.raw_os_error(),
        // Closed, and reached by an index that this call does not take.
        Ok(ring) => {
            let opcodes = Opcodes::of(reach(&ring).ok_or("a ring is reached somehow")?);
            opcodes.err().map(Errno::raw)
        }
    };
    assert_eq!(refused, Some(libc::EINVAL), "{:?}", context.missing());
    Ok(())
}

fn has(opcode: u8) -> TestResult<bool> {
    let ring = RawRing::new(4, 0)?;
    let fd = ring.fd().ok_or("a new ring has a descriptor")?;
    Ok(Opcodes::of(Reach::Descriptor(fd.as_fd()))?.has(opcode))
}

fn main() -> ExitCode {
    let mut suite = Suite::new("opcodes");
    suite
        .test(
            "every_ring_does_nothing_when_asked",
            every_ring_does_nothing_when_asked,
        )
        .on(HandleKind::ALL)
        .refused_by(the_kernel_refuses_such_a_handle);
    for (name, opcode) in [
        ("unlinkat", IORING_OP_UNLINKAT),
        ("read_multishot", IORING_OP_READ_MULTISHOT),
        ("futex_wait", IORING_OP_FUTEX_WAIT),
    ] {
        suite
            .test(format!("{name}_is_there"), move |_| {
                assert!(has(opcode)?);
                Ok(())
            })
            .needs([Feature::opcode(opcode)])
            .refused_by(move |_| {
                assert!(!has(opcode)?);
                Ok(())
            });
    }
    // What io_uring does for a system call it does not do without the call.
    suite
        .test("futex_waitv_is_as_its_call", |context| {
            let expected = context.has(Feature::opcode(IORING_OP_FUTEX_WAITV));
            assert_eq!(has(IORING_OP_FUTEX_WAITV)?, expected);
            Ok(())
        })
        .needs([FUTEX_WAITV])
        .refused_by(|_| {
            assert!(!has(IORING_OP_FUTEX_WAITV)?);
            Ok(())
        });
    suite.run()
}
