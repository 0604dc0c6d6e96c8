//! One test of a suite: what it needs, what it runs over, what it may leave behind.

use std::{sync::Arc, time::Duration};

use crate::{
    Context, TestResult,
    completed::CompletedBy,
    facility::Facility,
    feature::Feature,
    gate::{self, Decision},
    handle::HandleKind,
    isolate::Assignment,
    kernel::Lane,
    leak::Leaks,
    records,
};

pub(crate) type Body = Arc<dyn Fn(&Context) -> TestResult + Send + Sync>;

/// How long a test may take, times `URING_TEST_TIMEOUT_FACTOR`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One test under construction: what it needs, what it runs over, what it may leave behind.
pub struct Test {
    pub(crate) name: String,
    body: Body,
    handles: Vec<HandleKind>,
    needs: Vec<Feature>,
    facilities: Vec<Facility>,
    refusal: Refusal,
    leaks: Leaks,
    timeout: Duration,
    alone: bool,
    own_process: bool,
}

/// What runs where the test's features are absent.
enum Refusal {
    Undecided,
    By(Body),
    None,
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Test")
            .field("name", &self.name)
            .field("handles", &self.handles)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

impl Test {
    pub(crate) fn new(
        name: String,
        body: impl Fn(&Context) -> TestResult + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            body: Arc::new(body),
            handles: Vec::new(),
            needs: Vec::new(),
            facilities: Vec::new(),
            refusal: Refusal::Undecided,
            leaks: Leaks::default(),
            timeout: TIMEOUT,
            alone: false,
            own_process: false,
        }
    }

    /// Repeats the test for each of `handles`, gated on what each needs; `[born]` and the like end the test's name.
    pub fn on(&mut self, handles: impl IntoIterator<Item = HandleKind>) -> &mut Self {
        self.handles.extend(handles);
        self
    }

    /// Runs the test only where the kernel has `features`.
    ///
    /// [`refused_by`](Self::refused_by) or [`no_refusal`](Self::no_refusal) must say what happens elsewhere.
    pub fn needs(&mut self, features: impl IntoIterator<Item = Feature>) -> &mut Self {
        self.needs.extend(features);
        self
    }

    /// Runs the test, and what refuses it, only on a machine that has `facilities`; elsewhere it is skipped, with their
    /// advice as the reason.
    pub fn requires(&mut self, facilities: impl IntoIterator<Item = Facility>) -> &mut Self {
        self.facilities.extend(facilities);
        self
    }

    /// Runs `body` in the test's place where a feature is absent: it shows that the refusal is a clear one.
    pub fn refused_by(
        &mut self,
        body: impl Fn(&Context) -> TestResult + Send + Sync + 'static,
    ) -> &mut Self {
        self.refusal = Refusal::By(Arc::new(body));
        self
    }

    /// Skips the test where a feature is absent. `why` tells the reader what covers the refusal.
    pub fn no_refusal(&mut self, why: &'static str) -> &mut Self {
        assert!(!why.is_empty(), "a reason is what this call is for");
        self.refusal = Refusal::None;
        self
    }

    /// Announces what the test leaves behind: exactly that much must be there when it is over.
    pub fn leaks(&mut self, leaks: Leaks) -> &mut Self {
        self.leaks = leaks;
        self
    }

    /// Announces that the test leaves `count` ring slots taken.
    pub fn leaks_slots(&mut self, count: usize) -> &mut Self {
        self.leaks.slots = count;
        self
    }

    /// Gives the test another time limit than 30 seconds; `URING_TEST_TIMEOUT_FACTOR` multiplies it.
    pub fn timeout(&mut self, limit: Duration) -> &mut Self {
        self.timeout = limit;
        self
    }

    /// Runs the test while no other test of its binary runs: it changes something of the whole machine.
    pub fn alone(&mut self) -> &mut Self {
        self.alone = true;
        self
    }

    /// Runs the test in a process of its own, also in a suite whose tests [share processes](crate::Suite::share_processes).
    pub fn own_process(&mut self) -> &mut Self {
        self.own_process = true;
        self
    }

    /// Whether nothing was said about kernels that lack what the test needs.
    pub(crate) fn is_undecided(&self) -> bool {
        !self.needs.is_empty() && matches!(self.refusal, Refusal::Undecided)
    }

    /// The test on each of its handles.
    pub(crate) fn cases(&self, suite: &str) -> Vec<Case> {
        let case = |handle: Option<HandleKind>| {
            let mut features = handle.map_or_else(Vec::new, |handle| handle.needs().to_vec());
            features.extend(&self.needs);
            let suffix = handle.map_or_else(String::new, |handle| format!("[{handle}]"));
            Case {
                name: format!("{suite}::{}{suffix}", self.name),
                test: self.name.clone(),
                handle,
                features,
                facilities: self.facilities.clone(),
                body: Arc::clone(&self.body),
                refusal: match &self.refusal {
                    Refusal::By(body) => Some(Arc::clone(body)),
                    Refusal::Undecided | Refusal::None => None,
                },
                leaks: self.leaks,
                timeout: self.timeout,
                alone: self.alone,
                own_process: self.own_process || self.alone || self.leaks != Leaks::default(),
            }
        };
        if self.handles.is_empty() {
            return vec![case(None)];
        }
        self.handles
            .iter()
            .map(|handle| case(Some(*handle)))
            .collect()
    }
}

/// A test on one handle.
pub(crate) struct Case {
    pub(crate) name: String,
    test: String,
    pub(crate) handle: Option<HandleKind>,
    features: Vec<Feature>,
    facilities: Vec<Facility>,
    body: Body,
    refusal: Option<Body>,
    leaks: Leaks,
    pub(crate) timeout: Duration,
    pub(crate) alone: bool,
    /// Whether it must not share its process with other tests.
    pub(crate) own_process: bool,
}

impl Case {
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Its name and what it needs, in a record of `suite`.
    pub(crate) fn record(&self, suite: &str) -> records::Case {
        let features = self.features.iter().map(Feature::name);
        let facilities = self.facilities.iter().map(Facility::name);
        records::Case {
            suite: suite.to_owned(),
            name: self.name.clone(),
            test: self.test.clone(),
            handle: self.handle.map(|handle| handle.word().to_owned()),
            features: features.map(str::to_owned).collect(),
            facilities: facilities.map(str::to_owned).collect(),
        }
    }

    /// What happens to it on `lane`: by probing what is running, in a plan by what is declared.
    pub(crate) fn decide(&self, lane: &Lane, planning: bool) -> Decision {
        let elsewhere = planning && !lane.is_running();
        let unprobed = elsewhere || lane.forbidden.is_some();
        let has_refusal = self.refusal.is_some();
        let kernel = gate::decide(lane, &self.features, has_refusal, |feature| {
            if unprobed {
                gate::expected(lane, feature)
            } else {
                feature.observe()
            }
        });
        // Another machine may run the kernel that is running here.
        let unseen = elsewhere || planning && lane.facilities.is_some();
        kernel.and(gate::admit(lane, &self.facilities, |facility| {
            if unseen {
                gate::declared(lane, facility)
            } else {
                facility.observe()
            }
        }))
    }

    /// What a process is to do to run the case or its companion.
    pub(crate) fn assignment(
        &self,
        refusal: bool,
        limit: Duration,
        completed_by: Option<CompletedBy>,
    ) -> Assignment {
        let (body, leaks) = match &self.refusal {
            Some(body) if refusal => (body, Leaks::default()),
            _ => (&self.body, self.leaks),
        };
        let context = Context {
            name: self.name.clone(),
            handle: self.handle,
            features: self.features.clone(),
        };
        Assignment {
            context,
            body: Arc::clone(body),
            leaks,
            limit,
            completed_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(_: &Context) -> TestResult {
        Ok(())
    }

    #[test]
    fn names_carry_suite_and_handle() {
        let mut test = Test::new("drains".to_owned(), pass);
        test.on(HandleKind::ALL);
        let names: Vec<_> = test
            .cases("teardown")
            .into_iter()
            .map(|case| case.name)
            .collect();
        assert_eq!(
            names,
            [
                "teardown::drains[fd]",
                "teardown::drains[registered]",
                "teardown::drains[closed]",
                "teardown::drains[born]"
            ]
        );
    }

    #[test]
    fn a_handle_brings_its_features() {
        let mut test = Test::new("t".to_owned(), pass);
        test.on([HandleKind::Born]).needs([Feature::CQE32]);
        assert_eq!(
            test.cases("s")[0].features,
            [
                Feature::NO_MMAP,
                Feature::REGISTERED_FD_ONLY,
                Feature::CQE32
            ]
        );
    }
}
