//! Several tokens redeemed at once.

use crate::engine::Core;
use crate::error::Error;
use crate::handle::Handle;
use crate::op::Operation;
use crate::ring::Ring;
use crate::scope::Scope;
use crate::token::{Refused, Token};

/// Not that of the operations, whose parts are arrays and pairs too.
mod sealed {
    pub trait Sealed {}
}

/// Tokens that are waited for together: pairs, as those of a [`Chain`](crate::Chain) are, arrays, vectors, and all of these in each other.
/// Sealed.
pub trait Tokens: sealed::Sealed {
    /// Their results, in the same form.
    type Outputs;

    /// Waits until all have landed.
    #[doc(hidden)]
    fn wait(&self, core: &mut Core) -> Result<(), Error>;

    /// Redeems them, which have landed.
    #[doc(hidden)]
    fn claim(self, core: &mut Core) -> Self::Outputs;
}

impl<O> sealed::Sealed for Token<O> {}

impl<O: Operation> Tokens for Token<O> {
    type Outputs = O::Output;

    fn wait(&self, core: &mut Core) -> Result<(), Error> {
        core.wait_for(self.place())
    }

    fn claim(self, core: &mut Core) -> O::Output {
        // SAFETY: the token was made for an `O` in that slot.
        match unsafe { core.claim::<O>(self.place()) } {
            Some(output) => output,
            None => unreachable!("it has landed, and there is no other token for it"),
        }
    }
}

impl<A, B> sealed::Sealed for (A, B) {}

impl<A: Tokens, B: Tokens> Tokens for (A, B) {
    type Outputs = (A::Outputs, B::Outputs);

    fn wait(&self, core: &mut Core) -> Result<(), Error> {
        self.0.wait(core)?;
        self.1.wait(core)
    }

    fn claim(self, core: &mut Core) -> Self::Outputs {
        (self.0.claim(core), self.1.claim(core))
    }
}

impl<T, const N: usize> sealed::Sealed for [T; N] {}

impl<T: Tokens, const N: usize> Tokens for [T; N] {
    type Outputs = [T::Outputs; N];

    fn wait(&self, core: &mut Core) -> Result<(), Error> {
        self.iter().try_for_each(|tokens| tokens.wait(core))
    }

    fn claim(self, core: &mut Core) -> Self::Outputs {
        self.map(|tokens| tokens.claim(core))
    }
}

impl<T> sealed::Sealed for Vec<T> {}

impl<T: Tokens> Tokens for Vec<T> {
    type Outputs = Vec<T::Outputs>;

    fn wait(&self, core: &mut Core) -> Result<(), Error> {
        self.iter().try_for_each(|tokens| tokens.wait(core))
    }

    fn claim(self, core: &mut Core) -> Self::Outputs {
        self.into_iter().map(|tokens| tokens.claim(core)).collect()
    }
}

fn wait_all<T: Tokens>(core: &mut Core, tokens: T) -> Result<T::Outputs, Refused<T>> {
    match tokens.wait(core) {
        Ok(()) => Ok(tokens.claim(core)),
        Err(error) => Err(Refused::new(tokens, error)),
    }
}

impl<H: Handle> Ring<H> {
    /// Waits for several operations, submitting what is in the queue.
    ///
    /// ```
    /// use uring::Chain;
    /// use uring::op::{Nop, Statx};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let statx = [ring.push(Statx::new(c"/"))?, ring.push(Statx::new(c"/proc"))?];
    /// let chain = ring.push_chain(Chain::new(Nop::new()).then(Nop::new()))?;
    /// let ([root, proc], (first, second)) = ring.wait_all((statx, chain))?;
    /// assert_ne!(root.result?.inode(), 0);
    /// # let _ = (proc, first, second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// All tokens are given back for the reasons that [`wait`](Ring::wait) has; no result is lost.
    pub fn wait_all<T: Tokens>(&mut self, tokens: T) -> Result<T::Outputs, Refused<T>> {
        wait_all(self.core_mut(), tokens)
    }
}

impl Scope<'_, '_> {
    /// Waits for several operations. See [`Ring::wait_all`].
    ///
    /// # Errors
    ///
    /// See [`Ring::wait_all`].
    pub fn wait_all<T: Tokens>(&mut self, tokens: T) -> Result<T::Outputs, Refused<T>> {
        wait_all(self.core_mut(), tokens)
    }
}
