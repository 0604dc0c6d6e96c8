//! Programs that look at operations before they begin.

use std::ffi::c_void;

use uring_sys::{io_uring_bpf, io_uring_bpf_ctx, io_uring_bpf_filter};

use crate::disabled::DisabledRing;
use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::handle::Handle;
use crate::op::Operation;
use crate::ring::Ring;

/// A program of classic BPF that allows operations with some opcode, or does not.
///
/// The kernel runs it on each such operation of a [ring](Ring::filter), or of all rings that a [thread](Filter::filter_thread) makes, when it
/// is submitted. What it does not allow completes with `EACCES`. Of several filters for an opcode all must allow it, and none can be taken
/// back. Cancellations cannot be filtered: the ring needs them for its end.
///
/// ```
/// use uring::op::Socket;
/// use uring::{Field, Filter};
///
/// # let mut ring = uring::Ring::best(8)?;
/// // Sockets, but of the Internet only.
/// let inet = [libc::AF_INET, libc::AF_INET6].map(i32::unsigned_abs);
/// match ring.filter(&Filter::one_of(Field::SocketFamily, &inet)) {
///     Ok(()) => {
///         let unix = ring.call(Socket::new(libc::AF_UNIX, libc::SOCK_STREAM))?;
///         assert_eq!(unix.unwrap_err().raw_os_error(), Some(libc::EACCES));
///     }
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `linux/io_uring/bpf_filter.h`, `io_uring/bpf_filter.c`.
#[derive(Clone, Debug)]
#[doc(alias = "io_uring_bpf_filter")]
#[must_use]
pub struct Filter {
    opcodes: Vec<u8>,
    program: Vec<libc::sock_filter>,
    /// How many bytes of what the operation says of itself the program reads.
    reads: u8,
    deny_rest: bool,
}

/// Something that a filter can look at: 32 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The domain of a [`Socket`](crate::op::Socket), an `AF_*`.
    SocketFamily,
    /// Its type, a `SOCK_*`, without flags.
    SocketType,
    /// Its protocol.
    SocketProtocol,
    /// The flags of an [`OpenAt`](crate::op::OpenAt) or [`OpenAt2`](crate::op::OpenAt2), `O_*`.
    OpenFlags,
    /// Its mode.
    OpenMode,
    /// Its `RESOLVE_*`.
    OpenResolve,
    /// The family of the address of a [`Connect`](crate::op::Connect). Newer than the others.
    ConnectFamily,
}

impl Field {
    /// The opcodes of the operations that have it.
    const fn opcodes(self) -> &'static [u8] {
        match self {
            Field::SocketFamily | Field::SocketType | Field::SocketProtocol => {
                &[uring_sys::IORING_OP_SOCKET]
            }
            Field::OpenFlags | Field::OpenMode | Field::OpenResolve => {
                &[uring_sys::IORING_OP_OPENAT, uring_sys::IORING_OP_OPENAT2]
            }
            Field::ConnectFamily => &[uring_sys::IORING_OP_CONNECT],
        }
    }

    /// Where in [`io_uring_bpf_ctx`] it begins: of 64 bits the lower half, which has all that there is.
    const fn offset(self) -> usize {
        use uring_sys::{
            io_uring_bpf_ctx_anon_1_anon_1 as OfSocket, io_uring_bpf_ctx_anon_1_anon_2 as OfOpen,
            io_uring_bpf_ctx_anon_1_anon_3 as OfConnect,
        };
        let half = if cfg!(target_endian = "big") { 4 } else { 0 };
        SPECIFIC
            + match self {
                Field::SocketFamily => std::mem::offset_of!(OfSocket, family),
                Field::SocketType => std::mem::offset_of!(OfSocket, type_),
                Field::SocketProtocol => std::mem::offset_of!(OfSocket, protocol),
                Field::OpenFlags => std::mem::offset_of!(OfOpen, flags) + half,
                Field::OpenMode => std::mem::offset_of!(OfOpen, mode) + half,
                Field::OpenResolve => std::mem::offset_of!(OfOpen, resolve) + half,
                Field::ConnectFamily => std::mem::offset_of!(OfConnect, family),
            }
    }
}

/// Where what an operation says of itself begins.
const SPECIFIC: usize = std::mem::offset_of!(io_uring_bpf_ctx, anon_1);
/// The most steps that the kernel takes (`BPF_MAXINSNS`).
const MOST: usize = 4096;

/// What of a socket's type is not flags (`SOCK_TYPE_MASK`).
const SOCKET_TYPES: u32 = 0xf;

/// Codes of instructions.
mod code {
    pub(super) const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    pub(super) const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    pub(super) const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    pub(super) const JUMP_IF_ANY: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    pub(super) const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
}

const DENY: u32 = 0;
const ALLOW: u32 = 1;

fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        // Codes have 16 bits.
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt,
        jf,
        k,
    }
}

fn answer(answer: u32) -> libc::sock_filter {
    step(code::RETURN, answer, 0, 0)
}

/// What looks at a field: for its type Linux 7.0 shows a socket's flags as well.
fn load(field: Field) -> Vec<libc::sock_filter> {
    let offset = u32::try_from(field.offset()).unwrap_or(u32::MAX);
    let mut steps = vec![step(code::LOAD, offset, 0, 0)];
    if field == Field::SocketType {
        steps.push(step(code::AND, SOCKET_TYPES, 0, 0));
    }
    steps
}

impl Filter {
    /// Allows no operation with that opcode, an `IORING_OP_*`.
    pub fn deny(opcode: u8) -> Filter {
        Filter::from_program(opcode, vec![answer(DENY)])
    }

    /// Allows no operation of that type, nor others that have its opcode.
    pub fn deny_type<O: Operation>() -> Filter {
        Filter::deny(O::OPCODE)
    }

    /// Allows operations whose field has one of these values.
    pub fn one_of(field: Field, values: &[u32]) -> Filter {
        let mut program = load(field);
        for value in values {
            // Past the answer, to the next comparison.
            program.push(step(code::JUMP_IF_EQUAL, *value, 0, 1));
            program.push(answer(ALLOW));
        }
        program.push(answer(DENY));
        Filter::new(field.opcodes(), program)
    }

    /// Allows operations whose field has none of these bits.
    pub fn none_of(field: Field, bits: u32) -> Filter {
        let mut program = load(field);
        program.extend([
            step(code::JUMP_IF_ANY, bits, 0, 1),
            answer(DENY),
            answer(ALLOW),
        ]);
        Filter::new(field.opcodes(), program)
    }

    /// A program of the caller's, for operations with that opcode: what it returns is zero for those that it does not allow.
    ///
    /// It reads an `io_uring_bpf_ctx`, which the kernel fills in for the operation, by aligned loads of 32 bits (`BPF_LD | BPF_W | BPF_ABS`), in the
    /// byte order of the machine, and has jumps, arithmetic and 16 words of memory.
    ///
    /// ```
    /// use uring::Filter;
    ///
    /// // Allows NOPs whose user_data is even; it is what the context begins with.
    /// let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    /// let and = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    /// let xor = (libc::BPF_ALU | libc::BPF_XOR | libc::BPF_K) as u16;
    /// let return_a = (libc::BPF_RET | libc::BPF_A) as u16;
    /// let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    /// let program = vec![step(load, 0), step(and, 1), step(xor, 1), step(return_a, 0)];
    /// let filter = Filter::from_program(uring_sys::IORING_OP_NOP, program);
    /// # let _ = filter;
    /// ```
    pub fn from_program(opcode: u8, program: Vec<libc::sock_filter>) -> Filter {
        Filter::new(&[opcode], program)
    }

    fn new(opcodes: &[u8], program: Vec<libc::sock_filter>) -> Filter {
        let reads = program
            .iter()
            .filter(|step| u32::from(step.code) == code::LOAD)
            .filter_map(|step| (usize::try_from(step.k).ok()? + 4).checked_sub(SPECIFIC))
            .max();
        Filter {
            opcodes: opcodes.to_vec(),
            program,
            reads: reads.map_or(0, |reads| u8::try_from(reads).unwrap_or(u8::MAX)),
            deny_rest: false,
        }
    }

    /// Denies every operation for which there is no filter yet, but cancellations. Entries that fill gaps between
    /// [mixed](crate::EntrySize::Mixed) ones are NOPs, and denied too.
    ///
    /// Later filters do not loosen that, so those of what is allowed come first.
    #[doc(alias = "IO_URING_BPF_FILTER_DENY_REST")]
    pub fn deny_rest(mut self) -> Filter {
        self.deny_rest = true;
        self
    }

    /// Filters all rings that the calling thread makes from now on, and those of the threads and processes that it starts from now on. For
    /// good.
    ///
    /// As with [`Restrictions::restrict_thread`](crate::Restrictions::restrict_thread), the thread needs `CAP_SYS_ADMIN`, or to have given up new
    /// privileges. Further filters can be added, and restrictions only before.
    ///
    /// Since Linux 7.0.
    ///
    /// ```
    /// use uring::Filter;
    /// use uring::op::Nop;
    ///
    /// # std::thread::spawn(|| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// match Filter::deny_type::<Nop>().filter_thread() {
    ///     Ok(()) => assert!(uring::Ring::best(8)?.call(Nop::new())?.is_err()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(())
    /// # }).join().unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Ring::filter`], and [`is_blocked`](Error::is_blocked): the thread may gain privileges, and has no `CAP_SYS_ADMIN`.
    #[doc(alias = "io_uring_register_bpf_filter_task")]
    #[doc(alias = "IORING_REGISTER_BPF_FILTER")]
    pub fn filter_thread(&self) -> Result<(), Error> {
        self.register_with(|arg| {
            // SAFETY: passed on to `register_with`.
            let answer = unsafe { uring_sys::io_uring_register(-1, OPCODE, arg, 1) };
            #[cfg(uring_coverage)]
            if answer.is_ok() {
                crate::coverage::registered(crate::coverage::Reached::Nobody, OPCODE);
            }
            let failed = |errno| evidence::thread_refused(OPCODE, errno);
            answer.map_err(failed)
        })
    }

    /// Registers what makes the filter, by a call that takes one `io_uring_bpf`, which it reads and writes during the call only.
    fn register_with(&self, call: impl Fn(*mut c_void) -> Result<u32, Error>) -> Result<(), Error> {
        let refused = |explanation| {
            Err(Error::refused(
                Call::register(OPCODE),
                Hint::contradiction(explanation),
            ))
        };
        if self.opcodes.contains(&uring_sys::IORING_OP_ASYNC_CANCEL) {
            return refused(&"a ring needs its cancellations, so they cannot be filtered");
        }
        if self.program.is_empty() || self.program.len() > MOST {
            return refused(&"a filter has 1 to 4096 instructions");
        }
        if self.deny_rest {
            // What has a filter is not among the rest.
            let harmless = Filter::new(&[], vec![answer(ALLOW)]);
            harmless.register(uring_sys::IORING_OP_ASYNC_CANCEL, false, &call)?;
        }
        let last = self.opcodes.len() - 1;
        for (at, opcode) in self.opcodes.iter().enumerate() {
            self.register(*opcode, self.deny_rest && at == last, &call)?;
        }
        Ok(())
    }

    fn register(
        &self,
        opcode: u8,
        deny_rest: bool,
        call: &impl Fn(*mut c_void) -> Result<u32, Error>,
    ) -> Result<(), Error> {
        let mut argument = io_uring_bpf {
            cmd_type: uring_sys::IO_URING_BPF_CMD_FILTER,
            ..io_uring_bpf::default()
        };
        argument.anon_1.filter = io_uring_bpf_filter {
            opcode: opcode.into(),
            flags: if deny_rest {
                uring_sys::IO_URING_BPF_FILTER_DENY_REST
            } else {
                0
            },
            filter_len: u32::try_from(self.program.len()).unwrap_or(u32::MAX),
            pdu_size: self.reads,
            filter_ptr: crate::entry::address(self.program.as_ptr()),
            ..io_uring_bpf_filter::default()
        };
        call((&raw mut argument).cast()).map(drop).map_err(explain)
    }
}

const OPCODE: u32 = uring_sys::IORING_REGISTER_BPF_FILTER;
const MISSING: Hint =
    Hint::needs_linux(7, 0, &"the kernel does not know IORING_REGISTER_BPF_FILTER");

/// Why the kernel does not take a filter that is not wrong in what this module says of it.
fn explain(error: Error) -> Error {
    match error.errno() {
        _ if error.hint().is_some() => error,
        Some(libc::EMSGSIZE) => error.with_hint(Hint::contradiction(
            &"the filter reads more of an operation than this kernel tells of it",
        )),
        Some(libc::EINVAL | libc::EBADF) if !is_known() => error.with_hint(MISSING),
        Some(libc::EINVAL) => error.with_hint(Hint::contradiction(
            &"the kernel does not know the opcode, or an instruction of the filter is not allowed",
        )),
        _ => error,
    }
}

/// Whether the kernel counts the register call among those that it has.
fn is_known() -> bool {
    crate::Query::get().is_ok_and(|kernel| kernel.register_opcodes() > OPCODE)
}

impl<H: Handle> Ring<H> {
    /// Lets a filter look at the ring's operations from now on. For good.
    ///
    /// Since Linux 7.0.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - [`is_invalid_request`](Error::is_invalid_request): the filter is of cancellations, has no instructions or more than 4096 of them, or one that
    ///   the kernel does not take; the kernel does not know its opcode, or does not tell of the [`Field`];
    /// - [`is_restricted`](Error::is_restricted): the restrictions of the ring do not allow it;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_bpf_filter")]
    #[doc(alias = "IORING_REGISTER_BPF_FILTER")]
    pub fn filter(&mut self, filter: &Filter) -> Result<(), Error> {
        self.core().filter(filter)
    }
}

impl DisabledRing {
    /// As [`Ring::filter`].
    ///
    /// # Errors
    ///
    /// See [`Ring::filter`].
    pub fn filter(&mut self, filter: &Filter) -> Result<(), Error> {
        self.check(Call::register(OPCODE))?;
        self.core_mut().filter(filter)
    }
}

impl Core {
    fn filter(&self, filter: &Filter) -> Result<(), Error> {
        // SAFETY: one argument of the kernel's type, which it reads and writes during the call only; so does the program that it points to.
        filter.register_with(|arg| unsafe { self.register(OPCODE, arg, 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_how_much_it_reads() {
        assert_eq!(Filter::deny(3).reads, 0);
        assert_eq!(Filter::one_of(Field::SocketFamily, &[1]).reads, 4);
        assert_eq!(Filter::one_of(Field::SocketProtocol, &[]).reads, 12);
        let resolve = Filter::none_of(Field::OpenResolve, 1).reads;
        assert!(resolve == 20 || resolve == 24, "{resolve}");
        // What every operation has.
        let program = vec![step(code::LOAD, 8, 0, 0), answer(ALLOW)];
        assert_eq!(Filter::from_program(3, program).reads, 0);
    }
}
