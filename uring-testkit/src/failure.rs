//! What a test returns.

use std::{error::Error, fmt, panic::Location};

/// The result of a test: `?` takes any error, and text.
pub type TestResult<T = ()> = Result<T, Failure>;

/// Why a test failed and where in its source, as text.
///
/// # Examples
///
/// ```
/// use uring_testkit::TestResult;
///
/// fn test() -> TestResult {
///     std::fs::read("/does/not/exist")?;
///     Err("it exists".into())
/// }
/// assert!(test().unwrap_err().to_string().contains("No such file"));
/// ```
#[derive(Debug, Clone)]
pub struct Failure {
    message: String,
    location: &'static Location<'static>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    at {}", self.message, self.location)
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        use fmt::Write as _;
        let error = error.into();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(message, ": {error}").expect("a String takes every write");
            cause = error.source();
        }
        Self {
            message,
            location: Location::caller(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_question_mark_is_kept() {
        fn test() -> TestResult {
            Err(std::fmt::Error)?;
            Ok(())
        }
        let line = line!() - 3;
        let failure = test().unwrap_err().to_string();
        assert!(failure.contains(&format!("failure.rs:{line}")), "{failure}");
    }
}
