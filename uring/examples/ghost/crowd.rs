//! Who is connected.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use uring::{Direct, JoinHandle};

/// Connections that may be told at a time that there is no room for them. More are closed without a word.
pub(crate) const MOST_REFUSALS: u32 = 32;

/// All connections, those that are being refused included.
#[derive(Default)]
pub(crate) struct Crowd {
    members: RefCell<HashMap<u64, Member>>,
    refusals: Cell<u32>,
    last: Cell<u64>,
    emptied: Cell<Option<Waker>>,
}

struct Member {
    waits: Rc<Cell<bool>>,
    task: Option<(JoinHandle<()>, Arc<Direct>)>,
}

/// A connection's place in the crowd, which it has until it drops this.
pub(crate) struct Seat {
    crowd: Rc<Crowd>,
    number: u64,
    is_refusal: bool,
    waits: Rc<Cell<bool>>,
}

impl Crowd {
    /// Connections that are served.
    pub(crate) fn served(&self) -> usize {
        let refusals = usize::try_from(self.refusals.get()).unwrap_or(usize::MAX);
        self.members.borrow().len().saturating_sub(refusals)
    }

    pub(crate) fn refusals(&self) -> u32 {
        self.refusals.get()
    }

    /// A place for one more.
    pub(crate) fn seat(self: &Rc<Crowd>, is_refusal: bool) -> Seat {
        let number = self.last.get() + 1;
        self.last.set(number);
        if is_refusal {
            self.refusals.set(self.refusals.get() + 1);
        }
        let waits = Rc::default();
        let member = Member {
            waits: Rc::clone(&waits),
            task: None,
        };
        self.members.borrow_mut().insert(number, member);
        Seat {
            crowd: Rc::clone(self),
            number,
            is_refusal,
            waits,
        }
    }

    /// The task that has a seat, and its socket.
    pub(crate) fn seated(&self, number: u64, task: JoinHandle<()>, socket: Arc<Direct>) {
        if let Some(member) = self.members.borrow_mut().get_mut(&number) {
            member.task = Some((task, socket));
        }
    }

    /// Those who are to go now: all who have no request under way, or all.
    pub(crate) fn dismiss(&self, only_idle: bool) -> Vec<(JoinHandle<()>, Arc<Direct>)> {
        let mut members = self.members.borrow_mut();
        let dismissed = members
            .values_mut()
            .filter(|member| member.waits.get() || !only_idle);
        dismissed.filter_map(|member| member.task.take()).collect()
    }

    /// Waits until nobody is left.
    pub(crate) async fn emptied(&self) {
        poll_fn(|context| {
            if self.members.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.emptied.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Seat {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether nothing of a request has come yet, so that nothing is lost if the connection ends now.
    pub(crate) fn set_waits(&self, waits: bool) {
        self.waits.set(waits);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let crowd = &self.crowd;
        let member = crowd.members.borrow_mut().remove(&self.number);
        if self.is_refusal {
            crowd.refusals.set(crowd.refusals.get() - 1);
        }
        if crowd.members.borrow().is_empty() {
            if let Some(waker) = crowd.emptied.take() {
                waker.wake();
            }
        }
        drop(member);
    }
}
