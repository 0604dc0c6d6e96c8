//! Operations that complete more than once.

use std::io;

use crate::completion::Completion;
use crate::op::Operation;

/// How often an operation completes, and what its completions are.
///
/// Public only for being named in [`Operation`].
#[doc(hidden)]
#[derive(Debug)]
pub enum Completes<O> {
    /// Once, with the result.
    Once,
    /// With the result, and when there is more to come a second time with `IORING_CQE_F_NOTIF`, which means that the kernel is done
    /// with the memory. The operation is completed with the first, after the second; see [`Completion::notified`].
    Notified,
    /// Many times, each but the last with an item: [`Completes::many`].
    Many(Many<O>),
}

/// What there is to know of an operation that is [`Multishot`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Many<O> {
    discard: unsafe fn(*const O, Completion),
    /// Whether the last completion is an item too.
    pub(crate) is_item: fn(&Completion) -> bool,
}

impl<O: Multishot> Completes<O> {
    /// For a [`Multishot`] operation.
    pub(crate) const fn many() -> Completes<O> {
        Completes::Many(Many {
            discard: discard::<O>,
            is_item: O::is_item,
        })
    }
}

impl<O> Many<O> {
    /// Builds an item and drops it.
    ///
    /// # Safety
    ///
    /// As for [`Multishot::item`].
    pub(crate) unsafe fn discard(&self, this: *const O, completion: Completion) {
        // SAFETY: passed on to the caller.
        unsafe { (self.discard)(this, completion) };
    }
}

unsafe fn discard<O: Multishot>(this: *const O, completion: Completion) {
    // SAFETY: passed on to the caller.
    drop(unsafe { O::item(this, completion) });
}

/// An operation that completes many times, with an item each.
///
/// [`Ring::wait_item`](crate::Ring::wait_item) and [`Ring::take_item`](crate::Ring::take_item) give the items. When the former gives none
/// any more the operation has ended, and [`Ring::take`](crate::Ring::take) or [`Ring::wait`](crate::Ring::wait) give its
/// [`Output`](Operation::Output), [`Ended`]: why it ended, and the operation itself, which can be pushed again. Items that nobody
/// takes are dropped, so that a descriptor among them is closed: those left when the operation is claimed, those of a detached operation,
/// and those of a scope or ring that has ended.
///
/// An operation that is multishot has `type Output = Ended<Self>`, `COMPLETES = Completes::many()` and
/// `complete` returning `Ended::new(self, completion)`.
///
/// # Safety
///
/// `item` reads nothing of `*this` that the kernel may be writing, and an item may be built wherever the value has been moved to.
pub unsafe trait Multishot: Operation {
    /// What each completion yields.
    type Item;

    /// Makes an item from a completion that is not the last, or that is the last and [`is_item`](Multishot::is_item).
    ///
    /// # Safety
    ///
    /// `*this` is an operation that was carried out and not completed, and `completion` is one of it; each is made an item of once.
    #[doc(hidden)]
    unsafe fn item(this: *const Self, completion: Completion) -> Self::Item;

    /// Whether the last completion carries an item too: the kernel has ended the operation with it.
    #[doc(hidden)]
    fn is_item(last: &Completion) -> bool {
        last.raw_result() >= 0
    }

    /// Why the operation has ended, by its last completion.
    #[doc(hidden)]
    fn end(last: &Completion) -> EndReason {
        EndReason::of(last)
    }
}

/// A multishot operation that has ended.
#[derive(Debug)]
#[must_use = "the kernel may have ended it although there is more to come"]
pub struct Ended<O> {
    /// Why.
    pub reason: EndReason,
    /// The operation, which can be pushed again.
    pub op: O,
}

impl<O: Multishot> Ended<O> {
    /// After the last completion.
    pub(crate) fn new(op: O, last: Completion) -> Ended<O> {
        Ended {
            reason: O::end(&last),
            op,
        }
    }

    /// After the last completion of an operation that takes buffers, which may have taken one for nothing: that goes back.
    ///
    /// # Safety
    ///
    /// The operation was carried out, and the completion is the last of it; of one that is no item `O::item` makes what was taken, if anything was.
    pub(crate) unsafe fn giving_back(op: O, last: Completion) -> Ended<O> {
        if !O::is_item(&last) {
            // SAFETY: the caller vouches for the completion, which nothing was made of.
            drop(unsafe { O::item(&raw const op, last) });
        }
        Ended::new(op, last)
    }
}

/// Why a multishot operation has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndReason {
    /// There is no more to come: all repetitions were made, the other side has closed.
    Finished,
    /// It was cancelled.
    Cancelled,
    /// No provided buffer was free (`ENOBUFS`). Pushed again, it goes on when there are some.
    NoBuffers,
    /// The kernel has stopped though nothing was wrong, mostly since there was no room for more completions. Pushed again, it goes on.
    Stopped,
    /// It failed.
    Failed(io::Error),
}

/// Whether the last completion of something that reads a stream brings bytes: none are the end of it.
pub(super) fn brings_bytes(last: &Completion) -> bool {
    last.raw_result() > 0
}

impl EndReason {
    /// What an operation that reads a stream means by its last completion.
    pub(crate) fn of_stream(last: &Completion) -> EndReason {
        match last.raw_result() {
            0 => EndReason::Finished,
            _ => EndReason::of(last),
        }
    }

    /// What most operations mean by their last completion.
    pub(crate) fn of(last: &Completion) -> EndReason {
        match last.result() {
            Ok(_) => EndReason::Stopped,
            Err(error) => match error.raw_os_error() {
                Some(libc::ECANCELED) => EndReason::Cancelled,
                Some(libc::ENOBUFS) => EndReason::NoBuffers,
                _ => EndReason::Failed(error),
            },
        }
    }

    /// Whether there may be more to come if the operation is pushed again, and nothing has to be done for that but to make room for
    /// completions or buffers.
    #[must_use]
    pub const fn may_go_on(&self) -> bool {
        matches!(self, EndReason::NoBuffers | EndReason::Stopped)
    }
}
