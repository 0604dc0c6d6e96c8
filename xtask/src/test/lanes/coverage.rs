//! What all lanes together have shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

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

/// One line of a plan, with what the gates are about.
#[derive(Debug, Deserialize)]
struct Planned {
    name: Option<String>,
    #[serde(default)]
    features: Vec<String>,
    reason: Option<String>,
}

/// Compares the plans of all lanes, oldest first, with what ran on them.
pub(super) fn across(plans: &[String], finished: &[Finished]) -> Coverage {
    let mut never_ran: BTreeMap<String, String> = BTreeMap::new();
    let mut present = BTreeSet::new();
    let mut absent = BTreeSet::new();
    let mut features = BTreeSet::new();
    let ran: BTreeSet<&str> = finished
        .iter()
        .flat_map(|lane| &lane.suites)
        .flat_map(|suite| &suite.tests)
        .filter(|test| matches!(test.verdict, Verdict::Passed | Verdict::Failed))
        .map(|test| test.name.as_str())
        .collect();
    let lines = plans.iter().flat_map(|plan| plan.lines());
    for planned in lines.filter_map(|line| serde_json::from_str::<Planned>(line).ok()) {
        let Some(name) = planned.name else { continue };
        let reason = planned.reason.unwrap_or_default();
        if !ran.contains(name.as_str()) {
            never_ran.insert(name, reason.clone());
        }
        for feature in planned.features {
            // A reason names in parentheses what the kernel lacks.
            if reason.contains(&format!("({feature})")) {
                absent.insert(feature.clone());
            } else {
                present.insert(feature.clone());
            }
            features.insert(feature);
        }
    }
    let side = |seen: &BTreeSet<String>, why: &str| {
        let missing: Vec<_> = features.difference(seen).map(String::as_str).collect();
        (!missing.is_empty()).then(|| format!("{why}: {}", missing.join(", ")))
    };
    let notes = [
        side(&absent, "present on every lane, so never seen absent"),
        side(&present, "absent on every lane, so never seen present"),
    ];
    Coverage {
        gaps: never_ran
            .into_iter()
            .map(|(name, reason)| format!("{name} ran on no kernel: {reason}"))
            .collect(),
        notes: notes.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{
        lanes::judge,
        outcome::{Outcome, Test},
    };

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
            r#"{{"record":"plan","name":"s::a","features":["OLD","NEW"],"decision":"{decision}","reason":"{reason}"}}"#
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
    fn a_gate_seen_from_both_sides_is_no_note() {
        let plans = [plan("skip", "(OLD) (NEW)"), plan("run", "")];
        let lanes = [
            finished("s::a", Verdict::Skipped),
            finished("s::a", Verdict::Passed),
        ];
        assert_eq!(across(&plans, &lanes), Coverage::default());
    }
}
