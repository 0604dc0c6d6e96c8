//! The executor for those who have none.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::ready::Sleep;
use super::{Inner, Local};
use crate::engine::Wait;
use crate::error::{Call, Error, Hint};
use crate::flags::Features;
use crate::handle::{Bound, HandleKind};

/// How late a call from another thread may be heard where the ring cannot be made to listen for it.
const SHORT: Duration = Duration::from_millis(4);

impl<H: Bound> Local<H> {
    /// Runs a future and all [spawned](Local::spawn) tasks on the calling thread, and sleeps in the ring when there is nothing to run.
    ///
    /// The future may await anything: wakers may be called from any thread. How they reach a thread that is asleep is in [`WakeUp`](crate::WakeUp).
    ///
    /// # Errors
    ///
    /// [`is_nested`](Error::is_nested) within another `block_on` of the same ring or within [`with`](Local::with); those of
    /// [`turn`](Local::turn); [`is_unsupported`](Error::is_unsupported) if the chosen [`WakeUp`](crate::WakeUp) is. The future is dropped then.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let inner = &*self.inner;
        let _blocking = Blocking::begin(inner)?;
        let waker = Waker::from(Arc::clone(&inner.ready));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        inner.ready.call_main();
        loop {
            inner.ready.wake_up();
            if inner.ready.take_main() {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Ok(output);
                }
            }
            inner.run_tasks();
            if inner.ready.is_empty() {
                inner.sleep()?;
            } else {
                self.turn()?;
            }
        }
    }
}

impl<H: Bound> Inner<H> {
    /// Waits for a completion, or for somebody to call.
    fn sleep(&self) -> Result<(), Error> {
        let has_descriptor = self.borrow()?.handle_kind() != HandleKind::Fdless;
        let mut listener = self.listener.borrow_mut();
        let sleep = self.access(|core| listener.listen(core, has_descriptor, &self.ready))??;
        drop(listener);
        if !self.ready.fall_asleep(sleep) {
            return self.access(|core| core.turn(Wait::Flush))?;
        }
        self.access(|core| {
            let slept = if sleep != Sleep::Short {
                core.turn(Wait::For(1))
            } else if core.setup().features().contains(Features::EXT_ARG) {
                core.turn(Wait::at_most(1, SHORT))
            } else {
                core.turn(Wait::Flush).and_then(|()| {
                    thread::sleep(SHORT);
                    core.collect()
                })
            };
            // Before this thread's own wakers are called: they need not make noise.
            self.ready.wake_up();
            slept
        })?
    }
}

/// While it lives tasks run; at its end there are none left.
struct Blocking<'a, H: Bound>(&'a Inner<H>);

impl<'a, H: Bound> Blocking<'a, H> {
    fn begin(inner: &'a Inner<H>) -> Result<Blocking<'a, H>, Error> {
        if inner.blocking.replace(true) {
            return Err(Error::refused(Call::Local, Hint::Nested));
        }
        Ok(Blocking(inner))
    }
}

impl<H: Bound> Drop for Blocking<'_, H> {
    fn drop(&mut self) {
        self.0.blocking.set(false);
        self.0.drop_tasks();
    }
}
