//! Chains of operations that own nothing.

use crate::batch::refused_user_data;
use crate::chain::{Chain, First, How, LastMember, Links, Then, Timed};
use crate::engine::Core;
use crate::entry::TRACKED;
use crate::flags::Features;
use crate::op::{Completes, Operation, RawOperation, TimeLimit, TimeMemory};
use crate::push::Push;
use crate::resource::Untracked;
use crate::token::{PushError, Refused};

/// The members of a [`Chain`] that is pushed [raw](crate::Ring::push_raw_chain): all of them own nothing. Sealed.
pub trait RawLinks: Links {
    /// The numbers by which their completions are told, nested as the members are: `((1, 2), 3)` for three.
    type Numbers: Copy;

    /// Whether none of the numbers is the ring's own.
    #[doc(hidden)]
    fn are_free(numbers: Self::Numbers) -> bool;

    /// Whether one completion can stand for all.
    #[doc(hidden)]
    fn may_be_one(&self) -> bool;

    /// Puts all into the queue, for which room has been made.
    #[doc(hidden)]
    fn place_raw(self, core: &mut Core, how: How, numbers: Self::Numbers);
}

impl<L: RawLinks> Chain<L> {
    pub(crate) fn push_raw(
        self,
        core: &mut Core,
        numbers: L::Numbers,
    ) -> Result<(), PushError<Chain<L>>> {
        if !L::are_free(numbers) {
            return Err(Refused::new(self, refused_user_data()));
        }
        if let Err(error) = self.make_room(core, 0) {
            return Err(Refused::new(self, error));
        }
        let quiet = self.skip_success
            && self.links.may_be_one()
            && core.setup().features().contains(Features::CQE_SKIP);
        self.links.place_raw(core, How::last(quiet), numbers);
        Ok(())
    }
}

/// Whether an operation completes once, and not behind a drain, which the kernel refuses where completions are left out.
const fn may_be_one<O: Operation>(push: Push) -> bool {
    matches!(O::COMPLETES, Completes::Once) && !push.drains()
}

fn place<O: Operation>(core: &mut Core, op: O, push: Push, how: How, number: u64) {
    let push = push.linked(how.link).skipping_success(how.skips());
    core.place_raw(op, push, number);
}

impl<O: RawOperation> RawLinks for First<O> {
    type Numbers = u64;

    fn are_free(number: u64) -> bool {
        number & TRACKED == 0
    }

    fn may_be_one(&self) -> bool {
        may_be_one::<O>(self.push)
    }

    fn place_raw(self, core: &mut Core, how: How, number: u64) {
        place(core, self.op, self.push, how, number);
    }
}

impl<L: RawLinks, O: RawOperation> RawLinks for Then<L, O> {
    type Numbers = (L::Numbers, u64);

    fn are_free((before, number): Self::Numbers) -> bool {
        L::are_free(before) && number & TRACKED == 0
    }

    fn may_be_one(&self) -> bool {
        self.link == uring_sys::IOSQE_IO_LINK
            && self.before.may_be_one()
            && may_be_one::<O>(self.push)
    }

    fn place_raw(self, core: &mut Core, how: How, (before, number): Self::Numbers) {
        self.before.place_raw(core, how.before(self.link), before);
        place(core, self.op, self.push, how, number);
    }
}

impl<L, M> RawLinks for Timed<L, M>
where
    L: LastMember + RawLinks,
    M: TimeMemory + Untracked,
{
    type Numbers = (L::Numbers, u64);

    fn are_free((before, number): Self::Numbers) -> bool {
        L::are_free(before) && number & TRACKED == 0
    }

    fn may_be_one(&self) -> bool {
        false
    }

    fn place_raw(self, core: &mut Core, how: How, (before, number): Self::Numbers) {
        self.before.place_raw(core, how.before_limit(), before);
        // A limit with an untracked time has no pointer into itself.
        place::<TimeLimit<M>>(core, self.limit, Push::new(), how, number);
    }
}
