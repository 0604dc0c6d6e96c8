//! What a binary's tests came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use uring_testkit::records;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// Its features are absent, as expected.
    Skipped,
    /// Its features are absent, as expected, and its companion showed the refusal.
    Refused,
}

impl From<records::Verdict> for Verdict {
    fn from(verdict: records::Verdict) -> Self {
        match verdict {
            records::Verdict::Passed => Self::Passed,
            records::Verdict::Failed => Self::Failed,
            records::Verdict::Skipped => Self::Skipped,
            records::Verdict::Refused => Self::Refused,
        }
    }
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) handle: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) reason: Option<String>,
    pub(super) seconds: Option<f64>,
}

impl Test {
    pub(super) fn new(name: String, verdict: Verdict) -> Self {
        Self {
            name,
            handle: None,
            verdict,
            reason: None,
            seconds: None,
        }
    }
}

/// One binary, or one library's documentation.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) tests: Vec<Test>,
    /// What the code under test says that it has completed, opcodes by handle: `born IORING_OP_READ`.
    pub(super) completed: BTreeSet<String>,
    /// Why the tests' own verdicts cannot be trusted.
    pub(super) problems: Vec<String>,
    pub(super) seconds: f64,
    /// What the binary printed, where a failure's reason is not with its test.
    #[serde(skip)]
    pub(super) output: String,
}

impl Outcome {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn took(mut self, time: Duration) -> Self {
        self.seconds = time.as_secs_f64();
        self
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.tests
            .iter()
            .filter(|test| test.verdict == verdict)
            .count()
    }

    pub(super) fn failed(&self) -> usize {
        self.count(Verdict::Failed)
    }

    pub(super) fn ran(&self) -> usize {
        self.tests.len() - self.count(Verdict::Skipped)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty() && self.problems.is_empty()
    }

    /// The tests by handle, in the order of a ring's life; those that are about none come first.
    pub(super) fn by_handle(&self) -> Vec<(Option<&str>, Vec<&Test>)> {
        const LIFE: [&str; 4] = ["fd", "registered", "closed", "born"];
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for test in &self.tests {
            let handle = test.handle.as_deref();
            let place = handle.map(|handle| LIFE.iter().position(|other| *other == handle));
            groups.entry((place, handle)).or_default().push(test);
        }
        let groups = groups.into_iter();
        groups.map(|((_, handle), tests)| (handle, tests)).collect()
    }

    pub(super) fn print_failures(&self) {
        let failed = self
            .tests
            .iter()
            .filter(|test| test.verdict == Verdict::Failed);
        for test in failed {
            println!("---- {} ({})", test.name, self.name);
            if let Some(reason) = &test.reason {
                println!("{reason}");
            }
            println!();
        }
        for problem in &self.problems {
            println!("---- {}: {problem}\n", self.name);
        }
        if self.failed() > 0 || !self.problems.is_empty() {
            print!("{}", self.output);
        }
    }
}
