//! Writes the [records](crate::records) of a suite's plan and of its run.

use std::{
    collections::HashSet,
    env,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    sync::Mutex,
    time::Duration,
};

use crate::{
    gate::Decision,
    kernel::Lane,
    records::{Counts, Record, Verdict},
    test::Case,
};

/// Where the records of a run go.
#[derive(Debug)]
pub(crate) struct Report {
    suite: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    counts: Counts,
    /// Tests that are not over.
    open: usize,
    completed: HashSet<String>,
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
                counts: Counts::default(),
                open: 0,
                completed: HashSet::new(),
            }),
        })
    }

    fn write(state: &mut State, record: &Record) {
        let Some(file) = &mut state.file else { return };
        file.write_all(format!("{record}\n").as_bytes())
            .expect("the report that URING_REPORT names can be written");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn start(&self, lane: &Lane, planned: usize) {
        let mut state = self.state();
        state.open = planned;
        Self::write(&mut state, &start(self.suite, lane, planned));
        self.end_if_whole(&mut state);
    }

    pub(crate) fn refused(&self, reason: &str) {
        Self::write(&mut self.state(), &refused(self.suite, reason));
    }

    pub(crate) fn test(
        &self,
        case: &Case,
        verdict: Verdict,
        reason: Option<&str>,
        seconds: Duration,
        completed: &str,
    ) {
        let mut state = self.state();
        state.counts.add(verdict);
        let completed = completed
            .lines()
            .map(str::to_owned)
            .filter(|completed| state.completed.insert(completed.clone()))
            .collect();
        let record = Record::Test {
            case: case.record(self.suite),
            verdict,
            reason: reason.map(str::to_owned),
            time: seconds,
            completed,
        };
        Self::write(&mut state, &record);
        state.open -= 1;
        self.end_if_whole(&mut state);
    }

    fn end_if_whole(&self, state: &mut State) {
        if state.open == 0 {
            let record = end(self.suite, Some(state.counts));
            Self::write(state, &record);
        }
    }
}

fn start(suite: &str, lane: &Lane, planned: usize) -> Record {
    Record::Start {
        suite: suite.to_owned(),
        kernel: lane.release.clone(),
        expected: lane.kernel.to_string(),
        lane: lane.kind.to_string(),
        planned,
    }
}

fn end(suite: &str, counts: Option<Counts>) -> Record {
    Record::End {
        suite: suite.to_owned(),
        counts,
    }
}

fn refused(suite: &str, reason: &str) -> Record {
    Record::Refused {
        suite: suite.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The plan of a suite that will not start, as text.
pub(crate) fn plan_of_refusal(suite: &str, lane: &Lane, reason: &str) -> String {
    text([
        start(suite, lane, 0),
        refused(suite, reason),
        end(suite, None),
    ])
}

fn text(records: impl IntoIterator<Item = Record>) -> String {
    let lines = records.into_iter().map(|record| format!("{record}\n"));
    lines.collect()
}

/// The plan as text: what each case would do.
pub(crate) fn plan(suite: &str, lane: &Lane, plan: &[(Case, Decision)]) -> String {
    let planned = plan.iter().map(|(case, decision)| Record::Plan {
        case: case.record(suite),
        decision: decision.into(),
        reason: decision.reason(),
    });
    let first = start(suite, lane, plan.len());
    let records = std::iter::once(first).chain(planned);
    text(records.chain([end(suite, None)]))
}
