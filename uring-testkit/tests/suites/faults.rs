//! Planted faults: each kind of bad test must fail, for its own reason.
//!
//! With `URING_PLANTED` set this binary is the suite of bad tests; without it, the suite that runs those.

mod planted;

use std::{
    env, fs,
    fs::File,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use uring_testkit::{
    Completed, Context, Facility, FdTable, Feature, HandleKind, Observation, Suite, TestResult,
    files::TempDir, process, raw::RawRing,
};

pub(crate) use planted::planted;
use planted::{FAULTS, Fault};

struct Outcome {
    code: Option<i32>,
    output: String,
    report: String,
}

/// Errors and panics in tests are what is under test here, so a failed check ends the process instead.
impl Outcome {
    fn require(&self, expected: bool, what: &str) {
        if !expected {
            eprintln!("{what}\n{}\n{}", self.output, self.report);
            std::process::abort();
        }
    }

    fn ended(&self, code: Option<i32>) {
        let what = format!("ended with {:?} instead of {code:?}", self.code);
        self.require(self.code == code, &what);
    }

    fn printed(&self, words: &str) {
        self.require(
            self.output.contains(words),
            &format!("did not print {words}"),
        );
    }

    fn reported(&self, words: &str) {
        self.require(
            self.report.contains(words),
            &format!("did not report {words}"),
        );
    }

    fn did_not_report(&self, words: &str) {
        self.require(!self.report.contains(words), &format!("reported {words}"));
    }
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> TestResult<Outcome> {
    let dir = TempDir::new()?;
    let report = dir.path().join("report");
    let output = Command::new(env::current_exe()?)
        .args(arguments)
        .env("URING_PLANTED", "faults")
        .env("URING_REPORT", &report)
        // It is said of the lane that this test runs on, and a planted suite declares another.
        .env_remove("URING_BACKPORTS")
        .env_remove("URING_FACILITIES")
        .env_remove("URING_FORBIDDEN")
        .envs(environment.iter().copied())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Outcome {
        code: output.status.code(),
        output: text(&output.stdout) + &text(&output.stderr),
        report: fs::read_to_string(report).unwrap_or_default(),
    })
}

/// What a killed process was running ends with it and is adopted by the test that had started it all.
fn reap_adopted() {
    // SAFETY: no place is given for a status.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
}

fn is_found(fault: &Fault) -> TestResult {
    let (name, _, words) = fault;
    // What hangs does so at any speed: no slow machine needs a longer limit for it.
    let environment: &[_] = match *name {
        "hangs" => &[("URING_TEST_TIMEOUT_FACTOR", "1")],
        _ => &[],
    };
    let outcome = run(&["--exact", &format!("planted::{name}")], environment)?;
    if *name == "kills_its_parent" {
        reap_adopted();
    }
    outcome.ended(Some(101));
    outcome.printed(words);
    outcome.reported(r#""verdict":"failed""#);
    outcome.reported(r#""failed":1,"#);
    Ok(())
}

fn a_good_test_passes(_: &Context) -> TestResult {
    // SAFETY: a new descriptor; unlike those that std opens it is inherited by what is started.
    let inherited = unsafe { OwnedFd::from_raw_fd(libc::dup(0)) };
    let outcome = run(&["--exact", "planted::passes"], &[])?;
    drop(inherited);
    outcome.ended(Some(0));
    outcome.reported(r#""verdict":"passed""#);
    Ok(())
}

fn what_is_completed_is_reported_once(_: &Context) -> TestResult {
    let outcome = run(&["planted::crowd::"], &[])?;
    outcome.ended(Some(0));
    let told = outcome.report.matches("born IORING_OP_NOP").count();
    outcome.require(told == 1, &format!("reported it {told} times"));
    outcome.reported(r#""completed":["born IORING_OP_NOP"]"#);
    outcome.reported(r#""completed":[]"#);
    Ok(())
}

fn a_single_test_thread_is_no_different(_: &Context) -> TestResult {
    let outcome = run(
        &["--exact", "planted::leaks_a_slot", "--test-threads=1"],
        &[],
    )?;
    outcome.ended(Some(101));
    Ok(())
}

fn an_exclusive_test_is_alone(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let place = dir.path().to_str().ok_or("a path that is text")?;
    let arguments = ["::crowd::", "--test-threads=4"];
    let outcome = run(&arguments, &[("URING_PLANTED_DIR", place)])?;
    outcome.ended(Some(0));
    outcome.reported(r#"{"record":"end","suite":"planted","passed":16,"#);
    outcome.reported(r#"{"record":"end","suite":"beside","passed":8,"#);
    Ok(())
}

fn a_suite_that_cannot_start_keeps_no_other_from_it(_: &Context) -> TestResult {
    let outcome = run(&["::crowd::"], &[("URING_PLANTED_UNDECIDED", "1")])?;
    outcome.ended(Some(2));
    outcome.reported(r#"{"record":"refused","suite":"planted","#);
    outcome.did_not_report("planted::crowd::");
    outcome.reported(r#"{"record":"end","suite":"beside","passed":8,"#);
    Ok(())
}

fn suites_run_at_the_same_time(_: &Context) -> TestResult {
    let outcome = run(&["::crowd::", "--test-threads=4"], &[])?;
    outcome.ended(Some(0));
    let suites = outcome.report.lines().filter_map(|line| {
        let names = ["planted", "beside"];
        let is_of = |name: &&str| line.contains(&format!(r#""record":"test","suite":"{name}""#));
        names.into_iter().find(is_of)
    });
    let mut turns: Vec<_> = suites.collect();
    turns.dedup();
    let what = format!("the suites took turns like this: {turns:?}");
    outcome.require(turns.len() > 2, &what);
    Ok(())
}

fn a_factor_scales_limits(_: &Context) -> TestResult {
    let factor = |text| [("URING_TEST_TIMEOUT_FACTOR", text)];
    let outcome = run(&["--exact", "planted::hangs"], &factor("0.1"))?;
    outcome.printed("still running after 50ms");
    let outcome = run(&["--exact", "planted::hangs"], &factor("fast"))?;
    outcome.ended(Some(2));
    outcome.printed("URING_TEST_TIMEOUT_FACTOR=fast");
    Ok(())
}

fn a_killed_suite_leaves_no_end(_: &Context) -> TestResult {
    let outcome = run(&["--exact", "planted::kills_its_suite"], &[])?;
    outcome.ended(None);
    reap_adopted();
    outcome.reported(r#""record":"start""#);
    outcome.did_not_report(r#""record":"end""#);
    Ok(())
}

/// The filter lets a suite start and its probes fail.
fn an_inconclusive_probe_fails(_: &Context) -> TestResult {
    let denied = [(libc::SYS_io_uring_register, libc::EIO)];
    let outcome = process::with_denied(&denied, || run(&["--exact", "planted::gated"], &[]))??;
    outcome.ended(Some(101));
    outcome.printed("could not be probed");
    outcome.reported(r#""verdict":"failed""#);
    Ok(())
}

fn a_blocked_ring_fails_the_suite(_: &Context) -> TestResult {
    let denied = [(libc::SYS_io_uring_setup, libc::EPERM)];
    let outcome = process::with_denied(&denied, || run(&[], &[]))??;
    outcome.ended(Some(2));
    outcome.printed("a seccomp filter is active");
    outcome.reported(r#""record":"refused""#);
    Ok(())
}

fn a_wrong_declaration_fails_the_suite(_: &Context) -> TestResult {
    let outcome = run(&[], &[("URING_EXPECT_KERNEL", "4.2")])?;
    outcome.ended(Some(2));
    outcome.printed("declares Linux 4.2");
    Ok(())
}

fn a_plan_for_another_kernel_needs_no_probe(_: &Context) -> TestResult {
    let old = [("URING_EXPECT_KERNEL", "5.10"), ("URING_LANE", "mainline")];
    let outcome = run(&["--plan", "planted::gated"], &old)?;
    outcome.ended(Some(0));
    outcome.printed(r#""decision":"refuse""#);
    outcome.did_not_report("record");
    Ok(())
}

/// What a run of the test that requires a facility comes to, whether that is there, and whether it is declared.
fn a_facility_is_as_declared(_: &Context) -> TestResult {
    let there = ("URING_PLANTED_FACILITY", "there");
    let unclear = ("URING_PLANTED_FACILITY", "EIO");
    let (declared, not_declared) = (("URING_FACILITIES", "planted"), ("URING_FACILITIES", ""));
    let cases: [(&[_], _, _); 7] = [
        (&[there], "passed", ""),
        (&[], "skipped", "no planted here: plant one"),
        (&[unclear], "failed", "cannot be told: EIO"),
        (&[there, declared], "passed", ""),
        (
            &[declared],
            "failed",
            "declares planted and the machine has none",
        ),
        (
            &[there, not_declared],
            "failed",
            "list of facilities is wrong",
        ),
        (&[not_declared], "skipped", "no planted here: plant one"),
    ];
    for (environment, verdict, words) in cases {
        let outcome = run(&["--exact", "planted::requiring"], environment)?;
        outcome.ended(Some(if verdict == "failed" { 101 } else { 0 }));
        outcome.reported(&format!(r#""verdict":"{verdict}""#));
        outcome.reported(r#""facilities":["planted"]"#);
        outcome.printed(words);
    }
    Ok(())
}

/// The machine that a plan is for need not be this one, even if its kernel is.
fn a_plan_goes_by_the_declared_facilities(_: &Context) -> TestResult {
    for (declared, decision) in [("planted", "run"), ("", "skip")] {
        let outcome = run(
            &["--plan", "planted::requiring"],
            &[("URING_FACILITIES", declared)],
        )?;
        outcome.ended(Some(0));
        outcome.printed(&format!(r#""decision":"{decision}""#));
    }
    Ok(())
}

fn a_forgotten_refusal_stops_the_suite(_: &Context) -> TestResult {
    let outcome = run(&["--list"], &[("URING_PLANTED_UNDECIDED", "1")])?;
    outcome.ended(Some(2));
    outcome.printed("forgotten_refusal is gated");
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("faults");
    suite.takes_turns();
    for fault in FAULTS {
        let test = suite.test(format!("finds_one_that_{}", fault.0), |_| is_found(fault));
        if fault.0 == "leaks_a_slot" {
            test.needs([Feature::RING_FDS])
                .no_refusal("older kernels have no slots");
        }
    }
    suite.test(
        "suite_that_cannot_start_keeps_no_other_from_it",
        a_suite_that_cannot_start_keeps_no_other_from_it,
    );
    suite.test("suites_run_at_the_same_time", suites_run_at_the_same_time);
    suite.test("good_test_passes", a_good_test_passes);
    suite.test(
        "completed_is_reported_once",
        what_is_completed_is_reported_once,
    );
    suite.test(
        "single_test_thread_is_no_different",
        a_single_test_thread_is_no_different,
    );
    suite.test("exclusive_test_is_alone", an_exclusive_test_is_alone);
    suite.test("factor_scales_limits", a_factor_scales_limits);
    suite.test("killed_suite_leaves_no_end", a_killed_suite_leaves_no_end);
    suite.test("inconclusive_probe_fails", an_inconclusive_probe_fails);
    suite.test(
        "blocked_ring_fails_the_suite",
        a_blocked_ring_fails_the_suite,
    );
    suite.test(
        "wrong_declaration_fails_the_suite",
        a_wrong_declaration_fails_the_suite,
    );
    suite.test(
        "plan_for_another_kernel_needs_no_probe",
        a_plan_for_another_kernel_needs_no_probe,
    );
    suite.test("facility_is_as_declared", a_facility_is_as_declared);
    suite.test(
        "plan_goes_by_the_declared_facilities",
        a_plan_goes_by_the_declared_facilities,
    );
    suite.test(
        "forgotten_refusal_stops_the_suite",
        a_forgotten_refusal_stops_the_suite,
    );
    suite
}
