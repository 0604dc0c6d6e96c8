//! Suites on machines that forbid io_uring: which start, what the others say, and what the plan says beforehand.
//!
//! With `URING_PLANTED` set this binary is one of two suites of one test; without it, the suite that runs those behind filters.

use std::{
    env, fs,
    process::{Command, ExitCode},
};

use uring_testkit::{
    Context, Feature, Suite, TestResult, files::TempDir, process::with_denied, raw::RawRing,
};

const SETUP: [(libc::c_long, i32); 1] = [(libc::SYS_io_uring_setup, libc::EPERM)];
const REGISTER: [(libc::c_long, i32); 1] = [(libc::SYS_io_uring_register, libc::ENOSYS)];
const NOTHING: [(libc::c_long, i32); 0] = [];

const SETUP_DECLARED: &str = "io_uring_setup EPERM seccomp";
const REGISTER_DECLARED: &str = "io_uring_register ENOSYS seccomp";

/// With a feature that could not be probed where rings are forbidden.
pub(crate) fn planted(about_it: bool) -> ExitCode {
    let mut suite = Suite::new("planted");
    suite
        .test("test", move |context| {
            let ring = RawRing::new(1, 0);
            assert_eq!(
                ring.is_err(),
                about_it && context.forbidden().call() == "io_uring_setup"
            );
            Ok(())
        })
        .needs([Feature::CQE32])
        .no_refusal("planted");
    if about_it {
        suite.where_forbidden();
    }
    suite.run()
}

#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    printed: String,
    report: String,
}

/// Runs a planted suite behind a filter, on a lane that declares something about it.
fn run(
    suite: &str,
    filter: &[(libc::c_long, i32)],
    declared: Option<&str>,
    arguments: &[&str],
) -> TestResult<Outcome> {
    let dir = TempDir::new()?;
    let report = dir.path().join("report");
    let mut command = Command::new(env::current_exe()?);
    command
        .args(arguments)
        .env("URING_PLANTED", suite)
        .env("URING_REPORT", &report)
        .env_remove("URING_FORBIDDEN")
        .envs(declared.map(|declared| ("URING_FORBIDDEN", declared)));
    let output = with_denied(filter, || command.output())??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Outcome {
        code: output.status.code(),
        printed: text(&output.stdout) + &text(&output.stderr),
        report: fs::read_to_string(&report).unwrap_or_default(),
    })
}

/// The sentence of a `refused` record.
fn refusal(records: &str) -> Option<&str> {
    let line = records
        .lines()
        .find(|line| line.contains(r#""record":"refused""#))?;
    let (_, reason) = line.split_once(r#""reason":""#)?;
    reason.strip_suffix(r#""}"#)
}

fn ordinary_suites_refuse_as_planned(_: &Context) -> TestResult {
    for (filter, declared, call) in [
        (&SETUP, SETUP_DECLARED, "io_uring_setup: EPERM"),
        (&REGISTER, REGISTER_DECLARED, "io_uring_register: ENOSYS"),
    ] {
        let plan = run("ordinary", &NOTHING, Some(declared), &["--plan"])?;
        assert_eq!(plan.code, Some(0), "{plan:?}");
        assert!(plan.printed.contains(r#""planned":0"#), "{plan:?}");
        let planned = refusal(&plan.printed).ok_or("no refusal is planned")?;
        assert!(
            planned.contains(call) && planned.contains("seccomp filter"),
            "{planned}"
        );

        let ran = run("ordinary", filter, Some(declared), &[])?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_eq!(ran.report.lines().count(), 1, "{ran:?}");
        assert_eq!(refusal(&ran.report), Some(planned), "{ran:?}");
        assert!(ran.printed.contains(planned), "{ran:?}");
        // The refusal is no smaller where nobody has declared it.
        let undeclared = run("ordinary", filter, None, &[])?;
        assert_eq!(
            (undeclared.code, refusal(&undeclared.report)),
            (Some(2), Some(planned))
        );
    }
    Ok(())
}

fn a_filter_that_leaves_no_test_leaves_no_refusal(_: &Context) -> TestResult {
    let plan = run(
        "ordinary",
        &NOTHING,
        Some(SETUP_DECLARED),
        &["--plan", "other"],
    )?;
    assert_eq!(
        (plan.code, refusal(&plan.printed)),
        (Some(0), None),
        "{plan:?}"
    );
    Ok(())
}

fn suites_about_it_run(_: &Context) -> TestResult {
    for (filter, declared) in [(&SETUP, SETUP_DECLARED), (&REGISTER, REGISTER_DECLARED)] {
        let plan = run("about it", &NOTHING, Some(declared), &["--plan"])?;
        assert!(plan.printed.contains(r#""decision":"run""#), "{plan:?}");
        let ran = run("about it", filter, Some(declared), &[])?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.report.contains(r#""verdict":"passed""#), "{ran:?}");
    }
    Ok(())
}

fn suites_about_it_are_skipped_elsewhere(_: &Context) -> TestResult {
    let plan = run("about it", &NOTHING, None, &["--plan"])?;
    assert!(plan.printed.contains(r#""decision":"skip""#), "{plan:?}");
    let ran = run("about it", &NOTHING, None, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.report.contains(r#""verdict":"skipped""#), "{ran:?}");
    assert!(ran.report.contains("io_uring can be used here"), "{ran:?}");
    Ok(())
}

fn a_wrong_declaration_stops_every_suite(_: &Context) -> TestResult {
    let stops = |suite, filter: &[_], declared, words: &str| -> TestResult {
        let ran = run(suite, filter, Some(declared), &[])?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            refusal(&ran.report).is_some_and(|reason| reason.contains(words)),
            "{ran:?}"
        );
        Ok(())
    };
    for suite in ["ordinary", "about it"] {
        stops(suite, &NOTHING, SETUP_DECLARED, "io_uring can be used, but")?;
        stops(
            suite,
            &REGISTER,
            SETUP_DECLARED,
            "io_uring_register: ENOSYS",
        )?;
    }
    let ran = run("ordinary", &NOTHING, Some("EPERM"), &[])?;
    assert!(
        ran.code == Some(2) && ran.report.contains("must be a call"),
        "{ran:?}"
    );
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("forbidden");
    suite.test(
        "ordinary_suites_refuse_as_planned",
        ordinary_suites_refuse_as_planned,
    );
    suite.test(
        "a_filter_that_leaves_no_test_leaves_no_refusal",
        a_filter_that_leaves_no_test_leaves_no_refusal,
    );
    suite
        .test("suites_about_it_run", suites_about_it_run)
        .needs([Feature::CQE32])
        .no_refusal("the planted test needs what this kernel lacks");
    suite.test(
        "suites_about_it_are_skipped_elsewhere",
        suites_about_it_are_skipped_elsewhere,
    );
    suite.test(
        "a_wrong_declaration_stops_every_suite",
        a_wrong_declaration_stops_every_suite,
    );
    suite
}
