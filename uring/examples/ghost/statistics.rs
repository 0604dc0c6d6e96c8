//! What is counted, and what `/stats` and the last line tell.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;
use uring::op::Statx;
use uring::{BufferRing, Local};

use crate::status::Status;

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What has happened since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Count,
    pub(crate) turned_away: Count,
    pub(crate) cut_off: Count,
    pub(crate) requests: Count,
    pub(crate) bytes_sent: Count,
    pub(crate) ran_dry: Count,
    statuses: RefCell<BTreeMap<u16, u64>>,
}

impl Counters {
    pub(crate) fn answered(&self, status: Status) {
        *self.statuses.borrow_mut().entry(status.code()).or_default() += 1;
    }

    pub(crate) fn statuses(&self) -> BTreeMap<u16, u64> {
        self.statuses.borrow().clone()
    }
}

/// The answer to `/stats`.
#[derive(Serialize)]
pub(crate) struct Statistics {
    pub(crate) handle: String,
    /// What the kernel could not hide or do.
    pub(crate) concessions: Vec<String>,
    pub(crate) connections: Connections,
    pub(crate) requests: u64,
    pub(crate) bytes_sent: u64,
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) direct_slots: Share,
    /// Those that connections have in common. How many the kernel has at hand it tells since Linux 6.8.
    pub(crate) receive_buffers: Option<Share>,
    /// How often a connection found none of them.
    pub(crate) receive_buffers_ran_dry: u64,
    pub(crate) send_buffers: Share,
    pub(crate) operations_in_flight: u32,
    /// In `/proc/self/fd`.
    pub(crate) descriptors: Option<u64>,
    pub(crate) leaked_operations: u64,
}

#[derive(Serialize)]
pub(crate) struct Connections {
    pub(crate) now: usize,
    pub(crate) total: u64,
    pub(crate) limit: u32,
    /// Told to come back later, or closed without a word.
    pub(crate) refused: u64,
    /// Closed since they were too slow, or had broken off.
    pub(crate) cut_off: u64,
}

/// How much of something is taken.
#[derive(Serialize)]
pub(crate) struct Share {
    pub(crate) in_use: Option<u64>,
    pub(crate) all: u64,
}

impl Share {
    pub(crate) fn new(in_use: usize, all: usize) -> Share {
        Share {
            in_use: Some(u64::try_from(in_use).unwrap_or(u64::MAX)),
            all: u64::try_from(all).unwrap_or(u64::MAX),
        }
    }
}

impl Statistics {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }
}

/// How many of the buffers hold something that was received.
pub(crate) fn buffers_in_use(local: &Local, buffers: &BufferRing) -> Share {
    let available = local.with(|ring| ring.buffer_ring_available(buffers));
    let available = available.ok().and_then(Result::ok);
    Share {
        in_use: available.map(|available| u64::from(buffers.count().saturating_sub(available))),
        all: buffers.count().into(),
    }
}

/// How many descriptors the process has. Listing them would take one: their number is the size of the directory since Linux 6.2, and before
/// that each number is tried.
pub(crate) async fn descriptors(local: &Local) -> Option<u64> {
    const TRIED: u32 = 1024;
    let directory = local.submit(Statx::new(c"/proc/self/fd")).await.ok()?;
    match directory.result.ok()?.size() {
        0 => {
            let is_open =
                |number: &u32| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
            u64::try_from((0..TRIED).filter(is_open).count()).ok()
        }
        count => Some(count),
    }
}
