//! Futures that wait for a slot, in the order in which they came.

use std::collections::VecDeque;
use std::task::Waker;

/// What a waiting future is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<(Ticket, Waker)>,
    last: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// At the end of the queue.
    pub(super) fn enter(&mut self, waker: Waker) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.queue.push_back((ticket, waker));
        ticket
    }

    /// Out of the queue, unless it was woken already.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let at = self.queue.iter().position(|(other, _)| *other == ticket)?;
        self.queue.remove(at).map(|(_, waker)| waker)
    }

    pub(super) fn next(&mut self) -> Option<Waker> {
        self.queue.pop_front().map(|(_, waker)| waker)
    }
}
