//! Operations that start one after the other.

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::op::{Operation, sealed};
use crate::push::Push;
use crate::token::{PushError, Refused, Token};

/// Operations of which each starts when the one before it has completed.
///
/// A chain is pushed whole or not at all. When a member fails or falls short, the members after it complete with `ECANCELED`, except behind
/// [`then_always`](Chain::then_always). What counts as a failure is the kernel's to say: it does not end a chain at a
/// [`Statx`](crate::op::Statx) that finds no file. Each member has its own token; they come nested, in order.
///
/// Since Linux 5.3.
///
/// ```
/// use std::time::Duration;
/// use uring::Chain;
/// use uring::op::{LinkTimeout, Read};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (nobody_writes, _writer) = std::os::unix::net::UnixStream::pair()?;
/// let read = Read::new(nobody_writes, vec![0; 16]);
/// let (read, limit) =
///     ring.push_chain(Chain::new(read).then(LinkTimeout::after(Duration::from_millis(1))))?;
/// assert!(ring.wait(read)?.result.is_err());
/// assert!(ring.wait(limit)?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_sqe_set_flags(3)`, `IOSQE_IO_LINK`.
#[derive(Debug)]
#[doc(alias = "IOSQE_IO_LINK")]
#[must_use]
pub struct Chain<L> {
    links: L,
}

/// The first member of a [`Chain`].
#[derive(Debug)]
pub struct First<O> {
    op: O,
}

/// A member of a [`Chain`] with those before it.
#[derive(Debug)]
pub struct Then<L, O> {
    before: L,
    /// How the last of those before it is tied to it.
    link: u8,
    op: O,
}

impl<O: Operation> Chain<First<O>> {
    /// A chain of one.
    pub const fn new(op: O) -> Chain<First<O>> {
        Chain {
            links: First { op },
        }
    }
}

impl<L: Links> Chain<L> {
    /// Starts `op` when all before it has succeeded.
    pub fn then<O: Operation>(self, op: O) -> Chain<Then<L, O>> {
        self.linked(uring_sys::IOSQE_IO_LINK, op)
    }

    /// Starts `op` when what is before it has completed, however it did. Since Linux 5.5.
    #[doc(alias = "IOSQE_IO_HARDLINK")]
    pub fn then_always<O: Operation>(self, op: O) -> Chain<Then<L, O>> {
        self.linked(uring_sys::IOSQE_IO_HARDLINK, op)
    }

    fn linked<O: Operation>(self, link: u8, op: O) -> Chain<Then<L, O>> {
        Chain {
            links: Then {
                before: self.links,
                link,
                op,
            },
        }
    }

    pub(crate) fn push(
        self,
        core: &mut Core,
        depth: u16,
    ) -> Result<L::Tokens, PushError<Chain<L>>> {
        match self.make_room(core) {
            Ok(()) => Ok(self.links.place(core, 0, depth)),
            Err(error) => Err(Refused::new(self, error)),
        }
    }

    fn make_room(&self, core: &mut Core) -> Result<(), Error> {
        self.links
            .admit(core.id())
            .map_err(|hint| Error::refused(Call::Push, hint))?;
        core.make_room(L::LEN, L::LEN, L::LARGE, true)
    }
}

/// The members of a [`Chain`]. Sealed.
pub trait Links: sealed::Sealed {
    /// Their tokens, nested as the members are.
    type Tokens;

    #[doc(hidden)]
    const LEN: u32;
    #[doc(hidden)]
    const LARGE: bool;

    #[doc(hidden)]
    fn admit(&self, ring: u64) -> Result<(), Hint>;

    /// Puts all into the queue, for which room has been made.
    #[doc(hidden)]
    fn place(self, core: &mut Core, link: u8, depth: u16) -> Self::Tokens;
}

impl<O> sealed::Sealed for First<O> {}
impl<L, O> sealed::Sealed for Then<L, O> {}

impl<O: Operation> Links for First<O> {
    type Tokens = Token<O>;
    const LEN: u32 = 1;
    const LARGE: bool = O::LARGE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.op.admit(ring)
    }

    fn place(self, core: &mut Core, link: u8, depth: u16) -> Token<O> {
        place(core, self.op, link, depth)
    }
}

impl<L: Links, O: Operation> Links for Then<L, O> {
    type Tokens = (L::Tokens, Token<O>);
    const LEN: u32 = L::LEN + 1;
    const LARGE: bool = L::LARGE || O::LARGE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.before.admit(ring)?;
        self.op.admit(ring)
    }

    fn place(self, core: &mut Core, link: u8, depth: u16) -> Self::Tokens {
        let before = self.before.place(core, self.link, depth);
        (before, place(core, self.op, link, depth))
    }
}

fn place<O: Operation>(core: &mut Core, op: O, link: u8, depth: u16) -> Token<O> {
    match core.place(op, Push::new().linked(link), depth) {
        Ok(place) => Token::new(place),
        Err(_) => unreachable!("room was made for the whole chain"),
    }
}
