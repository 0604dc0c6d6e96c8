//! What all lanes together have shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use uring_testkit::records::{Case, Planned, Record};

use super::Finished;
use crate::test::outcome::Verdict;

/// What is missing, and what cannot be had.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// Tests that ran nowhere.
    pub(super) gaps: Vec<String>,
    /// Features that were seen from one side only, with the reason.
    pub(super) notes: Vec<String>,
}

/// The tests of plans: what each would do, and why.
fn tests(plans: &[String]) -> impl Iterator<Item = (Case, Planned, String)> {
    let lines = plans.iter().flat_map(|plan| plan.lines());
    lines.filter_map(|line| match line.parse() {
        Ok(Record::Plan {
            case,
            decision,
            reason,
        }) => Some((case, decision, reason.unwrap_or_default())),
        _ => None,
    })
}

/// Compares the plans of all lanes, oldest first, with what ran on them.
///
/// A test that ran nowhere is no gap if one of the fault lanes that were left out would run it: `other_faults` gives their
/// plans, if there is need of them.
pub(super) fn across(
    plans: &[String],
    finished: &[Finished],
    other_faults: impl FnOnce() -> Result<Vec<String>>,
) -> Result<Coverage> {
    let mut never_ran: BTreeMap<String, String> = BTreeMap::new();
    let (mut features, mut facilities) = (Sides::default(), Sides::default());
    let ran: BTreeSet<&str> = finished
        .iter()
        .flat_map(|lane| &lane.suites)
        .flat_map(|suite| &suite.tests)
        .filter(|test| matches!(test.verdict, Verdict::Passed | Verdict::Failed))
        .map(|test| test.name.as_str())
        .collect();
    for (case, _, reason) in tests(plans) {
        if !ran.contains(case.name.as_str()) {
            never_ran.insert(case.name, reason.clone());
        }
        features.see(case.features, &reason);
        facilities.see(case.facilities, &reason);
    }
    let on_faults = if never_ran.is_empty() {
        BTreeSet::new()
    } else {
        take_what_runs(&mut never_ran, &other_faults()?)
    };
    let declared = finished
        .iter()
        .flat_map(|lane| lane.lane.facilities.split(','));
    let declared: BTreeSet<_> = declared.filter(|name| !name.is_empty()).collect();
    let notes = [
        note(
            "present on every lane, so never seen absent",
            features.never_absent(),
        ),
        note(
            "absent on every lane, so never seen present",
            features.never_present(),
        ),
        note(
            "absent from every machine, so never seen present",
            facilities.never_present(),
        ),
        note(
            "declared of a machine and required by no test",
            declared
                .into_iter()
                .filter(|name| !facilities.are_known(name)),
        ),
        note(
            "runs on fault lanes only, with --faults all",
            on_faults.iter().map(String::as_str),
        ),
    ];
    Ok(Coverage {
        gaps: never_ran
            .into_iter()
            .map(|(name, reason)| format!("{name} ran on no kernel: {reason}"))
            .collect(),
        notes: notes.into_iter().flatten().collect(),
    })
}

/// Takes the tests out of `never_ran` that run by one of `plans`, and gives their names.
fn take_what_runs(never_ran: &mut BTreeMap<String, String>, plans: &[String]) -> BTreeSet<String> {
    let runs = tests(plans).filter(|(_, decision, _)| *decision == Planned::Run);
    let names = runs.map(|(case, ..)| case.name);
    names
        .filter(|name| never_ran.remove(name).is_some())
        .collect()
}

/// Names of what gates are about, by the side from which they were seen.
#[derive(Debug, Default)]
struct Sides {
    present: BTreeSet<String>,
    absent: BTreeSet<String>,
}

impl Sides {
    /// Notes what a planned test needs; a reason names in parentheses what is absent.
    fn see(&mut self, names: Vec<String>, reason: &str) {
        for name in names {
            if reason.contains(&format!("({name})")) {
                self.absent.insert(name);
            } else {
                self.present.insert(name);
            }
        }
    }

    fn never_absent(&self) -> impl Iterator<Item = &str> {
        self.present.difference(&self.absent).map(String::as_str)
    }

    fn never_present(&self) -> impl Iterator<Item = &str> {
        self.absent.difference(&self.present).map(String::as_str)
    }

    fn are_known(&self, name: &str) -> bool {
        self.present.contains(name) || self.absent.contains(name)
    }
}

fn note<'a>(why: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| format!("{why}: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{
        lanes::judge,
        outcome::{Outcome, Test},
    };

    /// With every fault lane in the run.
    fn across(plans: &[String], finished: &[Finished]) -> Coverage {
        super::across(plans, finished, || Ok(Vec::new())).unwrap()
    }

    fn finished(name: &str, verdict: Verdict) -> Finished {
        let mut suite = Outcome::new("s");
        suite.tests.push(Test::new(name.to_owned(), verdict));
        Finished {
            lane: judge::tests::lane(),
            release: None,
            seconds: 0.0,
            repeated: Vec::new(),
            suites: vec![suite],
            troubles: Vec::new(),
            facts: None,
            last_lines: String::new(),
        }
    }

    fn plan(decision: &str, reason: &str) -> String {
        format!(
            r#"{{"record":"plan","suite":"s","name":"s::a","test":"a","features":["OLD","NEW"],"decision":"{decision}","reason":"{reason}"}}"#
        )
    }

    #[test]
    fn a_test_that_ran_nowhere_is_a_gap() {
        let plans = [
            plan("skip", "needs Linux 9.9 (NEW)"),
            plan("refuse", "needs Linux 9.9 (NEW)"),
        ];
        let lanes = [
            finished("s::a", Verdict::Skipped),
            finished("s::a", Verdict::Refused),
        ];
        let coverage = across(&plans, &lanes);
        assert_eq!(
            coverage.gaps,
            ["s::a ran on no kernel: needs Linux 9.9 (NEW)"]
        );
        assert_eq!(
            coverage.notes,
            [
                "present on every lane, so never seen absent: OLD",
                "absent on every lane, so never seen present: NEW"
            ]
        );
    }

    #[test]
    fn a_test_for_fault_lanes_is_no_gap_if_one_of_them_would_run_it() {
        let plans = [plan("skip", "")];
        let lanes = [finished("s::a", Verdict::Skipped)];
        let with = |decision: &str| {
            let on_fault = plan(decision, "");
            super::across(&plans, &lanes, || Ok(vec![on_fault])).unwrap()
        };
        assert_eq!(with("run").gaps, Vec::<String>::new());
        let note = "runs on fault lanes only, with --faults all: s::a";
        assert!(with("run").notes.iter().any(|other| other == note));
        for decision in ["skip", "refuse", "fail"] {
            assert_eq!(with(decision).gaps.len(), 1, "{decision}");
        }
        // With the fault lanes in the run there is no excuse, and nothing to plan without a gap.
        assert_eq!(across(&plans, &lanes).gaps.len(), 1);
        let ran = [finished("s::a", Verdict::Passed)];
        super::across(&plans, &ran, || panic!("nobody has asked")).unwrap();
    }

    #[test]
    fn a_gate_seen_from_both_sides_is_no_note() {
        let plans = [plan("skip", "(OLD) (NEW)"), plan("run", "")];
        let lanes = [
            finished("s::a", Verdict::Skipped),
            finished("s::a", Verdict::Passed),
        ];
        assert_eq!(across(&plans, &lanes), Coverage::default());
    }

    #[test]
    fn a_facility_that_no_machine_has_is_a_note_and_so_is_one_that_no_test_wants() {
        let plan = |decision: &str, reason: &str| {
            format!(
                r#"{{"record":"plan","suite":"s","name":"s::a","test":"a","facilities":["loop"],"decision":"{decision}","reason":"{reason}"}}"#
            )
        };
        let mut lane = finished("s::a", Verdict::Passed);
        lane.lane.facilities = "loop,nvme".to_owned();
        let absent = plan("skip", "there is no loop here: load it (loop)");
        assert_eq!(
            across(std::slice::from_ref(&absent), std::slice::from_ref(&lane)).notes,
            [
                "absent from every machine, so never seen present: loop",
                "declared of a machine and required by no test: nvme"
            ]
        );
        lane.lane.facilities = "loop".to_owned();
        let both = [absent, plan("run", "")];
        assert_eq!(across(&both, &[lane]), Coverage::default());
    }
}
