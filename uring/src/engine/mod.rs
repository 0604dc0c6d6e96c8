//! The one ring behind all handles: queues, operations in flight, and the calls that drive them.
//!
//! [`Core`] knows the ring by its [`Name`] only. What that name rests on, a descriptor or a slot of the thread's table, is in
//! the handle; the types around it see to it that a `Core` named by index stays on its thread.

mod awaited;
mod behind_drain;
mod buffers;
mod cancel;
mod claim;
mod drain;
mod enter;
mod items;
mod place;
mod quiet;
mod reap;
mod register;
mod registered_waits;
mod slots;
mod storage;
mod terms;
mod waits;
mod wakers;

pub(crate) use awaited::Landed;
pub(crate) use behind_drain::{notifies, repeats};
pub use drain::leaked_operations;
pub(crate) use terms::{Deadline, Terms, Wait};

pub(crate) use register::{release_slot, size, unregister_slot};
pub(crate) use slots::{Place, Remains, Vacant};

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;

use crate::buffers::Buffers;
use crate::completion::Completion;
#[cfg(uring_coverage)]
use crate::coverage::{InFlight, Reached};
use crate::direct::DirectTable;
use crate::error::{Call, Error, Hint};
use crate::fork::Process;
use crate::handle::Descriptor;
#[cfg(uring_coverage)]
use crate::handle::HandleKind;
use crate::memory::Mapping;
use crate::personality::Personalities;
use crate::queue::{CompletionQueue, SubmissionQueue};
use crate::resource::BufferTable;
use crate::restrictions::Restrictions;
use crate::setup::Setup;
use crate::syscall::Name;
use crate::time::WaitClock;
use registered_waits::RegisteredWaits;
use slots::Slots;
use wakers::Wakers;

/// A ring, whatever its handle.
pub struct Core {
    sq: SubmissionQueue,
    cq: CompletionQueue,
    /// Leaked instead of freed when the kernel may still write to what is in them.
    slots: ManuallyDrop<Slots>,
    /// Completions of raw operations that arrived while somebody waited for something else.
    backlog: VecDeque<Completion>,
    name: Name,
    process: Process,
    setup: Setup,
    id: u64,
    direct: Option<DirectTable>,
    /// Chains in the queue whose completions are left out.
    quiet: Vec<quiet::Span>,
    /// Cancellations of the library's own whose completions have not been seen.
    answers_due: u32,
    registered: Option<BufferTable>,
    buffers: Buffers,
    personalities: Personalities,
    restrictions: Option<Box<Restrictions>>,
    /// Submitting may be more than a call: there is something to be looked at before or after it (see [`tend`](Core::tend)). It stays so.
    tends: bool,
    /// There was a drain, and the kernel may still hold entries back for it.
    drained: bool,
    /// There was a zero-copy send.
    notified: bool,
    /// There was a raw multishot operation.
    repeated_raw: bool,
    /// Where among the operations a drain was pushed behind a multishot one that may keep it from ever starting. Zero if there is no such drain.
    doubtful: u64,
    /// A cancellation was refused, so waiting for the cancelled may take for ever.
    cancel_refused: bool,
    /// Destructors wait until the drain is over: one that unwinds out of it would leave operations in flight.
    draining: bool,
    /// Destructors wait until whoever shares the ring has let go of it: see `awaited`.
    shared: bool,
    /// What was cancelled because nobody awaits it any more, and may not have been found.
    abandoned: Vec<Place>,
    wakers: Wakers,
    /// What the ring was made with, and may still go by; looked at before calls that would change another's ring.
    descriptor: Option<Descriptor>,
    /// By which limits of waits are counted.
    clock: WaitClock,
    /// What goes with each call that waits.
    wait_flags: u32,
    waits: Option<RegisteredWaits>,
    /// The slot of the thread's table to give back at the end.
    index: Option<u8>,
    #[cfg(uring_coverage)]
    flying: InFlight,
    /// Unmapped last.
    memory: Vec<Mapping>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// SAFETY: the queues and slots are memory that this value alone uses; nothing in it is tied to a thread. A name by index is, and the
// handle that goes with it is `!Send`; so is what bound rings keep.
unsafe impl Send for Core {}

/// What a new ring is made of.
pub(crate) struct Parts {
    pub(crate) sq: SubmissionQueue,
    pub(crate) cq: CompletionQueue,
    pub(crate) memory: Vec<Mapping>,
    pub(crate) process: Process,
    pub(crate) setup: Setup,
}

impl Core {
    /// A ring that is reached by `name`, with room for `slots` operations in flight.
    pub(crate) fn new(parts: Parts, slots: u32, name: Name, index: Option<u8>) -> Box<Core> {
        Box::new(Core {
            tends: !parts.sq.is_entered(),
            sq: parts.sq,
            cq: parts.cq,
            slots: ManuallyDrop::new(Slots::new(slots)),
            backlog: VecDeque::new(),
            name,
            process: parts.process,
            setup: parts.setup,
            id: crate::id::next(),
            direct: None,
            quiet: Vec::new(),
            answers_due: 0,
            registered: None,
            buffers: Buffers::new(),
            personalities: Personalities::default(),
            restrictions: None,
            drained: false,
            notified: false,
            repeated_raw: false,
            doubtful: 0,
            cancel_refused: false,
            draining: false,
            shared: false,
            abandoned: Vec::new(),
            wakers: Wakers::default(),
            descriptor: None,
            clock: WaitClock::Monotonic,
            wait_flags: uring_sys::IORING_ENTER_GETEVENTS,
            waits: None,
            index,
            #[cfg(uring_coverage)]
            flying: InFlight::new(),
            memory: parts.memory,
        })
    }

    /// The same ring, with new queues. Nothing is in the old ones.
    pub(crate) fn move_to(&mut self, parts: Parts) {
        self.tends |= !parts.sq.is_entered();
        self.sq = parts.sq;
        self.cq = parts.cq;
        self.setup = parts.setup;
        self.memory = parts.memory;
    }

    /// The kernel has other queues by now: from here on every call says that they are lost.
    pub(crate) fn give_queues_up(&mut self) {
        self.sq.give_up();
    }

    pub(crate) fn descriptor(&self) -> Option<Descriptor> {
        self.descriptor
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// The descriptor that the ring has from the beginning.
    pub(crate) fn set_descriptor(&mut self, descriptor: Descriptor) {
        self.descriptor = Some(descriptor);
    }

    /// Another way to reach the same ring, after a transition.
    pub(crate) fn rename(&mut self, name: Name, index: Option<u8>) {
        self.name = name;
        self.index = index;
    }

    #[cfg(uring_coverage)]
    pub(crate) fn reached_by(&self, kind: HandleKind) -> Reached {
        Reached::of(kind, self.descriptor.is_some())
    }

    /// Whether an operation is in flight or a result unclaimed.
    pub(crate) fn keeps_something(&self) -> bool {
        !self.slots.is_empty()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.slots.flying(0)
    }

    pub(crate) fn slot_capacity(&self) -> u32 {
        self.slots.capacity()
    }

    pub(crate) fn pending(&self) -> u32 {
        if self.process.is_current() {
            self.sq.unsubmitted()
        } else {
            self.sq.pending()
        }
    }

    pub(crate) fn dropped_completions(&self) -> u32 {
        // The queues of a forked child's copy may not be mapped there.
        if self.process.is_current() {
            self.cq.dropped()
        } else {
            0
        }
    }

    /// How many the kernel has to be waited for until there are `completions`, counting those that were put aside, and not counting what
    /// nobody gets to see.
    #[inline]
    pub(crate) fn still_to_come(&self, completions: u32) -> u32 {
        if self.backlog.is_empty() && self.answers_due == 0 {
            completions
        } else {
            self.still_to_come_besides(completions)
        }
    }

    #[cold]
    fn still_to_come_besides(&self, completions: u32) -> u32 {
        let put_aside = u32::try_from(self.backlog.len()).unwrap_or(u32::MAX);
        match completions.saturating_sub(put_aside) {
            0 => 0,
            missing => missing.saturating_add(self.answers_due),
        }
    }

    /// Refuses to lend memory to operations whose completions could not be seen (H33).
    #[inline]
    pub(crate) fn check_memory(&self, call: Call) -> Result<(), Error> {
        self.check_process(call)?;
        if self.sq.memory_is_intact() {
            Ok(())
        } else {
            Err(Error::refused(call, Hint::RingMemoryLost))
        }
    }

    /// Refuses to work on a copy that came through `fork`.
    #[inline]
    pub(crate) fn check_process(&self, call: Call) -> Result<(), Error> {
        if self.process.is_current() {
            Ok(())
        } else {
            Err(Error::refused(call, Hint::Forked))
        }
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(crate) fn buffers_mut(&mut self) -> &mut Buffers {
        self.tends = true;
        &mut self.buffers
    }

    pub(crate) fn completion_queue(&self) -> &CompletionQueue {
        &self.cq
    }

    pub(crate) fn restrictions(&self) -> Option<&Restrictions> {
        self.restrictions.as_deref()
    }

    pub(crate) fn set_restrictions(&mut self, restrictions: Restrictions) {
        self.restrictions = Some(Box::new(restrictions));
    }

    pub(crate) fn personalities(&self) -> &Personalities {
        &self.personalities
    }

    pub(crate) fn personalities_mut(&mut self) -> &mut Personalities {
        self.tends = true;
        &mut self.personalities
    }

    pub(crate) fn direct(&self) -> Option<&DirectTable> {
        self.direct.as_ref()
    }

    pub(crate) fn direct_mut(&mut self) -> Option<&mut DirectTable> {
        self.direct.as_mut()
    }

    pub(crate) fn set_direct(&mut self, table: Option<DirectTable>) {
        self.tends = true;
        self.direct = table;
    }
}
