//! Each decision, on each kind of lane.

use super::*;
use crate::{
    feature::Probe,
    kernel::{KernelVersion, LaneKind},
    probe,
};

/// Since 6.3.
const FEATURE: Feature = Feature::REG_REG_RING;
/// Since 5.18.
const OLDER: Feature = Feature::RING_FDS;

fn lane(minor: u16, kind: LaneKind) -> Lane {
    let kernel = KernelVersion::new(6, minor);
    Lane {
        kernel,
        kind,
        release: kernel.to_string(),
        backports: Vec::new(),
        facilities: None,
        forbidden: None,
    }
}

fn inconclusive() -> Observation {
    Observation::Inconclusive("EPERM".to_owned())
}

fn word(lane: &Lane, observed: &Observation, has_refusal: bool) -> &'static str {
    decide(lane, &[FEATURE], has_refusal, |_| observed.clone()).word()
}

#[test]
fn every_cell_of_the_table() {
    use LaneKind::{Distribution, Host, Mainline};
    use Observation::{Absent, Present};
    for (minor, kind, observed, without, with) in [
        (1, Mainline, Present, "fail", "fail"),
        (1, Distribution, Present, "run", "run"),
        (1, Host, Present, "run", "run"),
        (1, Mainline, Absent, "skip", "refuse"),
        (1, Distribution, Absent, "skip", "refuse"),
        (1, Host, Absent, "skip", "refuse"),
        (1, Mainline, inconclusive(), "fail", "fail"),
        (1, Distribution, inconclusive(), "fail", "fail"),
        (1, Host, inconclusive(), "fail", "fail"),
        (3, Mainline, Present, "run", "run"),
        (3, Distribution, Present, "run", "run"),
        (3, Host, Present, "run", "run"),
        (3, Mainline, Absent, "fail", "fail"),
        (3, Distribution, Absent, "fail", "fail"),
        (3, Host, Absent, "fail", "fail"),
        (3, Mainline, inconclusive(), "fail", "fail"),
        (3, Distribution, inconclusive(), "fail", "fail"),
        (3, Host, inconclusive(), "fail", "fail"),
    ] {
        let lane = lane(minor, kind);
        assert_eq!(
            word(&lane, &observed, false),
            without,
            "{lane:?} {observed:?}"
        );
        assert_eq!(word(&lane, &observed, true), with, "{lane:?} {observed:?}");
    }
}

#[test]
fn only_a_backport_leaves_a_note() {
    let note = |minor, kind| {
        decide(&lane(minor, kind), &[FEATURE], false, |_| {
            Observation::Present
        })
        .reason()
    };
    assert_eq!(note(3, LaneKind::Host), None);
    let backport = note(1, LaneKind::Distribution).expect("a note");
    assert!(backport.contains("IORING_FEAT_REG_REG_RING"), "{backport}");
}

#[test]
fn the_reason_names_kernel_and_feature() {
    let decision = decide(&lane(1, LaneKind::Mainline), &[FEATURE], false, |_| {
        Observation::Absent
    });
    assert_eq!(
        decision.reason().as_deref(),
        Some("needs Linux 6.3 (IORING_FEAT_REG_REG_RING)")
    );
}

#[test]
fn a_contradiction_is_not_hidden_by_an_absent_feature() {
    let decision = decide(
        &lane(1, LaneKind::Mainline),
        &[FEATURE, OLDER],
        true,
        |_| Observation::Absent,
    );
    assert_eq!(decision.word(), "fail");
    let reason = decision.reason().unwrap();
    assert!(reason.contains("IORING_REGISTER_RING_FDS"), "{reason}");
}

#[test]
fn no_features_means_run() {
    let decision = decide(&lane(1, LaneKind::Mainline), &[], false, |_| inconclusive());
    assert_eq!(decision, Decision::Run { notes: vec![] });
}

#[test]
fn what_depends_on_the_configuration_may_be_absent() {
    let configured = Feature::opcode(uring_sys::IORING_OP_EPOLL_WAIT);
    assert!(configured.kernel_config().is_some());
    let lane = Lane {
        kernel: KernelVersion::new(7, 0),
        kind: LaneKind::Distribution,
        release: "7.0".to_owned(),
        backports: Vec::new(),
        facilities: None,
        forbidden: None,
    };
    let decision = decide(&lane, &[configured], false, |_| Observation::Absent);
    assert_eq!(decision.word(), "skip");
    assert!(decision.reason().unwrap().contains("CONFIG_EPOLL"));
}

#[test]
fn the_plan_of_another_kernel_follows_its_version() {
    let plan = |minor| {
        let lane = lane(minor, LaneKind::Mainline);
        decide(&lane, &[FEATURE], false, |feature| expected(&lane, feature)).word()
    };
    assert_eq!(plan(1), "skip");
    assert_eq!(plan(12), "run");
}

#[test]
fn the_plan_of_another_kernel_knows_its_backports() {
    let mut lane = lane(1, LaneKind::Distribution);
    let plan = |lane: &Lane| decide(lane, &[FEATURE], false, |f| expected(lane, f));
    assert_eq!(plan(&lane).word(), "skip");
    lane.backports.push(FEATURE.name().to_owned());
    assert_eq!(plan(&lane).word(), "run");
    assert!(plan(&lane).reason().unwrap().contains("is backported"));
}

const FACILITY: Facility = Facility::new("loop", "load the module", || Observation::Present);

fn lane_with(facilities: Option<&[&str]>) -> Lane {
    Lane {
        facilities: facilities.map(|names| names.iter().map(ToString::to_string).collect()),
        ..lane(1, LaneKind::Mainline)
    }
}

#[test]
fn every_cell_of_the_table_of_facilities() {
    use Observation::{Absent, Present};
    let (with, without): (&[_], &[_]) = (&["nvme", "loop"], &["nvme"]);
    for (declared, observed, expected) in [
        (None, Present, "run"),
        (None, Absent, "skip"),
        (None, inconclusive(), "fail"),
        (Some(with), Present, "run"),
        (Some(with), Absent, "fail"),
        (Some(with), inconclusive(), "fail"),
        (Some(without), Present, "fail"),
        (Some(without), Absent, "skip"),
        (Some(without), inconclusive(), "fail"),
        (Some(&[]), Present, "fail"),
        (Some(&[]), Absent, "skip"),
    ] {
        let decision = admit(&lane_with(declared), &[FACILITY], |_| observed.clone());
        assert_eq!(decision.word(), expected, "{declared:?} {observed:?}");
    }
}

#[test]
fn an_absent_facility_says_what_to_do() {
    let decision = admit(&lane_with(None), &[FACILITY], |_| Observation::Absent);
    let reason = decision.reason().unwrap();
    assert_eq!(reason, "no loop here: load the module (loop)");
}

#[test]
fn each_facility_counts() {
    let other = Facility::new("nvme", "add a disk", || Observation::Present);
    let lane = lane_with(Some(&["loop"]));
    let decide = |facilities: &[Facility]| admit(&lane, facilities, |f| declared(&lane, f));
    assert_eq!(decide(&[]), Decision::Run { notes: vec![] });
    assert_eq!(decide(&[FACILITY]).word(), "run");
    assert_eq!(decide(&[FACILITY, other]).word(), "skip");
    assert_eq!(decide(&[other, FACILITY]).word(), "skip");
}

#[test]
fn the_plan_of_another_machine_needs_its_declaration() {
    let plan = |lane: &Lane| admit(lane, &[FACILITY], |facility| declared(lane, facility));
    let undeclared = plan(&lane_with(None));
    assert_eq!(undeclared.word(), "fail");
    assert!(undeclared.reason().unwrap().contains("URING_FACILITIES"));
    assert_eq!(plan(&lane_with(Some(&["loop"]))).word(), "run");
    assert_eq!(plan(&lane_with(Some(&[]))).word(), "skip");
}

#[test]
fn the_graver_of_two_decisions_wins_and_both_reasons_stay() {
    let of = |word: &str| {
        let reason = word.to_uppercase();
        match word {
            "run" => Decision::Run {
                notes: vec![reason],
            },
            "refuse" => Decision::Refuse { reason },
            "skip" => Decision::Skip { reason },
            _ => Decision::Fail { reason },
        }
    };
    let words = ["run", "refuse", "skip", "fail"];
    for (grave, one) in words.iter().enumerate() {
        for (graver, other) in words.iter().enumerate() {
            let both = of(one).and(of(other));
            assert_eq!(both.word(), words[grave.max(graver)], "{one} {other}");
            let reasons = format!("{}; {}", one.to_uppercase(), other.to_uppercase());
            assert_eq!(both.reason(), Some(reasons));
        }
    }
}

#[test]
fn every_contradiction_of_a_lane() {
    use LaneKind::{Distribution, Mainline};
    use Observation::{Absent, Present};
    for (minor, kind, declared, observed, words) in [
        (1, Mainline, false, Absent, None),
        (1, Mainline, false, Present, Some("the table is wrong")),
        (3, Mainline, false, Present, None),
        (3, Mainline, false, Absent, Some("is missing on 6.3")),
        (
            1,
            Mainline,
            false,
            inconclusive(),
            Some("could not be probed"),
        ),
        (1, Distribution, true, Present, None),
        (1, Distribution, true, Absent, Some("and it is absent")),
        (1, Distribution, false, Present, Some("does not declare it")),
        (3, Distribution, true, Present, Some("has it anyhow")),
    ] {
        let mut lane = lane(minor, kind);
        if declared {
            lane.backports.push(FEATURE.name().to_owned());
        }
        let found = contradiction(&lane, &FEATURE, &observed);
        assert_eq!(
            found.is_some(),
            words.is_some(),
            "{lane:?} {observed:?}: {found:?}"
        );
        let found = found.unwrap_or_default();
        assert!(found.contains(words.unwrap_or_default()), "{found}");
        assert!(
            found.is_empty() || found.contains(FEATURE.name()),
            "{found}"
        );
    }
}

/// A row whose version and probe belong to different features, asked of the running kernel.
fn wrong_row(name: &'static str, probe: Probe) -> Decision {
    let row = Feature {
        name,
        probe,
        config: None,
        since: None,
    };
    let lane = lane(1, LaneKind::Mainline);
    decide(&lane, &[row], true, |row| probe::observe(row.probe))
}

#[test]
fn a_row_with_too_late_a_version_is_found_out() {
    let flag = uring_sys::IORING_SETUP_CLAMP;
    let decision = wrong_row("IORING_SETUP_SQ_REWIND", Probe::Setup { flag, partners: 0 });
    assert_eq!(decision.word(), "fail");
    let reason = decision.reason().unwrap();
    assert!(reason.contains("the table is wrong"), "{reason}");
}

#[test]
fn a_row_with_too_early_a_version_is_found_out() {
    let flag = 1 << 30;
    let decision = wrong_row("IORING_SETUP_CLAMP", Probe::Setup { flag, partners: 0 });
    assert_eq!(decision.word(), "fail");
    let reason = decision.reason().unwrap();
    assert!(reason.contains("is missing on 6.1"), "{reason}");
}
