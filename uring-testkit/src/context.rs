//! What a running test knows of itself.

use crate::{
    feature::{Feature, Observation},
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

    /// The features that the test needs and this kernel lacks: what a refusal test is about.
    #[must_use]
    pub fn missing(&self) -> Vec<Feature> {
        let needed = self.features.iter().copied();
        needed.filter(|feature| !self.has(*feature)).collect()
    }
}
