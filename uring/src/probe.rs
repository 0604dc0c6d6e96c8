//! Which operations the kernel has.

use core::ffi::c_void;
use core::fmt;

use uring_sys as sys;

use crate::error::Error;
use crate::evidence;
use crate::names::opcode_name;
use crate::setup::Carrier;
use crate::syscall;

/// One for each value that an opcode can have.
const OPCODES: u16 = 256;

/// `io_uring_probe` with its array at full length.
#[repr(C)]
struct Answer {
    header: sys::io_uring_probe,
    opcodes: [sys::io_uring_probe_op; OPCODES as usize],
}

static_assertions::assert_eq_size!(Answer, [u8; 16 + 8 * OPCODES as usize]);

/// Which operations the kernel has, by its own account.
///
/// An operation that is there may lack what was added to it later: what a flag or a field needs is told by
/// [`Features`](crate::Features), or by the operation's own result. Since Linux 5.6.
///
/// Source: `io_uring_register(2)`, `IORING_REGISTER_PROBE`.
#[doc(alias = "io_uring_probe")]
#[doc(alias = "io_uring_get_probe_ring")]
#[doc(alias = "IORING_REGISTER_PROBE")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// One bit for each opcode.
    supported: [u64; 4],
    last_opcode: u8,
}

impl Probe {
    /// Asks the kernel without a ring of the caller's: one is made for the call, without a descriptor where the kernel can.
    ///
    /// ```
    /// let probe = uring::Probe::get()?;
    /// assert!(probe.supports(0));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`](crate::Builder::build) and of `io_uring_register(2)`.
    #[doc(alias = "io_uring_get_probe")]
    pub fn get() -> Result<Self, Error> {
        let carrier = Carrier::new()?;
        Self::read(|opcode, arg, count| {
            // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
            unsafe { syscall::register(carrier.name(), opcode, arg, count) }
                .map_err(|errno| evidence::register_failed(carrier.name(), opcode, errno))
        })
    }

    /// Asks by a ring's register call, which takes opcode, argument and number of arguments.
    pub(crate) fn read(
        register: impl FnOnce(u32, *mut c_void, u32) -> Result<u32, Error>,
    ) -> Result<Self, Error> {
        // The kernel insists on zeroes.
        let mut answer = Answer {
            header: sys::io_uring_probe::default(),
            opcodes: [sys::io_uring_probe_op::default(); OPCODES as usize],
        };
        register(
            sys::IORING_REGISTER_PROBE,
            (&raw mut answer).cast(),
            u32::from(OPCODES),
        )?;
        Ok(Self::from_answer(&answer))
    }

    fn from_answer(answer: &Answer) -> Self {
        let mut supported = [0; 4];
        let filled = usize::from(answer.header.ops_len);
        for entry in answer.opcodes.iter().take(filled) {
            if entry.flags & sys::IO_URING_OP_SUPPORTED != 0 {
                supported[usize::from(entry.op / 64)] |= 1 << (entry.op % 64);
            }
        }
        Self {
            supported,
            last_opcode: answer.header.last_op,
        }
    }

    /// Whether the kernel has the operation with this opcode.
    #[doc(alias = "io_uring_opcode_supported")]
    #[must_use]
    pub fn supports(&self, opcode: u8) -> bool {
        self.supported[usize::from(opcode / 64)] & (1 << (opcode % 64)) != 0
    }

    /// The highest opcode that the kernel knows, whether it has the operation or not.
    #[must_use]
    pub const fn last_opcode(&self) -> u8 {
        self.last_opcode
    }

    /// The opcodes of the operations that the kernel has, in ascending order.
    ///
    /// [`opcode_name`] names them.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let probe = *self;
        (0..=u8::MAX).filter(move |&opcode| probe.supports(opcode))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for opcode in self.iter() {
            match opcode_name(opcode) {
                Some(name) => list.entry(&format_args!("{name}")),
                None => list.entry(&opcode),
            };
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use uring_sys::Errno;

    use crate::error::Call;

    use super::*;

    /// Writes what a kernel would that knows `opcodes`, of which it has the even ones.
    fn kernel(opcodes: u8) -> impl FnOnce(u32, *mut c_void, u32) -> Result<u32, Error> {
        move |opcode, arg, count| {
            assert_eq!((opcode, count), (sys::IORING_REGISTER_PROBE, 256));
            // SAFETY: `Probe::read` passes its answer, and nothing else refers to it during the call.
            let answer = unsafe { &mut *arg.cast::<Answer>() };
            answer.header.last_op = opcodes - 1;
            answer.header.ops_len = opcodes;
            for op in 0..opcodes {
                let entry = &mut answer.opcodes[usize::from(op)];
                entry.op = op;
                entry.flags = if op % 2 == 0 {
                    sys::IO_URING_OP_SUPPORTED
                } else {
                    0
                };
            }
            Ok(0)
        }
    }

    #[test]
    fn reports_what_the_kernel_flags_as_supported() {
        let probe = Probe::read(kernel(131)).unwrap();
        assert_eq!(probe.last_opcode(), 130);
        assert!(probe.supports(0) && probe.supports(64) && probe.supports(130));
        assert!(!probe.supports(1) && !probe.supports(65) && !probe.supports(132));
        let expected: Vec<u8> = (0..=130).step_by(2).collect();
        assert_eq!(probe.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn shows_names_where_there_are_some() {
        let text = format!("{:?}", Probe::read(kernel(131)).unwrap());
        assert!(
            text.starts_with("[IORING_OP_NOP, IORING_OP_WRITEV, "),
            "{text}"
        );
        assert!(text.ends_with(", 128, 130]"), "{text}");
    }

    #[test]
    fn failure_names_the_opcode() {
        let error = Probe::read(|_, _, _| {
            Err(Error::sys(
                Call::register(sys::IORING_REGISTER_PROBE),
                Errno::EACCES,
            ))
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "io_uring_register(IORING_REGISTER_PROBE) failed: EACCES (13)"
        );
    }
}
