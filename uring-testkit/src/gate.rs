//! Whether a test runs: what is expected of a kernel against what it shows.

use crate::{
    facility::Facility,
    feature::{Feature, Observation},
    kernel::Lane,
    records::Planned,
};

/// What happens to a test on this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs; the notes name the features that are there although the version is too old for them.
    Run {
        /// One sentence for each backported feature.
        notes: Vec<String>,
    },
    /// A feature is absent, as expected, and the test has no refusal companion; or a facility is absent.
    Skip {
        /// What is missing, and from which kernel on it is there, or what to do about it.
        reason: String,
    },
    /// A feature is absent, as expected: the refusal companion runs in the test's place.
    Refuse {
        /// What is missing, and from which kernel on it is there.
        reason: String,
    },
    /// Expectation and observation contradict each other, or nothing could be observed.
    Fail {
        /// The contradiction.
        reason: String,
    },
}

impl Decision {
    /// The word that a report uses: `run`, `skip`, `refuse` or `fail`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        Planned::from(self).word()
    }

    /// Both decisions in one: a contradiction wins over a skip, a skip over a refusal, and each reason is kept.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let reasons = [self.reason(), other.reason()];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        let reason = reasons.join("; ");
        let either = |word| self.word() == word || other.word() == word;
        if either("fail") {
            Self::Fail { reason }
        } else if either("skip") {
            Self::Skip { reason }
        } else if either("refuse") {
            Self::Refuse { reason }
        } else {
            Self::Run { notes: reasons }
        }
    }

    /// Why it is not simply run; the notes of a run otherwise.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Run { notes } if notes.is_empty() => None,
            Self::Run { notes } => Some(notes.join("; ")),
            Self::Skip { reason } | Self::Refuse { reason } | Self::Fail { reason } => {
                Some(reason.clone())
            }
        }
    }
}

/// One feature's side of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gate {
    Open,
    Backport(String),
    Closed(String),
    Broken(String),
}

fn gate(lane: &Lane, feature: &Feature, observed: &Observation) -> Gate {
    let (name, since) = (feature.name(), feature.since());
    let expected = lane.kernel >= since;
    match (observed, expected) {
        (Observation::Present, true) => Gate::Open,
        (Observation::Present, false) if lane.kind.allows_backports() => {
            Gate::Backport(format!("{name} (Linux {since}) is backported"))
        }
        (Observation::Present, false) => Gate::Broken(format!(
            "{name} is there on mainline {}, but the feature table says Linux {since}: the table is wrong",
            lane.kernel
        )),
        (Observation::Absent, false) => Gate::Closed(format!("needs Linux {since} ({name})")),
        (Observation::Absent, true) => match feature.kernel_config() {
            Some(config) => Gate::Closed(format!("needs a kernel built with {config} ({name})")),
            None => Gate::Broken(format!(
                "{name} is missing on {} although Linux has it since {since}: \
                 look at the kernel's configuration and at filters of system calls",
                lane.kernel
            )),
        },
        (Observation::Inconclusive(evidence), _) => {
            Gate::Broken(format!("{name} could not be probed: {evidence}"))
        }
    }
}

/// Decides about one test that needs `features`, observed by `observe`.
///
/// A contradiction wins over an absent feature, so that it is never hidden by a skip.
pub fn decide(
    lane: &Lane,
    features: &[Feature],
    has_refusal: bool,
    observe: impl Fn(&Feature) -> Observation,
) -> Decision {
    let mut notes = Vec::new();
    let mut absent = Vec::new();
    let mut contradictions = Vec::new();
    for feature in features {
        match gate(lane, feature, &observe(feature)) {
            Gate::Open => {}
            Gate::Backport(note) => notes.push(note),
            Gate::Closed(reason) => absent.push(reason),
            Gate::Broken(reason) => contradictions.push(reason),
        }
    }
    if !contradictions.is_empty() {
        let reason = contradictions.join("; ");
        return Decision::Fail { reason };
    }
    if absent.is_empty() {
        return Decision::Run { notes };
    }
    let reason = absent.join("; ");
    if has_refusal {
        Decision::Refuse { reason }
    } else {
        Decision::Skip { reason }
    }
}

/// Decides about one test that requires `facilities`, observed by `observe`: it runs, is skipped or fails.
///
/// What a lane declares must be there, and what is there must be declared. A lane that declares nothing, such as a
/// host, has what is observed.
pub fn admit(
    lane: &Lane,
    facilities: &[Facility],
    observe: impl Fn(&Facility) -> Observation,
) -> Decision {
    let mut decision = Decision::Run { notes: Vec::new() };
    for facility in facilities {
        decision = decision.and(admit_one(lane, facility, &observe(facility)));
    }
    decision
}

fn admit_one(lane: &Lane, facility: &Facility, observed: &Observation) -> Decision {
    let (name, advice) = (facility.name(), facility.advice());
    match (observed, lane.declares(facility)) {
        (Observation::Present, None | Some(true)) => Decision::Run { notes: Vec::new() },
        (Observation::Absent, None | Some(false)) => Decision::Skip {
            reason: format!("no {name} here: {advice} ({name})"),
        },
        (Observation::Absent, Some(true)) => Decision::Fail {
            reason: format!("the lane declares {name} and the machine has none: {advice}"),
        },
        (Observation::Present, Some(false)) => Decision::Fail {
            reason: format!(
                "the machine has {name} and the lane does not declare it: the lane's list of facilities is wrong"
            ),
        },
        (Observation::Inconclusive(evidence), _) => Decision::Fail {
            reason: format!("whether the machine has {name} cannot be told: {evidence}"),
        },
    }
}

/// What `lane`'s declaration alone says about `facility`: the plan of a machine that is not running.
pub(crate) fn declared(lane: &Lane, facility: &Facility) -> Observation {
    match lane.declares(facility) {
        Some(true) => Observation::Present,
        Some(false) => Observation::Absent,
        None => Observation::Inconclusive(
            "the machine is not this one, and URING_FACILITIES does not say".to_owned(),
        ),
    }
}

/// How what was seen of `feature` contradicts `lane`, if it does: by the rule that [`decide`] goes by, and by the lane's list of
/// backports, which must name exactly what a distribution's kernel has before its version.
///
/// # Examples
///
/// ```
/// use uring_testkit::{Feature, KernelVersion, Lane, LaneKind, Observation, contradiction};
///
/// let lane = Lane {
///     kernel: KernelVersion::new(6, 1),
///     kind: LaneKind::Mainline,
///     release: "6.1.176".to_owned(),
///     backports: Vec::new(),
///     facilities: None,
///     forbidden: None,
/// };
/// let since_6_3 = Feature::REG_REG_RING;
/// assert_eq!(contradiction(&lane, &since_6_3, &Observation::Absent), None);
/// let found = contradiction(&lane, &since_6_3, &Observation::Present).unwrap();
/// assert!(found.contains("the table is wrong"));
/// ```
#[must_use]
pub fn contradiction(lane: &Lane, feature: &Feature, observed: &Observation) -> Option<String> {
    let name = feature.name();
    let declared = lane.backports.iter().any(|backport| backport == name);
    match (gate(lane, feature, observed), declared) {
        (Gate::Broken(reason), _) => Some(reason),
        (Gate::Backport(note), false) => Some(format!("{note}, and the lane does not declare it")),
        (Gate::Closed(reason), true) => Some(format!(
            "the lane declares {name} as backported, and it is absent: {reason}"
        )),
        (Gate::Open, true) => Some(format!(
            "the lane declares {name} as backported, but {} has it anyhow",
            lane.kernel
        )),
        (Gate::Open | Gate::Closed(_), false) | (Gate::Backport(_), true) => None,
    }
}

/// What `lane`'s declaration alone says about `feature`: the plan of a kernel that is not running.
pub(crate) fn expected(lane: &Lane, feature: &Feature) -> Observation {
    let backported = lane.backports.iter().any(|name| name == feature.name());
    if backported || lane.kernel >= feature.since() {
        Observation::Present
    } else {
        Observation::Absent
    }
}

#[cfg(test)]
mod tests;
