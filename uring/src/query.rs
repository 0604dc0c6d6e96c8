//! What the kernel tells about itself without a ring.

use uring_sys as sys;
use uring_sys::Errno;

use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::{Features, SetupFlags};

/// What the kernel's io_uring consists of: numbers of opcodes, and masks of the flags that it accepts.
///
/// Asking makes no ring and no descriptor, and works where `kernel.io_uring_disabled` forbids rings. Since Linux 6.18.
///
/// ```
/// match uring::Query::get() {
///     Ok(kernel) => println!("{} operations, {:?}", kernel.request_opcodes(), kernel.features()),
///     Err(error) if error.is_unsupported() => println!("{error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), uring::Error>(())
/// ```
///
/// Source: `io_uring_register_query(3)`, `linux/io_uring/query.h`.
#[doc(alias = "io_uring_query_opcode")]
#[doc(alias = "io_uring_register_query")]
#[doc(alias = "IORING_REGISTER_QUERY")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    request_opcodes: u32,
    register_opcodes: u32,
    query_opcodes: u32,
    features: Features,
    setup_flags: SetupFlags,
    enter_flags: u64,
    entry_flags: u64,
}

impl Query {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older than 6.18, or built without io_uring.
    /// - [`is_blocked`](Error::is_blocked): a seccomp filter refuses the system call.
    pub fn get() -> Result<Self, Error> {
        let answer: sys::io_uring_query_opcode = ask()?;
        Ok(Self {
            request_opcodes: answer.nr_request_opcodes,
            register_opcodes: answer.nr_register_opcodes,
            query_opcodes: answer.nr_query_opcodes,
            features: Features::from_bits_retain(low_half(answer.feature_flags)),
            setup_flags: SetupFlags::from_bits_retain(low_half(answer.ring_setup_flags)),
            enter_flags: answer.enter_flags,
            entry_flags: answer.sqe_flags,
        })
    }

    /// How many operations the kernel knows: their opcodes are the numbers below.
    ///
    /// A known operation may be missing from this kernel's configuration, which [`Probe`](crate::Probe) tells.
    #[must_use]
    pub const fn request_opcodes(&self) -> u32 {
        self.request_opcodes
    }

    /// How many register opcodes the kernel knows.
    #[must_use]
    pub const fn register_opcodes(&self) -> u32 {
        self.register_opcodes
    }

    /// How many kinds of query the kernel answers.
    #[must_use]
    pub const fn query_opcodes(&self) -> u32 {
        self.query_opcodes
    }

    /// The features that each ring of this kernel reports.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// The setup flags that the kernel knows.
    #[must_use]
    pub const fn setup_flags(&self) -> SetupFlags {
        self.setup_flags
    }

    /// The `IORING_ENTER_*` flags that the kernel knows.
    #[must_use]
    pub const fn enter_flags(&self) -> u64 {
        self.enter_flags
    }

    /// The `IOSQE_*` flags that the kernel knows.
    #[must_use]
    pub const fn entry_flags(&self) -> u64 {
        self.entry_flags
    }
}

/// What precedes the completions in the memory of the queues.
///
/// Since Linux 6.19.
///
/// Source: `linux/io_uring/query.h`.
#[doc(alias = "io_uring_query_scq")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueHeader {
    /// Its size in bytes.
    pub size: u64,
    /// Its alignment in bytes.
    pub alignment: u64,
}

impl QueueHeader {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel does not answer this query, or no query at all.
    /// - [`is_blocked`](Error::is_blocked): a seccomp filter refuses the system call.
    pub fn get() -> Result<Self, Error> {
        let answer: sys::io_uring_query_scq = ask()?;
        Ok(Self {
            size: answer.hdr_size,
            alignment: answer.hdr_alignment,
        })
    }
}

/// What the kernel has of zero-copy receive.
///
/// Since Linux 6.19.
///
/// Source: `linux/io_uring/query.h`.
#[doc(alias = "io_uring_query_zcrx")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZeroCopyReceive {
    /// The `ZCRX_REG_*` flags that the kernel knows.
    pub register_flags: u64,
    /// The `IORING_ZCRX_AREA_*` flags that the kernel knows.
    pub area_flags: u64,
    /// How many `ZCRX_CTRL_*` opcodes the kernel knows.
    pub control_opcodes: u32,
    /// The `ZCRX_FEATURE_*` bits that the kernel has.
    pub features: u32,
    /// The size in bytes of what precedes the entries of the refill ring.
    pub refill_header_size: u32,
    /// Its alignment in bytes.
    pub refill_header_alignment: u32,
}

impl ZeroCopyReceive {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// As of [`QueueHeader::get`].
    pub fn get() -> Result<Self, Error> {
        let answer: sys::io_uring_query_zcrx = ask()?;
        Ok(Self {
            register_flags: answer.register_flags,
            area_flags: answer.area_flags,
            control_opcodes: answer.nr_ctrl_opcodes,
            features: answer.features,
            refill_header_size: answer.rq_hdr_size,
            refill_header_alignment: answer.rq_hdr_alignment,
        })
    }
}

/// What the kernel has of events of zero-copy receive.
///
/// Since Linux 7.3.
///
/// Source: `linux/io_uring/query.h`.
#[doc(alias = "io_uring_query_zcrx_event")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZeroCopyEvents {
    /// The `ZCRX_EVENT_DESC_FLAG_*` that the kernel knows.
    pub flags: u32,
    /// The size in bytes of the statistics that the kernel keeps.
    pub statistics_size: u32,
    /// Their alignment in bytes.
    pub statistics_alignment: u32,
}

impl ZeroCopyEvents {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// As of [`QueueHeader::get`].
    pub fn get() -> Result<Self, Error> {
        let answer: sys::io_uring_query_zcrx_event = ask()?;
        Ok(Self {
            flags: answer.event_flags,
            statistics_size: answer.stats_size,
            statistics_alignment: answer.stats_off_alignment,
        })
    }
}

/// The struct in which the kernel answers one kind of query.
///
/// # Safety
///
/// The type has the layout that the kernel gives the answer to `QUERY`, and every bit pattern is a value of it.
unsafe trait Answer: Default {
    const QUERY: u32;
    const UNANSWERED: Hint;
}

// SAFETY: generated from the kernel's header, integers only.
unsafe impl Answer for sys::io_uring_query_opcode {
    const QUERY: u32 = sys::IO_URING_QUERY_OPCODES;
    const UNANSWERED: Hint =
        Hint::needs_linux(6, 18, &"the kernel does not answer IO_URING_QUERY_OPCODES");
}

// SAFETY: generated from the kernel's header, integers only.
unsafe impl Answer for sys::io_uring_query_scq {
    const QUERY: u32 = sys::IO_URING_QUERY_SCQ;
    const UNANSWERED: Hint =
        Hint::needs_linux(6, 19, &"the kernel does not answer IO_URING_QUERY_SCQ");
}

// SAFETY: generated from the kernel's header, integers only.
unsafe impl Answer for sys::io_uring_query_zcrx {
    const QUERY: u32 = sys::IO_URING_QUERY_ZCRX;
    const UNANSWERED: Hint =
        Hint::needs_linux(6, 19, &"the kernel does not answer IO_URING_QUERY_ZCRX");
}

// SAFETY: generated from the kernel's header, integers only.
unsafe impl Answer for sys::io_uring_query_zcrx_event {
    const QUERY: u32 = sys::IO_URING_QUERY_ZCRX_EVENT;
    const UNANSWERED: Hint = Hint::needs_linux(
        7,
        3,
        &"the kernel does not answer IO_URING_QUERY_ZCRX_EVENT",
    );
}

const NO_QUERIES: Hint =
    Hint::needs_linux(6, 18, &"io_uring_register refuses IORING_REGISTER_QUERY");

fn ask<A: Answer>() -> Result<A, Error> {
    const CALL: Call = Call::register(sys::IORING_REGISTER_QUERY);

    let mut answer = A::default();
    let mut header = sys::io_uring_query_hdr {
        next_entry: 0,
        query_data: (&raw mut answer).expose_provenance() as u64,
        query_op: A::QUERY,
        size: size_of::<A>() as u32,
        ..Default::default()
    };
    // SAFETY: the header ends the chain (`next_entry` is 0) and names `answer` with its size; the kernel writes
    // to both during the call only.
    let called = unsafe {
        sys::io_uring_register(-1, sys::IORING_REGISTER_QUERY, (&raw mut header).cast(), 0)
    };
    match called {
        Ok(_) => {
            #[cfg(uring_coverage)]
            crate::coverage::registered(
                crate::coverage::Reached::Nobody,
                sys::IORING_REGISTER_QUERY,
            );
        }
        // The arguments are right, so it is the opcode, or the descriptor -1, that the kernel does not take.
        Err(errno @ (Errno::EINVAL | Errno::EBADF)) => {
            return Err(Error::sys(CALL, errno).with_hint(NO_QUERIES));
        }
        Err(errno) => {
            return Err(evidence::blind_register_failed(
                sys::IORING_REGISTER_QUERY,
                errno,
            ));
        }
    }
    if header.result >= 0 {
        return Ok(answer);
    }
    let errno = Errno::from_raw(header.result.wrapping_neg());
    let error = Error::sys(CALL, errno);
    Err(match errno {
        Errno::EOPNOTSUPP => error.with_hint(A::UNANSWERED),
        _ => error,
    })
}

fn low_half(mask: u64) -> u32 {
    let [_, _, _, _, low @ ..] = mask.to_be_bytes();
    u32::from_be_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_is_answered_or_names_what_it_needs() {
        fn check<T>(answer: Result<T, Error>, plausible: impl FnOnce(&T) -> bool) {
            match answer {
                Ok(answer) => assert!(plausible(&answer)),
                Err(error) => assert!(error.is_unsupported(), "{error}"),
            }
        }
        check(Query::get(), |kernel| {
            kernel.request_opcodes() >= 63
                && kernel.register_opcodes() > sys::IORING_REGISTER_QUERY
                && kernel.query_opcodes() >= 1
                && kernel.features().contains(Features::NO_IOWAIT)
                && kernel.setup_flags().contains(SetupFlags::CQE_MIXED)
                && kernel.enter_flags() & u64::from(sys::IORING_ENTER_NO_IOWAIT) != 0
                && kernel.entry_flags() & u64::from(sys::IOSQE_CQE_SKIP_SUCCESS) != 0
        });
        check(QueueHeader::get(), |header| {
            header.size > 0 && header.alignment.is_power_of_two()
        });
        check(ZeroCopyReceive::get(), |receive| {
            receive.refill_header_size > 0 && receive.refill_header_alignment.is_power_of_two()
        });
        check(ZeroCopyEvents::get(), |events| {
            events.statistics_size > 0 && events.statistics_alignment.is_power_of_two()
        });
    }

    /// A query that no kernel knows.
    #[derive(Default)]
    struct Nothing;

    // SAFETY: the kernel writes no answer to what it does not know.
    unsafe impl Answer for Nothing {
        const QUERY: u32 = u32::MAX;
        const UNANSWERED: Hint = Hint::needs_linux(99, 0, &"the kernel does not answer");
    }

    #[test]
    fn unknown_query_is_unsupported() {
        let error = ask::<Nothing>().map(drop).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert!(
            matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::EINVAL)),
            "{error}"
        );
    }

    #[test]
    fn version_is_that_of_the_register_opcode() {
        let since = sys::since("IORING_REGISTER_QUERY");
        assert!(
            matches!(NO_QUERIES, Hint::NeedsLinux { major, minor, .. } if Some((major, minor)) == since)
        );
    }

    #[test]
    fn low_half_drops_the_upper_one() {
        assert_eq!(low_half(0xdead_beef_0123_4567), 0x0123_4567);
    }
}
