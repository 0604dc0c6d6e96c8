//! The ways to reach a ring, over which a suite repeats its tests.

use std::{env, fmt, thread};

use crate::{
    feature::{Feature, Observation},
    reach,
    test::Case,
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

/// Over which of its handles each test of a run runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    /// All of them, and tests that have none run too.
    All,
    /// These alone.
    Named(Vec<HandleKind>),
    /// One, another for each test and each turn; tests that have none run too, unless their suite
    /// [takes turns](crate::Suite::takes_turns).
    InTurn(usize),
}

impl Selected {
    /// What `URING_HANDLES` says.
    pub(crate) fn from_env() -> Result<Self, String> {
        match env::var("URING_HANDLES") {
            Ok(words) => Self::parse(&words).map_err(|why| format!("URING_HANDLES={words}: {why}")),
            Err(_) => Ok(Self::All),
        }
    }

    fn parse(words: &str) -> Result<Self, String> {
        if let Some(turn) = words.strip_prefix("turn:") {
            let turn = turn.parse();
            return turn
                .map(Self::InTurn)
                .map_err(|error| format!("{error}: a turn has a number"));
        }
        let handle = |word: &str| {
            let mut all = HandleKind::ALL.into_iter();
            all.find(|handle| handle.word() == word)
                .ok_or_else(|| format!("{word} is none of {}", words_of_all()))
        };
        let named: Result<_, _> = words.split(',').map(handle).collect();
        named.map(Self::Named)
    }

    /// Which of a test's cases run; `number` is the test's own, so that in one turn not all tests have the same handle.
    ///
    /// A test that has no handle and is `rare` runs as often as one of its cases would if it had them all.
    pub(crate) fn of(&self, number: usize, mut cases: Vec<Case>, rare: bool) -> Vec<Case> {
        match self {
            Self::All => {}
            Self::Named(named) => {
                cases.retain(|case| case.handle.is_some_and(|handle| named.contains(&handle)));
            }
            Self::InTurn(turn) => {
                let ways = match &cases[..] {
                    [case] if rare && case.handle.is_none() => HandleKind::ALL.len(),
                    cases => cases.len().max(1),
                };
                let chosen = number.wrapping_add(*turn) % ways;
                cases = cases.into_iter().skip(chosen).take(1).collect();
            }
        }
        cases
    }
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
        let named = Selected::parse("born,fd");
        let expected = Selected::Named(vec![HandleKind::Born, HandleKind::Fd]);
        assert_eq!(named, Ok(expected));
        assert_eq!(Selected::parse("turn:3"), Ok(Selected::InTurn(3)));
        assert!(Selected::parse("turn:").is_err());
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
        let refusal = Selected::parse("born,fdless").unwrap_err();
        assert!(
            refusal.contains("fdless is none of fd, registered, closed, born"),
            "{refusal}"
        );
    }
}
