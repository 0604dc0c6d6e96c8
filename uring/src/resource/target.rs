//! What an operation is done to: a descriptor, or a file of the ring's own table.

use std::fs::File;
use std::io::{Stderr, Stdin, Stdout};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;

use crate::direct::Direct;
use crate::resource::Untracked;

/// Something that an operation can be done to.
///
/// Implemented for borrowed descriptors (`&File`, [`BorrowedFd`]), owned ones (`File`, [`OwnedFd`]: the operation keeps the file
/// open and gives it back), shared ones ([`Arc`], [`Rc`]), [direct descriptors](Direct) in each of the three forms, and
/// [`RawTarget`].
///
/// There is deliberately no implementation for every `AsFd`: that trait is safe to implement, and code of the user's would run
/// in the middle of a push (M17).
///
/// # Safety
///
/// [`target`](Target::target) gives the same answer each time, names something that stays open as long as the value lives,
/// does not panic and does not call into this library.
pub unsafe trait Target {
    /// What the entry will name.
    fn target(&self) -> TargetName;
}

/// How an entry names its target. It is no [`Target`] itself: only what keeps a file open, or a promise, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetName {
    number: i32,
    /// The ring whose table the number is an index of; `None` for a descriptor.
    table: Option<RingOfTable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RingOfTable {
    /// Known, and checked at each push.
    Ring(u64),
    /// Not known: the caller has promised.
    Promised,
}

impl TargetName {
    /// A descriptor number.
    #[must_use]
    pub const fn descriptor(fd: RawFd) -> TargetName {
        TargetName {
            number: fd,
            table: None,
        }
    }

    /// An index of the table of the ring with that number.
    pub(crate) fn of_ring(index: u32, ring: u64) -> TargetName {
        TargetName::in_table(index, RingOfTable::Ring(ring))
    }

    fn in_table(index: u32, table: RingOfTable) -> TargetName {
        TargetName {
            number: i32::try_from(index).unwrap_or(-1),
            table: Some(table),
        }
    }

    pub(crate) const fn number(self) -> i32 {
        self.number
    }

    pub(crate) const fn is_direct(self) -> bool {
        self.table.is_some()
    }

    /// Whether the number means what it should on the ring with that number.
    #[inline]
    pub(crate) fn belongs_to(self, ring: u64) -> bool {
        match self.table {
            Some(RingOfTable::Ring(of)) => of == ring,
            Some(RingOfTable::Promised) | None => true,
        }
    }
}

/// A target that is promised to be there: with it an operation keeps nothing alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTarget(TargetName);

impl RawTarget {
    /// A descriptor number.
    ///
    /// # Safety
    ///
    /// The number names the same open file until the last completion of each operation pushed with it has been reaped. For
    /// [`Close`](crate::op::Close) it is the caller's to close.
    #[must_use]
    pub const unsafe fn descriptor(fd: RawFd) -> RawTarget {
        RawTarget(TargetName::descriptor(fd))
    }

    /// An index of the file table of the ring that the operation is pushed to.
    ///
    /// # Safety
    ///
    /// The slot holds the same file until the last completion of each operation pushed with it has been reaped. An index
    /// above `i32::MAX` names nothing: the operation completes with `EBADF`.
    #[must_use]
    pub unsafe fn direct(index: u32) -> RawTarget {
        RawTarget(TargetName::in_table(index, RingOfTable::Promised))
    }
}

/// The current directory, where an operation takes a directory (`AT_FDCWD`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "AT_FDCWD")]
pub struct Cwd;

// SAFETY: a constant that always names the current directory.
unsafe impl Target for Cwd {
    fn target(&self) -> TargetName {
        TargetName::descriptor(libc::AT_FDCWD)
    }
}

// SAFETY: there is nothing to keep alive.
unsafe impl Untracked for Cwd {}

fn of_fd(fd: &impl AsRawFd) -> TargetName {
    TargetName::descriptor(fd.as_raw_fd())
}

// SAFETY: a number; what it names is the promise of whoever made it.
unsafe impl Target for RawTarget {
    #[inline]
    fn target(&self) -> TargetName {
        self.0
    }
}

// SAFETY: both constructors carry the promise.
unsafe impl Untracked for RawTarget {}

// SAFETY: the borrow keeps the descriptor open.
unsafe impl Target for BorrowedFd<'_> {
    #[inline]
    fn target(&self) -> TargetName {
        of_fd(self)
    }
}

/// One implementation for each of std's types that own a descriptor; coherence does not let a generic one stand beside those for
/// references.
macro_rules! std_targets {
    ($($owner:ty),+ $(,)?) => { $(
        // SAFETY: a type of std's that owns its descriptor, gives the same number each time and does nothing else.
        unsafe impl Target for $owner {
            #[inline]
            fn target(&self) -> TargetName {
                of_fd(self)
            }
        }
    )+ };
}

std_targets!(
    OwnedFd,
    File,
    TcpStream,
    TcpListener,
    UdpSocket,
    UnixStream,
    UnixListener,
    UnixDatagram,
    Stdin,
    Stdout,
    Stderr,
);

// SAFETY: the direct descriptor occupies its slot as long as it lives.
unsafe impl Target for Direct {
    #[inline]
    fn target(&self) -> TargetName {
        TargetName::of_ring(self.index(), self.ring())
    }
}

// SAFETY: the borrow outlives the operation, so what `T` names stays open; `T` keeps the rest of the contract.
unsafe impl<T: Target> Target for &T {
    #[inline]
    fn target(&self) -> TargetName {
        T::target(self)
    }
}

// SAFETY: the operation holds one of the references; `T` keeps the rest of the contract.
unsafe impl<T: Target> Target for Arc<T> {
    #[inline]
    fn target(&self) -> TargetName {
        T::target(self)
    }
}

// SAFETY: as for `Arc`.
unsafe impl<T: Target> Target for Rc<T> {
    #[inline]
    fn target(&self) -> TargetName {
        T::target(self)
    }
}
