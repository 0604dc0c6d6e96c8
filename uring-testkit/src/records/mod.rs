//! What suites and machines leave for a runner to read: one JSON object a line.
//!
//! A suite that is run with `--plan` prints its plan; one that runs appends its report to the file that `URING_REPORT`
//! names. A [machine](crate::guest) sends records of its own around those of its suites.
//!
//! | record | when | fields |
//! |---|---|---|
//! | `start` | a plan or report begins | `suite`; `kernel`, its release; `expected`, the version that decides; `lane`, its kind; `planned`, how many tests |
//! | `plan` | for each test of a plan | the test; `decision`: `run`, `skip`, `refuse` or `fail`; `reason` |
//! | `test` | for each test that is over | the test; `verdict`: `passed`, `failed`, `skipped` or `refused`; `reason`, a failure's output; `seconds`; `completed` |
//! | `refused` | the suite could not start, or will not | `suite`, `reason` |
//! | `end` | a plan or report is whole | `suite`; in a report the number of tests of each verdict, under its word |
//! | `boot` | the machine is up | `release` |
//! | `handle`, `feature` | for what the machine's probes saw, before the suites | `name`; `seen`: `present`, `absent` or `inconclusive`; `evidence` |
//! | `begin` | a program is started | `program`, its path in the machine |
//! | `exit` | it is over | `program`, `status`, `seconds` |
//! | `broken` | the machine could not be made usable | `reason` |
//! | `done` | the machine has done its work | `records`, how many came before; `taint`, the kernel's, `0` if it is well |
//!
//! A test is told by `suite`, `name` (`suite::test[handle]`, unique in a plan), `test`, `handle`, `features` and
//! `facilities`. An absent list is an empty one, an absent text is `null`; fields that a reader does not know are to be
//! ignored, records that it does not know are not.
//!
//! Where a program has several suites, their records may come among each other's, and each says whose it is.
//!
//! A run can be believed if its report has one `start`, for each test of the plan one `test` whose verdict fits the
//! decision (`run`: passed or failed; `skip`: skipped; `refuse`: refused or failed; `fail`: failed), and an `end` that
//! counts them. The program's exit code says no more than that: 0 if no test failed.
//!
//! # Examples
//!
//! ```
//! use uring_testkit::records::{Record, Verdict};
//!
//! let report = r#"{"record":"start","suite":"s","kernel":"6.1.0-50","expected":"6.1","lane":"mainline","planned":1}
//! {"record":"test","suite":"s","name":"s::t[fd]","test":"t","handle":"fd","features":[],"verdict":"failed","reason":"why","seconds":0.5}
//! {"record":"end","suite":"s","passed":0,"failed":1,"skipped":0,"refused":0}"#;
//! let records: Vec<Record> = report.lines().map(str::parse).collect::<Result<_, _>>()?;
//! let Record::Test { case, verdict, .. } = &records[1] else { panic!() };
//! assert_eq!((case.name.as_str(), *verdict), ("s::t[fd]", Verdict::Failed));
//! # Ok::<(), uring_testkit::records::ParseRecordError>(())
//! ```

mod read;
mod write;

use std::{error::Error, fmt, time::Duration};

use crate::{Decision, Observation};

/// One line of a plan, a report, or a machine's records; what each says is in the [table](self).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// A plan or report begins.
    Start {
        /// The suite.
        suite: String,
        /// The release of the kernel that is running.
        kernel: String,
        /// The version that decides what is expected.
        expected: String,
        /// The kind of lane.
        lane: String,
        /// How many tests there are.
        planned: usize,
    },
    /// What a test would do.
    Plan {
        /// The test.
        case: Case,
        /// What it would do.
        decision: Planned,
        /// Why, if it is not simply run.
        reason: Option<String>,
    },
    /// A test is over.
    Test {
        /// The test.
        case: Case,
        /// How it ended.
        verdict: Verdict,
        /// Why: what is missing, or the failure's output.
        reason: Option<String>,
        /// How long it took.
        time: Duration,
        /// What the code under test has completed that no test of the run had before, as the suite calls it.
        completed: Vec<String>,
    },
    /// The suite could not start, or will not.
    Refused {
        /// The suite.
        suite: String,
        /// Why.
        reason: String,
    },
    /// A plan or report is whole.
    End {
        /// The suite.
        suite: String,
        /// How its tests ended; none in a plan.
        counts: Option<Counts>,
    },
    /// A machine is up.
    Boot {
        /// The release of its kernel.
        release: String,
    },
    /// Whether a machine's kernel has rings on a handle.
    Handle {
        /// The handle's word.
        name: String,
        /// What was seen.
        seen: Observation,
    },
    /// Whether a machine's kernel has a row of the feature table.
    Feature {
        /// The feature's name.
        name: String,
        /// What was seen.
        seen: Observation,
    },
    /// A machine starts a program.
    Begin {
        /// Its path in the machine.
        program: String,
    },
    /// It is over.
    Exit {
        /// Its path in the machine.
        program: String,
        /// How it ended, in words such as `exit status: 0`.
        status: String,
        /// How long it took.
        time: Duration,
    },
    /// A machine could not be made usable.
    Broken {
        /// Why.
        reason: String,
    },
    /// A machine has done its work.
    Done {
        /// How many records came before this one.
        records: usize,
        /// What its kernel thinks of its own state: `0` is good.
        taint: String,
    },
}

/// A test on one of its handles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case {
    /// The suite.
    pub suite: String,
    /// `suite::test[handle]`.
    pub name: String,
    /// The test's name in its suite.
    pub test: String,
    /// The handle's word, if the test is about one.
    pub handle: Option<String>,
    /// What it needs of the kernel.
    pub features: Vec<String>,
    /// What it requires of the machine.
    pub facilities: Vec<String>,
}

/// What a test of a plan would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// It runs.
    Run,
    /// Something that it needs is absent.
    Skip,
    /// A feature is absent, and its companion runs.
    Refuse,
    /// It fails: expectation and observation contradict each other.
    Fail,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ran and was good.
    Passed,
    /// It ran and was not, or could not be decided about.
    Failed,
    /// Something that it needs is absent, as expected.
    Skipped,
    /// A feature is absent, as expected, and its companion showed the refusal.
    Refused,
}

/// How many tests of a report ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// See [`Verdict::Passed`].
    pub passed: usize,
    /// See [`Verdict::Failed`].
    pub failed: usize,
    /// See [`Verdict::Skipped`].
    pub skipped: usize,
    /// See [`Verdict::Refused`].
    pub refused: usize,
}

impl Planned {
    const ALL: [Self; 4] = [Self::Run, Self::Skip, Self::Refuse, Self::Fail];

    /// The word in a record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Skip => "skip",
            Self::Refuse => "refuse",
            Self::Fail => "fail",
        }
    }
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Skipped, Self::Refused];

    /// The word in a record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

impl From<&Decision> for Planned {
    fn from(decision: &Decision) -> Self {
        match decision {
            Decision::Run { .. } => Self::Run,
            Decision::Skip { .. } => Self::Skip,
            Decision::Refuse { .. } => Self::Refuse,
            Decision::Fail { .. } => Self::Fail,
        }
    }
}

impl Record {
    /// The suite that a record of a plan or report is about; nothing for those of a machine.
    #[must_use]
    pub fn suite(&self) -> Option<&str> {
        match self {
            Self::Start { suite, .. } | Self::Refused { suite, .. } | Self::End { suite, .. } => {
                Some(suite)
            }
            Self::Plan { case, .. } | Self::Test { case, .. } => Some(&case.suite),
            _ => None,
        }
    }
}

impl Counts {
    /// Counts one more.
    pub(crate) const fn add(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed => &mut self.failed,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Refused => &mut self.refused,
        };
        *count += 1;
    }
}

/// A line that is no record, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRecordError(String);

impl fmt::Display for ParseRecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ParseRecordError {}
