//! The one line that says why there is no copy.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What was tried on which file, why it failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    tried: String,
    why: String,
    advice: Option<&'static str>,
}

impl Failure {
    /// The kernel refused something about a file.
    pub(crate) fn file(tried: &str, path: &Path, error: io::Error) -> Failure {
        Failure {
            advice: advice(&error),
            ..Failure::system(&format!("{tried} {}", path.display()), error)
        }
    }

    /// The kernel refused something that is about no file.
    pub(crate) fn system(tried: &str, error: io::Error) -> Failure {
        Failure {
            tried: tried.to_owned(),
            why: error.to_string(),
            advice: None,
        }
    }

    /// There is no ring, or it failed.
    pub(crate) fn ring(error: uring::Error) -> Failure {
        Failure::system("cannot use io_uring", error.into())
    }

    /// The file is not what it should be.
    pub(crate) fn unfit(tried: &str, path: &Path, why: &str, advice: &'static str) -> Failure {
        Failure {
            tried: format!("{tried} {}", path.display()),
            why: why.to_owned(),
            advice: Some(advice),
        }
    }

    pub(crate) fn thread(error: io::Error) -> Failure {
        Failure {
            advice: Some("ask for fewer with --threads, or raise the limit (ulimit -u)"),
            ..Failure::system("cannot start a thread", error)
        }
    }

    pub(crate) fn interrupted() -> Failure {
        Failure {
            tried: "stopped by a signal".to_owned(),
            why: "the incomplete copy was removed".to_owned(),
            advice: None,
        }
    }
}

fn advice(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "check the path",
        ErrorKind::PermissionDenied => {
            "ask for permission, or run as a user who has it; or choose another place"
        }
        ErrorKind::StorageFull => "make room there, or choose a target on another file system",
        ErrorKind::QuotaExceeded => "remove other files of yours, or choose a target elsewhere",
        ErrorKind::ReadOnlyFilesystem => "choose a target on a file system that is writable",
        ErrorKind::FileTooLarge => {
            "raise the limit (ulimit -f), or choose a file system for large files"
        }
        ErrorKind::InvalidFilename => "choose a shorter name",
        _ => return None,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tried, self.why)?;
        match self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl From<uring::Error> for Failure {
    fn from(error: uring::Error) -> Failure {
        Failure::ring(error)
    }
}
