//! What a process has brought to completion, opcode by opcode, for the account that the suites give.
//!
//! Compiled in with `--cfg uring_coverage` alone. Nothing is allocated for an operation, so that tests of that still mean something, and
//! what is in flight beyond [`KEPT`] operations is forgotten: this is an account of opcodes, not a count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::completion::Completion;
use crate::entry::{Entry, IGNORED};
use crate::handle::HandleKind;
use crate::names::{opcode_name, register_opcode_name};

/// How a ring is reached, and how it came to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Fd,
    Registered,
    /// By its index, the descriptor having been closed.
    Closed,
    /// By its index from birth.
    Born,
    /// No ring is meant: the call stands for itself.
    Nobody,
}

impl Reached {
    const ALL: [Reached; 5] = [
        Reached::Fd,
        Reached::Registered,
        Reached::Closed,
        Reached::Born,
        Reached::Nobody,
    ];

    pub(crate) fn of(kind: HandleKind, had_descriptor: bool) -> Reached {
        match (kind, had_descriptor) {
            (HandleKind::Fd, _) => Reached::Fd,
            (HandleKind::Registered, _) => Reached::Registered,
            (HandleKind::Fdless, true) => Reached::Closed,
            (HandleKind::Fdless, false) => Reached::Born,
        }
    }

    const fn word(self) -> Option<&'static str> {
        match self {
            Reached::Fd => Some("fd"),
            Reached::Registered => Some("registered"),
            Reached::Closed => Some("closed"),
            Reached::Born => Some("born"),
            Reached::Nobody => None,
        }
    }
}

/// A set of opcodes for each way to be reached.
type Table = [[AtomicU64; 4]; Reached::ALL.len()];

static COMPLETED: Table = [const { [const { AtomicU64::new(0) }; 4] }; Reached::ALL.len()];
static REGISTERED: Table = [const { [const { AtomicU64::new(0) }; 4] }; Reached::ALL.len()];

fn add(table: &Table, reached: Reached, opcode: u8) {
    let word = &table[reached as usize][usize::from(opcode / 64)];
    word.fetch_or(1 << (opcode % 64), Ordering::Relaxed);
}

fn has(table: &Table, reached: Reached, opcode: u8) -> bool {
    let word = &table[reached as usize][usize::from(opcode / 64)];
    word.load(Ordering::Relaxed) & (1 << (opcode % 64)) != 0
}

/// `io_uring_register` has succeeded.
pub(crate) fn registered(reached: Reached, opcode: u32) {
    if let Ok(opcode) = u8::try_from(opcode) {
        add(&REGISTERED, reached, opcode);
    }
}

/// Every opcode and register opcode that this process has brought to success, with the handle that the ring had then: `fd`,
/// `registered`, `closed`, `born`, or none for calls that stand for themselves.
#[must_use]
pub fn coverage() -> Vec<(Option<&'static str>, &'static str)> {
    let mut covered = Vec::new();
    for reached in Reached::ALL {
        for opcode in 0..=u8::MAX {
            let operation = opcode_name(opcode).filter(|_| has(&COMPLETED, reached, opcode));
            let call = register_opcode_name(u32::from(opcode));
            let call = call.filter(|_| has(&REGISTERED, reached, opcode));
            let names = operation.into_iter().chain(call);
            covered.extend(names.map(|name| (reached.word(), name)));
        }
    }
    covered
}

/// The opcodes of a ring's operations in flight, by their `user_data`.
pub(crate) struct InFlight(Box<[Known; KEPT]>);

/// How many operations of a ring are known at most.
const KEPT: usize = 512;
/// In how many places an operation may be.
const PLACES: usize = 8;

#[derive(Clone, Copy)]
struct Known {
    user_data: u64,
    /// How many operations carry this `user_data`; none if the place is free.
    count: u32,
    /// What they all are; nothing where they differ.
    opcode: Option<u8>,
}

impl InFlight {
    pub(crate) fn new() -> InFlight {
        let free = Known {
            user_data: 0,
            count: 0,
            opcode: None,
        };
        InFlight(Box::new([free; KEPT]))
    }

    /// An entry goes into the queue.
    pub(crate) fn pushed(&mut self, entry: &Entry) {
        let (user_data, opcode) = (entry.user_data(), entry.opcode());
        if user_data == IGNORED {
            return;
        }
        let place = places(user_data)
            .find(|place| self.is_of(*place, user_data))
            .or_else(|| places(user_data).find(|place| self.0[*place].count == 0))
            .or_else(|| places(user_data).next());
        let Some(known) = place.map(|place| &mut self.0[place]) else {
            return;
        };
        if known.count > 0 && known.user_data == user_data {
            known.count += 1;
            known.opcode = known.opcode.filter(|known| *known == opcode);
        } else {
            *known = Known {
                user_data,
                count: 1,
                opcode: Some(opcode),
            };
        }
    }

    /// A completion has come to a ring that is reached in this way.
    pub(crate) fn completed(&mut self, completion: &Completion, reached: Reached) {
        let user_data = completion.user_data;
        let Some(place) = places(user_data).find(|place| self.is_of(*place, user_data)) else {
            return;
        };
        let known = &mut self.0[place];
        if !completion.has_more() {
            known.count -= 1;
        }
        if let Some(opcode) = known
            .opcode
            .filter(|opcode| is_success(*opcode, completion))
        {
            add(&COMPLETED, reached, opcode);
        }
    }

    fn is_of(&self, place: usize, user_data: u64) -> bool {
        self.0[place].count > 0 && self.0[place].user_data == user_data
    }
}

/// Where an operation may be, in the order of search.
fn places(user_data: u64) -> impl Iterator<Item = usize> {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let start = usize::try_from(user_data.wrapping_mul(SPREAD) >> 32).unwrap_or(0);
    (start..start + PLACES).map(|place| place % KEPT)
}

/// A timeout that has run out has done what it is for.
fn is_success(opcode: u8, completion: &Completion) -> bool {
    let is_timeout = matches!(
        opcode,
        uring_sys::IORING_OP_TIMEOUT | uring_sys::IORING_OP_LINK_TIMEOUT
    );
    completion.result >= 0 || (is_timeout && completion.result == -libc::ETIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uring_sys::{
        IORING_CQE_F_MORE, IORING_OP_FSYNC, IORING_OP_LINK_TIMEOUT, IORING_OP_NOP, IORING_OP_TEE,
        IORING_OP_TIMEOUT,
    };

    fn entry(opcode: u8, user_data: u64) -> Entry {
        let mut entry = Entry::new(opcode);
        entry.set_user_data(user_data);
        entry
    }

    /// Each test asks for a handle of its own, since the tables are the process's.
    fn covers(reached: Reached, opcode: u8) -> bool {
        coverage().contains(&(reached.word(), opcode_name(opcode).unwrap()))
    }

    #[test]
    fn an_operation_counts_when_it_succeeds_by_the_handle_of_that_moment() {
        let mut flying = InFlight::new();
        for result in [-libc::EBADF, 5] {
            flying.pushed(&entry(IORING_OP_TEE, 7));
            assert!(!covers(Reached::Closed, IORING_OP_TEE), "{result}");
            flying.completed(&Completion::new(7, result, 0), Reached::Closed);
        }
        assert!(covers(Reached::Closed, IORING_OP_TEE));
        assert!(!covers(Reached::Born, IORING_OP_TEE));
    }

    #[test]
    fn a_timeout_succeeds_by_running_out() {
        let expired = Completion::new(1, -libc::ETIME, 0);
        assert!(is_success(IORING_OP_TIMEOUT, &expired));
        assert!(is_success(IORING_OP_LINK_TIMEOUT, &expired));
        assert!(!is_success(IORING_OP_FSYNC, &expired));
        let cancelled = Completion::new(1, -libc::ECANCELED, 0);
        assert!(!is_success(IORING_OP_TIMEOUT, &cancelled));
    }

    #[test]
    fn the_same_number_for_different_operations_tells_nothing() {
        let mut flying = InFlight::new();
        flying.pushed(&entry(IORING_OP_FSYNC, 3));
        flying.pushed(&entry(IORING_OP_NOP, 3));
        for _ in 0..2 {
            flying.completed(&Completion::new(3, 0, 0), Reached::Registered);
        }
        assert!(!covers(Reached::Registered, IORING_OP_FSYNC));
        assert!(!covers(Reached::Registered, IORING_OP_NOP));
        flying.pushed(&entry(IORING_OP_FSYNC, 3));
        flying.completed(&Completion::new(3, 0, 0), Reached::Registered);
        assert!(covers(Reached::Registered, IORING_OP_FSYNC));
    }

    #[test]
    fn an_operation_is_known_until_its_last_completion() {
        let mut flying = InFlight::new();
        flying.pushed(&entry(IORING_OP_TEE, 9));
        let more = Completion::new(9, -libc::EAGAIN, IORING_CQE_F_MORE);
        flying.completed(&more, Reached::Nobody);
        flying.completed(&Completion::new(9, 1, 0), Reached::Nobody);
        assert!(covers(Reached::Nobody, IORING_OP_TEE));
        assert!(places(9).all(|place| flying.0[place].count == 0));
    }

    #[test]
    fn more_operations_than_are_kept_do_no_harm() {
        let mut flying = InFlight::new();
        for user_data in 0..10_000 {
            flying.pushed(&entry(IORING_OP_NOP, user_data));
        }
        for user_data in 0..10_000 {
            flying.completed(&Completion::new(user_data, 0, 0), Reached::Born);
        }
        assert!(flying.0.iter().all(|known| known.count == 0));
        assert!(covers(Reached::Born, IORING_OP_NOP));
    }

    #[test]
    fn a_register_call_counts_by_its_opcode() {
        let probed = (Some("closed"), "IORING_REGISTER_PROBE");
        assert!(!coverage().contains(&probed));
        registered(Reached::Closed, uring_sys::IORING_REGISTER_PROBE);
        assert!(coverage().contains(&probed));
        // Newer ones than have a name are not told of.
        registered(Reached::Closed, 0x7fff);
        registered(Reached::Closed, 200);
    }

    #[test]
    fn an_index_tells_by_the_descriptor_that_was_how_it_came_to_be() {
        for (kind, had_descriptor, word) in [
            (HandleKind::Fd, true, "fd"),
            (HandleKind::Registered, true, "registered"),
            (HandleKind::Fdless, true, "closed"),
            (HandleKind::Fdless, false, "born"),
        ] {
            assert_eq!(Reached::of(kind, had_descriptor).word(), Some(word));
        }
    }
}
