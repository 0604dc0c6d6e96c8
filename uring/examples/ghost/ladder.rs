//! What this kernel can do without a descriptor, from the best down.
//!
//! | Linux | the ring | the table of direct descriptors | sockets |
//! |---|---|---|---|
//! | 6.15 | an index only | the kernel gives out slots: one operation accepts, one per connection receives | made, bound and put to listen by the ring |
//! | 6.11 | an index only | the library gives out slots: each connection is accepted, and each piece received, by an operation of its own | the same |
//! | 6.3 | an index only | the same | the listening one is made with a descriptor, put into the table, and the descriptor closed |
//! | 5.10 | a descriptor | the same | the same |

use std::cell::RefCell;
use std::ffi::CString;
use std::io;
use std::sync::{Arc, Weak};

use uring::op::{OpenAt, Resolve};
use uring::{
    AnyDirectSlot, BufferRing, Builder, Direct, DirectSlot, Error, HandleKind, Local, Probe,
    SetupFlags,
};

use crate::crowd::MOST_REFUSALS;

/// An operation of Linux 6.15, by which those kernels are known that close a direct descriptor when it is closed.
///
/// Up to 6.12 the files that have left a table are closed in the order in which they left it, each when no operation on any file of the table
/// is in flight that began before: an operation without end, such as one that accepts, would keep them all.
const CLOSES_AT_ONCE: u8 = uring_sys::IORING_OP_READV_FIXED;

/// Entries between two submissions. Queues of this size fit in one page, as the first kernels with rings without descriptors want them.
const ENTRIES: u32 = 64;

/// Buffers for what comes in, of all connections together, and the size of each. When they run dry a connection uses one of its own.
const BUFFERS: (u16, u32) = (256, 4096);

/// The ring, and what it has been given.
pub(crate) struct Footing {
    pub(crate) local: Local,
    pub(crate) slots: Slots,
    /// None where each piece is received by an operation of its own.
    pub(crate) buffers: Option<BufferRing>,
    pub(crate) probe: Probe,
    /// What this kernel could not hide, and what it does with less.
    pub(crate) concessions: Vec<String>,
}

impl Footing {
    /// Makes a ring for that many connections.
    pub(crate) fn find(connections: u32) -> Result<Footing, Error> {
        // For each a receive, a timer, one other operation, and one that is being cancelled.
        let in_flight = 4 * (connections + MOST_REFUSALS) + 32;
        let mut ring = Builder::new(ENTRIES).in_flight(in_flight).build_best()?;
        // For each its socket and a file.
        let slots = 2 * connections + MOST_REFUSALS + 2;
        let mut concessions = Vec::new();
        let probe = ring.probe()?;
        let closes_late = !probe.supports(CLOSES_AT_ONCE);
        let (by_kernel, buffers) = if closes_late {
            concessions.push(
                "connections are accepted, and bytes received, one operation at a time: this kernel closes what has left the ring's table only \
                 when operations from before have ended (Linux 6.13 does so at once)"
                    .to_owned(),
            );
            ring.register_direct(slots)?;
            (None, None)
        } else {
            ring.register_direct_allocated(slots)?;
            let buffers = ring.buffer_ring(BUFFERS.0, BUFFERS.1)?;
            (Some(ring.any_direct_slot()?), Some(buffers))
        };
        let wakes_by_futex = probe.supports(uring_sys::IORING_OP_FUTEX_WAIT);
        match ring.handle_kind() {
            HandleKind::Fdless => {
                if !ring
                    .setup()
                    .flags()
                    .contains(SetupFlags::REGISTERED_FD_ONLY)
                {
                    concessions.push(
                        "the ring had a descriptor for a moment when it was made (Linux 6.5 makes one without)".to_owned(),
                    );
                }
                if !wakes_by_futex {
                    concessions.push(
                        "the ring gets up every few milliseconds to look for signals (Linux 6.7 has it wait at a futex)".to_owned(),
                    );
                }
            }
            _ => {
                concessions.push("the ring has a descriptor (Linux 6.3 can do without)".to_owned());
                if !wakes_by_futex {
                    concessions.push(
                        "so has the eventfd that signals wake it by (Linux 6.7 has a futex)"
                            .to_owned(),
                    );
                }
            }
        }
        let local = Local::new(ring);
        Ok(Footing {
            slots: Slots {
                local: local.clone(),
                by_kernel,
                all: slots,
                watched: RefCell::default(),
            },
            local,
            buffers,
            probe,
            concessions,
        })
    }

    pub(crate) fn handle(&self) -> String {
        let kind = self.local.handle_kind();
        kind.map_or_else(String::new, |kind| kind.to_string())
    }
}

/// The table of direct descriptors: who gives out its slots, and how many are taken.
pub(crate) struct Slots {
    local: Local,
    by_kernel: Option<AnyDirectSlot>,
    all: u32,
    watched: RefCell<Vec<Weak<Direct>>>,
}

/// A slot to open into.
pub(crate) enum Slot {
    Any(AnyDirectSlot),
    One(DirectSlot),
}

impl Slots {
    pub(crate) fn all(&self) -> u32 {
        self.all
    }

    /// Whether a socket that is closed stays open until operations on others have ended, so that its peer has to be told otherwise.
    pub(crate) fn closes_late(&self) -> bool {
        self.by_kernel.is_none()
    }

    /// The slots that the kernel gives out, if it does.
    pub(crate) fn by_kernel(&self) -> Option<&AnyDirectSlot> {
        self.by_kernel.as_ref()
    }

    pub(crate) fn one(&self) -> io::Result<Slot> {
        match &self.by_kernel {
            Some(any) => Ok(Slot::Any(any.clone())),
            None => Ok(Slot::One(self.reserved()?)),
        }
    }

    /// A slot that the library gives out.
    pub(crate) fn reserved(&self) -> io::Result<DirectSlot> {
        let slot = self.local.with(|ring| ring.direct_slot())?;
        // As the kernel says it where it gives out the slots.
        slot.map_err(|_| io::Error::from_raw_os_error(libc::ENFILE))
    }

    /// Shares a file with the operations on it, and counts it as long as one of them has it.
    pub(crate) fn share(&self, file: Direct) -> Arc<Direct> {
        let file = Arc::new(file);
        let mut watched = self.watched.borrow_mut();
        if watched.len() == watched.capacity() {
            watched.retain(|file| file.strong_count() > 0);
        }
        watched.push(Arc::downgrade(&file));
        file
    }

    /// How many files are open.
    pub(crate) fn in_use(&self) -> usize {
        let watched = self.watched.borrow();
        watched
            .iter()
            .filter(|file| file.strong_count() > 0)
            .count()
    }

    /// Opens a file beneath the current directory for reading.
    pub(crate) async fn open(&self, path: CString) -> io::Result<Arc<Direct>> {
        let open = OpenAt::new(path).flags(libc::O_NONBLOCK);
        let file = match self.one()? {
            Slot::Any(slot) => {
                let open = open.into_any_direct(slot).resolve(Resolve::BENEATH);
                self.local.submit(open).await?.result?
            }
            Slot::One(slot) => {
                let open = open.into_direct(slot).resolve(Resolve::BENEATH);
                self.local.submit(open).await?.result?
            }
        };
        Ok(self.share(file))
    }
}
