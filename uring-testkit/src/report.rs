//! The machine-readable account of a run: one JSON object a line.
//!
//! A run appends to the file that `URING_REPORT` names: a `start` record, one `test` record for each test, an `end`
//! record. A suite that cannot start leaves a `refused` record instead. `--plan` prints `start`, `plan` records and
//! `end` without running anything; for a lane on which io_uring is forbidden a `refused` record in their place. A reader takes a report without its `end` as a crash.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    sync::Mutex,
    time::Duration,
};

use crate::{gate::Decision, json::Object, kernel::Lane, test::Case};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
    Refused,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Skipped, Self::Refused];

    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

/// Where the records of a run go.
#[derive(Debug)]
pub(crate) struct Report {
    suite: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    counts: [usize; Verdict::ALL.len()],
}

impl Report {
    /// Opens the file that `URING_REPORT` names, if it names one.
    pub(crate) fn open(suite: &'static str) -> io::Result<Self> {
        let file = match env::var_os("URING_REPORT") {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        Ok(Self {
            suite,
            state: Mutex::new(State {
                file,
                counts: [0; Verdict::ALL.len()],
            }),
        })
    }

    fn write(state: &mut State, object: Object) {
        let Some(file) = &mut state.file else { return };
        file.write_all(object.line().as_bytes())
            .expect("the report that URING_REPORT names can be written");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn start(&self, lane: &Lane, planned: usize) {
        Self::write(&mut self.state(), start(self.suite, lane, planned));
    }

    pub(crate) fn refused(&self, reason: &str) {
        Self::write(&mut self.state(), refused(self.suite, reason));
    }

    pub(crate) fn test(
        &self,
        case: &Case,
        verdict: Verdict,
        reason: Option<&str>,
        seconds: Duration,
    ) {
        let mut state = self.state();
        state.counts[verdict as usize] += 1;
        let object = case
            .record("test", self.suite)
            .text("verdict", verdict.word())
            .optional("reason", reason)
            .seconds("seconds", seconds);
        Self::write(&mut state, object);
    }

    pub(crate) fn end(&self) {
        let mut state = self.state();
        let mut object = Object::new("end").text("suite", self.suite);
        for verdict in Verdict::ALL {
            object = object.count(verdict.word(), state.counts[verdict as usize]);
        }
        Self::write(&mut state, object);
    }
}

fn start(suite: &str, lane: &Lane, planned: usize) -> Object {
    Object::new("start")
        .text("suite", suite)
        .text("kernel", &lane.release)
        .text("expected", &lane.kernel.to_string())
        .text("lane", &lane.kind.to_string())
        .count("planned", planned)
}

fn refused(suite: &str, reason: &str) -> Object {
    Object::new("refused")
        .text("suite", suite)
        .text("reason", reason)
}

/// The plan of a suite that will not start, as text.
pub(crate) fn plan_of_refusal(suite: &str, lane: &Lane, reason: &str) -> String {
    [
        start(suite, lane, 0),
        refused(suite, reason),
        Object::new("end").text("suite", suite),
    ]
    .map(Object::line)
    .concat()
}

/// The plan as text: what each case would do.
pub(crate) fn plan(suite: &str, lane: &Lane, plan: &[(Case, Decision)]) -> String {
    let mut lines = start(suite, lane, plan.len()).line();
    for (case, decision) in plan {
        let object = case
            .record("plan", suite)
            .text("decision", decision.word())
            .optional("reason", decision.reason().as_deref());
        lines.push_str(&object.line());
    }
    lines.push_str(&Object::new("end").text("suite", suite).line());
    lines
}
