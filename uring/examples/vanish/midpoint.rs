//! Where the copying threads wait, with operations in flight, while the main thread closes all descriptors.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::status::RingStatus;

/// A place that each thread passes once, when all are there and the main thread has opened it.
#[derive(Debug)]
pub(crate) struct Midpoint {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    on_the_way: usize,
    arrivals: Vec<Arrival>,
    open: bool,
}

/// What a thread has to say when it is half-way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) ring: RingStatus,
    pub(crate) in_flight: usize,
}

/// The right to arrive once. A thread that ends before that is not waited for.
#[derive(Debug)]
pub(crate) struct OnTheWay<'a>(&'a Midpoint);

impl Midpoint {
    pub(crate) fn new(threads: usize) -> Midpoint {
        Midpoint {
            state: Mutex::new(State {
                on_the_way: threads,
                arrivals: Vec::new(),
                open: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Called once by each thread.
    pub(crate) fn set_out(&self) -> OnTheWay<'_> {
        OnTheWay(self)
    }

    /// Waits until no thread is on the way, and gives what those that arrived have said.
    pub(crate) fn wait_for_all(&self) -> Vec<Arrival> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.on_the_way > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.arrivals.clone()
    }

    /// Lets the threads go on.
    pub(crate) fn open(&self) {
        self.lock().open = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnTheWay<'_> {
    /// Arrives, and waits until the midpoint is open.
    pub(crate) fn arrive(self, arrival: Arrival) {
        let midpoint = self.0;
        midpoint.lock().arrivals.push(arrival);
        drop(self);
        let _open = midpoint
            .changed
            .wait_while(midpoint.lock(), |state| !state.open)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        self.0.lock().on_the_way -= 1;
        self.0.changed.notify_all();
    }
}
