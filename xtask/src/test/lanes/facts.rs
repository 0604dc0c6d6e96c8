//! What a machine's probes saw, against what its lane promises: every row of the feature table, whether a test needs it or not.

use std::collections::BTreeMap;

use uring_testkit::{Feature, HandleKind, LaneKind, Observation};

use super::{
    Lane,
    judge::{Class, Trouble},
};
use crate::kernels::Facts;

/// All that came from one machine.
#[derive(Debug, Default)]
pub(super) struct Observed {
    handles: BTreeMap<String, Observation>,
    features: BTreeMap<String, Observation>,
    twice: Vec<String>,
}

impl Observed {
    pub(super) fn handle(&mut self, name: String, seen: Observation) {
        note(&mut self.handles, &mut self.twice, name, seen);
    }

    pub(super) fn feature(&mut self, name: String, seen: Observation) {
        note(&mut self.features, &mut self.twice, name, seen);
    }

    /// What is missing from the records, and what contradicts `lane`.
    pub(super) fn judge(&self, lane: &Lane) -> Vec<Trouble> {
        let mut troubles = self.records();
        let declared = match declared(lane) {
            Ok(declared) => declared,
            Err(reason) => {
                troubles.push(Trouble::new(Class::Features, reason));
                return troubles;
            }
        };
        let contradictions = Feature::all().iter().filter_map(|feature| {
            let seen = self.features.get(feature.name())?;
            uring_testkit::contradiction(&declared, feature, seen)
        });
        let handles = HandleKind::ALL
            .into_iter()
            .filter_map(|handle| self.handle_contradicts(handle));
        troubles.extend(
            contradictions
                .chain(handles)
                .map(|text| Trouble::new(Class::Features, text)),
        );
        troubles
    }

    /// One record for each row and handle, and none for anything else.
    fn records(&self) -> Vec<Trouble> {
        let rows = Feature::all().iter().map(Feature::name);
        let handles = HandleKind::ALL.iter().map(|handle| handle.word());
        let known: Vec<_> = rows.clone().chain(handles.clone()).collect();
        let missing = rows
            .filter(|row| !self.features.contains_key(*row))
            .chain(handles.filter(|handle| !self.handles.contains_key(*handle)));
        let seen = self.features.keys().chain(self.handles.keys());
        let seen = seen.map(String::as_str);
        [
            ("nothing was seen of", missing.collect::<Vec<_>>()),
            (
                "unheard of:",
                seen.filter(|name| !known.contains(name)).collect(),
            ),
            (
                "seen twice:",
                self.twice.iter().map(String::as_str).collect(),
            ),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| Trouble::new(Class::Records, format!("{what} {}", names.join(", "))))
        .collect()
    }

    /// A handle works exactly where the features are that it rests on.
    fn handle_contradicts(&self, handle: HandleKind) -> Option<String> {
        let seen = self.handles.get(handle.word())?;
        let lacks =
            |feature: &&Feature| self.features.get(feature.name()) != Some(&Observation::Present);
        let lacking = handle.needs().iter().find(lacks);
        match (seen, lacking) {
            (Observation::Present, None) | (Observation::Absent, Some(_)) => None,
            (Observation::Present, Some(feature)) => Some(format!(
                "the handle {handle} works without {}, on which it is said to rest",
                feature.name()
            )),
            (Observation::Absent, None) => Some(format!(
                "the handle {handle} does not work, although all is there that it is said to rest on"
            )),
            (Observation::Inconclusive(evidence), _) => Some(format!(
                "the handle {handle} could not be tried: {evidence}"
            )),
        }
    }

    /// What is to be kept of observations that [`judge`](Self::judge) has no trouble with.
    pub(super) fn facts(&self, lane: &Lane) -> Facts {
        let present = |seen: &BTreeMap<String, Observation>| {
            let seen = seen.iter();
            seen.map(|(name, seen)| (name.clone(), *seen == Observation::Present))
                .collect()
        };
        Facts {
            package: lane.package.clone(),
            handles: present(&self.handles),
            features: present(&self.features),
        }
    }
}

fn note(
    all: &mut BTreeMap<String, Observation>,
    twice: &mut Vec<String>,
    name: String,
    seen: Observation,
) {
    if all.insert(name.clone(), seen).is_some() {
        twice.push(name);
    }
}

/// The lane as the testkit's gates take it.
fn declared(lane: &Lane) -> Result<uring_testkit::Lane, String> {
    let kernel = lane.series.parse();
    let backports = lane.backports.split(',').filter(|name| !name.is_empty());
    Ok(uring_testkit::Lane {
        kernel: kernel.map_err(|error| format!("the lane's series: {error}"))?,
        kind: match lane.kind {
            "mainline" => LaneKind::Mainline,
            _ => LaneKind::Distribution,
        },
        release: lane.series.clone(),
        backports: backports.map(str::to_owned).collect(),
        facilities: None,
        forbidden: None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::judge::tests::lane, *};

    /// What a kernel has that is exactly of `lane`'s version.
    pub(in super::super) fn expected(lane: &Lane) -> Vec<(&'static str, String, bool)> {
        let kernel = declared(lane).unwrap().kernel;
        let has = |feature: &Feature| feature.since() <= kernel;
        let handles = HandleKind::ALL.into_iter().map(|handle| {
            let works = handle.needs().iter().all(has);
            ("handle", handle.word().to_owned(), works)
        });
        let rows = Feature::all().iter();
        let features = rows.map(|row| ("feature", row.name().to_owned(), has(row)));
        handles.chain(features).collect()
    }

    fn observed(change: impl Fn(&str) -> Option<Observation>) -> Observed {
        let mut observed = Observed::default();
        for (kind, name, has) in expected(&lane()) {
            let usual = if has {
                Observation::Present
            } else {
                Observation::Absent
            };
            let seen = change(&name).unwrap_or(usual);
            let all = match kind {
                "handle" => &mut observed.handles,
                _ => &mut observed.features,
            };
            all.insert(name, seen);
        }
        observed
    }

    fn troubles(observed: &Observed) -> Vec<String> {
        let troubles = observed.judge(&lane());
        troubles.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_kernel_as_its_version_says_is_no_trouble() {
        let observed = observed(|_| None);
        assert_eq!(troubles(&observed), Vec::<String>::new());
        let facts = observed.facts(&lane());
        assert!(facts.handles["registered"]);
        assert!(!facts.handles["born"]);
        assert_eq!(facts.features.len(), Feature::all().len());
    }

    #[test]
    fn each_row_that_is_wrong_is_told_in_each_direction() {
        for (_, row, has) in expected(&lane()).into_iter().skip(HandleKind::ALL.len()) {
            let other = if has {
                Observation::Absent
            } else {
                Observation::Present
            };
            let found = troubles(&observed(|name| (name == row).then(|| other.clone())));
            let configured = Feature::all().iter().find(|feature| feature.name() == row);
            // What depends on how a kernel is built may be absent from any.
            let may_be_absent = has && configured.is_some_and(|row| row.kernel_config().is_some());
            assert_eq!(found.is_empty(), may_be_absent, "{row}: {found:?}");
            assert!(
                found.first().is_none_or(|told| told.contains(&row)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn each_handle_that_is_wrong_is_told_in_each_direction() {
        for (handle, seen, words) in [
            ("fd", Observation::Absent, "fd does not work"),
            (
                "registered",
                Observation::Absent,
                "registered does not work",
            ),
            (
                "closed",
                Observation::Present,
                "closed works without IORING_FEAT_REG_REG_RING",
            ),
            (
                "born",
                Observation::Present,
                "born works without IORING_SETUP_NO_MMAP",
            ),
            (
                "born",
                Observation::Inconclusive("EPERM".to_owned()),
                "could not be tried: EPERM",
            ),
        ] {
            let found = troubles(&observed(|name| (name == handle).then(|| seen.clone())));
            assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        }
    }

    #[test]
    fn a_probe_that_cannot_tell_is_told_with_its_evidence() {
        let seen = Observation::Inconclusive("io_uring_enter: EPERM".to_owned());
        let found = troubles(&observed(|name| {
            (name == "IORING_ENTER_ABS_TIMER").then(|| seen.clone())
        }));
        assert!(
            found[0].contains("could not be probed: io_uring_enter: EPERM"),
            "{found:?}"
        );
    }

    #[test]
    fn a_backport_is_declared_or_told() {
        let name = "IORING_FEAT_REG_REG_RING";
        let mut lane = Lane {
            kind: "distribution",
            ..lane()
        };
        let seen =
            |other: &str| (other == name || other == "closed").then_some(Observation::Present);
        let undeclared = observed(seen).judge(&lane);
        assert!(
            undeclared[0].text.contains("does not declare it"),
            "{undeclared:?}"
        );
        lane.backports = name.to_owned();
        assert_eq!(observed(seen).judge(&lane), []);
        let absent = observed(|_| None).judge(&lane);
        assert!(absent[0].text.contains("and it is absent"), "{absent:?}");
    }

    #[test]
    fn what_is_missing_too_much_or_twice_is_told() {
        let mut observed = observed(|_| None);
        observed.features.remove("IORING_OP_PIPE");
        observed.handles.remove("born");
        observed.feature("IORING_OP_BREW".to_owned(), Observation::Absent);
        observed.handle("fd".to_owned(), Observation::Present);
        assert_eq!(
            troubles(&observed),
            [
                "records: nothing was seen of IORING_OP_PIPE, born",
                "records: unheard of: IORING_OP_BREW",
                "records: seen twice: fd"
            ]
        );
    }
}
