//! Buffers that the kernel is handed by operations (`PROVIDE_BUFFERS`), which is all that there is before Linux 5.19.

use std::fmt;
use std::sync::Arc;

use crate::buffers::group::{Group, Supply};

/// A group of buffers that the kernel is handed by [`ProvideBuffers`](crate::op::ProvideBuffers) operations.
///
/// The older kind: from Linux 5.19 on a [`BufferRing`](crate::BufferRing) does without the operations, and its buffers go back by themselves.
/// [`Ring::provided_buffers`](crate::Ring::provided_buffers) makes one; at first none of its buffers is the kernel's, and one whose
/// lease has ended is so again when it is provided again. The memory stays as long as the ring and everything that uses it.
///
/// Since Linux 5.7.
#[derive(Clone)]
pub struct ProvidedBuffers(Arc<Group>);

impl ProvidedBuffers {
    pub(crate) fn new(group: Arc<Group>) -> ProvidedBuffers {
        ProvidedBuffers(group)
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.0
    }

    /// The number that entries name the group by (`buf_group`).
    #[must_use]
    pub fn group_id(&self) -> u16 {
        self.0.id
    }

    /// How many buffers it has.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.0.pool().count()
    }

    /// The size of each in bytes.
    #[must_use]
    pub fn buffer_size(&self) -> u32 {
        self.0.pool().size()
    }

    /// How many can be provided: they are neither the kernel's nor leased.
    #[must_use]
    pub fn at_hand(&self) -> u16 {
        self.with_stock(|stock| {
            let at_hand = stock.places.iter().filter(|place| **place == Place::AtHand);
            u16::try_from(at_hand.count()).unwrap_or(u16::MAX)
        })
        .unwrap_or(0)
    }

    /// Works on the books, which a forked child has only a copy of.
    fn with_stock<T>(&self, work: impl FnOnce(&mut Stock) -> T) -> Option<T> {
        if !self.0.is_ours() {
            return None;
        }
        match &mut *self.0.supply() {
            Supply::Stock(stock) => Some(work(stock)),
            Supply::Queue(_) => None,
        }
    }

    /// Takes the first buffers at hand that lie side by side, to provide them.
    pub(crate) fn take_run(&self) -> Run {
        self.with_stock(Stock::take_run)
            .unwrap_or(Run { first: 0, count: 0 })
    }

    /// The kernel has them, or may have.
    pub(crate) fn provided(&self, run: Run) {
        self.with_stock(|stock| stock.put_all(run, Place::Kernel));
    }

    /// The kernel does not have them.
    pub(crate) fn not_provided(&self, run: Run) {
        self.with_stock(|stock| stock.put_all(run, Place::AtHand));
    }

    /// If no operation of the group is in flight or not redeemed: a mark that is another after anything was provided.
    pub(crate) fn quiet_since(&self) -> Option<u64> {
        let users = self.0.users();
        self.with_stock(|stock| {
            let quiet = users == 0 && !stock.places.contains(&Place::OnItsWay);
            quiet.then_some(stock.provisions)
        })
        .flatten()
    }

    /// The kernel has no buffer of the group any more, and no operation is in flight that could have one.
    pub(crate) fn all_removed(&self) {
        self.with_stock(|stock| {
            for place in &mut stock.places {
                if *place == Place::Kernel {
                    *place = Place::AtHand;
                }
            }
        });
    }
}

impl fmt::Debug for ProvidedBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvidedBuffers")
            .field("group_id", &self.group_id())
            .field("count", &self.count())
            .field("buffer_size", &self.buffer_size())
            .finish()
    }
}

/// Buffers side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) first: u16,
    pub(crate) count: u16,
}

/// Who has which buffer.
pub(crate) struct Stock {
    places: Box<[Place]>,
    provisions: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    AtHand,
    /// An operation is to provide it.
    OnItsWay,
    /// The kernel may put something into it.
    Kernel,
    Leased,
}

impl Stock {
    pub(crate) fn new(count: u16) -> Stock {
        Stock {
            places: vec![Place::AtHand; usize::from(count)].into(),
            provisions: 0,
        }
    }

    fn take_run(&mut self) -> Run {
        let at_hand = |place: &Place| *place == Place::AtHand;
        let first = self.places.iter().position(at_hand);
        let first = first.unwrap_or(self.places.len());
        let rest = &mut self.places[first..];
        let len = rest.iter().take_while(|place| at_hand(place)).count();
        rest[..len].fill(Place::OnItsWay);
        self.provisions += 1;
        let number = |index| u16::try_from(index).unwrap_or(0);
        Run {
            first: number(first),
            count: number(len),
        }
    }

    /// Those of the run that nothing has happened to yet: a buffer may be leased before its provision is heard of.
    fn put_all(&mut self, run: Run, place: Place) {
        let first = usize::from(run.first);
        for one in &mut self.places[first..first + usize::from(run.count)] {
            if *one == Place::OnItsWay {
                *one = place;
            }
        }
    }

    /// A completion brought this buffer.
    pub(crate) fn taken(&mut self, id: u16) {
        self.places[usize::from(id)] = Place::Leased;
    }

    /// Its lease has ended.
    pub(crate) fn back(&mut self, id: u16) {
        self.places[usize::from(id)] = Place::AtHand;
    }
}
