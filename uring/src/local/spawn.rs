//! Tasks as their makers see them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::Local;
use super::ready::Key;
use super::tasks::Tasks;
use crate::handle::Bound;

impl<H: Bound> Local<H> {
    /// Runs a future beside that of [`block_on`](Local::block_on), on the same thread.
    ///
    /// It runs only within `block_on`, of this or a later call, and what has not ended when `block_on` returns is dropped then: a
    /// task that goes on for ever ends with the call. Under another executor, spawn there.
    ///
    /// ```
    /// use uring::op::{Read, Write};
    /// # use uring::{Local, Ring};
    /// # let local = Local::new(Ring::best(8)?);
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let read = local.spawn({
    ///     let read = local.submit(Read::new(reader, Vec::with_capacity(8)));
    ///     async move { read.await.map(|done| done.buf) }
    /// });
    /// let text = local.block_on(async {
    ///     local.submit(Write::new(writer, "hello")).await?.result?;
    ///     std::io::Result::Ok(read.await.expect("nobody has aborted it")?)
    /// })??;
    /// assert_eq!(text, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A panic in a task unwinds out of `block_on`.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let outcome = Rc::new(Outcome::default());
        let end = End(Rc::clone(&outcome));
        let task = async move {
            let end = end;
            let output = future.await;
            end.0.output.set(Some(output));
        };
        let inner = &self.inner;
        let key = inner.tasks.borrow_mut().add(Box::pin(task), &inner.ready);
        JoinHandle {
            outcome,
            tasks: Rc::downgrade(&inner.tasks),
            key,
        }
    }
}

/// The end of a [spawned](Local::spawn) task. Dropping it lets the task go on.
///
/// It is a future: of the task's output, or of nothing if the task was aborted, was dropped at the end of `block_on`, or has panicked.
pub struct JoinHandle<T> {
    outcome: Rc<Outcome<T>>,
    tasks: Weak<RefCell<Tasks>>,
    key: Key,
}

impl<T> JoinHandle<T> {
    /// Drops the task, and with it cancels what it awaits; now, or if it is what calls, when it next awaits something.
    pub fn abort(&self) {
        if let Some(tasks) = self.tasks.upgrade() {
            let task = tasks.borrow_mut().remove(self.key);
            drop(task);
        }
    }

    /// Whether the task has ended in one way or the other.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.is_over.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let waker = context.waker().clone();
        if self.outcome.is_over.get() {
            return Poll::Ready(self.outcome.output.take());
        }
        let before = self.outcome.joiner.replace(Some(waker));
        drop(before);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// What task and handle share.
struct Outcome<T> {
    output: Cell<Option<T>>,
    is_over: Cell<bool>,
    joiner: Cell<Option<Waker>>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Outcome<T> {
        Outcome {
            output: Cell::new(None),
            is_over: Cell::new(false),
            joiner: Cell::new(None),
        }
    }
}

/// Tells the handle when the task ends, however it does.
struct End<T>(Rc<Outcome<T>>);

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        if let Some(joiner) = self.0.joiner.take() {
            joiner.wake();
        }
    }
}
