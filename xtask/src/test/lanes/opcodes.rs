//! Which opcodes the code under test has completed, by the handle that its rings had, over all lanes of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use comfy_table::{Cell, CellAlignment, Color, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;
use uring_testkit::{Feature, FeatureKind, HandleKind, KernelVersion};

use super::Finished;
use crate::kernels::Facts;

/// Calls that are not possible wherever the kernel knows them.
struct ByNature {
    name: &'static str,
    /// The handles that they are possible on.
    handles: &'static [HandleKind],
    /// The first kernel that they are possible on.
    since: KernelVersion,
    why: &'static str,
}

const ANY: KernelVersion = KernelVersion::new(0, 0);
/// Those with deferred task work.
const BOUND: &[HandleKind] = &HandleKind::BOUND;

const BY_NATURE: &[ByNature] = &[
    ByNature {
        name: "IORING_REGISTER_RING_FDS",
        handles: &[HandleKind::Fd],
        since: ANY,
        why: "a ring is registered while it goes by its descriptor",
    },
    ByNature {
        name: "IORING_REGISTER_ENABLE_RINGS",
        handles: &[HandleKind::Fd],
        since: ANY,
        why: "a disabled ring goes by its descriptor",
    },
    ByNature {
        name: "IORING_REGISTER_MEM_REGION",
        handles: &[HandleKind::Fd, HandleKind::Born],
        since: ANY,
        why: "it is registered while the ring is disabled, which goes by its descriptor or was born without one",
    },
    ByNature {
        name: "IORING_REGISTER_RESIZE_RINGS",
        handles: &[HandleKind::Registered, HandleKind::Closed, HandleKind::Born],
        since: ANY,
        why: "it needs deferred task work, which no ring has that may move to another thread",
    },
    ByNature {
        name: "IORING_REGISTER_RESTRICTIONS",
        handles: &[HandleKind::Fd],
        since: ANY,
        why: "a ring is restricted while it is disabled",
    },
    ByNature {
        name: "IORING_OP_RECV_ZC",
        handles: BOUND,
        since: KernelVersion::new(7, 1),
        why: "it needs deferred task work, and before 7.1 a network device whose driver lets go of a queue and maps others' memory for it, which no \
              machine here has: QEMU emulates none of those (bnxt, fbnic, gve, mlx5), and netdevsim, which none of the lanes' packages has, \
              maps no memory at all",
    },
    ByNature {
        name: "IORING_REGISTER_ZCRX_IFQ",
        handles: BOUND,
        since: KernelVersion::new(7, 1),
        why: "as for receiving through it",
    },
    ByNature {
        name: "IORING_REGISTER_ZCRX_CTRL",
        handles: BOUND,
        since: KernelVersion::new(7, 1),
        why: "as for receiving through it",
    },
];

/// The account of a run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    /// By opcode, then by handle.
    completed: BTreeMap<String, BTreeMap<&'static str, Lanes>>,
    /// What some lane has and no lane has seen completed.
    nowhere: Vec<&'static str>,
    /// What was completed by one handle and not by another that the same lane has.
    holes: Vec<String>,
}

/// One opcode with one handle.
#[derive(Debug, Default, Serialize)]
struct Lanes {
    /// The lanes on which it was completed.
    on: BTreeSet<String>,
    /// The lanes that have opcode and handle, and have not seen it completed.
    missing: BTreeSet<String>,
}

/// Puts together what every lane's suites say, and what its kernel has.
pub(super) fn account(finished: &[Finished]) -> Account {
    let mut account = Account::default();
    for lane in finished {
        for told in lane.suites.iter().flat_map(|suite| &suite.completed) {
            let Some((handle, opcode)) = told.split_once(' ') else {
                continue;
            };
            let mut all = HandleKind::ALL.into_iter().map(HandleKind::word);
            let handle = all.find(|word| *word == handle).unwrap_or("-");
            let handles = account.completed.entry(opcode.to_owned()).or_default();
            let lanes = handles.entry(handle).or_default();
            lanes.on.insert(lane.lane.series.clone());
        }
    }
    account.find_missing(finished);
    let holes = account.completed.iter().flat_map(|(opcode, handles)| {
        handles
            .iter()
            .filter(|(_, lanes)| !lanes.missing.is_empty())
            .map(move |(handle, lanes)| {
                let on: Vec<_> = lanes.missing.iter().map(String::as_str).collect();
                format!(
                    "{opcode} was completed, but not with the handle {handle} on {}",
                    on.join(", ")
                )
            })
    });
    account.holes = holes.collect();
    let called = |feature: &&Feature| {
        matches!(
            feature.kind(),
            FeatureKind::Opcode | FeatureKind::RegisterOpcode
        )
    };
    account.nowhere = Feature::all()
        .iter()
        .filter(called)
        .map(Feature::name)
        .filter(|name| !account.completed.contains_key(*name))
        .filter(|name| {
            finished.iter().any(|lane| {
                let facts = lane.facts.as_ref();
                facts.is_some_and(|facts| facts.features.get(*name) == Some(&true))
            })
        })
        .collect();
    account
}

impl Account {
    /// Where something could have been completed: the lane has the handle and the opcode. Where tests take turns, one handle is
    /// enough.
    fn find_missing(&mut self, finished: &[Finished]) {
        for (opcode, handles) in &mut self.completed {
            // What means no ring has no handle.
            if handles.keys().all(|handle| *handle == "-") {
                continue;
            }
            let by_nature = BY_NATURE.iter().find(|rule| rule.name == opcode);
            for handle in HandleKind::ALL {
                if by_nature.is_some_and(|rule| !rule.handles.contains(&handle)) {
                    continue;
                }
                for lane in finished {
                    let Some(facts) = &lane.facts else { continue };
                    let by_some_handle =
                        || handles.values().any(|on| on.on.contains(&lane.lane.series));
                    if lane.lane.turn.is_some() && by_some_handle() {
                        continue;
                    }
                    let kernel: Option<KernelVersion> = lane.lane.series.parse().ok();
                    if by_nature.is_some_and(|rule| kernel < Some(rule.since)) {
                        continue;
                    }
                    let has_handle = facts.handles.get(handle.word()) == Some(&true);
                    let has_opcode = has_opcode(lane, facts, opcode);
                    let lanes = handles.entry(handle.word()).or_default();
                    if has_handle && has_opcode && !lanes.on.contains(&lane.lane.series) {
                        lanes.missing.insert(lane.lane.series.clone());
                    }
                }
            }
        }
    }

    /// What is wrong with the account of all suites on all lanes.
    pub(super) fn gaps(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["no suite gave account of what it has completed".to_owned()];
        }
        self.holes.clone()
    }

    /// Whether anything was completed: suites may give no account.
    pub(super) fn is_empty(&self) -> bool {
        self.completed.is_empty()
    }

    /// One row for each opcode, one column for each handle: on how many lanes, of those that have both.
    pub(super) fn render(&self) -> String {
        let columns: Vec<_> = HandleKind::ALL
            .into_iter()
            .map(HandleKind::word)
            .chain(["-"])
            .collect();
        let mut table = Table::new();
        table
            .load_preset(UTF8_BORDERS_ONLY)
            .set_header(["completed"].into_iter().chain(columns.clone()));
        for (opcode, handles) in &self.completed {
            let mut cells = vec![Cell::new(opcode)];
            cells.extend(columns.iter().map(|handle| cell(handles.get(handle))));
            table.add_row(cells);
        }
        let mut text = table.to_string();
        for ByNature {
            name, handles, why, ..
        } in BY_NATURE
        {
            if self.completed.contains_key(*name) {
                let possible: Vec<_> = handles.iter().map(|handle| handle.word()).collect();
                let possible = if possible.is_empty() {
                    "not everywhere".to_owned()
                } else {
                    format!("by {} only", possible.join(", "))
                };
                write!(text, "\n{name} {possible}: {why}").expect("a String takes every write");
            }
        }
        for prefix in ["IORING_OP_", "IORING_REGISTER_"] {
            if let Some(line) = nowhere(&self.nowhere, prefix) {
                write!(text, "\n{line}").expect("a String takes every write");
            }
        }
        text
    }
}

/// By what was seen of the lane's kernel or, where no probe asks for the opcode, by its version.
fn has_opcode(lane: &Finished, facts: &Facts, opcode: &str) -> bool {
    match facts.features.get(opcode) {
        Some(seen) => *seen,
        None => {
            let since = uring_sys::since(opcode);
            let since = since.map(|(major, minor)| KernelVersion::new(major.into(), minor.into()));
            let kernel = lane.lane.series.parse().ok();
            kernel >= since
        }
    }
}

/// What was not completed, with what all names have in common said once.
fn nowhere<'a>(names: &[&'a str], prefix: &str) -> Option<String> {
    let short: Vec<&'a str> = names
        .iter()
        .filter_map(|name| name.strip_prefix(prefix))
        .collect();
    (!short.is_empty()).then(|| format!("not offered yet, {prefix}*: {}", short.join(", ")))
}

fn cell(lanes: Option<&Lanes>) -> Cell {
    let text = |lanes: &Lanes| match (lanes.on.len(), lanes.missing.len()) {
        (0, 0) => String::new(),
        (on, missing) => format!("{on}/{}", on + missing),
    };
    let cell = Cell::new(lanes.map(text).unwrap_or_default());
    let cell = cell.set_alignment(CellAlignment::Right);
    match lanes {
        Some(lanes) if !lanes.missing.is_empty() => cell.fg(Color::Red),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{lanes::judge, outcome::Outcome};

    /// A lane that has these handles, no IORING_OP_PIPE, and all else.
    fn lane(series: &str, handles: &[&str], completed: &[&str]) -> Finished {
        let mut suite = Outcome::new("s");
        suite.completed = completed.iter().map(|told| (*told).to_owned()).collect();
        let all = HandleKind::ALL.into_iter().map(HandleKind::word);
        let rows = Feature::all().iter().map(Feature::name);
        let facts = Facts {
            package: "p".to_owned(),
            handles: all
                .map(|word| (word.to_owned(), handles.contains(&word)))
                .collect(),
            features: rows
                .map(|name| (name.to_owned(), name != "IORING_OP_PIPE"))
                .collect(),
        };
        let mut lane = judge::tests::lane();
        lane.series = series.to_owned();
        Finished {
            lane,
            release: None,
            seconds: 0.0,
            repeated: Vec::new(),
            suites: vec![suite],
            troubles: Vec::new(),
            facts: Some(facts),
            last_lines: String::new(),
        }
    }

    #[test]
    fn what_every_handle_has_completed_has_no_hole() {
        let account = account(&[
            lane("5.10", &["fd"], &["fd IORING_OP_READ"]),
            lane(
                "6.1",
                &["fd", "registered"],
                &["fd IORING_OP_READ", "registered IORING_OP_READ"],
            ),
        ]);
        assert_eq!(account.holes, Vec::<String>::new());
        let table = account.render();
        let mut lines = table.lines();
        let row = lines.find(|line| line.contains("IORING_OP_READ ")).unwrap();
        let row: Vec<_> = row.trim_matches('│').split_whitespace().collect();
        assert_eq!(row, ["IORING_OP_READ", "2/2", "1/1"]);
    }

    #[test]
    fn a_handle_that_a_lane_has_and_nothing_completed_is_a_hole() {
        let both = ["fd IORING_OP_READ", "born IORING_OP_READ"];
        let account = account(&[
            lane("6.12", &["fd", "born"], &both),
            lane("7.3", &["fd", "born"], &both[..1]),
        ]);
        assert_eq!(
            account.gaps(),
            ["IORING_OP_READ was completed, but not with the handle born on 7.3"]
        );
        assert!(account.render().contains("1/2"));
    }

    #[test]
    fn where_tests_take_turns_one_handle_is_enough() {
        let both = ["fd IORING_OP_READ", "born IORING_OP_READ"];
        let in_turn = |completed| {
            let mut lane = lane("7.0", &["fd", "born"], completed);
            lane.lane.turn = Some(1);
            lane
        };
        let whole = || lane("7.3", &["fd", "born"], &both);
        let account_of = |completed| account(&[in_turn(completed), whole()]);
        assert_eq!(account_of(&both[..1]).holes, Vec::<String>::new());
        assert_eq!(account_of(&[]).holes.len(), 2);
    }

    #[test]
    fn an_opcode_that_a_lane_lacks_is_no_hole_there() {
        let account = account(&[lane("6.1", &["fd", "born"], &["fd IORING_OP_PIPE"])]);
        assert_eq!(account.holes, Vec::<String>::new());
    }

    #[test]
    fn a_register_opcode_that_no_probe_asks_for_is_where_its_version_says() {
        let account = account(&[
            lane("5.10", &["fd"], &[]),
            lane("6.12", &["fd", "born"], &["fd IORING_UNREGISTER_RING_FDS"]),
        ]);
        assert_eq!(
            account.holes,
            ["IORING_UNREGISTER_RING_FDS was completed, but not with the handle born on 6.12"]
        );
    }

    #[test]
    fn what_is_possible_on_one_handle_only_has_no_holes_on_others() {
        let told = ["fd IORING_REGISTER_RING_FDS", "- IORING_REGISTER_QUERY"];
        let account = account(&[lane("7.3", &["fd", "born"], &told)]);
        assert_eq!(account.holes, Vec::<String>::new());
        let table = account.render();
        assert!(table.contains("a ring is registered while it goes by its descriptor"));
    }

    #[test]
    fn no_account_is_a_gap_of_its_own() {
        let gaps = account(&[lane("7.3", &["fd"], &[])]).gaps();
        assert_eq!(gaps, ["no suite gave account of what it has completed"]);
    }

    #[test]
    fn what_was_completed_nowhere_is_one_line() {
        let account = account(&[lane("7.3", &["fd"], &["fd IORING_OP_READ"])]);
        assert!(account.nowhere.contains(&"IORING_OP_TEE"));
        // Completed, and on no lane at all.
        assert!(!account.nowhere.contains(&"IORING_OP_READ"));
        assert!(!account.nowhere.contains(&"IORING_OP_PIPE"));
        let table = account.render();
        assert!(
            table.contains("not offered yet, IORING_OP_*: NOP, READV"),
            "{table}"
        );
        // A flag is not called.
        assert!(!account.nowhere.contains(&"IORING_SETUP_CQE32"));
        assert!(!account.is_empty());
    }
}
