//! What a running test knows of itself.

use std::env;

use crate::{
    feature::{Feature, Observation},
    forbidden::Forbidden,
    handle::HandleKind,
};

/// What a test is called with.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) name: String,
    pub(crate) handle: Option<HandleKind>,
    pub(crate) features: Vec<Feature>,
}

impl Context {
    /// The test's full name, `suite::test[handle]`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The handle that this run of the test is about.
    ///
    /// # Panics
    ///
    /// The test was not declared with [`Test::on`](crate::Test::on).
    #[must_use]
    #[track_caller]
    pub fn handle(&self) -> HandleKind {
        match self.handle {
            Some(handle) => handle,
            None => panic!("{} is not declared over handles", self.name),
        }
    }

    /// What the lane declares to be forbidden, in a suite that runs [where io_uring is](crate::Suite::where_forbidden).
    ///
    /// # Panics
    ///
    /// The lane declares nothing of the kind.
    #[must_use]
    #[track_caller]
    pub fn forbidden(&self) -> Forbidden {
        match Forbidden::declared() {
            Ok(Some(forbidden)) => forbidden,
            Ok(None) => panic!(
                "{} is not in a suite for where io_uring is forbidden",
                self.name
            ),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the running kernel has `feature`.
    ///
    /// # Panics
    ///
    /// The probe is inconclusive, which must not be read as an answer.
    #[must_use]
    #[track_caller]
    pub fn has(&self, feature: Feature) -> bool {
        match feature.observe() {
            Observation::Present => true,
            Observation::Absent => false,
            Observation::Inconclusive(evidence) => {
                panic!("{} could not be probed: {evidence}", feature.name())
            }
        }
    }

    /// How often a test repeats what could go well by chance: `usual`, times `URING_TEST_ROUNDS`.
    ///
    /// # Panics
    ///
    /// `URING_TEST_ROUNDS` is not a number.
    #[must_use]
    pub fn rounds(&self, usual: u64) -> u64 {
        match env::var("URING_TEST_ROUNDS") {
            Ok(factor) => match factor.parse::<u64>() {
                Ok(factor) => usual.saturating_mul(factor),
                Err(error) => panic!("URING_TEST_ROUNDS={factor}: {error}"),
            },
            Err(_) => usual,
        }
    }

    /// The features that the test needs and this kernel lacks: what a refusal test is about.
    #[must_use]
    pub fn missing(&self) -> Vec<Feature> {
        let needed = self.features.iter().copied();
        needed.filter(|feature| !self.has(*feature)).collect()
    }
}
