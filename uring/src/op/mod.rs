//! The operations: one type each, with what they work on as type parameters.
//!
//! An operation is a value that is built, pushed, and given back. What it owns ([buffers](crate::BufMut),
//! [targets](crate::Target), [paths](crate::Path)) is kept by the ring from the push to the operation's last completion and returned in its
//! [`Output`](Operation::Output), on failure too.
//!
//! # At a glance
//!
//! | | | |
//! |---|---|---|
//! | Reading and writing | [`Read`], [`Write`] | one buffer |
//! |  | [`ReadV`], [`WriteV`] | several buffers, one after the other |
//! |  | [`ReadFixed`], [`WriteFixed`] | registered buffers, one or [several](crate::FixedVecs) |
//! |  | [`ReadSelected`] | into a buffer that the kernel chooses |
//! |  | [`ReadMultishot`] | again and again, as data come |
//! |  | [`Protected`] | with the protection information of a block device |
//! |  | [`Splice`], [`Tee`] | between pipes and files, without copying through the process |
//! |  | [`Pipe`] | makes a pipe |
//! | Contents of files | [`Fsync`], [`SyncFileRange`] | brings them to the device |
//! |  | [`Fallocate`], [`Ftruncate`] | space and length |
//! |  | [`Fadvise`], [`Madvise`] | how a file or memory will be used |
//! |  | [`Discard`] | throws parts of a block device away |
//! | Opening and closing | [`OpenAt`], [`OpenAt2`] | opens, as a descriptor or a direct descriptor |
//! |  | [`Close`], [`CloseDirect`] | closes one or the other |
//! |  | [`InstallFd`], [`FilesUpdate`] | makes one of the other |
//! | Names | [`Statx`] | size, mode, times |
//! |  | [`MkdirAt`], [`LinkAt`], [`SymlinkAt`] | makes directories and links |
//! |  | [`RenameAt`], [`UnlinkAt`] | renames and removes |
//! |  | [`GetXattr`], [`SetXattr`], [`FGetXattr`], [`FSetXattr`] | extended attributes, by path or of an open file |
//! | Sockets | [`Socket`], [`Bind`], [`Listen`], [`Connect`], [`Shutdown`] | makes, names, connects and ends them |
//! |  | [`Accept`], [`AcceptMultishot`] | accepts a connection, or one after the other |
//! |  | [`SetSockOpt`], [`GetSockOpt`], [`GetSockName`] | options and addresses |
//! |  | [`SiocInq`], [`SiocOutq`] | how much waits in it |
//! |  | [`TxTimestamps`] | when something was sent |
//! | Sending | [`Send`], [`SendVectored`] | one buffer, several buffers |
//! |  | [`SendMsg`] | several buffers and control data |
//! |  | [`SendZc`], [`SendMsgZc`] | without copying |
//! |  | [`SendZcFixed`], [`SendMsgZcFixed`] | without copying, from registered buffers |
//! | Receiving | [`Recv`], [`RecvMsg`] | into the caller's buffers |
//! |  | [`RecvSelected`] | into one or several that the kernel chooses |
//! |  | [`RecvMultishot`], [`RecvMsgMultishot`] | again and again |
//! |  | [`RecvZc`] | into memory that the device fills |
//! | Waiting | [`Poll`], [`PollMultishot`] | for a file to be ready, once or again and again |
//! |  | [`PollRemove`], [`PollUpdate`] | ends or changes that |
//! |  | [`EpollCtl`], [`EpollWait`] | with an epoll instance |
//! |  | [`FutexWait`], [`FutexWaitV`], [`FutexWake`] | at words in memory |
//! |  | [`WaitId`] | for a child process |
//! | Time | [`Timeout`], [`TimeoutMultishot`] | a time that is over once, or again and again |
//! |  | [`TimeoutRemove`], [`TimeoutUpdate`] | ends or changes one |
//! |  | [`LinkTimeout`] | a limit for a member of a [chain](crate::Chain) |
//! | Rings | [`Cancel`] | ends other operations |
//! |  | [`MsgRing`], [`SendDirect`] | a completion, or a file, for another ring |
//! |  | [`ProvideBuffers`], [`RemoveBuffers`] | buffers for the kernel to choose from, as before [`BufferRing`](crate::BufferRing) |
//! |  | [`Nop`], [`Nop128`], [`NopInjected`] | nothing |
//! | Anything else | [`Command`], [`LargeCommand`] | a command for the driver of a file |
//! |  | [`CommandMultishot`] | one that completes again and again |
//! |  | [`RawEntry`], [`RawEntry128`] | any opcode, field by field |
//!
//! Which of them a helper of liburing is here says [a guide](crate::guide::liburing).
//!
//! Import them by name: `use uring::op::*` would hide the standard library's trait [`Send`](std::marker::Send) behind the operation [`Send`].

mod accept;
mod accept_multishot;
mod advise;
mod allocate;
mod cancel;
mod close;
mod command;
mod command_multishot;
mod discard;
mod epoll;
mod fixed;
mod fsync;
mod futex;
mod install;
mod into;
mod link;
mod message;
mod mkdir;
mod msg_ring;
mod multishot;
mod nop;
mod nop_injected;
#[cfg(test)]
mod opcodes;
mod open;
mod open2;
mod pipe;
mod poll;
mod poll_change;
mod protected;
mod provide_buffers;
mod raw_entry;
mod read;
mod read_selected;
mod readv;
mod recv;
mod recv_message;
mod recv_selected;
mod recv_zc;
mod rename;
mod reset_zones;
mod send;
mod send_queued;
mod send_vectored;
mod send_zc;
mod socket;
mod socket_command;
mod socket_option;
mod splice;
mod statx;
mod sync_range;
mod timeout;
mod timeout_change;
mod transfer;
mod tx_timestamp;
mod unlink;
mod wait_id;
mod write;
mod writev;
mod xattr;

pub use accept::{Accept, Accepted};
pub use accept_multishot::{AcceptMultishot, OpensMany};
pub use advise::{Advised, Fadvise, FileAdvice, Madvise, MemoryAdvice};
pub use allocate::{Allocation, Fallocate, Ftruncate, Resized};
pub use cancel::{Cancel, Cancelled};
pub use close::{Close, CloseDirect, Closes};
pub use command::{Command, CommandDone, LargeCommand};
pub use command_multishot::CommandMultishot;
pub use discard::{Discard, Discarded};
pub use epoll::{
    EpollCtl, EpollEvent, EpollEvents, EpollMemory, EpollWait, Epolled, RawEpollEvents,
};
pub use fixed::{ReadFixed, WriteFixed};
pub use fsync::{Fsync, Synced};
pub use futex::{
    FutexDone, FutexList, FutexWait, FutexWaitV, FutexWaiter, FutexWake, FutexWord, FutexWords,
    RawFutexWaiters, RawFutexWord,
};
pub use install::{Adopted, Adopts, FilesUpdate, InstallFd, Installed};
pub(crate) use into::opened_instead;
pub use into::{IntoAnyDirect, IntoDescriptor, IntoDirect, Opens};
pub use link::{LinkAt, SymlinkAt, Symlinked};
pub use message::{Messaged, RecvMsg, SendMsg};
pub use mkdir::{Made, MkdirAt};
pub use msg_ring::{DirectSent, MsgRing, MsgRingDone, Receives, RingAddress, SendDirect};
pub(crate) use multishot::Completes;
pub use multishot::{EndReason, Ended, Multishot};
pub use nop::{Nop, Nop128};
pub use nop_injected::NopInjected;
pub use open::{OpenAt, Opened};
pub use open2::{OpenAt2, OpenHow, Resolve};
pub use pipe::{Pipe, PipeEnds};
pub use poll::{Poll, PollEvents, PollMultishot, Polled};
pub use poll_change::{PollRemove, PollUpdate};
pub use protected::{Checks, Protected, ProtectedDone, ProtectionAttributes, Reads, Writes};
pub use provide_buffers::{
    AllProvided, AtHand, ProvideBuffers, Provides, RawBuffers, RemoveBuffers, UpTo,
};
pub use raw_entry::{RawEntry, RawEntry128};
pub use read::{Read, Transferred};
pub use read_selected::{ReadMultishot, ReadSelected, Selected};
pub use readv::ReadV;
pub use recv::Recv;
pub use recv_message::RecvMsgMultishot;
pub use recv_selected::{BundleGroup, ManyBuffers, OneBuffer, RecvMultishot, RecvSelected, Takes};
pub use recv_zc::{ReceiveQueue, ReceivedChunk, RecvZc};
pub use rename::{RenameAt, Renamed};
pub use reset_zones::{ResetZones, ZonesReset};
pub use send::Send;
pub use send_queued::{SendQueued, SendSource};
pub use send_vectored::SendVectored;
pub use send_zc::{SendMsgZc, SendMsgZcFixed, SendZc, SendZcFixed, ZeroCopied};
pub use socket::{Bind, Configured, Connect, Listen, Shutdown, Socket};
pub use socket_command::{GetSockName, SiocInq, SiocOutq};
pub use socket_option::{GetSockOpt, OptionValue, SetSockOpt, SocketOption, Told};
pub use splice::{Splice, Spliced, Tee};
pub use statx::{FileStatus, RawFileStatus, StatusMemory, Statx, StatxDone};
pub use sync_range::SyncFileRange;
pub use timeout::{
    Clock, Limited, LinkTimeout, RawTimespec, Time, TimeByValue, TimeLimit, TimeMemory, Timeout,
    TimeoutEnd, TimeoutMultishot, Timespec,
};
pub use timeout_change::{TimeoutRemove, TimeoutUpdate};
pub use transfer::RwFlags;
pub use tx_timestamp::{TxEvent, TxTimestamp, TxTimestamps};
pub use unlink::{UnlinkAt, Unlinked};
pub use wait_id::{
    AnyChild, Child, ChildEnd, ChildInfo, ChildStatus, OfGroup, OfPidFd, WaitId, Waited, WaitsFor,
};
pub use write::Write;
pub use writev::WriteV;
pub use xattr::{FGetXattr, FSetXattr, GetXattr, SetXattr, XattrDone};

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::resource::{BufferName, Target, TargetName};

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A request that a ring can carry out.
///
/// Sealed: the operations of [this module](crate::op) are all there are.
///
/// What a completion says is believed, so only the ring brings the two together:
///
/// ```compile_fail,E0133
/// use uring::op::{Nop, OpenAt, Operation};
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.push_raw(Nop::new(), 1)?;
/// ring.submit_and_wait(1)?;
/// let of_the_nop = ring.next_completion()?.unwrap();
/// let standard_input = OpenAt::new(c"/").complete(of_the_nop).result?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Safety
///
/// `prepare` stores only pointers to memory that stays valid and in place as long as the value stays where it is, or, for what the value
/// owns elsewhere, as long as the value lives. `admit` and `prepare` do not unwind.
pub unsafe trait Operation: Sized + sealed::Sealed {
    /// The result, with the resources beside it.
    type Output;

    #[doc(hidden)]
    const OPCODE: u8;

    /// Whether it takes a 128-byte entry.
    #[doc(hidden)]
    const LARGE: bool = false;

    /// How often it completes.
    #[doc(hidden)]
    const COMPLETES: Completes<Self> = Completes::Once;

    /// Refuses what does not belong to the ring with that number.
    #[doc(hidden)]
    fn admit(&self, ring: u64) -> Result<(), Hint> {
        let _ = ring;
        Ok(())
    }

    /// Fills the entry in.
    ///
    /// # Safety
    ///
    /// `*this` is at its final address: from now on only the kernel and `complete` touch it.
    #[doc(hidden)]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry);

    /// What goes into the second half of the entry, where it has one; otherwise that is zero.
    ///
    /// # Safety
    ///
    /// As for `prepare`, which was called before.
    #[doc(hidden)]
    unsafe fn second_half(this: *const Self) -> Option<[u8; 64]> {
        let _ = this;
        None
    }

    /// What its completion says if it succeeds, where that is one thing only, so that the completion may be left out.
    #[doc(hidden)]
    fn success(&self) -> Option<i32> {
        None
    }

    /// Makes the output from the last completion.
    ///
    /// # Safety
    ///
    /// The operation was carried out, and `completion` is the last of it: buffers are as full, and descriptors as open, as it says.
    #[doc(hidden)]
    unsafe fn complete(self, completion: Completion) -> Self::Output;
}

/// What a ring with handle `H` may keep: an operation, or a [chain](crate::Chain) of them.
///
/// A movable ring takes what it keeps with it to another thread, so there it must be `Send`; a [bound](crate::Bound) ring
/// keeps anything.
pub trait KeptBy<H: crate::Handle> {}

impl<T: std::marker::Send> KeptBy<crate::Fd> for T {}
impl<T, H: crate::Bound> KeptBy<H> for T {}

/// An operation that owns nothing, for [`Ring::push_raw`](crate::Ring::push_raw).
///
/// # Safety
///
/// Every resource in it is [`Untracked`](crate::Untracked), and no pointer leads into the value itself.
pub unsafe trait RawOperation: Operation {}

/// A completion's result as a count.
fn count(completion: Completion) -> io::Result<usize> {
    completion
        .result()
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A completion's result where only success and failure matter.
fn done(completion: Completion) -> io::Result<()> {
    completion.result().map(drop)
}

/// Refuses a target that belongs to another ring.
fn admit_target(target: &impl Target, ring: u64) -> Result<(), Hint> {
    admit_name(target.target(), ring)
}

fn admit_name(target: TargetName, ring: u64) -> Result<(), Hint> {
    if target.belongs_to(ring) {
        Ok(())
    } else {
        Err(Hint::WrongRing)
    }
}

/// Refuses a registered buffer that belongs to another ring.
fn admit_buffer(buffer: BufferName, ring: u64) -> Result<(), Hint> {
    if buffer.belongs_to(ring) {
        Ok(())
    } else {
        Err(Hint::WrongRing)
    }
}

/// Refuses a directory that is not a descriptor: the kernel has no other way to name one.
fn admit_directory(directory: &impl Target) -> Result<(), Hint> {
    if directory.target().is_direct() {
        Err(Hint::NeedsDescriptor)
    } else {
        Ok(())
    }
}

/// A length that fits an entry: what is longer is transferred in part, as `read(2)` does.
fn entry_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX).min(MAX_TRANSFER)
}

/// The most that Linux transfers in one call (`MAX_RW_COUNT`): 2 GiB less a page.
const MAX_TRANSFER: u32 = 0x7fff_f000;
