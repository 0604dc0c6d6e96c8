//! Working on an epoll instance.

use std::fmt;
use std::io;
use std::ptr::NonNull;

use crate::completion::Completion;
use crate::entry::{Entry, bits};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, admit_target, count, done, sealed};
use crate::resource::{Inside, MemoryFor, RawMemory, Target, Untracked};

bitflags::bitflags! {
    /// What an epoll instance waits for, and what has come.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct EpollEvents: u32 {
        /// There is something to read.
        #[doc(alias = "EPOLLIN")]
        const IN = 0x1;
        /// There is something urgent.
        #[doc(alias = "EPOLLPRI")]
        const PRI = 0x2;
        /// It can be written to.
        #[doc(alias = "EPOLLOUT")]
        const OUT = 0x4;
        /// There is an error.
        #[doc(alias = "EPOLLERR")]
        const ERR = 0x8;
        /// The other end is closed.
        #[doc(alias = "EPOLLHUP")]
        const HUP = 0x10;
        /// The other end writes no more.
        #[doc(alias = "EPOLLRDHUP")]
        const RDHUP = 0x2000;
        /// Tells only one instance of several.
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = 1 << 28;
        /// Tells once.
        #[doc(alias = "EPOLLONESHOT")]
        const ONESHOT = 1 << 30;
        /// Tells when something new comes, not as long as it lasts.
        #[doc(alias = "EPOLLET")]
        const EDGE = 1 << 31;
        // The kernel has more of them.
        const _ = !0;
    }
}

/// What has come on a file of an epoll instance.
#[derive(Clone, Copy)]
#[doc(alias = "epoll_event")]
#[repr(transparent)]
pub struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    /// Those events, on the file that was added with that number.
    #[must_use]
    pub const fn new(events: EpollEvents, number: u64) -> EpollEvent {
        EpollEvent(libc::epoll_event {
            events: events.bits(),
            u64: number,
        })
    }

    /// What has come.
    #[must_use]
    pub const fn events(&self) -> EpollEvents {
        EpollEvents::from_bits_retain(self.0.events)
    }

    /// The number that the file was added with.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.0.u64
    }
}

impl Default for EpollEvent {
    fn default() -> EpollEvent {
        EpollEvent::new(EpollEvents::empty(), 0)
    }
}

impl fmt::Debug for EpollEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpollEvent")
            .field("events", &self.events())
            .field("number", &self.number())
            .finish()
    }
}

/// Adds a file to an epoll instance, changes what is waited for on it, or takes it out.
///
/// Both are descriptors: the kernel has no other way to name them.
///
/// Since Linux 5.6.
///
/// Source: `io_uring_prep_epoll_ctl(3)`, `epoll_ctl(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_epoll_ctl")]
#[doc(alias = "IORING_OP_EPOLL_CTL")]
#[must_use]
pub struct EpollCtl<E, T, M = Inside<EpollEvent>> {
    epoll: E,
    target: T,
    what: i32,
    event: M,
}

impl<E: Target, T: Target> EpollCtl<E, T> {
    /// Adds a file, whose events come with that number.
    #[doc(alias = "EPOLL_CTL_ADD")]
    pub const fn add(epoll: E, target: T, events: EpollEvents, number: u64) -> EpollCtl<E, T> {
        EpollCtl {
            epoll,
            target,
            what: libc::EPOLL_CTL_ADD,
            event: Inside::new(EpollEvent::new(events, number)),
        }
    }

    /// Changes what is waited for.
    #[doc(alias = "EPOLL_CTL_MOD")]
    pub fn modify(epoll: E, target: T, events: EpollEvents, number: u64) -> EpollCtl<E, T> {
        let mut modify = EpollCtl::add(epoll, target, events, number);
        modify.what = libc::EPOLL_CTL_MOD;
        modify
    }

    /// Takes the file out.
    #[doc(alias = "EPOLL_CTL_DEL")]
    pub fn remove(epoll: E, target: T) -> EpollCtl<E, T> {
        let mut remove = EpollCtl::add(epoll, target, EpollEvents::empty(), 0);
        remove.what = libc::EPOLL_CTL_DEL;
        remove
    }
}

impl<E, T, M: MemoryFor<EpollEvent>> EpollCtl<E, T, M> {
    /// Has the kernel read there what it waits for.
    pub fn event_into(
        mut self,
        memory: RawMemory<EpollEvent>,
    ) -> EpollCtl<E, T, RawMemory<EpollEvent>> {
        EpollCtl {
            event: memory.holding(self.event.get()),
            epoll: self.epoll,
            target: self.target,
            what: self.what,
        }
    }
}

/// What an epoll operation gives back.
#[derive(Debug)]
#[must_use]
pub struct Epolled<V, E, T> {
    /// What came of it.
    pub result: io::Result<V>,
    /// The epoll instance.
    pub epoll: E,
    /// The file, or the memory for events.
    pub with: T,
}

impl<E, T, M> sealed::Sealed for EpollCtl<E, T, M> {}

// SAFETY: the event is inside the value, which stays where it is, or where `RawMemory::new` was promised.
unsafe impl<E: Target, T: Target, M: MemoryFor<EpollEvent>> Operation for EpollCtl<E, T, M> {
    type Output = Epolled<(), E, T>;
    const OPCODE: u8 = uring_sys::IORING_OP_EPOLL_CTL;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        admit_directory(&self.epoll)?;
        admit_directory(&self.target)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            entry.set_fd((*this).epoll.target().number());
            let file = (*this).target.target().number();
            entry.set_off(u64::from(bits(file)));
            entry.set_len((*this).what.unsigned_abs());
            entry.set_pointer((*this).event.as_mut_ptr().cast_const());
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Epolled {
            result: done(completion),
            epoll: self.epoll,
            with: self.target,
        }
    }
}

// SAFETY: both files are untracked, and the event is elsewhere.
unsafe impl<E, T> RawOperation for EpollCtl<E, T, RawMemory<EpollEvent>>
where
    E: Target + Untracked,
    T: Target + Untracked,
{
}

/// Memory for the events of an epoll instance.
///
/// Implemented for `Vec<EpollEvent>`, filled from its beginning up to its capacity, for `&mut [EpollEvent]`, and for [`RawEpollEvents`].
///
/// # Safety
///
/// As long as the value lives, the `capacity` events at `as_mut_ptr` are writable, used by nobody else, and stay where they are
/// even when the value itself is moved. No method panics or calls into this library.
pub unsafe trait EpollMemory {
    /// The address of the first.
    fn as_mut_ptr(&mut self) -> *mut EpollEvent;
    /// How many there may be.
    fn capacity(&self) -> usize;
    /// Notes that the first `filled` have been written.
    ///
    /// # Safety
    ///
    /// They have.
    unsafe fn set_filled(&mut self, filled: usize);
}

// SAFETY: heap memory owned by the value.
unsafe impl EpollMemory for Vec<EpollEvent> {
    fn as_mut_ptr(&mut self) -> *mut EpollEvent {
        Vec::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: the caller vouches that they were written; they are within the capacity.
        unsafe { self.set_len(filled) };
    }
}

// SAFETY: the exclusive borrow keeps the memory in place and out of everybody else's hands.
unsafe impl EpollMemory for &mut [EpollEvent] {
    fn as_mut_ptr(&mut self) -> *mut EpollEvent {
        <[EpollEvent]>::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        self.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// The bare address of memory for events.
#[derive(Clone, Copy, Debug)]
pub struct RawEpollEvents {
    start: NonNull<EpollEvent>,
    len: usize,
}

impl RawEpollEvents {
    /// The memory for `len` events at `start`.
    ///
    /// # Safety
    ///
    /// It stays writable, and is used by nobody else, until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(start: NonNull<EpollEvent>, len: usize) -> RawEpollEvents {
        RawEpollEvents { start, len }
    }
}

// SAFETY: the promise of `RawEpollEvents::new`.
unsafe impl EpollMemory for RawEpollEvents {
    fn as_mut_ptr(&mut self) -> *mut EpollEvent {
        self.start.as_ptr()
    }

    fn capacity(&self) -> usize {
        self.len
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawEpollEvents {}

/// Waits for events of an epoll instance, and fetches them.
///
/// For a program that moves from epoll to a ring: the old loop's descriptors are waited for in the ring.
///
/// Since Linux 6.15; on older kernels it completes with `EINVAL`.
///
/// Source: `io_uring_prep_epoll_wait(3)`, `epoll_wait(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_epoll_wait")]
#[doc(alias = "IORING_OP_EPOLL_WAIT")]
#[must_use]
pub struct EpollWait<E, M = Vec<EpollEvent>> {
    epoll: E,
    events: M,
}

impl<E: Target, M: EpollMemory> EpollWait<E, M> {
    /// Fetches as many events as there is room for.
    pub const fn new(epoll: E, events: M) -> EpollWait<E, M> {
        EpollWait { epoll, events }
    }
}

impl<E, M> sealed::Sealed for EpollWait<E, M> {}

// SAFETY: the memory stays where it is as long as the value lives (contract of `EpollMemory`).
unsafe impl<E: Target, M: EpollMemory> Operation for EpollWait<E, M> {
    /// How many events there are.
    type Output = Epolled<usize, E, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_EPOLL_WAIT;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.epoll, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        entry.set_target(this.epoll.target());
        entry.set_pointer(this.events.as_mut_ptr().cast_const());
        // More than the kernel takes at once it refuses.
        entry.set_len(u32::try_from(this.events.capacity()).unwrap_or(u32::MAX));
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = count(completion);
        if let Ok(filled) = result {
            // SAFETY: the kernel has written that many events from the beginning.
            unsafe { self.events.set_filled(filled) };
        }
        Epolled {
            result,
            epoll: self.epoll,
            with: self.events,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<E: Target + Untracked, M: EpollMemory + Untracked> RawOperation for EpollWait<E, M> {}
