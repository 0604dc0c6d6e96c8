//! When what a socket has sent left the machine.

use std::time::Duration;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, sealed,
};
use crate::resource::{Target, Untracked};

/// Tells again and again when something that a socket sends was sent, scheduled or acknowledged, as
/// [`SocketOption::TIMESTAMPING`](crate::op::SocketOption::TIMESTAMPING) says.
///
/// Its token [yields](crate::Ring::wait_item) a [`TxTimestamp`] for each. It takes a ring whose completions are
/// [large or mixed](crate::CompletionSize); on others it fails with `EINVAL`. The socket is of a kind that has times taken with
/// `SOF_TIMESTAMPING_OPT_TSONLY`; what carries bytes too stays in its error queue.
///
/// Since Linux 6.17; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::{SetSockOpt, SocketOption, TxTimestamps};
/// use uring::{Builder, CompletionSize};
///
/// # if !uring::Ring::best(8)?.probe()?.supports(uring_sys::IORING_OP_NOP128) { return Ok(()); }
/// let mut ring = Builder::new(8).completion_size(CompletionSize::Large).build_best()?;
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let times = libc::SOF_TIMESTAMPING_TX_SOFTWARE
///     | libc::SOF_TIMESTAMPING_SOFTWARE
///     | libc::SOF_TIMESTAMPING_OPT_ID
///     | libc::SOF_TIMESTAMPING_OPT_TSONLY;
/// ring.call(SetSockOpt::new(&one, SocketOption::TIMESTAMPING, times))?.result?;
/// one.send_to(b"first", other.local_addr()?)?;
/// let timestamps = ring.push(TxTimestamps::new(one))?;
/// let first = ring.wait_item(&timestamps)?.expect("nobody has cancelled");
/// assert_eq!(first.key, 0);
/// # ring.cancel(&timestamps)?;
/// # ring.wait(timestamps)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cmd_sock(3)`, `SOCKET_URING_OP_TX_TIMESTAMP`, `Documentation/networking/timestamping.rst`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_sock")]
#[doc(alias = "SOCKET_URING_OP_TX_TIMESTAMP")]
#[must_use]
pub struct TxTimestamps<T> {
    target: T,
}

impl<T: Target> TxTimestamps<T> {
    /// Those of that socket.
    pub const fn new(target: T) -> TxTimestamps<T> {
        TxTimestamps { target }
    }

    /// The socket, given back.
    pub fn into_target(self) -> T {
        self.target
    }
}

/// When something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxTimestamp {
    /// Which: how many sends came before it for datagrams, or bytes for streams (`SOF_TIMESTAMPING_OPT_ID`).
    pub key: u32,
    /// What has happened to it.
    pub event: TxEvent,
    /// When, since the beginning of 1970 or as the device counts.
    pub time: Duration,
    /// Whether the device has taken the time, and not the kernel.
    #[doc(alias = "IORING_CQE_F_TSTAMP_HW")]
    pub by_hardware: bool,
}

/// What has happened to something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxEvent {
    /// It was given to the device (`SCM_TSTAMP_SND`).
    Sent,
    /// It was given to the packet scheduler (`SCM_TSTAMP_SCHED`).
    Scheduled,
    /// The peer has acknowledged it (`SCM_TSTAMP_ACK`).
    Acknowledged,
    /// Something newer, as the kernel counts.
    Other(u32),
}

impl TxEvent {
    /// The values are of `linux/errqueue.h`, which libc does not have.
    const fn of(number: u32) -> TxEvent {
        match number {
            0 => TxEvent::Sent,
            1 => TxEvent::Scheduled,
            2 => TxEvent::Acknowledged,
            other => TxEvent::Other(other),
        }
    }
}

impl<T> sealed::Sealed for TxTimestamps<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for TxTimestamps<T> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        entry.set_target(unsafe { (*this).target.target() });
        entry.set_command(uring_sys::SOCKET_URING_OP_TX_TIMESTAMP);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: an item is made of the completion alone.
unsafe impl<T: Target> Multishot for TxTimestamps<T> {
    type Item = TxTimestamp;

    unsafe fn item(_: *const Self, completion: Completion) -> TxTimestamp {
        let [seconds, nanoseconds] = completion.extra();
        let flags = completion.flags().bits();
        TxTimestamp {
            // Counts wrap around, and the upper half of them are negative results.
            key: u32::from_ne_bytes(completion.raw_result().to_ne_bytes()),
            event: TxEvent::of(flags >> uring_sys::IORING_TIMESTAMP_TYPE_SHIFT),
            time: Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds),
            by_hardware: flags & uring_sys::IORING_CQE_F_TSTAMP_HW != 0,
        }
    }

    fn is_item(_: &Completion) -> bool {
        false
    }

    fn end(last: &Completion) -> EndReason {
        EndReason::of(last)
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for TxTimestamps<T> {}
