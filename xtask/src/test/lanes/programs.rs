//! What is put into a machine: the guest's first process, the suites, the examples they run.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use uring_testkit::records::{Planned, Record};

use super::{
    Lane, Selection,
    archive::Archive,
    machine::{self, Work},
    refusal,
    reports::{self, Plans},
};
use crate::{
    kernels::{Emulator, Fault},
    test::{
        binary::{self, Package},
        project::Project,
        record,
    },
};

/// The guest's first process, a binary of the testkit.
const FIRST_PROCESS: &str = "uring-guest";
const TESTKIT: &str = "uring-testkit";
/// Emulated machines are slower than this one by up to this much.
const TIMEOUT_FACTOR: &str = "5";
/// What tests repeat is for this machine to repeat; on an emulated one they show that the kernel behaves.
const ROUNDS: &str = "0.002";
/// Tests that run at a time: some wait, and a machine's processor has something to do meanwhile; each is a process more between
/// which it changes.
const TESTS_AT_A_TIME: u32 = 8;
/// Seconds for the suites of one binary: longer than one of their tests may hang.
const LIMIT: &str = "1300";

/// Programs without libraries, and their place in a machine.
#[derive(Debug)]
pub(super) struct Programs {
    first: PathBuf,
    /// The suites in each binary, by its place in the machine.
    suites: BTreeMap<String, Vec<binary::Binary>>,
    examples: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds the suites of the project's `packages`, and this workspace's first process, which is what the runner understands.
    pub(super) fn build(project: &Project, packages: &[Package]) -> Result<Self> {
        let with_suites: Vec<_> = packages
            .iter()
            .filter(|package| package.has_suites_for_machines())
            .collect();
        if with_suites.is_empty() {
            bail!(
                "there are no suites for other machines: tests with harness = false that are not host-only"
            );
        }
        let built = binary::build_for_guest(project, &with_suites)?;
        let first = binary::build_program_for_guest(&Project::here()?, TESTKIT, FIRST_PROCESS)?;
        let mut suites: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for suite in built.suites {
            let place = reports::place(&suite.package, &suite.target);
            suites.entry(place).or_default().push(suite);
        }
        Ok(Self {
            first,
            suites,
            examples: built.examples,
        })
    }

    /// The suites that have something to do on `lane`: which program each is in, and its plan.
    pub(super) fn plans(
        &self,
        lane: &Lane,
        selection: Selection<'_>,
    ) -> Result<Vec<(&str, &binary::Binary, String)>> {
        let mut plans = Vec::new();
        let suites = self.suites.iter();
        for (program, suite) in suites.flat_map(|(p, suites)| suites.iter().map(move |s| (p, s))) {
            let name = reports::name(program, suite.suite());
            let wanted = |fault: &Fault| fault.wants(&name);
            if !lane.fault.as_ref().is_none_or(wanted) {
                continue;
            }
            let text = plan(suite, lane, selection)?;
            let does_something =
                |record: &Record| matches!(record, Record::Plan { .. } | Record::Refused { .. });
            if records(&text, &name)?.iter().any(does_something) {
                plans.push((program.as_str(), suite, text));
            }
        }
        Ok(plans)
    }

    /// What a machine of `lane` gets, and what its programs are expected to report.
    pub(super) fn work(&self, lane: &Lane, selection: Selection<'_>) -> Result<Work> {
        let mut settings = settings(lane, selection);
        let mut archive = self.archive(lane)?;
        let mut plans = Plans::new();
        let mut plan_text = String::new();
        let mut programs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let threads = lane.tests_at_a_time.unwrap_or(TESTS_AT_A_TIME);
        let threads = format!("--test-threads={threads}");
        for (program, suite, text) in self.plans(lane, selection)? {
            let plan = records(&text, suite.suite())?;
            let of_program = plans.entry(program.to_owned()).or_default();
            of_program.insert(suite.suite().to_owned(), plan);
            plan_text.push_str(&text);
            programs.entry(program).or_default().push(suite);
        }
        if plans.is_empty() {
            bail!("{}: there is no such test: {selection:?}", lane.name);
        }
        for (program, suites) in &programs {
            // Each test's line would go to the console byte by byte, and is in its record.
            let mut line = vec![(*program).to_owned(), threads.clone(), "--quiet".to_owned()];
            line.extend(suites.iter().flat_map(|suite| suite.arguments()));
            line.extend(selection.filter.map(str::to_owned));
            writeln!(settings, "suite {}", line.join(" "))?;
        }
        let paths = programs
            .iter()
            .map(|(program, suites)| (*program, suites[0].path.as_path()));
        put_programs(&mut archive, paths, &self.examples)?;
        archive.file("settings", settings.as_bytes());
        Ok(Work {
            archive: archive.finish(),
            plans,
            plan_text,
        })
    }

    /// A machine that only comes up and goes down.
    pub(super) fn nothing(&self, lane: &Lane) -> Result<Work> {
        let mut archive = self.archive(lane)?;
        let settings = settings(lane, Selection::default());
        archive.file("settings", settings.as_bytes());
        Ok(Work::of(archive))
    }

    /// A machine with everything in it that runs a shell.
    pub(super) fn shell(&self, lane: &Lane) -> Result<Work> {
        let mut archive = self.archive(lane)?;
        archive.directory("bin");
        archive.program("bin/busybox", &read(&Emulator::busybox()?)?);
        let suites = self.suites.iter();
        let paths = suites.map(|(program, suites)| (program.as_str(), suites[0].path.as_path()));
        put_programs(&mut archive, paths, &self.examples)?;
        // A session of its own, so that the terminal's signals reach what the shell runs.
        let settings =
            settings(lane, Selection::default()) + "shell /bin/busybox setsid -c /bin/busybox sh\n";
        archive.file("settings", settings.as_bytes());
        Ok(Work::of(archive))
    }

    /// What every machine gets.
    fn archive(&self, lane: &Lane) -> Result<Archive> {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.character_device("dev/console", 5, 1);
        archive.program("init", &read(&self.first)?);
        archive.directory("modules");
        for module in &lane.modules {
            archive.file(&module.place()[1..], &read(&module.path)?);
        }
        Ok(archive)
    }
}

/// The programs, and the examples, which are where cargo has them: beside the programs' directory.
fn put_programs<'a>(
    archive: &mut Archive,
    programs: impl IntoIterator<Item = (&'a str, &'a Path)>,
    examples: &BTreeMap<String, PathBuf>,
) -> Result<()> {
    for directory in ["suites", "suites/deps", "suites/examples"] {
        archive.directory(directory);
    }
    for (place, path) in programs {
        archive.program(&place[1..], &read(path)?);
    }
    for (name, path) in examples {
        archive.program(&format!("suites/examples/{name}"), &read(path)?);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}", path.display()))
}

fn records(plan: &str, suite: &str) -> Result<Vec<Record>> {
    record::parse(plan).with_context(|| format!("the plan of {suite}"))
}

/// What plan and run are told.
fn environment(lane: &Lane, selection: Selection<'_>) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("URING_EXPECT_KERNEL", lane.series.clone()),
        ("URING_LANE", lane.kind.to_owned()),
        ("URING_FACILITIES", lane.facilities.clone()),
    ];
    if !lane.backports.is_empty() {
        environment.push(("URING_BACKPORTS", lane.backports.clone()));
    }
    let forbidden = lane
        .fault
        .as_ref()
        .and_then(|fault| fault.forbidden.as_ref());
    environment.extend(forbidden.map(|forbidden| ("URING_FORBIDDEN", forbidden.clone())));
    let handles = selection.handles.map(str::to_owned);
    let handles = handles.or_else(|| lane.turn.map(|turn| format!("turn:{turn}")));
    environment.extend(handles.map(|handles| ("URING_HANDLES", handles)));
    environment
}

fn settings(lane: &Lane, selection: Selection<'_>) -> String {
    let mut settings = format!(
        "channel nsid:{}\ndisk nsid:{}\nnvme nsid:{}\nprotected nsid:{}\nlimit {LIMIT}\n",
        machine::RECORDS_NAMESPACE,
        machine::DISK_NAMESPACE,
        machine::RAW_NAMESPACE,
        machine::PROTECTED_NAMESPACE
    );
    let rounds = env::var("URING_TEST_ROUNDS").unwrap_or_else(|_| ROUNDS.to_owned());
    let more = [
        ("URING_TEST_TIMEOUT_FACTOR", TIMEOUT_FACTOR.to_owned()),
        ("URING_TEST_ROUNDS", rounds),
        ("NO_COLOR", "1".to_owned()),
    ];
    for (name, value) in environment(lane, selection).into_iter().chain(more) {
        writeln!(settings, "environment {name}={value}").expect("a String takes every write");
    }
    for module in &lane.modules {
        writeln!(settings, "{}", module.setting()).expect("a String takes every write");
    }
    for line in lane.fault.iter().flat_map(conditions) {
        settings += &line;
        settings.push('\n');
    }
    settings
}

/// What the guest is to do to its machine and its suites.
fn conditions(fault: &Fault) -> Vec<String> {
    let sysctls = fault.sysctl.iter();
    let sysctls = sysctls.map(|(name, value)| format!("sysctl {name}={value}"));
    let limits = fault.rlimit.iter();
    let limits = limits.map(|(name, value)| format!("rlimit {name}={value}"));
    let denied = fault.deny.iter();
    let denied = denied.map(|(call, errno)| format!("deny {call} {errno}"));
    let user = fault.user.map(|user| format!("user {user}"));
    sysctls.chain(limits).chain(denied).chain(user).collect()
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
    if let Some(reason) = refusal::planned(plan) {
        return format!("refuses to start: {reason}");
    }
    format!(
        "{} run, {} refused, {} skipped",
        count(Planned::Run),
        count(Planned::Refuse),
        count(Planned::Skip)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;

    #[test]
    fn a_fault_is_told_to_the_guest_and_to_the_suites() {
        let faults = kernels::select_faults("all").unwrap();
        let fault = |name: &str| {
            let (_, fault) = faults.iter().find(|(_, fault)| fault.name == name).unwrap();
            let mut lane = super::super::judge::tests::lane();
            lane.fault = Some(fault.clone());
            settings(&lane, Selection::default())
        };
        let disabled = fault("disabled-1");
        for line in [
            "sysctl kernel.io_uring_disabled=1\n",
            "sysctl kernel.io_uring_group=7\n",
            "user 65534\n",
            "environment URING_FORBIDDEN=io_uring_setup EPERM kernel.io_uring_disabled=1\n",
        ] {
            assert!(disabled.contains(line), "{disabled}");
        }
        assert!(fault("memlock").contains("rlimit memlock=65536\n"));
        assert!(fault("seccomp-eperm").contains("deny io_uring_setup EPERM\n"));
        let plain = settings(&super::super::judge::tests::lane(), Selection::default());
        assert!(!plain.contains("URING_FORBIDDEN") && !plain.contains("\nuser"));
    }

    #[test]
    fn a_lane_that_takes_a_turn_says_so_unless_handles_are_chosen() {
        let mut lane = super::super::judge::tests::lane();
        let handles = |lane: &Lane, handles| {
            let selection = Selection {
                filter: None,
                handles,
            };
            let mut environment = environment(lane, selection).into_iter();
            environment.find_map(|(name, value)| (name == "URING_HANDLES").then_some(value))
        };
        assert_eq!(handles(&lane, None), None);
        lane.turn = Some(5);
        assert_eq!(handles(&lane, None).as_deref(), Some("turn:5"));
        assert_eq!(handles(&lane, Some("born")).as_deref(), Some("born"));
    }
}
