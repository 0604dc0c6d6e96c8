//! What a ring, or a thread with all of its rings to come, may not do.

mod thread;

use std::fmt;

use uring_sys::io_uring_restriction;

use crate::disabled::DisabledRing;
use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::flags::{EntryFlags, SetupFlags};
use crate::handle::Handle;
use crate::names::{opcode_name, register_opcode_name};
use crate::op::Operation;
use crate::ring::Ring;

/// What a ring may do, once it is restricted: nothing else.
///
/// Operations that are not allowed complete with `EACCES`, and so do those with flags that are not, or without flags that are required.
/// Register calls that are not allowed fail with an error that [`is_restricted`](Error::is_restricted). Restrictions cannot be
/// loosened or taken back.
///
/// What the library needs to bring a ring to its end is always allowed: to enable it and to give it a slot of the thread's table and take that
/// back, to cancel, to unregister things and to empty slots of the table of direct descriptors, to probe and to query. Allowing what the kernel does not
/// know is no error, since the kernel does not do it anyway.
///
/// ```
/// use uring::op::{Nop, OpenAt};
/// use uring::{Builder, Restrictions};
///
/// let mut ring = Builder::new(8).build_disabled()?;
/// ring.restrict(&Restrictions::new().allow::<Nop>())?;
/// let mut ring = ring.enable_best()?;
/// ring.call(Nop::new())??;
/// let refused = ring.call(OpenAt::new(c"/proc/version"))?.result.unwrap_err();
/// assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
/// assert!(ring.register_direct(4).unwrap_err().is_restricted());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_register_restrictions(3)`, `io_uring/register.c`.
#[derive(Clone, Default, PartialEq, Eq)]
#[doc(alias = "io_uring_restriction")]
#[must_use]
pub struct Restrictions {
    opcodes: Set,
    register_opcodes: Set,
    flags: EntryFlags,
    required: EntryFlags,
}

/// Numbers below 256.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    fn insert(&mut self, number: u8) {
        self.0[usize::from(number / 64)] |= 1 << (number % 64);
    }

    fn has(&self, number: u8) -> bool {
        self.0[usize::from(number / 64)] & (1 << (number % 64)) != 0
    }

    fn iter(self) -> impl DoubleEndedIterator<Item = u8> {
        (0..=u8::MAX).filter(move |number| self.has(*number))
    }
}

/// Register calls that bring things to an end, or have to come before there is a ring at all.
const ALWAYS: [u32; 12] = [
    uring_sys::IORING_UNREGISTER_BUFFERS,
    uring_sys::IORING_UNREGISTER_FILES,
    uring_sys::IORING_UNREGISTER_EVENTFD,
    uring_sys::IORING_REGISTER_FILES_UPDATE,
    uring_sys::IORING_REGISTER_PROBE,
    uring_sys::IORING_UNREGISTER_PERSONALITY,
    uring_sys::IORING_REGISTER_ENABLE_RINGS,
    uring_sys::IORING_REGISTER_RING_FDS,
    uring_sys::IORING_UNREGISTER_RING_FDS,
    uring_sys::IORING_UNREGISTER_PBUF_RING,
    uring_sys::IORING_REGISTER_SYNC_CANCEL,
    uring_sys::IORING_REGISTER_QUERY,
];

/// Every kernel that has restrictions knows the register calls up to this.
const OLDEST_LAST: u8 = 12;
static_assertions::const_assert!(uring_sys::IORING_REGISTER_ENABLE_RINGS == OLDEST_LAST as u32);

/// Flags that can be required: the library's own cancellations have to do with them.
const REQUIRABLE: EntryFlags = EntryFlags::FIXED_FILE.union(EntryFlags::ASYNC);

impl Restrictions {
    /// Allows what the library needs, and nothing else.
    pub fn new() -> Restrictions {
        let mut restrictions = Restrictions::default();
        restrictions
            .opcodes
            .insert(uring_sys::IORING_OP_ASYNC_CANCEL);
        for opcode in ALWAYS {
            restrictions = restrictions.allow_register(opcode);
        }
        restrictions
    }

    /// Allows an operation by its type. Types that have an opcode in common are allowed together.
    ///
    /// ```
    /// use uring::op::{Fsync, Read};
    /// use uring::{RawBuf, RawTarget, Restrictions};
    ///
    /// let restrictions = Restrictions::new().allow::<Read<RawTarget, RawBuf>>();
    /// assert!(restrictions.allows::<Read<std::fs::File, Vec<u8>>>());
    /// assert!(!restrictions.allows::<Fsync<std::fs::File>>());
    /// ```
    pub fn allow<O: Operation>(self) -> Restrictions {
        self.allow_opcode(O::OPCODE)
    }

    /// Allows the operations with this opcode, an `IORING_OP_*`.
    #[doc(alias = "IORING_RESTRICTION_SQE_OP")]
    pub fn allow_opcode(mut self, opcode: u8) -> Restrictions {
        self.opcodes.insert(opcode);
        self
    }

    /// Allows register calls with this opcode, an `IORING_REGISTER_*` or `IORING_UNREGISTER_*`.
    #[doc(alias = "IORING_RESTRICTION_REGISTER_OP")]
    pub fn allow_register(mut self, opcode: u32) -> Restrictions {
        // No kernel knows numbers beyond, and none could be told that they are allowed.
        if let Ok(opcode) = u8::try_from(opcode) {
            self.register_opcodes.insert(opcode);
        }
        self
    }

    /// Allows operations to have these flags; without it they may have none.
    ///
    /// [`EntryFlags`] says what gives them to an operation.
    #[doc(alias = "IORING_RESTRICTION_SQE_FLAGS_ALLOWED")]
    pub fn allow_flags(mut self, flags: EntryFlags) -> Restrictions {
        self.flags |= flags;
        self
    }

    /// Requires, and with that allows, that each operation has these flags.
    ///
    /// Of the flags, [`FIXED_FILE`](EntryFlags::FIXED_FILE) and [`ASYNC`](EntryFlags::ASYNC) can be required: the ring's own
    /// cancellations have them then. Before Linux 5.19 a cancellation that has the first is refused, and what is still in flight when such a ring
    /// ends is waited for, and leaked if it does not end in time.
    #[doc(alias = "IORING_RESTRICTION_SQE_FLAGS_REQUIRED")]
    pub fn require_flags(mut self, flags: EntryFlags) -> Restrictions {
        self.required |= flags;
        self
    }

    /// Whether an operation of that type is allowed.
    #[must_use]
    pub fn allows<O: Operation>(&self) -> bool {
        self.allows_opcode(O::OPCODE)
    }

    /// Whether operations with this opcode are allowed.
    #[must_use]
    pub fn allows_opcode(&self, opcode: u8) -> bool {
        self.opcodes.has(opcode)
    }

    /// Whether register calls with this opcode are allowed.
    #[must_use]
    pub fn allows_register(&self, opcode: u32) -> bool {
        u8::try_from(opcode).is_ok_and(|opcode| self.register_opcodes.has(opcode))
    }

    /// The flags that each operation must have.
    pub(crate) fn required(&self) -> EntryFlags {
        self.required
    }

    /// In the kernel's form, as far as the kernel knows what is allowed.
    fn list(
        &self,
        knows: impl Fn(u8) -> bool,
        knows_register: impl Fn(u8) -> bool,
    ) -> Vec<io_uring_restriction> {
        let one = |opcode| io_uring_restriction {
            opcode,
            ..io_uring_restriction::default()
        };
        let mut list = Vec::new();
        for opcode in self.opcodes.iter().filter(|opcode| knows(*opcode)) {
            let mut restriction = one(uring_sys::IORING_RESTRICTION_SQE_OP);
            restriction.anon_1.sqe_op = opcode;
            list.push(restriction);
        }
        for opcode in self.register_opcodes.iter() {
            if knows_register(opcode) {
                let mut restriction = one(uring_sys::IORING_RESTRICTION_REGISTER_OP);
                restriction.anon_1.register_op = opcode;
                list.push(restriction);
            }
        }
        for (kind, flags) in [
            (uring_sys::IORING_RESTRICTION_SQE_FLAGS_ALLOWED, self.flags),
            (
                uring_sys::IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
                self.required,
            ),
        ] {
            if !flags.is_empty() {
                let mut restriction = one(kind);
                restriction.anon_1.sqe_flags = flags.bits();
                list.push(restriction);
            }
        }
        list
    }
}

impl fmt::Debug for Restrictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opcodes = self.opcodes.iter().filter_map(opcode_name);
        let calls = self.register_opcodes.iter().map(u32::from);
        f.debug_struct("Restrictions")
            .field("operations", &opcodes.collect::<Vec<_>>())
            .field(
                "calls",
                &calls.filter_map(register_opcode_name).collect::<Vec<_>>(),
            )
            .field("flags", &self.flags)
            .field("required", &self.required)
            .finish()
    }
}

impl DisabledRing {
    /// Restricts the ring for good. It can be done once, before the ring is enabled.
    ///
    /// Since Linux 5.10.
    ///
    /// # Errors
    ///
    /// The ring stays as it was if
    /// - it has restrictions already, flags are required that [cannot be](Restrictions::require_flags), or flags are required of a ring whose
    ///   [entries are mixed](crate::EntrySize::Mixed), which fills gaps with entries that have none
    ///   ([`is_invalid_request`](Error::is_invalid_request));
    /// - `io_uring_register(2)` fails otherwise.
    #[doc(alias = "io_uring_register_restrictions")]
    #[doc(alias = "IORING_REGISTER_RESTRICTIONS")]
    pub fn restrict(&mut self, restrictions: &Restrictions) -> Result<(), Error> {
        self.check(CALL)?;
        self.core_mut().restrict(restrictions.clone())
    }
}

impl<H: Handle> Ring<H> {
    /// What the ring is restricted to, if it was restricted while it was [disabled](DisabledRing::restrict).
    ///
    /// So it tells whether an `EACCES` may be of its making. Of restrictions of the thread it knows nothing.
    #[must_use]
    pub fn restrictions(&self) -> Option<&Restrictions> {
        self.core().restrictions()
    }
}

const OPCODE: u32 = uring_sys::IORING_REGISTER_RESTRICTIONS;
const CALL: Call = Call::register(OPCODE);
fn refused(explanation: &'static &'static str) -> Error {
    Error::refused(CALL, Hint::contradiction(explanation))
}

impl Core {
    fn restrict(&mut self, mut restrictions: Restrictions) -> Result<(), Error> {
        if self.restrictions().is_some() {
            return Err(refused(&"the ring has restrictions already"));
        }
        if !REQUIRABLE.contains(restrictions.required) {
            return Err(refused(
                &"only FIXED_FILE and ASYNC can be required: no cancellation can have the others",
            ));
        }
        if self.setup().flags().contains(SetupFlags::SQE_MIXED) {
            if !restrictions.required.is_empty() {
                return Err(refused(
                    &"a ring with mixed entries fills gaps with entries that have no flags that could be required",
                ));
            }
            restrictions = restrictions
                .allow_opcode(uring_sys::IORING_OP_NOP)
                .allow_flags(EntryFlags::SKIP_SUCCESS);
        }
        // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
        let probe =
            crate::Probe::read(|opcode, arg, count| unsafe { self.register(opcode, arg, count) })?;
        self.register_restrictions(&restrictions, probe.last_opcode())?;
        self.set_restrictions(restrictions);
        Ok(())
    }

    /// A kernel that does not know a register opcode refuses all restrictions, and forgets them: the newest is left out then.
    fn register_restrictions(
        &self,
        restrictions: &Restrictions,
        last_opcode: u8,
    ) -> Result<(), Error> {
        let newest = restrictions.register_opcodes.iter().next_back();
        let mut last = newest.unwrap_or(OLDEST_LAST);
        loop {
            let mut list =
                restrictions.list(|opcode| opcode <= last_opcode, |opcode| opcode <= last);
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            let arg = list.as_mut_ptr().cast();
            // SAFETY: `count` restrictions, which the kernel reads during the call only.
            match unsafe { self.register(OPCODE, arg, count) } {
                Ok(_) => return Ok(()),
                Err(error) if error.errno() == Some(libc::EINVAL) && last > OLDEST_LAST => {
                    let mut older = restrictions.register_opcodes.iter().rev();
                    last = older.find(|opcode| *opcode < last).unwrap_or(OLDEST_LAST);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Nop;

    #[test]
    fn what_is_needed_to_end_a_ring_is_always_allowed() {
        let restrictions = Restrictions::new();
        assert!(restrictions.allows_opcode(uring_sys::IORING_OP_ASYNC_CANCEL));
        assert!(
            ALWAYS
                .iter()
                .all(|opcode| restrictions.allows_register(*opcode))
        );
        assert!(!restrictions.allows::<Nop>());
        assert!(!restrictions.allows_register(uring_sys::IORING_REGISTER_BUFFERS));
        assert!(
            !restrictions
                .clone()
                .allow_register(1 << 8)
                .allows_register(0)
        );
        let list = restrictions.list(|_| true, |_| true);
        assert_eq!(list.len(), 1 + ALWAYS.len());
    }

    #[test]
    fn what_the_kernel_does_not_know_is_left_out() {
        let restrictions = Restrictions::new()
            .allow_opcode(200)
            .allow::<Nop>()
            .allow_flags(EntryFlags::LINK)
            .require_flags(EntryFlags::ASYNC);
        let list = restrictions.list(|opcode| opcode < 60, |opcode| opcode <= OLDEST_LAST);
        let kinds: Vec<_> = list.iter().map(|restriction| restriction.opcode).collect();
        let mut expected = vec![uring_sys::IORING_RESTRICTION_SQE_OP; 2];
        expected.extend([uring_sys::IORING_RESTRICTION_REGISTER_OP; 7]);
        expected.push(uring_sys::IORING_RESTRICTION_SQE_FLAGS_ALLOWED);
        expected.push(uring_sys::IORING_RESTRICTION_SQE_FLAGS_REQUIRED);
        assert_eq!(kinds, expected);
    }
}
