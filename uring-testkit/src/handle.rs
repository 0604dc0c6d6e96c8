//! The ways to reach a ring, over which a suite repeats its tests.

use std::fmt;

use crate::feature::Feature;

/// How a ring is named in system calls, and how it came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandleKind {
    /// By its descriptor.
    Fd,
    /// By its registered index, with the descriptor still open.
    Registered,
    /// By its registered index, the descriptor having been closed.
    Closed,
    /// By its registered index; there never was a descriptor.
    Born,
}

impl HandleKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fd, Self::Registered, Self::Closed, Self::Born];
    /// Those that have a descriptor.
    pub const WITH_FD: [Self; 2] = [Self::Fd, Self::Registered];
    /// Those without one.
    pub const FDLESS: [Self; 2] = [Self::Closed, Self::Born];
    /// Those that have an index and so belong to their thread.
    pub const BOUND: [Self; 3] = [Self::Registered, Self::Closed, Self::Born];

    /// What the kernel must have for such a ring.
    #[must_use]
    pub const fn needs(self) -> &'static [Feature] {
        match self {
            Self::Fd => &[],
            Self::Registered => &[Feature::RING_FDS],
            Self::Closed => &[Feature::RING_FDS, Feature::REG_REG_RING],
            Self::Born => &[Feature::NO_MMAP, Feature::REGISTERED_FD_ONLY],
        }
    }

    /// The word in a test's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fd => "fd",
            Self::Registered => "registered",
            Self::Closed => "closed",
            Self::Born => "born",
        }
    }
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
