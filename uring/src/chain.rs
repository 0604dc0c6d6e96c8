//! Operations that start one after the other.

mod raw;

pub use raw::RawLinks;

use crate::engine::{Core, notifies};
use crate::error::{Call, Error, Hint};
use crate::op::{Completes, LinkTimeout, Operation, TimeLimit, TimeMemory, sealed};
use crate::push::Push;
use crate::token::{PushError, Refused, Token};

/// Operations of which each starts when the one before it has completed.
///
/// A chain is pushed whole or not at all. When a member fails or falls short, the members after it complete with `ECANCELED`, except behind
/// [`then_always`](Chain::then_always). What counts as a failure is the kernel's to say: it does not end a chain at a
/// [`Statx`](crate::op::Statx) that finds no file. Each member has its own token; they come nested, in order.
///
/// A chain is a value: it can be built in one place and pushed in another, and is given back if it is not pushed. Any member may have a
/// time limit and [options](Chain::with) of its own.
///
/// Since Linux 5.3.
///
/// ```
/// use std::time::Duration;
/// use uring::Chain;
/// use uring::op::{Limited, LinkTimeout, Read};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (nobody_writes, _writer) = std::os::unix::net::UnixStream::pair()?;
/// let read = Read::new(nobody_writes, vec![0; 16]);
/// let chain = Chain::new(read).timeout(LinkTimeout::after(Duration::from_millis(1)));
/// let (read, limit) = ring.push_chain(chain)?;
/// assert!(ring.wait(read)?.result.is_err());
/// assert_eq!(ring.wait(limit)??, Limited::TimeOver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A time limit belongs to the member before it. Alone it means nothing, and cannot be pushed:
///
/// ```compile_fail,E0277
/// # use std::time::Duration;
/// # let mut ring = uring::Ring::best(8)?;
/// ring.push(uring::op::LinkTimeout::after(Duration::from_millis(1)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nor can a member have two:
///
/// ```compile_fail,E0599
/// # use std::time::Duration;
/// use uring::op::{LinkTimeout, Nop};
/// let limit = LinkTimeout::after(Duration::from_millis(1));
/// let _ = uring::Chain::new(Nop::new()).timeout(limit).timeout(limit);
/// ```
///
/// Source: `io_uring_sqe_set_flags(3)`, `IOSQE_IO_LINK`.
#[derive(Debug)]
#[doc(alias = "IOSQE_IO_LINK")]
#[must_use]
pub struct Chain<L> {
    links: L,
    skip_success: bool,
}

/// The first member of a [`Chain`].
#[derive(Debug)]
pub struct First<O> {
    op: O,
    push: Push,
}

/// A member of a [`Chain`] with those before it.
#[derive(Debug)]
pub struct Then<L, O> {
    before: L,
    /// How the last of those before it is tied to it.
    link: u8,
    op: O,
    push: Push,
}

/// Members of a [`Chain`] of which the last has a time limit.
#[derive(Debug)]
pub struct Timed<L, M> {
    before: L,
    limit: TimeLimit<M>,
}

impl<O: Operation> Chain<First<O>> {
    /// A chain of one.
    pub const fn new(op: O) -> Chain<First<O>> {
        Chain {
            links: First {
                op,
                push: Push::new(),
            },
            skip_success: false,
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
                push: Push::new(),
            },
            skip_success: self.skip_success,
        }
    }

    /// Has the kernel leave out the completions of all members but the last, as long as they succeed.
    ///
    /// Tokens yield the same as without: what the last member's completion, or that of the one that failed, says of the others is known. It
    /// saves completions, where all members but the last are operations that can succeed in one way only ([`Write`](crate::op::Write),
    /// [`Fsync`](crate::op::Fsync), [`Close`](crate::op::Close), opening into a direct descriptor, …), without time limits and drains, tied
    /// with [`then`](Chain::then), on Linux 5.17 and newer, and not with a [submission thread](crate::SubmissionThread), which may take
    /// a chain in parts. Elsewhere it changes nothing.
    ///
    /// In a chain that is pushed [raw](crate::Ring::push_raw_chain) a member may be any operation that completes once, and a submission thread is no
    /// hindrance. Then one completion comes of the whole chain: the last member's, or that of the one that failed.
    ///
    /// The kernel refuses [drains](Push::drain) on a ring from then on.
    ///
    /// ```
    /// use uring::Chain;
    /// use uring::op::{Fsync, Write};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// # let path = std::env::temp_dir().join(format!("uring-doc-skip-{}", std::process::id()));
    /// let file = std::sync::Arc::new(std::fs::File::create(&path)?);
    /// let chain = Chain::new(Write::new(file.clone(), "all of it")).then(Fsync::new(file));
    /// let (write, sync) = ring.push_chain(chain.skip_success())?;
    /// ring.wait(sync)?.result?;
    /// assert_eq!(ring.wait(write)?.result?, 9);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "IOSQE_CQE_SKIP_SUCCESS")]
    pub fn skip_success(self) -> Chain<L> {
        Chain {
            skip_success: true,
            ..self
        }
    }

    pub(crate) fn push(
        self,
        core: &mut Core,
        depth: u16,
    ) -> Result<L::Tokens, PushError<Chain<L>>> {
        let admitted = match depth {
            0 => Ok(()),
            _ => core.admit_to_scope(self.links.drains()),
        };
        match admitted.and_then(|()| self.make_room(core, L::LEN)) {
            Ok(()) => Ok(self.place(core, depth)),
            Err(error) => Err(Refused::new(self, error)),
        }
    }

    fn place(self, core: &mut Core, depth: u16) -> L::Tokens {
        let how = How {
            link: 0,
            depth,
            quiet: L::LEN > 1
                && self.skip_success
                && self.links.may_be_quiet(true)
                && core.may_skip_success(),
        };
        let before = core.queued();
        let tokens = self.links.place(core, how);
        if how.quiet {
            core.note_quiet_chain(before);
        }
        tokens
    }

    /// Makes room for all, of which the ring keeps so many.
    fn make_room(&self, core: &mut Core, tracked: u32) -> Result<(), Error> {
        self.links
            .admit(core)
            .map_err(|hint| Error::refused(Call::Push, hint))?;
        if L::NOTIFIES {
            core.admit_notifying(self.links.drains())?;
        } else if self.links.drains() {
            core.admit_drain()?;
        }
        core.make_room(L::LEN, tracked, L::LARGE, true)
    }
}

impl<L: LastMember> Chain<L> {
    /// Pushes the member that was added last with those options.
    ///
    /// A [drain](Push::drain) holds for the whole chain, whichever member has it.
    ///
    /// ```
    /// use uring::op::{Fsync, Write};
    /// use uring::{Chain, Push};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// # let path = std::env::temp_dir().join(format!("uring-doc-chain-{}", std::process::id()));
    /// let file = std::sync::Arc::new(std::fs::File::create(&path)?);
    /// let chain = Chain::new(Write::new(file.clone(), "all of it"))
    ///     .then(Fsync::new(file))
    ///     .with(Push::new().always_async());
    /// let (write, sync) = ring.push_chain(chain)?;
    /// ring.wait(sync)?.result?;
    /// assert_eq!(ring.wait(write)?.result?, 9);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(mut self, push: Push) -> Self {
        *self.links.options() = push;
        self
    }

    /// Cancels the member that was added last if it takes longer, from its start on.
    ///
    /// The limit has a token of its own, which tells whether the [time was over](crate::op::Limited). Since Linux 5.5.
    ///
    /// A member that blocks in one of the kernel's worker threads behind another that was carried out there
    /// ([`always_async`](Push::always_async)) is not ended by its limit on Linux 6.18: a read of an empty pipe, for one. Waiting with a
    /// [`Poll`](crate::op::Poll) is.
    #[doc(alias = "io_uring_prep_link_timeout")]
    pub fn timeout<M: TimeMemory>(self, limit: LinkTimeout<M>) -> Chain<Timed<L, M>> {
        Chain {
            links: Timed {
                before: self.links,
                limit: limit.into_limit(),
            },
            skip_success: self.skip_success,
        }
    }
}

/// Members of a [`Chain`] of which the last has no time limit yet. Sealed.
pub trait LastMember: Links {
    #[doc(hidden)]
    fn options(&mut self) -> &mut Push;
}

impl<O: Operation> LastMember for First<O> {
    fn options(&mut self) -> &mut Push {
        &mut self.push
    }
}

impl<L: Links, O: Operation> LastMember for Then<L, O> {
    fn options(&mut self) -> &mut Push {
        &mut self.push
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
    /// Whether a member takes a second request for its notification.
    #[doc(hidden)]
    const NOTIFIES: bool;

    #[doc(hidden)]
    fn admit(&self, core: &Core) -> Result<(), Hint>;

    #[doc(hidden)]
    fn drains(&self) -> bool;

    /// Whether the completions of all but the last could be left out; `is_end` if these are all.
    #[doc(hidden)]
    fn may_be_quiet(&self, is_end: bool) -> bool;

    /// Puts all into the queue, for which room has been made.
    #[doc(hidden)]
    fn place(self, core: &mut Core, how: How) -> Self::Tokens;
}

/// How members are put into the queue.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How the last of them is tied to what comes next, if anything does.
    link: u8,
    depth: u16,
    quiet: bool,
}

impl How {
    /// For those that are tied to the next member in that way.
    const fn before(self, link: u8) -> How {
        How { link, ..self }
    }

    /// For those of which the last has a time limit: the kernel takes that out of the chain, so the member before it is what the next one is
    /// tied to.
    const fn before_limit(self) -> How {
        self.before(if self.link == 0 {
            uring_sys::IOSQE_IO_LINK
        } else {
            self.link
        })
    }

    /// For the last of a chain of which nothing is kept.
    const fn last(quiet: bool) -> How {
        How {
            link: 0,
            depth: 0,
            quiet,
        }
    }

    /// Whether what comes next has the completion for this one.
    const fn skips(self) -> bool {
        self.quiet && self.link != 0
    }
}

impl<O> sealed::Sealed for First<O> {}
impl<L, O> sealed::Sealed for Then<L, O> {}
impl<L, M> sealed::Sealed for Timed<L, M> {}

impl<O: Operation> Links for First<O> {
    type Tokens = Token<O>;
    const LEN: u32 = 1;
    const LARGE: bool = O::LARGE;
    const NOTIFIES: bool = notifies::<O>();

    fn admit(&self, core: &Core) -> Result<(), Hint> {
        self.op.admit(core.id())?;
        core.admit_push(self.push)
    }

    fn drains(&self) -> bool {
        self.push.drains()
    }

    fn may_be_quiet(&self, is_end: bool) -> bool {
        may_be_quiet(&self.op, self.push, is_end)
    }

    fn place(self, core: &mut Core, how: How) -> Token<O> {
        place(core, self.op, self.push, how, true)
    }
}

impl<L: Links, O: Operation> Links for Then<L, O> {
    type Tokens = (L::Tokens, Token<O>);
    const LEN: u32 = L::LEN + 1;
    const LARGE: bool = L::LARGE || O::LARGE;
    const NOTIFIES: bool = L::NOTIFIES || notifies::<O>();

    fn admit(&self, core: &Core) -> Result<(), Hint> {
        self.before.admit(core)?;
        self.op.admit(core.id())?;
        core.admit_push(self.push)
    }

    fn drains(&self) -> bool {
        self.before.drains() || self.push.drains()
    }

    fn may_be_quiet(&self, is_end: bool) -> bool {
        self.link == uring_sys::IOSQE_IO_LINK
            && self.before.may_be_quiet(false)
            && may_be_quiet(&self.op, self.push, is_end)
    }

    fn place(self, core: &mut Core, how: How) -> Self::Tokens {
        let before = self.before.place(core, how.before(self.link));
        (before, place(core, self.op, self.push, how, false))
    }
}

impl<L: LastMember, M: TimeMemory> Links for Timed<L, M> {
    type Tokens = (L::Tokens, Token<TimeLimit<M>>);
    const LEN: u32 = L::LEN + 1;
    const LARGE: bool = L::LARGE;
    const NOTIFIES: bool = L::NOTIFIES;

    fn admit(&self, core: &Core) -> Result<(), Hint> {
        self.before.admit(core)
    }

    fn drains(&self) -> bool {
        self.before.drains()
    }

    fn may_be_quiet(&self, _: bool) -> bool {
        false
    }

    fn place(self, core: &mut Core, how: How) -> Self::Tokens {
        let before = self.before.place(core, how.before_limit());
        (before, place(core, self.limit, Push::new(), how, false))
    }
}

/// Whether an operation completes once only, and if it is not the last of its chain, has but one way to succeed.
fn may_be_quiet<O: Operation>(op: &O, push: Push, is_end: bool) -> bool {
    matches!(O::COMPLETES, Completes::Once) && !push.drains() && (is_end || op.success().is_some())
}

fn place<O: Operation>(core: &mut Core, op: O, push: Push, how: How, is_first: bool) -> Token<O> {
    let success = op.success().unwrap_or(0);
    let push = push.linked(how.link).skipping_success(how.skips());
    match core.place(op, push, how.depth) {
        Ok(place) => {
            if how.quiet {
                core.join_quiet_chain(place, success, is_first);
            }
            Token::new(place)
        }
        Err(_) => unreachable!("room was made for the whole chain"),
    }
}
