//! What is put into a machine: the guest's first process, the suites, the examples they run.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Lane, Selection, archive::Archive, machine::Work};
use crate::{
    kernels::Emulator,
    test::{
        binary::{self, Package},
        record::{self, Decision, Record},
    },
};

/// The guest's first process, a binary of the testkit.
const FIRST_PROCESS: &str = "uring-guest";
const TESTKIT: &str = "uring-testkit";
/// Emulated machines are slower than this one by up to this much.
const TIMEOUT_FACTOR: &str = "20";
/// What tests repeat is for this machine to repeat; on an emulated one they show that the kernel behaves.
const ROUNDS: &str = "0.1";
/// Tests that run at a time: many of them wait, and a machine's processors have something to do meanwhile.
const TEST_THREADS: &str = "--test-threads=8";
/// Seconds for one suite: longer than one of its tests may hang.
const LIMIT: &str = "1300";

/// Programs without libraries, and their place in a machine.
#[derive(Debug)]
pub(super) struct Programs {
    first: PathBuf,
    suites: BTreeMap<String, binary::Binary>,
    examples: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds the suites of `packages`, and the guest's first process.
    pub(super) fn build(packages: &[Package]) -> Result<Self> {
        let with_suites: Vec<_> = packages
            .iter()
            .filter(|package| package.has_suites())
            .collect();
        if with_suites.is_empty() {
            bail!("there are no suites");
        }
        let built = binary::build_for_guest(&with_suites, TESTKIT)?;
        let first = built.programs.get(FIRST_PROCESS).cloned();
        let first = first.with_context(|| format!("{TESTKIT} has no program {FIRST_PROCESS}"))?;
        let suites = built.suites.into_iter();
        Ok(Self {
            first,
            // Blanks separate words in the guest's settings.
            suites: suites
                .map(|suite| {
                    (
                        format!("/suites/deps/{}", suite.name.replace(' ', ":")),
                        suite,
                    )
                })
                .collect(),
            examples: built.examples,
        })
    }

    /// What a machine of `lane` gets, and what each suite is expected to report.
    pub(super) fn work(&self, lane: &Lane, selection: Selection<'_>) -> Result<Work> {
        let mut settings = settings(lane, selection);
        let mut archive = self.archive()?;
        let mut plans = BTreeMap::new();
        let mut plan_text = String::new();
        for directory in ["suites", "suites/deps", "suites/examples"] {
            archive.directory(directory);
        }
        for (path, suite) in &self.suites {
            let text = plan(suite, lane, selection)?;
            let plan = record::parse(&text).with_context(|| format!("the plan of {path}"))?;
            if !plan
                .iter()
                .any(|record| matches!(record, Record::Plan { .. }))
            {
                continue;
            }
            plans.insert(path.clone(), plan);
            plan_text.push_str(&text);
            archive.program(&path[1..], &read(&suite.path)?);
            let filter = selection.filter.map(|filter| format!(" {filter}"));
            let filter = filter.unwrap_or_default();
            writeln!(settings, "suite {path} {TEST_THREADS}{filter}")?;
        }
        if plans.is_empty() {
            bail!("there is no such test: {selection:?}");
        }
        for (name, path) in &self.examples {
            archive.program(&format!("suites/examples/{name}"), &read(path)?);
        }
        archive.file("settings", settings.as_bytes());
        Ok(Work {
            archive: archive.finish(),
            plans,
            plan_text,
        })
    }

    /// A machine that only comes up and goes down.
    pub(super) fn nothing(&self, lane: &Lane) -> Result<Work> {
        let mut archive = self.archive()?;
        let settings = settings(lane, Selection::default());
        archive.file("settings", settings.as_bytes());
        Ok(Work::of(archive))
    }

    /// A machine with everything in it that runs a shell.
    pub(super) fn shell(&self, lane: &Lane) -> Result<Work> {
        let mut archive = self.archive()?;
        archive.directory("bin");
        archive.program("bin/busybox", &read(&Emulator::busybox()?)?);
        for directory in ["suites", "suites/deps", "suites/examples"] {
            archive.directory(directory);
        }
        for (path, suite) in &self.suites {
            archive.program(&path[1..], &read(&suite.path)?);
        }
        for (name, path) in &self.examples {
            archive.program(&format!("suites/examples/{name}"), &read(path)?);
        }
        // A session of its own, so that the terminal's signals reach what the shell runs.
        let settings =
            settings(lane, Selection::default()) + "shell /bin/busybox setsid -c /bin/busybox sh\n";
        archive.file("settings", settings.as_bytes());
        Ok(Work::of(archive))
    }

    fn archive(&self) -> Result<Archive> {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.character_device("dev/console", 5, 1);
        archive.program("init", &read(&self.first)?);
        Ok(archive)
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}", path.display()))
}

/// What plan and run are told.
fn environment<'a>(lane: &'a Lane, selection: Selection<'a>) -> Vec<(&'static str, &'a str)> {
    let mut environment = vec![
        ("URING_EXPECT_KERNEL", lane.series.as_str()),
        ("URING_LANE", lane.kind),
        ("URING_FACILITIES", lane.facilities.as_str()),
    ];
    if !lane.backports.is_empty() {
        environment.push(("URING_BACKPORTS", lane.backports.as_str()));
    }
    environment.extend(selection.handles.map(|handles| ("URING_HANDLES", handles)));
    environment
}

fn settings(lane: &Lane, selection: Selection<'_>) -> String {
    let mut settings = format!("channel /dev/ttyS1\ndisk /dev/nvme0n1\nlimit {LIMIT}\n");
    let rounds = env::var("URING_TEST_ROUNDS").unwrap_or_else(|_| ROUNDS.to_owned());
    let more = [
        ("URING_TEST_TIMEOUT_FACTOR", TIMEOUT_FACTOR),
        ("URING_TEST_ROUNDS", &rounds),
        ("NO_COLOR", "1"),
    ];
    for (name, value) in environment(lane, selection).into_iter().chain(more) {
        writeln!(settings, "environment {name}={value}").expect("a String takes every write");
    }
    settings
}

/// What the suite would do on `lane`, by the table of features alone.
fn plan(suite: &binary::Binary, lane: &Lane, selection: Selection<'_>) -> Result<String> {
    let output = suite
        .command()
        .arg("--plan")
        .args(selection.filter)
        .envs(environment(lane, selection))
        .output()
        .with_context(|| format!("starting {}", suite.path.display()))?;
    if !output.status.success() {
        bail!(
            "{} has no plan ({}): {}",
            suite.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// How many tests a plan runs, refuses and skips.
pub(super) fn summary(plan: &[Record]) -> String {
    let count = |wanted| {
        let fits = |record: &&Record| matches!(record, Record::Plan { decision, .. } if *decision == wanted);
        plan.iter().filter(fits).count()
    };
    format!(
        "{} run, {} refused, {} skipped",
        count(Decision::Run),
        count(Decision::Refuse),
        count(Decision::Skip)
    )
}
