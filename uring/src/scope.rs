//! Operations on borrowed memory.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use static_assertions::assert_not_impl_any;

use crate::chain::{Chain, Links};
use crate::engine::Core;
use crate::error::Error;
use crate::handle::Handle;
use crate::op::{Cancel, Cancelled, Multishot, Operation};
use crate::push::Push;
use crate::ring::Ring;
use crate::token::{PushError, Token, WaitError};

/// Where operations on borrowed memory are pushed: see [`Ring::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    core: &'scope mut Core,
    depth: u16,
    env: PhantomData<&'env mut &'env ()>,
    scope: PhantomData<&'scope mut &'scope ()>,
    bound: PhantomData<*const ()>,
}

// On another thread an index names another ring, and what a scope keeps need not be `Send`.
assert_not_impl_any!(Scope<'static, 'static>: Send, Sync);

impl<H: Handle> Ring<H> {
    /// Runs `body`, which may push operations on memory that it borrows, and leaves nothing of them in flight.
    ///
    /// Like [`std::thread::scope`]: whatever way `body` ends, by returning, by `?` or by a panic, the scope waits for the last
    /// completion of each operation that was pushed in it. After a panic it cancels them first; multishot operations, which would go on for
    /// ever, are always cancelled. Results that nobody took are dropped before the scope returns. Should the kernel not be brought to
    /// finish, the process is aborted: it would write to memory that is no longer borrowed. What may never start because of a
    /// [drain](Push::drain) is therefore [refused](Error::is_drain_conflict) in a scope.
    ///
    /// ```
    /// use uring::op::Read;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let file = std::fs::File::open("/proc/version")?;
    /// let (mut first, mut second) = ([0; 5], [0; 7]);
    /// ring.scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
    ///     let one = scope.push(Read::new(&file, &mut first[..]).at(0))?;
    ///     let two = scope.push(Read::new(&file, &mut second[..]).at(6))?;
    ///     scope.wait(one)?.result?;
    ///     scope.wait(two)?.result?;
    ///     Ok(())
    /// })?;
    /// assert_eq!((&first, &second), (b"Linux", b"version"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What the body itself owns does not live long enough:
    ///
    /// ```compile_fail,E0373
    /// use uring::op::Read;
    /// # let mut ring = uring::Ring::best(8)?;
    /// let file = std::fs::File::open("/proc/version")?;
    /// ring.scope(|scope| {
    ///     let mut buf = [0; 5];
    ///     let token = scope.push(Read::new(&file, &mut buf[..])).unwrap();
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// and what is in flight cannot be looked at:
    ///
    /// ```compile_fail,E0499
    /// use uring::op::Read;
    /// # let mut ring = uring::Ring::best(8)?;
    /// let file = std::fs::File::open("/proc/version")?;
    /// let mut buf = [0; 5];
    /// ring.scope(|scope| {
    ///     let token = scope.push(Read::new(&file, &mut buf[..])).unwrap();
    ///     buf[0] = 1;
    ///     let again = scope.push(Read::new(&file, &mut buf[..])).unwrap();
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A scope stays on its thread, as what is pushed in it does:
    ///
    /// ```compile_fail,E0277
    /// # let mut ring = uring::Ring::fdless(8)?;
    /// ring.scope(|scope| {
    ///     std::thread::scope(|threads| {
    ///         threads.spawn(|| scope.submit());
    ///     });
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scope<'env, F, R>(&mut self, body: F) -> R
    where
        F: for<'scope> FnOnce(&mut Scope<'scope, 'env>) -> R,
    {
        enter(self.core_mut(), 1, body)
    }
}

fn enter<'env, F, R>(core: &mut Core, depth: u16, body: F) -> R
where
    F: for<'scope> FnOnce(&mut Scope<'scope, 'env>) -> R,
{
    core.open_scope(depth);
    let mut scope = Scope {
        core: &mut *core,
        depth,
        env: PhantomData,
        scope: PhantomData,
        bound: PhantomData,
    };
    let ended = catch_unwind(AssertUnwindSafe(|| body(&mut scope)));
    if !core.has_left_nothing(depth) {
        leave(core, depth, ended.is_err());
    }
    match ended {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// Waits for what the scope left in flight and drops the results that nobody took.
fn leave(core: &mut Core, depth: u16, unwinding: bool) {
    if let Err(error) = core.drain_scope(depth, unwinding) {
        // DESIGN 6.3: the kernel may still write to memory that was lent to the scope, and there is no safe way on.
        eprintln!(
            "uring: a scope could not wait for its operations, which use borrowed memory: {error}"
        );
        std::process::abort();
    }
    if unwinding {
        // The panic that is under way is the one to report.
        let _ = catch_unwind(AssertUnwindSafe(|| core.bury_scope(depth)));
    } else {
        core.bury_scope(depth);
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    pub(crate) fn core_mut(&mut self) -> &mut Core {
        self.core
    }

    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// Pushes an operation, submitting what is in the queue first if it is full. See [`Ring::push`].
    ///
    /// # Errors
    ///
    /// See [`Ring::push`].
    #[inline]
    pub fn push<O: Operation + 'scope>(&mut self, op: O) -> Result<Token<O>, PushError<O>> {
        self.push_with(op, Push::new())
    }

    /// Pushes an operation with options.
    ///
    /// # Errors
    ///
    /// See [`Ring::push`].
    #[inline]
    pub fn push_with<O: Operation + 'scope>(
        &mut self,
        op: O,
        push: Push,
    ) -> Result<Token<O>, PushError<O>> {
        self.core.push(op, push, self.depth, true)
    }

    /// Pushes a chain: all of it or nothing.
    ///
    /// # Errors
    ///
    /// See [`Ring::push_chain`].
    pub fn push_chain<L: Links + 'scope>(
        &mut self,
        chain: Chain<L>,
    ) -> Result<L::Tokens, PushError<Chain<L>>> {
        chain.push(self.core, self.depth)
    }

    /// The result of an operation, if it has completed. See [`Ring::take`].
    ///
    /// # Errors
    ///
    /// The token is given back if the operation has not completed.
    pub fn take<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, Token<O>> {
        self.core.take(token)
    }

    /// Waits for an operation. See [`Ring::wait`].
    ///
    /// # Errors
    ///
    /// See [`Ring::wait`].
    #[inline]
    pub fn wait<O: Operation>(&mut self, token: Token<O>) -> Result<O::Output, WaitError<O>> {
        self.core.wait(token)
    }

    /// The next item of a multishot operation that has come and was not taken. See [`Ring::take_item`].
    pub fn take_item<O: Multishot>(&mut self, token: &Token<O>) -> Option<O::Item> {
        self.core.take_item::<O>(token.place())
    }

    /// Waits for the next item of a multishot operation. See [`Ring::wait_item`].
    ///
    /// # Errors
    ///
    /// See [`Ring::wait`].
    pub fn wait_item<O: Multishot>(&mut self, token: &Token<O>) -> Result<Option<O::Item>, Error> {
        self.core.wait_item::<O>(token.place())
    }

    /// Gives a result up; the scope still waits for the operation.
    pub fn detach<O>(&mut self, token: Token<O>) {
        self.core.orphan(token.place());
    }

    /// Asks for an operation to be cancelled. See [`Ring::cancel`].
    ///
    /// # Errors
    ///
    /// See [`Ring::cancel`].
    pub fn cancel<O>(&mut self, token: &Token<O>) -> Result<(), Error> {
        self.core.cancel(token.place())
    }

    /// Cancels operations and waits for that. See [`Ring::cancel_sync`].
    ///
    /// # Errors
    ///
    /// See [`Ring::cancel_sync`].
    pub fn cancel_sync(
        &mut self,
        cancel: Cancel,
        timeout: Option<Duration>,
    ) -> Result<Cancelled, Error> {
        self.core.cancel_sync(cancel, timeout)
    }

    /// Submits what is in the queue. See [`Ring::submit`].
    ///
    /// # Errors
    ///
    /// See [`Ring::submit`].
    pub fn submit(&mut self) -> Result<u32, Error> {
        self.core.submit()
    }

    /// A scope within this one: what it borrows may end before this scope does.
    pub fn scope<'inner, F, R>(&mut self, body: F) -> R
    where
        F: for<'deeper> FnOnce(&mut Scope<'deeper, 'inner>) -> R,
    {
        enter(self.core, self.depth + 1, body)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}
