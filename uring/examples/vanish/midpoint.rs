//! Where the copying threads wait, with operations in flight, while the main thread closes all descriptors.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::status::RingStatus;

/// A place that each thread passes once, when all are there and the main thread has opened it.
#[derive(Debug, Default)]
pub(crate) struct Midpoint {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
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

/// All that have arrived. Dropping it opens the midpoint.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    midpoint: &'a Midpoint,
    pub(crate) arrivals: Vec<Arrival>,
}

impl Midpoint {
    /// For one more thread to take with it.
    pub(crate) fn set_out(&self) -> OnTheWay<'_> {
        self.lock().on_the_way += 1;
        OnTheWay(self)
    }

    /// Waits until no thread is on the way.
    pub(crate) fn gather(&self) -> Gathered<'_> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.on_the_way > 0)
            .unwrap_or_else(PoisonError::into_inner);
        Gathered {
            midpoint: self,
            arrivals: state.arrivals.clone(),
        }
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

impl Drop for Gathered<'_> {
    fn drop(&mut self) {
        self.midpoint.lock().open = true;
        self.midpoint.changed.notify_all();
    }
}
