//! Rings whose operations are awaited: shared by futures, on one thread.
//!
//! No user code (wakers, destructors, closures) runs while the ring is borrowed, with the exception of the closure of
//! [`Local::with`]: each access to the ring ends with [`Inner::settle`], which lets that code run then (M17).

mod bell;
mod block_on;
mod driver;
mod flight;
mod ready;
mod spawn;
mod stream;
mod submitted;
mod tasks;
mod waiting;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::engine::{Core, Place, Remains, Wait};
use crate::error::{Call, Error, Hint};
use crate::handle::{Any, Bound, HandleKind};
use crate::op::{Multishot, Operation};
use crate::push::Push;
use crate::ring::Ring;
use crate::token::{Refused, Token};

use bell::Listener;
pub use bell::WakeUp;
pub use driver::{Driver, Pushed};
use ready::Ready;
pub use spawn::JoinHandle;
pub use stream::OpStream;
pub use submitted::Submitted;
use tasks::Tasks;
use waiting::Waiting;

/// What an awaited operation fails with when the ring could not carry it out: the operation, unless it is in flight, and why.
///
/// `?` converts it into [`Error`] or [`std::io::Error`].
pub type SubmitError<O> = Refused<Option<O>>;

/// A ring whose operations are awaited. Clones are the same ring.
///
/// [`submit`](Local::submit) makes a future of any operation, [`stream`](Local::stream) a stream of any that completes many times. They
/// make progress when somebody *turns* the ring: [`block_on`](Local::block_on), an executor that has [`park`](Local::park) as its way of
/// sleeping, or a [`Driver`] under the reactor of another.
///
/// Dropping a future or a stream cancels its operation. The ring keeps what the operation owns until its last completion, as it does for a future
/// that is forgotten. That is why a future cannot borrow:
///
/// ```compile_fail,E0597
/// # use uring::{Local, Ring, op::Read};
/// # let local = Local::new(Ring::best(8)?);
/// let mut buf = [0; 64];
/// let read = local.submit(Read::new(std::io::stdin(), &mut buf[..]));
/// # Ok::<(), uring::Error>(())
/// ```
///
/// It belongs to its thread, as do its futures:
///
/// ```compile_fail,E0277
/// # use uring::{Local, Ring, op::Nop};
/// # let local = Local::new(Ring::best(8)?);
/// let nop = local.submit(Nop::new());
/// std::thread::spawn(move || drop(nop));
/// # Ok::<(), uring::Error>(())
/// ```
///
/// After `fork` the child's copy is inert, like that of any ring. The ring ends with the last clone; futures, streams, drivers, and tasks that hold
/// one count.
///
/// ```
/// use uring::op::Read;
/// use uring::{Local, Ring};
///
/// let local = Local::new(Ring::best(8)?);
/// let version = local.block_on(async {
///     let file = std::fs::File::open("/proc/version")?;
///     let done = local.submit(Read::new(file, Vec::with_capacity(4096))).await?;
///     done.result.map(|_| done.buf)
/// })??;
/// assert!(version.starts_with(b"Linux"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Local<H: Bound = Any> {
    inner: Rc<Inner<H>>,
}

struct Inner<H: Bound> {
    /// Futures that were dropped with their operation in flight.
    abandoned: RefCell<Vec<Place>>,
    waiting: RefCell<Waiting>,
    /// Who turns the ring when something was pushed, if that is a [`Driver`].
    driver: Cell<Option<Waker>>,
    tasks: Rc<RefCell<Tasks>>,
    ready: Arc<Ready>,
    listener: RefCell<Listener>,
    blocking: Cell<bool>,
    ring: RefCell<Ring<H>>,
}

impl<H: Bound> Local<H> {
    /// A ring to be awaited.
    #[must_use]
    pub fn new(ring: Ring<H>) -> Local<H> {
        Local::with_wake_up(ring, WakeUp::Best)
    }

    /// A ring to be awaited, whose [`block_on`](Local::block_on) is woken from other threads in that way.
    #[must_use]
    pub fn with_wake_up(ring: Ring<H>, wake_up: WakeUp) -> Local<H> {
        Local {
            inner: Rc::new(Inner {
                abandoned: RefCell::default(),
                waiting: RefCell::default(),
                driver: Cell::new(None),
                tasks: Rc::default(),
                ready: Arc::default(),
                listener: RefCell::new(Listener::new(wake_up)),
                blocking: Cell::new(false),
                ring: RefCell::new(ring),
            }),
        }
    }

    /// A future of the operation's output.
    ///
    /// Nothing is pushed before it is first polled, and nothing submitted before the ring is turned. If every slot for an operation in flight
    /// is taken, it waits for one.
    ///
    /// The future yields an error, and the operation back, if the ring cannot be used: see [`Ring::push`].
    ///
    /// ```
    /// use uring::op::{Read, Write};
    /// # use uring::{Local, Ring};
    /// # let local = Local::new(Ring::best(8)?);
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// local.block_on(async {
    ///     local.submit(Write::new(writer, "hello")).await?.result?;
    ///     let done = local.submit(Read::new(reader, Vec::with_capacity(8))).await?;
    ///     assert_eq!(done.buf, b"hello");
    ///     std::io::Result::Ok(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit<O: Operation + 'static>(&self, op: O) -> Submitted<O, H> {
        self.submit_with(op, Push::new())
    }

    /// A future of the operation's output, pushed with options.
    pub fn submit_with<O: Operation + 'static>(&self, op: O, push: Push) -> Submitted<O, H> {
        Submitted::new(self.clone(), op, push)
    }

    /// A future of the output of an operation that was pushed already: within [`with`](Local::with), alone or in a
    /// [chain](crate::Chain).
    ///
    /// ```
    /// use uring::op::{Fsync, Write};
    /// use uring::{Chain, Local, Ring};
    /// # let path = std::env::temp_dir().join(format!("uring-doc-redeem-{}", std::process::id()));
    /// # let local = Local::new(Ring::best(8)?);
    /// let file = std::sync::Arc::new(std::fs::File::create(&path)?);
    /// let chain = Chain::new(Write::new(file.clone(), "all of it")).then(Fsync::new(file));
    /// let (write, sync) = local.with(|ring| ring.push_chain(chain))??;
    /// local.block_on(async {
    ///     local.redeem(sync).await?.result?;
    ///     assert_eq!(local.redeem(write).await?.result?, 9);
    ///     std::io::Result::Ok(())
    /// })??;
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redeem<O: Operation + 'static>(&self, token: Token<O>) -> Submitted<O, H> {
        Submitted::of(self.clone(), token)
    }

    /// A stream of the items of an operation that completes many times.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::op::TimeoutMultishot;
    /// # use uring::{Local, Ring};
    /// # let local = Local::new(Ring::best(8)?);
    /// let mut ticks = local.stream(TimeoutMultishot::every(Duration::from_millis(1)).repeats(3));
    /// let ticked = local.block_on(async {
    ///     let mut ticked = 0;
    ///     while ticks.next().await.is_some() {
    ///         ticked += 1;
    ///     }
    ///     ticked
    /// })?;
    /// assert!(ticked > 0);
    /// # Ok::<(), uring::Error>(())
    /// ```
    pub fn stream<O: Multishot + 'static>(&self, op: O) -> OpStream<O, H> {
        self.stream_with(op, Push::new())
    }

    /// A stream of the operation's items, pushed with options.
    pub fn stream_with<O: Multishot + 'static>(&self, op: O, push: Push) -> OpStream<O, H> {
        OpStream::new(self.clone(), op, push)
    }

    /// Calls `body` with the ring, to register things or to push by hand.
    ///
    /// While it runs the ring is in use: futures that are polled in it fail, and nothing is woken. Putting another ring in the place of this one
    /// leaves the futures of the first without a ring.
    ///
    /// # Errors
    ///
    /// [`is_nested`](Error::is_nested): the ring is in use already, further up the call stack.
    pub fn with<R>(&self, body: impl FnOnce(&mut Ring<H>) -> R) -> Result<R, Error> {
        let result = {
            let mut ring = self.inner.borrow()?;
            // Destructors of what a scope borrows run before it ends, and so within.
            ring.core_mut().set_shared(false);
            body(&mut ring)
        };
        self.inner.settle();
        Ok(result)
    }

    /// How the ring is reached, or nothing within [`with`](Local::with).
    #[must_use]
    pub fn handle_kind(&self) -> Option<HandleKind> {
        self.inner
            .ring
            .try_borrow()
            .ok()
            .map(|ring| ring.handle_kind())
    }

    /// Submits what was pushed, takes in what has completed, and wakes whom that concerns. Does not wait.
    ///
    /// # Errors
    ///
    /// [`is_nested`](Error::is_nested) within [`with`](Local::with), and those of [`Ring::submit`] but interruptions and a busy kernel: then the next
    /// turn tries again.
    pub fn turn(&self) -> Result<(), Error> {
        self.inner.access(|core| core.turn(Wait::Flush))?
    }

    /// The same, and waits for a completion if none has come, but no longer than the timeout. A signal may end the wait early.
    ///
    /// This is what an executor sleeps in, and only completions end the sleep: for wakers that other threads may call it needs an
    /// operation in flight that they can end.
    ///
    /// # Errors
    ///
    /// Those of [`turn`](Local::turn). A timeout needs Linux 5.11 (`IORING_FEAT_EXT_ARG`).
    pub fn park(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let wait = match timeout {
            Some(timeout) => Wait::at_most(1, timeout),
            None => Wait::For(1),
        };
        self.inner.access(|core| core.turn(wait))?
    }
}

impl<H: Bound> Clone for Local<H> {
    fn clone(&self) -> Local<H> {
        Local {
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<H: Bound> fmt::Debug for Local<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("ring", &self.inner.ring)
            .finish_non_exhaustive()
    }
}

/// Something to be done when the ring is not borrowed.
enum Due {
    Bury(#[expect(dead_code, reason = "it is there to be dropped")] Remains),
    Wake(Waker),
}

impl<H: Bound> Inner<H> {
    fn borrow(&self) -> Result<std::cell::RefMut<'_, Ring<H>>, Error> {
        self.ring
            .try_borrow_mut()
            .map_err(|_| Error::refused(Call::Local, Hint::Nested))
    }

    /// Calls `body`, which calls no code of users, with the ring; then that code runs.
    fn access<R>(&self, body: impl FnOnce(&mut Core) -> R) -> Result<R, Error> {
        let result = {
            let mut ring = self.borrow()?;
            let core = ring.core_mut();
            core.set_shared(true);
            body(core)
        };
        self.settle();
        Ok(result)
    }

    /// Lets all code run that waits for the ring not to be borrowed. If it still is, further up the call stack, it is done there.
    fn settle(&self) {
        Settling(self).finish();
    }

    fn next_due(&self) -> Option<Due> {
        let mut ring = self.borrow().ok()?;
        let core = ring.core_mut();
        let remains = core.exhume().map(Due::Bury);
        remains.or_else(|| core.next_woken().map(Due::Wake))
    }

    fn abandon_dropped(&self) {
        while let Ok(mut ring) = self.borrow() {
            let Some(place) = self.abandoned.borrow_mut().pop() else {
                return;
            };
            let core = ring.core_mut();
            core.set_shared(true);
            let waker = core.abandon(place);
            drop(ring);
            drop(waker);
        }
    }

    /// Wakes futures that wait for a slot, if there is one, and the driver, if there is something to submit.
    fn wake_idle(&self) {
        let Ok((has_slot, is_pushed)) = self
            .borrow()
            .map(|ring| (ring.core().has_slots(1), ring.core().pending() > 0))
        else {
            return;
        };
        if has_slot {
            let waiting = self.waiting.borrow().len();
            for _ in 0..waiting {
                let next = self.waiting.borrow_mut().next();
                if let Some(waker) = next {
                    waker.wake();
                }
            }
        }
        if is_pushed {
            if let Some(driver) = self.driver.take() {
                driver.wake();
            }
        }
    }
}

/// Goes on if a waker or destructor unwinds; a second panic aborts, as everywhere in Rust.
struct Settling<'a, H: Bound>(&'a Inner<H>);

impl<H: Bound> Settling<'_, H> {
    fn finish(&self) {
        self.0.abandon_dropped();
        while let Some(due) = self.0.next_due() {
            match due {
                Due::Bury(_) => {}
                Due::Wake(waker) => waker.wake(),
            }
        }
        self.0.wake_idle();
    }
}

impl<H: Bound> Drop for Settling<'_, H> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.finish();
        }
    }
}
