//! The probes: what each asks the kernel, and how its answers are read.
//!
//! A probe asks for the feature in a way that must fail late where the feature is known and early where it is not,
//! and asks a control question beside it whose answer is the same on every kernel.

use std::{
    cell::OnceCell,
    ffi::c_void,
    io, thread,
    time::{Duration, Instant},
};

use uring_sys::{
    Errno, IO_URING_OP_SUPPORTED, IORING_OP_NOP, IORING_OP_TIMEOUT, IORING_REGISTER_PBUF_RING,
    IORING_REGISTER_PROBE, IORING_REGISTER_QUERY, IORING_REGISTER_SEND_MSG_RING,
    IORING_SETUP_ATTACH_WQ, IORING_SETUP_CQSIZE, IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SINGLE_ISSUER, IOU_PBUF_RING_MMAP, io_uring_buf_reg, io_uring_params,
    io_uring_probe_op,
};

use crate::{
    feature::{Observation, Probe},
    raw::{Entry, RawRing},
    sys,
};

/// An address that no process can have mapped.
const UNREADABLE: usize = usize::MAX - 0xfff;
/// How long memory may be short.
const PATIENCE: Duration = Duration::from_secs(5);
/// A register opcode that no kernel knows.
const UNKNOWN_REGISTER: u32 = 0x7fff;

/// Asks one question.
pub(crate) fn observe(probe: Probe) -> Observation {
    Prober::default().observe(probe)
}

/// Asks questions one after the other. What several of them rest on is made once: rings and setups that fail cost most.
///
/// It belongs to the thread that it was made on, as do its rings.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    plain: OnceCell<Result<RawRing, String>>,
    registering: OnceCell<Result<RawRing, String>>,
    /// The answer of a setup that must fail, without the flag that is asked about.
    setup_control: OnceCell<Result<Errno, String>>,
    opcodes: OnceCell<Result<Box<Opcodes>, String>>,
}

/// What `IORING_REGISTER_PROBE` fills in.
#[repr(C)]
#[derive(Debug)]
struct Opcodes {
    last: u8,
    count: u8,
    reserved: [u16; 7],
    opcodes: [io_uring_probe_op; OPCODES as usize],
}

/// As many as an entry can name.
const OPCODES: u32 = 256;

impl Prober {
    pub(crate) fn observe(&self, probe: Probe) -> Observation {
        let observed = match probe {
            Probe::Setup { flag, partners } => self.setup(flag, partners),
            Probe::Ring(bit) => self
                .plain()
                .map(|ring| present_if(ring.features() & bit != 0)),
            Probe::Opcode(opcode) => self.opcode(opcode),
            Probe::Enter(flag) => self.enter(flag),
            Probe::Register { opcode, count } => self.register(opcode, count),
            Probe::RegisterCount(opcode) => self.register_count(opcode),
            Probe::BufferRing(flag) => buffer_ring(flag),
            Probe::Timeout(flag) => timeout(flag),
            Probe::Nop(flag) => nop(flag),
            Probe::Own(ask) => Ok(ask()),
        };
        observed.unwrap_or_else(Observation::Inconclusive)
    }

    /// A ring without flags, on which nothing is ever submitted.
    fn plain(&self) -> Result<&RawRing, String> {
        let ring = self.plain.get_or_init(|| ring(0));
        ring.as_ref().map_err(Clone::clone)
    }

    /// A ring on which every register opcode can be tried.
    fn registering(&self) -> Result<&RawRing, String> {
        let ring = self.registering.get_or_init(|| {
            // Resizing is refused at once by rings that are not of this kind, where the kernel has it.
            ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN).or_else(|_| ring(0))
        });
        ring.as_ref().map_err(Clone::clone)
    }

    /// Known flags fail on the descriptor (or on the missing ring memory), unknown ones before.
    fn setup(&self, flag: u32, partners: u32) -> Result<Observation, String> {
        let control = self.setup_control.get_or_init(|| failing_setup(0));
        match *control.as_ref().map_err(Clone::clone)? {
            Errno::ENXIO | Errno::EBADF => {}
            other => return Ok(inconclusive("io_uring_setup without the flag", other)),
        }
        Ok(match failing_setup(flag | partners)? {
            Errno::ENXIO | Errno::EBADF | Errno::EFAULT => Observation::Present,
            Errno::EINVAL => Observation::Absent,
            other => inconclusive("io_uring_setup with the flag", other),
        })
    }

    fn opcode(&self, opcode: u8) -> Result<Observation, String> {
        let opcodes = self.opcodes.get_or_init(|| opcodes(self.plain()?));
        let opcodes = opcodes.as_ref().map_err(Clone::clone)?;
        let entry = &opcodes.opcodes[usize::from(opcode)];
        Ok(present_if(entry.flags & IO_URING_OP_SUPPORTED != 0))
    }

    /// An enter that has nothing to do succeeds unless a flag is unknown.
    fn enter(&self, flag: u32) -> Result<Observation, String> {
        let fd = self.plain()?.fd();
        let number = crate::raw::number_of(fd.expect("a ring just made has a descriptor"));
        sys::enter(number, 0, 0, 0).map_err(|errno| describe("io_uring_enter", errno))?;
        Ok(match sys::enter(number, 0, 0, flag) {
            Ok(0) => Observation::Present,
            Ok(other) => {
                Observation::Inconclusive(format!("io_uring_enter submitted {other} of 0"))
            }
            Err(Errno::EINVAL) => Observation::Absent,
            Err(other) => inconclusive("io_uring_enter with the flag", other),
        })
    }

    /// A known opcode fails when it reads its arguments, an unknown one before.
    fn register(&self, opcode: u32, count: u32) -> Result<Observation, String> {
        let ring = self.registering()?;
        let ask = |opcode| {
            let argument = std::ptr::without_provenance_mut(UNREADABLE);
            if opcode == IORING_REGISTER_SEND_MSG_RING {
                // SAFETY: the kernel cannot read the argument, so it acts on nothing.
                return unsafe { sys::register(-1, opcode, argument, count) };
            }
            // SAFETY: as above.
            unsafe { ring.register_call(opcode, argument, count) }
        };
        if ask(UNKNOWN_REGISTER) != Err(Errno::EINVAL) {
            return Err("an unknown register opcode is not refused with EINVAL".to_owned());
        }
        Ok(match ask(opcode) {
            Err(Errno::EFAULT) => Observation::Present,
            Err(Errno::EINVAL) => Observation::Absent,
            Err(other) => inconclusive("io_uring_register without arguments", other),
            Ok(value) => Observation::Inconclusive(format!(
                "io_uring_register accepted an unreadable argument and gave {value}"
            )),
        })
    }

    /// The kernel says how many register opcodes it knows, from 6.18 on.
    fn register_count(&self, opcode: u32) -> Result<Observation, String> {
        use uring_sys::{IO_URING_QUERY_OPCODES, io_uring_query_hdr, io_uring_query_opcode};
        if self.register(IORING_REGISTER_QUERY, 0)? == Observation::Absent {
            return Ok(Observation::Absent);
        }
        let mut answer = io_uring_query_opcode::default();
        let mut question = io_uring_query_hdr {
            next_entry: 0,
            query_data: (&raw mut answer).addr() as u64,
            query_op: IO_URING_QUERY_OPCODES,
            size: u32::try_from(size_of::<io_uring_query_opcode>()).expect("a few words"),
            ..io_uring_query_hdr::default()
        };
        let argument = (&raw mut question).cast::<c_void>();
        // SAFETY: one question whose answer has room where it points; both outlive the call.
        unsafe { sys::register(-1, IORING_REGISTER_QUERY, argument, 0) }
            .map_err(|errno| describe("IORING_REGISTER_QUERY", errno))?;
        if question.result != 0 {
            return Err(format!("IO_URING_QUERY_OPCODES gave {}", question.result));
        }
        Ok(present_if(opcode < answer.nr_register_opcodes))
    }
}

fn present_if(present: bool) -> Observation {
    if present {
        Observation::Present
    } else {
        Observation::Absent
    }
}

fn ring(flags: u32) -> Result<RawRing, String> {
    let made = patiently(
        || RawRing::new(4, flags),
        |made| {
            let error = made.as_ref().err();
            error.is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
        },
    );
    made.map_err(|error| format!("io_uring_setup for the probe: {error}"))
}

/// Asks again while memory is short: the locked memory of rings that are gone is given back some time later.
fn patiently<T>(mut setup: impl FnMut() -> T, is_short: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = setup();
        if !is_short(&answer) || start.elapsed() > PATIENCE {
            return answer;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The errno of a setup that must fail: it wants to attach to a descriptor that cannot exist.
fn failing_setup(flags: u32) -> Result<Errno, String> {
    let mut params = io_uring_params {
        flags: flags | IORING_SETUP_ATTACH_WQ,
        wq_fd: u32::MAX,
        cq_entries: if flags & IORING_SETUP_CQSIZE == 0 {
            0
        } else {
            8
        },
        ..io_uring_params::default()
    };
    let asked = patiently(
        || sys::setup(4, &mut params),
        |answer| matches!(answer, Err(Errno::ENOMEM)),
    );
    match asked {
        Err(errno) => Ok(errno),
        Ok(number) => {
            let number = i32::try_from(number).unwrap_or(-1);
            // SAFETY: the number is a descriptor that nobody else knows; a born ring cannot come about, since it
            // needs memory that was not given.
            unsafe { libc::close(number) };
            Err("io_uring_setup attached to descriptor -1".to_owned())
        }
    }
}

fn inconclusive(call: &str, errno: Errno) -> Observation {
    Observation::Inconclusive(format!("{call}: {errno}"))
}

fn opcodes(ring: &RawRing) -> Result<Box<Opcodes>, String> {
    let mut answer = Box::new(Opcodes {
        last: 0,
        count: 0,
        reserved: [0; 7],
        opcodes: [io_uring_probe_op::default(); OPCODES as usize],
    });
    let argument = (&raw mut *answer).cast::<c_void>();
    // SAFETY: room for 256 opcodes behind the header, as many as the call is told.
    unsafe { ring.register_call(IORING_REGISTER_PROBE, argument, OPCODES) }
        .map_err(|errno| describe("IORING_REGISTER_PROBE", errno))?;
    let nop = &answer.opcodes[usize::from(IORING_OP_NOP)];
    if nop.flags & IO_URING_OP_SUPPORTED == 0 {
        return Err("IORING_REGISTER_PROBE says that there is no NOP".to_owned());
    }
    Ok(answer)
}

fn describe(call: &str, errno: Errno) -> String {
    format!("{call}: {errno}")
}

/// A buffer ring of the kernel's own memory, which goes away with the probe's ring.
fn buffer_ring(flag: u16) -> Result<Observation, String> {
    let ring = ring(0)?;
    let mut argument = io_uring_buf_reg {
        ring_entries: 1,
        flags: flag | IOU_PBUF_RING_MMAP,
        ..io_uring_buf_reg::default()
    };
    let argument = (&raw mut argument).cast::<c_void>();
    // SAFETY: one argument structure; with `IOU_PBUF_RING_MMAP` the kernel allocates the memory itself, and
    // kernels that do not know the flag refuse it.
    let answer = unsafe { ring.register_call(IORING_REGISTER_PBUF_RING, argument, 1) };
    Ok(match answer {
        Ok(_) => Observation::Present,
        Err(Errno::EINVAL) => Observation::Absent,
        Err(other) => inconclusive("IORING_REGISTER_PBUF_RING with the flag", other),
    })
}

/// The entry's result; failures as the errno they name.
fn call(entry: Entry) -> Result<Result<i32, Errno>, String> {
    // SAFETY: the entries of these probes name no memory that can be reached.
    let completed = unsafe { ring(0)?.call(entry) }
        .map_err(|error| format!("the probe's operation: {error}"))?;
    Ok(match completed.res {
        res @ 0.. => Ok(res),
        res => Err(Errno::from_raw(-res)),
    })
}

/// The flags are checked before the timespec is read, which it cannot be.
fn timeout(flag: u32) -> Result<Observation, String> {
    let ask = |op_flags| {
        call(Entry {
            opcode: IORING_OP_TIMEOUT,
            fd: -1,
            addr: UNREADABLE as u64,
            len: 1,
            op_flags,
            ..Entry::default()
        })
    };
    if ask(0)? != Err(Errno::EFAULT) {
        return Err("a timeout without a readable time is not refused with EFAULT".to_owned());
    }
    Ok(match ask(flag)? {
        Err(Errno::EFAULT) => Observation::Present,
        Err(Errno::EINVAL) => Observation::Absent,
        Err(other) => inconclusive("a timeout with the flag", other),
        Ok(res) => Observation::Inconclusive(format!("a timeout with the flag gave {res}")),
    })
}

/// Old kernels ignore a NOP's flags or refuse them all, newer ones refuse those that they do not know.
fn nop(flag: u32) -> Result<Observation, String> {
    const INJECTED: i32 = 77_777;
    let ask = |op_flags| {
        call(Entry {
            opcode: IORING_OP_NOP,
            fd: -1,
            len: INJECTED.unsigned_abs(),
            op_flags,
            buf_index: u16::MAX,
            ..Entry::default()
        })
    };
    if ask(0)? != Ok(0) {
        return Err("a NOP without flags does not give 0".to_owned());
    }
    let inject = uring_sys::IORING_NOP_INJECT_RESULT;
    match ask(inject)? {
        Ok(0) | Err(Errno::EINVAL) => return Ok(Observation::Absent),
        Ok(INJECTED) if flag == inject => return Ok(Observation::Present),
        Ok(INJECTED) => {}
        other => return Err(format!("a NOP that injects {INJECTED} gave {other:?}")),
    }
    Ok(match ask(flag | inject)? {
        // The descriptor or buffer that the flag asks for is missing.
        Ok(INJECTED) | Err(Errno::EBADF | Errno::EFAULT) => Observation::Present,
        Err(Errno::EINVAL) => Observation::Absent,
        other => Observation::Inconclusive(format!("a NOP with the flag gave {other:?}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_kernel_has_is_absent() {
        for probe in [
            Probe::Setup {
                flag: 1 << 30,
                partners: 0,
            },
            Probe::Ring(1 << 31),
            Probe::Opcode(250),
            Probe::Enter(1 << 30),
            Probe::Register {
                opcode: 0x7ffe,
                count: 1,
            },
            Probe::RegisterCount(98),
            Probe::BufferRing(1 << 14),
            Probe::Timeout(1 << 30),
            Probe::Nop(1 << 30),
        ] {
            assert_eq!(observe(probe), Observation::Absent, "{probe:?}");
        }
    }

    #[test]
    fn what_every_kernel_has_is_present() {
        for probe in [
            Probe::Setup {
                flag: uring_sys::IORING_SETUP_CLAMP,
                partners: 0,
            },
            Probe::Ring(uring_sys::IORING_FEAT_NODROP),
            Probe::Opcode(IORING_OP_NOP),
            Probe::Enter(uring_sys::IORING_ENTER_GETEVENTS),
            Probe::Register {
                opcode: uring_sys::IORING_REGISTER_FILES,
                count: 1,
            },
            Probe::Timeout(uring_sys::IORING_TIMEOUT_ABS),
        ] {
            assert_eq!(observe(probe), Observation::Present, "{probe:?}");
        }
    }

    #[test]
    fn a_control_that_fails_is_no_answer() {
        let denied = [(libc::SYS_io_uring_register, libc::EPERM)];
        let probe = Probe::Register {
            opcode: uring_sys::IORING_REGISTER_FILES,
            count: 1,
        };
        let observed = crate::process::with_denied(&denied, || observe(probe)).unwrap();
        assert!(
            matches!(observed, Observation::Inconclusive(_)),
            "{observed:?}"
        );
    }
}
