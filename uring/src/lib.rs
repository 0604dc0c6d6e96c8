//! Safe io_uring without file descriptors.
//!
//! A [`Ring`] takes [operations](op) and gives their results. How the kernel is told which ring is meant is the ring's *handle*: a
//! descriptor ([`Fd`]), an index in the calling thread's own table ([`Fdless`]), or both ([`Registered`]). A library inside somebody
//! else's process wants the index: it shows up nowhere, and nothing that the host does to its descriptors touches it.
//!
//! ```
//! use uring::Ring;
//! use uring::op::Read;
//!
//! // The least visible ring that this kernel has, for this thread.
//! let mut ring = Ring::best(8)?;
//! let version = std::fs::File::open("/proc/version")?;
//! let done = ring.call(Read::new(&version, Vec::with_capacity(4096)))?;
//! println!("{} bytes through a {}", done.result?, ring.handle_kind());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! | for | there is |
//! |---|---|
//! | a library that is called from any thread | [`PerThread`] |
//! | a ring, as good as the kernel has it | [`Ring::best`] |
//! | a ring without a descriptor, or an error | [`Ring::fdless`] |
//! | a ring that moves between threads | [`Ring::new`], or [`DisabledRing`] for one that moves once |
//! | anything else about a ring | [`Builder`] |
//! | files without descriptors | [`Ring::register_direct`], [`op::OpenAt::into_direct`] |
//! | what the kernel has | [`Capabilities`], [`Query`], [`Ring::probe`] |
//! | what a function of liburing is called here | [the guide](guide::liburing) |
//!
//! # Four ways to run an operation
//!
//! - *Owned*: [`Ring::push`] gives a [`Token`], [`Ring::wait`] or [`Ring::take`] redeem it. The ring owns what the operation works
//!   on until its last completion. [`Ring::call`] does both at once.
//! - *Scoped*: within [`Ring::scope`] operations may work on borrowed memory; nothing of them is in flight afterwards.
//! - *Raw*: [`Ring::push_raw`] takes operations that own nothing, told by a number of the caller's. It costs least, and the
//!   promises are made, `unsafe`, where the raw resources are ([`RawBuf::new`], [`RawTarget::descriptor`], …). [Chains](Ring::push_raw_chain) may be
//!   raw as well.
//! - *Awaited*: [`Local`] makes futures of operations and streams of those that complete many times; the [guide](guide::awaited) says who
//!   turns the ring.
//!
//! # What is promised
//!
//! Safe code cannot make the kernel write to memory that is not the operation's any more, drive another thread's ring, or close
//! somebody else's descriptor: not by dropping, forgetting, forking, panicking or moving anything. Where a ring has been destroyed
//! from outside with operations in flight, their memory is leaked rather than freed, and [`leaked_operations`] counts it.
//!
//! Results of operations are [`std::io::Result`]s with the resources beside them; everything else fails with [`Error`], which
//! tells what was tried, what the kernel answered and the evidence for the cause.

pub mod net;
pub mod op;

mod batch;
mod buffers;
mod builder;
mod capabilities;
mod chain;
mod closes_direct;
mod completion;
#[cfg(any(uring_coverage, test))]
mod coverage;
mod direct;
mod disabled;
mod engine;
mod entry;
mod error;
mod eventfd;
mod events;
mod evidence;
mod filter;
mod flags;
mod fork;
mod handle;
mod id;
mod interface;
mod local;
mod memory;
mod names;
mod napi;
mod per_thread;
mod personality;
mod probe;
mod push;
mod query;
mod queue;
mod resize;
mod resource;
mod restrictions;
mod ring;
mod scope;
mod setup;
mod syscall;
mod time;
mod token;
mod tokens;
mod transition;
mod waiting;
mod workers;

pub use self::batch::Batch;
pub use self::buffers::{
    BufferGroup, BufferLease, BufferRing, Bundle, ProvidedBuffers, RawBufferGroup, SelectedBuffer,
    SendQueue, Unsent,
};
pub use self::builder::{Builder, Polling, SubmissionThread, TaskWork};
pub use self::capabilities::Capabilities;
pub use self::chain::{Chain, First, LastMember, Links, RawLinks, Then, Timed};
pub use self::completion::Completion;
#[cfg(any(uring_coverage, test))]
#[doc(hidden)]
pub use self::coverage::coverage;
pub use self::direct::{AnyDirectSlot, Direct, DirectPair, DirectSlot, RawDirectSlot};
pub use self::disabled::DisabledRing;
pub use self::engine::leaked_operations;
pub use self::entry::EntrySize;
pub use self::error::{Call, Error, Evidence, Hint};
pub use self::events::{EventKey, EventQueue, Source, SourceOf};
pub use self::filter::{Field, Filter};
pub use self::flags::{CompletionFlags, EntryFlags, Features, SetupFlags};
pub use self::handle::{Any, Bound, Fd, Fdless, Handle, HandleKind, Registered};
pub use self::interface::{
    AnyInterfaceQueue, DmaBufQueue, InterfaceEvent, InterfaceQueue, InterfaceQueueOptions,
    InterfaceStatistics, ReceivedBytes, ReceivedRange,
};
pub use self::local::{
    Driver, JoinHandle, Local, OpStream, Pushed, SubmitError, Submitted, WakeUp,
};
pub use self::names::{opcode_name, register_opcode_name};
pub use self::napi::{Napi, NapiTracking};
pub use self::per_thread::PerThread;
pub use self::personality::Personality;
pub use self::probe::Probe;
pub use self::push::Push;
pub use self::query::{Query, QueueHeader, ZeroCopyEvents, ZeroCopyReceive};
pub use self::queue::CompletionSize;
pub use self::resource::{
    Buf, BufMut, BufferMemory, BufferName, Cwd, Fixed, FixedMemory, FixedMut, FixedVecs, HugePages,
    Inside, IoVecs, MemoryFor, Path, RawBuf, RawIoVecs, RawMemory, RawPath, RawRegisteredBuf,
    RawTarget, RegisteredBuf, Slice, Target, TargetName, UnregisteredBuf, Untracked, Vectored,
    VectoredMut,
};
pub use self::restrictions::Restrictions;
pub use self::ring::Ring;
pub use self::scope::Scope;
pub use self::setup::Setup;
pub use self::time::WaitClock;
pub use self::token::{PushError, Refused, Token, WaitError};
pub use self::tokens::Tokens;
pub use self::transition::TransitionError;
pub use self::waiting::{SignalMask, WaitOptions};
pub use self::workers::{CpuSet, WorkerLimits};

/// Guides, each about one task.
pub mod guide {
    #[doc = include_str!("../docs/awaited.md")]
    pub mod awaited {}
    #[doc = include_str!("../docs/host.md")]
    pub mod host {}
    #[doc = include_str!("../docs/kernels.md")]
    pub mod kernels {}
    #[doc = include_str!("../docs/liburing.md")]
    pub mod liburing {}
}

/// The program of the README, so that it is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
