//! The ways to reach a ring, over which a suite repeats its tests.

use std::{env, fmt, thread};

use crate::{
    feature::{Feature, Observation},
    reach,
};

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

    /// Tries it on the running kernel: a ring that is reached in this way, and both calls on it.
    ///
    /// The system calls come from a thread of its own, and never from the code under test.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_testkit::{HandleKind, Observation};
    ///
    /// assert_eq!(HandleKind::Fd.observe(), Observation::Present);
    /// ```
    #[must_use]
    pub fn observe(self) -> Observation {
        thread::scope(|scope| scope.spawn(|| reach::observe(self)).join())
            .unwrap_or_else(|_| Observation::Inconclusive("the probe panicked".to_owned()))
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

/// The handles that `URING_HANDLES` names, where it is set: a run is then about those alone.
pub(crate) fn selected() -> Result<Option<Vec<HandleKind>>, String> {
    let Ok(words) = env::var("URING_HANDLES") else {
        return Ok(None);
    };
    named(&words).map(Some)
}

fn named(words: &str) -> Result<Vec<HandleKind>, String> {
    let handle = |word: &str| {
        let mut all = HandleKind::ALL.into_iter();
        all.find(|handle| handle.word() == word).ok_or_else(|| {
            format!(
                "URING_HANDLES={words}: {word} is none of {}",
                words_of_all()
            )
        })
    };
    words.split(',').map(handle).collect()
}

fn words_of_all() -> String {
    HandleKind::ALL.map(HandleKind::word).join(", ")
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_named_by_their_words() {
        let named = named("born,fd");
        assert_eq!(named, Ok(vec![HandleKind::Born, HandleKind::Fd]));
    }

    #[test]
    fn a_handle_works_where_the_kernel_has_what_it_needs() {
        for handle in HandleKind::ALL {
            let needs = handle.needs().iter();
            let present = needs
                .map(Feature::observe)
                .all(|seen| seen == Observation::Present);
            let expected = if present {
                Observation::Present
            } else {
                Observation::Absent
            };
            assert_eq!(handle.observe(), expected, "{handle}");
        }
    }

    #[test]
    fn a_handle_that_a_filter_forbids_is_no_answer() {
        let denied = [(libc::SYS_io_uring_register, libc::EPERM)];
        let seen = crate::process::with_denied(&denied, || HandleKind::Fd.observe()).unwrap();
        assert!(matches!(seen, Observation::Inconclusive(_)), "{seen:?}");
    }

    #[test]
    fn an_unknown_handle_is_refused_with_those_there_are() {
        let refusal = named("born,fdless").unwrap_err();
        assert!(
            refusal.contains("fdless is none of fd, registered, closed, born"),
            "{refusal}"
        );
    }
}
