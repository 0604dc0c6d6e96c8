//! Results in the order in which they come, for event loops.

use std::fmt;
use std::mem::transmute;

use crate::engine::{Core, Place};
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::op::{KeptBy, Multishot, Operation, sealed};
use crate::push::Push;
use crate::ring::Ring;
use crate::scope::Scope;
use crate::token::{PushError, Refused};

/// Results of a ring's operations in the order in which they come, each with what the program has to say about it.
///
/// An operation is pushed with a tag, the program's own state for it, and a function that makes an event of tag and result, mostly a
/// variant of an enum. [`next`](EventQueue::next) gives the events. So a result cannot be mistaken for another's, and nothing is looked
/// up: tags lie by the slots of the operations. Nothing is allocated for an event, once as many have been in flight as ever will be.
///
/// ```
/// use std::io;
/// use uring::EventQueue;
/// use uring::op::{Nop, Read, Transferred};
///
/// enum Event {
///     Read(&'static str, Transferred<std::fs::File, Vec<u8>>),
///     Nothing(&'static str, io::Result<()>),
/// }
///
/// # let mut ring = uring::Ring::best(8)?;
/// let mut events = EventQueue::new();
/// for path in ["/proc/version", "/proc/uptime"] {
///     let read = Read::new(std::fs::File::open(path)?, Vec::with_capacity(100));
///     events.push(&mut ring, read, path, Event::Read)?;
/// }
/// events.push(&mut ring, Nop::new(), "", Event::Nothing)?;
/// while let Some(event) = events.next(&mut ring)? {
///     match event {
///         Event::Read(path, done) => println!("{path}: {} bytes", done.result?),
///         Event::Nothing(_, result) => result?,
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Several queues may share a ring, and a queue belongs to the ring that it was used with first. One that is dropped gives nothing up:
/// the slots of its operations stay taken until the ring ends, as with tokens that are dropped.
///
/// In a [scope](Ring::scope) operations on borrowed memory are pushed with the scope in the ring's place. Those that give no event before the scope ends
/// give none any more, and their tags are dropped:
///
/// ```
/// use uring::EventQueue;
/// use uring::op::{Read, Transferred};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let (mut first, mut second) = ([0; 5], [0; 7]);
/// ring.scope(|scope| -> std::io::Result<()> {
///     let mut events = EventQueue::new();
///     let event = |(), done: Transferred<_, _>| done.result;
///     events.push(scope, Read::new(&file, &mut first[..]).at(0), (), event)?;
///     events.push(scope, Read::new(&file, &mut second[..]).at(6), (), event)?;
///     while let Some(read) = events.next(scope)? {
///         assert!(read? > 0);
///     }
///     Ok(())
/// })?;
/// assert_eq!((&first, &second), (b"Linux", b"version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is borrowed cannot come out of the queue when its scope is over:
///
/// ```compile_fail,E0373
/// use uring::EventQueue;
/// use uring::op::Read;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let mut events = EventQueue::new();
/// ring.scope(|scope| {
///     let mut buf = [0; 5];
///     events.push(scope, Read::new(&file, &mut buf[..]), (), |(), done| done.buf).unwrap();
/// });
/// let after = events.next(&mut ring)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct EventQueue<T, E> {
    /// By slot.
    waiting: Vec<Option<Waiting<T, E>>>,
    in_flight: usize,
    ring: Option<u64>,
    /// Something was pushed in a scope, which may have ended without its event.
    was_scoped: bool,
}

/// What an [`EventQueue`] gives the events of: a [`Ring`], or a [`Scope`] of one. Sealed.
pub trait Source: sealed::Sealed {
    #[doc(hidden)]
    fn core_and_depth(&mut self) -> (&mut Core, u16);
}

/// A [`Source`] that keeps such an operation: a ring one that owns what it works on, a scope one that outlives the scope.
pub trait SourceOf<O>: Source {}

impl<H: Handle> sealed::Sealed for Ring<H> {}

impl<H: Handle> Source for Ring<H> {
    fn core_and_depth(&mut self) -> (&mut Core, u16) {
        (self.core_mut(), 0)
    }
}

impl<H: Handle, O: Operation + KeptBy<H> + 'static> SourceOf<O> for Ring<H> {}

impl sealed::Sealed for Scope<'_, '_> {}

impl Source for Scope<'_, '_> {
    fn core_and_depth(&mut self) -> (&mut Core, u16) {
        let depth = self.depth();
        (self.core_mut(), depth)
    }
}

impl<'scope, O: Operation + 'scope> SourceOf<O> for Scope<'scope, '_> {}

/// Names an operation that was pushed to an [`EventQueue`], to [cancel](EventQueue::cancel) it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventKey(Place);

/// What is to be done when an operation goes on.
struct Waiting<T, E> {
    place: Place,
    tag: T,
    item: Option<Step<Item<T, E>>>,
    last: Step<Last<T, E>>,
}

/// A function of the user's with the type of its operation forgotten, and one that remembers it.
struct Step<F> {
    map: Map,
    redeem: F,
}

type Map = fn();
/// Whatever is passed on is what the step was made with.
type Item<T, E> = unsafe fn(&mut Core, Place, &T, Map) -> Option<E>;
type Last<T, E> = unsafe fn(&mut Core, Place, T, Map) -> Result<E, T>;

fn last_step<O: Operation, T, E>(map: fn(T, O::Output) -> E) -> Step<Last<T, E>> {
    unsafe fn redeem<O: Operation, T, E>(
        core: &mut Core,
        place: Place,
        tag: T,
        map: Map,
    ) -> Result<E, T> {
        // SAFETY: the place and the function are those of a step that was made for an `O`.
        let (output, map) = unsafe {
            (
                core.claim::<O>(place),
                transmute::<Map, fn(T, O::Output) -> E>(map),
            )
        };
        match output {
            Some(output) => Ok(map(tag, output)),
            None => Err(tag),
        }
    }
    Step {
        // SAFETY: it is turned back before it is called.
        map: unsafe { transmute::<fn(T, O::Output) -> E, Map>(map) },
        redeem: redeem::<O, T, E>,
    }
}

fn item_step<O: Multishot, T: Clone, E>(map: fn(T, O::Item) -> E) -> Step<Item<T, E>> {
    unsafe fn redeem<O: Multishot, T: Clone, E>(
        core: &mut Core,
        place: Place,
        tag: &T,
        map: Map,
    ) -> Option<E> {
        let item = core.next_item::<O>(place)?;
        // SAFETY: the function is that of a step that was made for an `O`.
        let map = unsafe { transmute::<Map, fn(T, O::Item) -> E>(map) };
        Some(map(tag.clone(), item))
    }
    Step {
        // SAFETY: it is turned back before it is called.
        map: unsafe { transmute::<fn(T, O::Item) -> E, Map>(map) },
        redeem: redeem::<O, T, E>,
    }
}

impl<T, E> EventQueue<T, E> {
    /// A queue of events for which nothing was pushed yet.
    pub const fn new() -> EventQueue<T, E> {
        EventQueue {
            waiting: Vec::new(),
            in_flight: 0,
            ring: None,
            was_scoped: false,
        }
    }

    /// Pushes an operation whose result `event` makes an event of.
    ///
    /// # Errors
    ///
    /// See [`Ring::push`], and: the queue belongs to another ring ([`is_wrong_ring`](Error::is_wrong_ring)). Operation and tag are given
    /// back.
    #[doc(alias = "io_uring_sqe_set_data")]
    pub fn push<O, S>(
        &mut self,
        ring: &mut S,
        op: O,
        tag: T,
        event: fn(T, O::Output) -> E,
    ) -> Result<EventKey, PushError<(O, T)>>
    where
        O: Operation,
        S: SourceOf<O>,
    {
        self.push_with(ring, op, tag, event, Push::new())
    }

    /// Pushes an operation with options.
    ///
    /// # Errors
    ///
    /// See [`push`](EventQueue::push).
    pub fn push_with<O, S>(
        &mut self,
        ring: &mut S,
        op: O,
        tag: T,
        event: fn(T, O::Output) -> E,
        push: Push,
    ) -> Result<EventKey, PushError<(O, T)>>
    where
        O: Operation,
        S: SourceOf<O>,
    {
        self.push_step(ring, op, tag, None, event, push)
    }

    /// Pushes a multishot operation, of each of whose items `item` makes an event, and of its end `ended`.
    ///
    /// # Errors
    ///
    /// See [`push`](EventQueue::push).
    pub fn push_multishot<O, S>(
        &mut self,
        ring: &mut S,
        op: O,
        tag: T,
        item: fn(T, O::Item) -> E,
        ended: fn(T, O::Output) -> E,
    ) -> Result<EventKey, PushError<(O, T)>>
    where
        O: Multishot,
        S: SourceOf<O>,
        T: Clone,
    {
        let item = item_step::<O, T, E>(item);
        self.push_step(ring, op, tag, Some(item), ended, Push::new())
    }

    fn push_step<O: Operation>(
        &mut self,
        source: &mut impl SourceOf<O>,
        op: O,
        tag: T,
        item: Option<Step<Item<T, E>>>,
        event: fn(T, O::Output) -> E,
        push: Push,
    ) -> Result<EventKey, PushError<(O, T)>> {
        let (core, depth) = source.core_and_depth();
        if let Err(error) = self.check_ring(core) {
            return Err(Refused::new((op, tag), error));
        }
        let place = match core.push(op, push, depth, true) {
            Ok(token) => token.place(),
            Err(refused) => {
                let (op, error) = refused.into_parts();
                return Err(Refused::new((op, tag), error));
            }
        };
        core.announce(place);
        self.ring = Some(core.id());
        self.was_scoped |= depth > 0;
        self.wait_at(Waiting {
            place,
            tag,
            item,
            last: last_step::<O, T, E>(event),
        });
        Ok(EventKey(place))
    }

    fn wait_at(&mut self, waiting: Waiting<T, E>) {
        let slot = waiting.place.slot();
        if self.waiting.len() <= slot {
            self.waiting.resize_with(slot + 1, || None);
        }
        // What was there before has ended with its scope.
        if self.waiting[slot].replace(waiting).is_none() {
            self.in_flight += 1;
        }
    }

    /// Forgets what has ended with its scope.
    fn forget_ended(&mut self, core: &Core) {
        if !self.was_scoped {
            return;
        }
        for at in &mut self.waiting {
            if at.as_ref().is_some_and(|at| !core.knows(at.place)) {
                self.in_flight -= 1;
                *at = None;
            }
        }
    }

    fn check_ring(&self, core: &Core) -> Result<(), Error> {
        match self.ring {
            Some(ring) if ring != core.id() => Err(Error::refused(Call::Claim, Hint::WrongRing)),
            _ => Ok(()),
        }
    }

    fn owns(&self, place: Place) -> bool {
        let waiting = self.waiting.get(place.slot());
        waiting.is_some_and(|at| at.as_ref().is_some_and(|at| at.place == place))
    }

    /// The next event, submitting what is in the ring's queue and waiting. None if nothing of this queue is in flight.
    ///
    /// Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// See [`Ring::wait`].
    pub fn next(&mut self, ring: &mut impl Source) -> Result<Option<E>, Error> {
        let (core, _) = ring.core_and_depth();
        self.check_ring(core)?;
        core.check_process(Call::Claim)?;
        self.forget_ended(core);
        while self.in_flight > 0 {
            if let Some(event) = self.take_event(core) {
                return Ok(Some(event));
            }
            core.wait_until(|core| core.has_announced(|place| self.owns(place)))?;
        }
        Ok(None)
    }

    /// The next event that has come. The kernel is entered only if completions wait in it.
    ///
    /// # Errors
    ///
    /// See [`Ring::submit`].
    pub fn try_next(&mut self, ring: &mut impl Source) -> Result<Option<E>, Error> {
        let (core, _) = ring.core_and_depth();
        self.check_ring(core)?;
        core.check_process(Call::Claim)?;
        self.forget_ended(core);
        if let Some(event) = self.take_event(core) {
            return Ok(Some(event));
        }
        core.collect()?;
        Ok(self.take_event(core))
    }

    fn take_event(&mut self, core: &mut Core) -> Option<E> {
        while let Some(place) = core.take_announced(|place| self.owns(place)) {
            let at = self.waiting.get_mut(place.slot())?;
            let waiting = at.as_ref()?;
            if let Some(item) = &waiting.item {
                // SAFETY: the step was made for the operation at that place.
                let event = unsafe { (item.redeem)(core, place, &waiting.tag, item.map) };
                if event.is_some() {
                    core.announce_again(place);
                    return event;
                }
            }
            if core.has_landed(place) {
                let Waiting { tag, last, .. } = at.take()?;
                self.in_flight -= 1;
                // SAFETY: as above.
                return unsafe { (last.redeem)(core, place, tag, last.map) }.ok();
            }
        }
        None
    }

    /// Asks for an operation to be cancelled. Its event says what became of it.
    ///
    /// # Errors
    ///
    /// See [`Ring::cancel`].
    pub fn cancel(&mut self, ring: &mut impl Source, key: EventKey) -> Result<(), Error> {
        let (core, _) = ring.core_and_depth();
        self.check_ring(core)?;
        core.cancel(key.0)
    }

    /// How many operations of this queue have not given their last event. Those that have ended with their scope count until
    /// [`next`](EventQueue::next).
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl<T, E> Default for EventQueue<T, E> {
    fn default() -> Self {
        EventQueue::new()
    }
}

impl<T, E> fmt::Debug for EventQueue<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventKey").finish_non_exhaustive()
    }
}
