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

    /// How often a test repeats what could go well by chance: `usual`, times `URING_TEST_ROUNDS`, at least once.
    ///
    /// # Panics
    ///
    /// `URING_TEST_ROUNDS` is neither a whole number nor a decimal fraction such as `0.1`.
    #[must_use]
    pub fn rounds(&self, usual: u64) -> u64 {
        match env::var("URING_TEST_ROUNDS") {
            Ok(factor) => times(usual, &factor).unwrap_or_else(|| {
                panic!("URING_TEST_ROUNDS={factor}: no number such as 20 or 0.1")
            }),
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

/// `usual` times a decimal fraction, at least 1.
fn times(usual: u64, factor: &str) -> Option<u64> {
    let (whole, fraction) = factor.split_once('.').unwrap_or((factor, ""));
    let digits = [whole, fraction].concat();
    let plain = !whole.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = u128::from(usual).checked_mul(digits.parse().ok().filter(|_| plain)?)?;
    Some(u64::try_from(product / divisor).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn rounds_are_multiplied_and_never_none() {
        for (usual, factor, rounds) in [
            (10, "1", 10),
            (10, "20", 200),
            (10, "0.1", 1),
            (1000, "0.05", 50),
            (5, "0.1", 1),
            (5, "2.5", 12),
            (u64::MAX, "3", u64::MAX),
        ] {
            assert_eq!(times(usual, factor), Some(rounds), "{usual} times {factor}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for factor in ["", "-1", ".5", "1e3", "many", "0.1.1"] {
            assert_eq!(times(10, factor), None, "{factor}");
        }
    }
}
