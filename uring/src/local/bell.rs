//! Being woken from other threads while asleep in the ring.
//!
//! A waker may be called on any thread, while the ring can be reached from its own only. So something is in flight that every thread can end: a wait
//! at a futex, or a read of an eventfd.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd as _;
use std::sync::Arc;

use uring_sys::Errno;

use super::ready::{Ready, Sleep};
use crate::completion::Completion;
use crate::engine::{Core, Landed};
use crate::entry::Entry;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::op::{Operation, Read, sealed};
use crate::push::Push;
use crate::token::Token;

/// How [`Local::block_on`](crate::Local::block_on), asleep in its ring, is woken by a waker that another thread calls.
///
/// On its own thread none of it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeUp {
    /// `Futex` where the kernel has it; else `Eventfd` if the ring has a descriptor anyway, else `ShortWaits`. A ring whose completions are
    /// [polled for](crate::Polling) can do none but `ShortWaits`: with `Futex` or `Eventfd` `block_on` fails there when it has to sleep.
    #[default]
    Best,
    /// The ring waits at a futex. Since Linux 6.7; on older kernels `block_on` fails when it has to sleep. Takes no descriptor.
    Futex,
    /// The ring reads an eventfd: a descriptor that the process's table shows. On every kernel.
    Eventfd,
    /// It gets up every few milliseconds and looks. On every kernel, and without a descriptor.
    ShortWaits,
}

/// The wait at the word of [`Ready`] that ends when it is called.
#[derive(Debug)]
struct FutexCall(Arc<Ready>);

impl sealed::Sealed for FutexCall {}

/// The word has 32 bits. Not private: see [`Ready`].
const FUTEX2_SIZE_U32: i32 = 2;

// SAFETY: the word is on the heap, and the value keeps it alive.
unsafe impl Operation for FutexCall {
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_FUTEX_WAIT;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let ready = unsafe { &(*this).0 };
        entry.set_fd(FUTEX2_SIZE_U32);
        entry.set_pointer(ready.word().as_ptr().cast_const());
        entry.set_off(u64::from(Sleep::Futex.word()));
        entry.set_addr3(u64::from(u32::MAX));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        completion.result().map(drop)
    }
}

type EventfdCall = Read<Arc<File>, Box<[u8]>>;

enum InFlight {
    Futex(Token<FutexCall>),
    Eventfd(Token<EventfdCall>),
}

/// What is in flight for others to end.
pub(super) struct Listener {
    wake_up: WakeUp,
    in_flight: Option<InFlight>,
}

impl Listener {
    pub(super) fn new(wake_up: WakeUp) -> Listener {
        Listener {
            wake_up,
            in_flight: None,
        }
    }

    /// Sees to it that a sleep can be ended, and says how it is to be slept.
    ///
    /// # Errors
    ///
    /// The kernel cannot do what was asked for.
    pub(super) fn listen(
        &mut self,
        core: &mut Core,
        has_descriptor: bool,
        ready: &Arc<Ready>,
    ) -> Result<Sleep, Error> {
        if let Some(failed) = self.take_landed(core)? {
            self.give_way(failed, has_descriptor)?;
        }
        match &self.in_flight {
            Some(InFlight::Futex(_)) => return Ok(Sleep::Futex),
            Some(InFlight::Eventfd(_)) => return Ok(Sleep::Eventfd),
            None => {}
        }
        if core.setup().flags().contains(SetupFlags::IOPOLL) {
            return self.listen_polling();
        }
        match self.wake_up {
            WakeUp::Best | WakeUp::Futex => {
                let call = FutexCall(Arc::clone(ready));
                self.start(core, call, InFlight::Futex, Sleep::Futex)
            }
            WakeUp::Eventfd => {
                let call = Read::new(eventfd(ready)?, vec![0; 8].into_boxed_slice());
                self.start(core, call, InFlight::Eventfd, Sleep::Eventfd)
            }
            WakeUp::ShortWaits => Ok(Sleep::Short),
        }
    }

    /// A ring whose completions are polled for carries out neither a wait nor a read of an eventfd, and never sleeps for long.
    fn listen_polling(&self) -> Result<Sleep, Error> {
        match self.wake_up {
            WakeUp::Best | WakeUp::ShortWaits => Ok(Sleep::Short),
            WakeUp::Futex | WakeUp::Eventfd => {
                let hint = Hint::contradiction(
                    &"a ring whose completions are polled for cannot wait at a futex or read an eventfd: WakeUp::ShortWaits",
                );
                Err(Error::refused(Call::Local, hint))
            }
        }
    }

    /// Takes in that a call has come, or why none can.
    fn take_landed(&mut self, core: &mut Core) -> Result<Option<io::Error>, Error> {
        let landed = match &self.in_flight {
            Some(InFlight::Futex(token)) => core
                .claim_landed(token)
                .map(|landed| landed.map(Landed::complete)),
            Some(InFlight::Eventfd(token)) => core
                .claim_landed(token)
                .map(|landed| landed.map(|landed| landed.complete().result.map(drop))),
            None => Ok(None),
        };
        let result = match landed {
            Ok(None) => return Ok(None),
            Ok(Some(result)) => result,
            // The ring that listened was exchanged for this one.
            Err(error) if error.is_wrong_ring() => Ok(()),
            Err(error) => return Err(error),
        };
        self.in_flight = None;
        // The word was changed before the kernel saw it, a signal came, or somebody cancels everything.
        let passing = [libc::EAGAIN, libc::EINTR, libc::ECANCELED];
        Ok(result
            .err()
            .filter(|error| !error.raw_os_error().is_some_and(|it| passing.contains(&it))))
    }

    /// Goes on in the next best way, if the choice is ours.
    fn give_way(&mut self, failed: io::Error, has_descriptor: bool) -> Result<(), Error> {
        self.wake_up = match self.wake_up {
            WakeUp::Best if has_descriptor => WakeUp::Eventfd,
            WakeUp::Best => WakeUp::ShortWaits,
            WakeUp::Futex if failed.raw_os_error() == Some(libc::EINVAL) => {
                let hint = Hint::needs_linux(6, 7, &"IORING_OP_FUTEX_WAIT is refused");
                return Err(Error::refused(Call::Local, hint));
            }
            WakeUp::Futex | WakeUp::Eventfd | WakeUp::ShortWaits => {
                return Err(os_error(&failed));
            }
        };
        Ok(())
    }

    fn start<O: Operation>(
        &mut self,
        core: &mut Core,
        call: O,
        in_flight: impl FnOnce(Token<O>) -> InFlight,
        sleep: Sleep,
    ) -> Result<Sleep, Error> {
        // Never in the last slot: operations may be waiting for it.
        if !core.has_slots(2) {
            return Ok(Sleep::Short);
        }
        match core.push(call, Push::new(), 0, true) {
            Ok(token) => {
                self.in_flight = Some(in_flight(token));
                Ok(sleep)
            }
            // The kernel takes nothing: this time it has to do without.
            Err(refused) if refused.error().is_busy() || refused.error().is_interrupted() => {
                Ok(Sleep::Short)
            }
            Err(refused) => Err(refused.into()),
        }
    }
}

fn eventfd(ready: &Ready) -> Result<Arc<File>, Error> {
    if let Some(eventfd) = ready.eventfd().get() {
        return Ok(Arc::clone(eventfd));
    }
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd == -1 {
        return Err(os_error(&io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was just made and is known to nobody else.
    let made = Arc::new(unsafe { File::from_raw_fd(fd) });
    Ok(Arc::clone(ready.eventfd().get_or_init(|| made)))
}

fn os_error(error: &io::Error) -> Error {
    let errno = error.raw_os_error().map(Errno::from_raw);
    Error::sys(Call::Local, errno.unwrap_or(Errno::EIO))
}
