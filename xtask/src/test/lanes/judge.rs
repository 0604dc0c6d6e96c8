//! What a machine left, judged: its records against the plan, its console, its end.

use std::fmt;

use serde::Serialize;
use uring_testkit::records::Record;

use super::{
    Lane, console,
    facts::Observed,
    machine,
    reports::{Plans, Reports},
};
use crate::{kernels::Facts, test::outcome::Outcome};

/// How a lane fails beside its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// The machine came to no test.
    Boot,
    /// The kernel complained.
    Kernel,
    /// The kernel panicked.
    Panic,
    /// The machine stopped before its work was done.
    Death,
    /// The machine was ended for taking too long.
    Timeout,
    /// Records are missing or cannot be read.
    Records,
    /// The kernel has not what its lane promises, or more.
    Features,
}

impl Class {
    /// As in a report for machines.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Kernel => "kernel",
            Self::Panic => "panic",
            Self::Death => "death",
            Self::Timeout => "timeout",
            Self::Records => "records",
            Self::Features => "features",
        }
    }
}

/// One reason not to believe a lane, or to fail it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    pub(super) class: Class,
    pub(super) text: String,
}

impl Trouble {
    pub(super) fn new(class: Class, text: impl Into<String>) -> Self {
        Self {
            class,
            text: text.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Boot => "no boot",
            Class::Kernel => "the kernel complained",
            Class::Panic => "the kernel panicked",
            Class::Death => "the machine died",
            Class::Timeout => "too slow",
            Class::Records => "records",
            Class::Features => "not the kernel that was declared",
        };
        write!(f, "{class}: {}", self.text)
    }
}

/// What a machine left behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Boot {
    pub(super) records: String,
    pub(super) console: String,
    /// What QEMU said on its standard error.
    pub(super) emulator: String,
    pub(super) seconds: f64,
    /// Set if it was ended for taking too long.
    pub(super) too_long: bool,
}

/// What that comes to.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) release: Option<String>,
    pub(super) suites: Vec<Outcome>,
    pub(super) troubles: Vec<Trouble>,
    /// Whether a suite was started.
    pub(super) began: bool,
    /// What the kernel has, where that is as its lane promises.
    pub(super) facts: Option<Facts>,
}

/// Judges what came back from a machine that was to do what `plans` say.
pub(super) fn judge(lane: &Lane, plans: &Plans, boot: &Boot) -> Judgement {
    let mut judgement = Judgement::default();
    let mut reports = Reports::default();
    let mut current: Option<String> = None;
    let mut done = None;
    let mut observed = Observed::default();
    let troubles = &mut judgement.troubles;
    for (index, line) in boot.records.lines().enumerate() {
        if done.is_some() {
            troubles.push(Trouble::new(
                Class::Records,
                format!("after the last: {line}"),
            ));
            continue;
        }
        let record = match line.parse() {
            Ok(record) => record,
            Err(error) => {
                let text = format!("line {} is none ({error}): {line}", index + 1);
                troubles.push(Trouble::new(Class::Records, text));
                continue;
            }
        };
        match record {
            Record::Boot { release } => {
                if machine::series_of(&release) != lane.series {
                    let text = format!("{release} is running, not Linux {}", lane.series);
                    troubles.push(Trouble::new(Class::Boot, text));
                }
                judgement.release = Some(release);
            }
            Record::Handle { name, seen } => observed.handle(name, seen),
            Record::Feature { name, seen } => observed.feature(name, seen),
            Record::Begin { program } => {
                judgement.began = true;
                reports.begin(&program);
                current = Some(program);
            }
            Record::Exit {
                program,
                status,
                time,
            } => {
                reports.exit(program, status, time.as_secs_f64());
                current = None;
            }
            Record::Broken { reason } => troubles.push(Trouble::new(Class::Boot, reason)),
            Record::Done { records, taint } => {
                if records != index {
                    let text = format!("{records} were sent, {index} came");
                    troubles.push(Trouble::new(Class::Records, text));
                }
                if taint != "0" {
                    let text = format!("/proc/sys/kernel/tainted is {taint}");
                    troubles.push(Trouble::new(Class::Kernel, text));
                }
                done = Some(records);
            }
            other => match (&current, other.suite().map(str::to_owned)) {
                (Some(program), Some(suite)) => reports.add(program, &suite, other),
                _ => {
                    troubles.push(Trouble::new(Class::Records, format!("of no suite: {line}")));
                }
            },
        }
    }
    for text in console::complaints(&boot.console) {
        let class = if console::is_panic(text) {
            Class::Panic
        } else {
            Class::Kernel
        };
        troubles.push(Trouble::new(class, text));
    }
    if boot.too_long {
        let text = format!("ended after {:.0} s without progress", boot.seconds);
        troubles.push(Trouble::new(Class::Timeout, text));
    } else if judgement.release.is_none() {
        let text = format!("the machine sent no record; QEMU: {}", boot.emulator.trim());
        troubles.push(Trouble::new(Class::Boot, text));
    } else if done.is_none() {
        let running = current.as_deref().unwrap_or("no suite");
        let text = format!("there is no last record; {running} was running");
        troubles.push(Trouble::new(Class::Death, text));
    }
    // A machine that never came to its suites has nothing to say about them, and said what it has before.
    if judgement.began {
        // Another kernel than the lane's contradicts it in everything.
        if !troubles.iter().any(|trouble| trouble.class == Class::Boot) {
            let found = observed.judge(lane);
            judgement.facts = found.is_empty().then(|| observed.facts(lane));
            troubles.extend(found);
        }
        judgement.suites = reports.judge(plans);
    }
    judgement
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::{super::facts, *};
    use crate::test::record;

    pub(in super::super) fn lane() -> Lane {
        Lane {
            name: "6.1".to_owned(),
            series: "6.1".to_owned(),
            kind: "mainline",
            package: "p".to_owned(),
            backports: String::new(),
            facilities: String::new(),
            modules: Vec::new(),
            image: "vmlinuz".into(),
            turn: None,
            tests_at_a_time: None,
            dir: "6.1".into(),
            fault: None,
        }
    }

    const PLAN: &str = concat!(
        r#"{"record":"start","suite":"s","kernel":"6.1.0","expected":"6.1","lane":"mainline","planned":2}"#,
        "\n",
        r#"{"record":"plan","suite":"s","name":"s::a","test":"a","decision":"run"}"#,
        "\n",
        r#"{"record":"plan","suite":"s","name":"s::b","test":"b","decision":"refuse"}"#,
        "\n",
        r#"{"record":"end","suite":"s"}"#,
    );

    const RECORDS: [&str; 8] = [
        r#"{"record":"boot","release":"6.1.0-50-cloud-amd64"}"#,
        r#"{"record":"begin","program":"/suites/s"}"#,
        r#"{"record":"start","suite":"s","kernel":"6.1.0","expected":"6.1","lane":"mainline","planned":2}"#,
        r#"{"record":"test","suite":"s","name":"s::a","test":"a","verdict":"passed","seconds":0.1}"#,
        r#"{"record":"test","suite":"s","name":"s::b","test":"b","verdict":"refused","seconds":0.1}"#,
        r#"{"record":"end","suite":"s","passed":1,"failed":0,"skipped":0,"refused":1}"#,
        r#"{"record":"exit","program":"/suites/s","status":"exit status: 0","seconds":0.5}"#,
        r#"{"record":"done","records":7,"taint":"0"}"#,
    ];

    fn plans() -> Plans {
        of_one_suite(PLAN)
    }

    fn of_one_suite(plan: &str) -> Plans {
        let plan = record::parse(plan).unwrap();
        let suites = BTreeMap::from([("s".to_owned(), plan)]);
        BTreeMap::from([("/suites/s".to_owned(), suites)])
    }

    /// The records, with those of what the kernel has behind the first.
    fn boot(records: &[&str]) -> Boot {
        let facts: Vec<_> = facts::tests::expected(&lane())
            .into_iter()
            .map(|(record, name, has)| {
                let seen = if has { "present" } else { "absent" };
                format!(
                    r#"{{"record":"{record}","name":"{name}","seen":"{seen}","evidence":null}}"#
                )
            })
            .collect();
        let mut all = Vec::new();
        for record in records {
            let counted = |count: usize| format!(r#""records":{count},"#);
            let count = (1..=RECORDS.len()).find(|count| record.contains(&counted(*count)));
            all.push(match count {
                Some(count) => record.replace(&counted(count), &counted(count + facts.len())),
                None => (*record).to_owned(),
            });
            if record.contains(r#""record":"boot""#) {
                all.extend(facts.iter().cloned());
            }
        }
        Boot {
            records: all.join("\n"),
            ..Boot::default()
        }
    }

    fn judged(boot: &Boot) -> Judgement {
        judge(&lane(), &plans(), boot)
    }

    fn classes(judgement: &Judgement) -> Vec<Class> {
        judgement
            .troubles
            .iter()
            .map(|trouble| trouble.class)
            .collect()
    }

    #[test]
    fn a_whole_run_is_good() {
        let judgement = judged(&boot(&RECORDS));
        assert_eq!(judgement.troubles, []);
        assert_eq!(judgement.suites.len(), 1);
        assert_eq!(judgement.suites[0].problems, Vec::<String>::new());
        assert_eq!(judgement.suites[0].tests.len(), 2);
        assert!(judgement.began);
        assert!(judgement.facts.is_some());
    }

    #[test]
    fn a_kernel_that_has_more_than_its_version_says_is_trouble() {
        let mut boot = boot(&RECORDS);
        let seen = |word: &str| format!(r#""name":"IORING_OP_PIPE","seen":"{word}""#);
        boot.records = boot.records.replace(&seen("absent"), &seen("present"));
        let judgement = judged(&boot);
        assert_eq!(classes(&judgement), [Class::Features]);
        assert!(judgement.facts.is_none());
    }

    #[test]
    fn a_row_that_nothing_was_seen_of_is_trouble() {
        let mut boot = boot(&RECORDS);
        let lines = boot.records.lines();
        let lines: Vec<_> = lines
            .filter(|line| !line.contains("IORING_OP_PIPE"))
            .collect();
        boot.records = lines.join("\n");
        assert_eq!(classes(&judged(&boot)), [Class::Records, Class::Records]);
    }

    #[test]
    fn records_that_stop_anywhere_are_trouble() {
        for length in 0..RECORDS.len() {
            let judgement = judged(&boot(&RECORDS[..length]));
            let expected = if length == 0 {
                Class::Boot
            } else {
                Class::Death
            };
            assert_eq!(classes(&judgement), [expected], "{length}");
            assert_eq!(judgement.began, length > 1);
        }
    }

    #[test]
    fn a_record_that_is_lost_is_trouble_wherever_it_was() {
        for lost in 0..RECORDS.len() {
            let mut records = RECORDS.to_vec();
            records.remove(lost);
            let judgement = judged(&boot(&records));
            assert!(!judgement.troubles.is_empty(), "{lost}");
        }
    }

    #[test]
    fn half_a_record_is_trouble() {
        let mut records = RECORDS.to_vec();
        records[3] = r#"{"record":"test","suite":"s","na"#;
        let judgement = judged(&boot(&records));
        assert_eq!(classes(&judgement), [Class::Records]);
        assert!(!judgement.suites[0].problems.is_empty());
    }

    #[test]
    fn a_suite_that_skips_everything_is_a_problem() {
        let mut records = RECORDS.to_vec();
        records[3] = r#"{"record":"test","suite":"s","name":"s::a","test":"a","verdict":"skipped","seconds":0}"#;
        records[4] = r#"{"record":"test","suite":"s","name":"s::b","test":"b","verdict":"skipped","seconds":0}"#;
        records[5] =
            r#"{"record":"end","suite":"s","passed":0,"failed":0,"skipped":2,"refused":0}"#;
        let judgement = judged(&boot(&records));
        assert_eq!(judgement.suites[0].problems.len(), 3);
    }

    #[test]
    fn a_table_row_that_is_wrong_is_a_problem_in_each_direction() {
        for (line, record) in [
            (
                3,
                r#"{"record":"test","suite":"s","name":"s::a","test":"a","verdict":"refused","seconds":0}"#,
            ),
            (
                4,
                r#"{"record":"test","suite":"s","name":"s::b","test":"b","verdict":"passed","seconds":0}"#,
            ),
        ] {
            let mut records = RECORDS.to_vec();
            records[line] = record;
            let judgement = judged(&boot(&records));
            assert!(!judgement.suites[0].problems.is_empty());
        }
    }

    #[test]
    fn a_warning_fails_a_run_that_is_good_otherwise() {
        let mut boot = boot(&RECORDS);
        boot.console = "[    9.000000] WARNING: CPU: 0 PID: 7 at io_uring/x.c:1\n".to_owned();
        assert_eq!(classes(&judged(&boot)), [Class::Kernel]);
    }

    #[test]
    fn a_taint_fails_a_run_whose_console_is_clean() {
        let mut records = RECORDS.to_vec();
        records[7] = r#"{"record":"done","records":7,"taint":"512"}"#;
        assert_eq!(classes(&judged(&boot(&records))), [Class::Kernel]);
    }

    #[test]
    fn a_panic_during_a_test_is_a_class_of_its_own_and_no_reason_to_boot_again() {
        let mut boot = boot(&RECORDS[..4]);
        boot.console =
            "[    9.000000] Kernel panic - not syncing: sysrq triggered crash\n".to_owned();
        let judgement = judged(&boot);
        assert_eq!(classes(&judgement), [Class::Panic, Class::Death]);
        assert!(judgement.began);
    }

    #[test]
    fn a_machine_that_takes_too_long_is_its_own_class() {
        let mut boot = boot(&RECORDS[..4]);
        boot.too_long = true;
        assert_eq!(classes(&judged(&boot)), [Class::Timeout]);
    }

    #[test]
    fn another_kernel_than_the_lanes_is_trouble() {
        let mut records = RECORDS.to_vec();
        records[0] = r#"{"record":"boot","release":"6.12.107"}"#;
        assert_eq!(classes(&judged(&boot(&records))), [Class::Boot]);
    }

    #[test]
    fn a_machine_that_is_broken_says_why() {
        let records = [
            RECORDS[0],
            r#"{"record":"broken","reason":"mounting /dev/nvme0n1"}"#,
            r#"{"record":"done","records":2,"taint":"0"}"#,
        ];
        let judgement = judged(&boot(&records));
        assert_eq!(classes(&judgement), [Class::Boot]);
        assert!(!judgement.began);
    }

    /// How a suite that has started, or refused to, is judged where it is to refuse.
    fn judged_where_forbidden(report: &[&str], exit: Option<i32>) -> Outcome {
        const PLAN: &str = r#"{"record":"refused","suite":"s","reason":"forbidden"}"#;
        let plans = of_one_suite(PLAN);
        let exit = exit.map(|code| {
            format!(
                r#"{{"record":"exit","program":"/suites/s","status":"exit status: {code}","seconds":0.5}}"#
            )
        });
        let records: Vec<_> = RECORDS[..2]
            .iter()
            .chain(report)
            .copied()
            .chain(exit.as_deref())
            .collect();
        let judgement = judge(&lane(), &plans, &boot(&records));
        judgement.suites[0].clone()
    }

    #[test]
    fn where_io_uring_is_forbidden_a_suite_refuses_or_is_a_problem() {
        let refused = r#"{"record":"refused","suite":"s","reason":"forbidden"}"#;
        let good = judged_where_forbidden(&[refused], Some(2));
        assert_eq!((good.problems, good.tests.len()), (Vec::new(), 1));
        for (report, exit) in [
            (&RECORDS[2..6], Some(0)),
            (&[refused][..], Some(0)),
            (&[], Some(2)),
            (&[refused][..], None),
            (&[], None),
        ] {
            let outcome = judged_where_forbidden(report, exit);
            assert!(!outcome.problems.is_empty(), "{report:?} {exit:?}");
            assert!(
                outcome
                    .tests
                    .iter()
                    .all(|test| test.name != "s:s refuses to start")
            );
        }
    }

    #[test]
    fn an_exit_code_that_contradicts_the_report_is_a_problem() {
        let mut records = RECORDS.to_vec();
        records[6] =
            r#"{"record":"exit","program":"/suites/s","status":"exit status: 101","seconds":0.5}"#;
        assert_eq!(judged(&boot(&records)).suites[0].problems.len(), 1);
    }
}
