//! Planted faults of suites: each is found on this machine and on a real kernel, and none is held against another suite.

use rustix::process::WaitOptions;
use uring_testkit::{Feature, Suite, TestResult};

use crate::{
    KERNEL, SERIES,
    run::{self, Run, Start},
};

pub(crate) const MANIFEST: &str = "xtask/tests/planted/Cargo.toml";

/// A fault's name, and what a run must have found.
type Found = (&'static str, fn(&Run) -> TestResult);

const FOUND: &[Found] = &[
    ("a_suite_that_skips_everything", |run| {
        let suite = run.suite("skips_all")?;
        suite.has_problem("skips_all::a was Skipped, which is not what was planned: Run")?;
        suite.has_problem("skips_all::b was Skipped, which is not what was planned: Run")
    }),
    ("a_suite_that_exits_in_the_middle", |run| {
        let suite = run.suite("exits")?;
        suite.has_problem("exits::b was planned and did not run")?;
        suite.has_problem("the report has no end")
    }),
    ("a_suite_that_is_killed", |run| {
        let suite = run.suite("killed")?;
        suite.has_problem("killed::kills_its_suite was planned and did not run")?;
        suite.has_problem("the report has no end")?;
        suite.has_problem("it ended with signal: 9")
    }),
    ("a_report_cut_short_in_a_record", |run| {
        let suite = run.suite("half_a_record")?;
        suite.has_problem("half_a_record::b was planned and did not run")?;
        suite.has_problem("the report has no end")?;
        assert_eq!(suite.tests().len(), 1, "what came before it counts");
        is_no_record(run, "half_a_record", r#""half_a_record::b""#)
    }),
    ("a_report_with_a_line_that_is_no_record", |run| {
        assert_eq!(run.suite("garbage")?.tests().len(), 2, "the others count");
        is_no_record(run, "garbage", "no record")
    }),
    (A_SLOT, |run| {
        run.suite("leaks")?
            .has_failure("leaks::a_slot", "ring slots still taken: {0}")
    }),
    ("a_test_that_leaks_a_descriptor", |run| {
        run.suite("leaks")?
            .has_failure("leaks::a_descriptor", "-> /dev/null")
    }),
    ("a_test_that_leaves_a_child", |run| {
        run.suite("leaks")?.has_failure(
            "leaks::a_child",
            "a child process was left behind: still running",
        )
    }),
    ("a_test_that_hangs", |run| {
        run.suite("hangs")?
            .has_failure("hangs::for_ever", "still running after")
    }),
    ("a_feature_whose_version_is_too_early", |run| {
        run.suite("rows")?
            .has_failure("rows::too_early", "TOO_EARLY is missing on ")
    }),
    (TOO_LATE, |run| {
        run.suite("rows")?.has_failure(
            "rows::too_late",
            "the feature table says Linux 99.0: the table is wrong",
        )
    }),
    ("a_feature_that_cannot_be_probed", |run| {
        run.suite("rows")?
            .has_failure("rows::unclear", "could not be probed: the probe's evidence")
    }),
    ("no_fault_in_a_healthy_suite", |run| {
        let healthy = run.suite("healthy")?;
        healthy.has_no_problem()?;
        assert_eq!(healthy.tests(), [["healthy::passes", "", "passed", ""]]);
        Ok(())
    }),
];

const A_SLOT: &str = "a_test_that_leaks_a_slot";
const TOO_LATE: &str = "a_feature_whose_version_is_too_late";

pub(crate) fn add(suite: &mut Suite) {
    for (name, found) in FOUND {
        let on_a_lane = suite.test(format!("planted::on_a_lane::finds_{name}"), |_| {
            found(&lane()?)
        });
        run::is_long(on_a_lane).requires([KERNEL]);
        // What may carry more than its version says is allowed to have it.
        if *name == TOO_LATE {
            continue;
        }
        let here = suite.test(format!("planted::here::finds_{name}"), |_| found(&here()?));
        run::is_long(here);
        if *name == A_SLOT {
            here.needs([Feature::RING_FDS])
                .no_refusal("there are no slots to leak");
        }
    }
    let on_a_lane = suite.test(
        "planted::on_a_lane::nothing_but_skips_is_no_success",
        |_| {
            nothing_ran(
                "gated-lane",
                &["--kernels", SERIES],
                "nothing ran: this shows nothing",
            )
        },
    );
    run::is_long(on_a_lane).requires([KERNEL]);
    let here = suite.test("planted::here::nothing_but_skips_is_no_success", |_| {
        nothing_ran(
            "gated-here",
            &[],
            "every test was skipped: this shows nothing",
        )
    });
    run::is_long(here);
}

fn here() -> TestResult<Run> {
    failed("planted-here", &["--package", "harmless"], || {
        // What the killed suite was running ends with it, and becomes a child of whoever looks after orphans: this test.
        while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    })
}

fn lane() -> TestResult<Run> {
    let arguments = ["--package", "harmless", "--kernels", SERIES];
    failed("planted-lane", &arguments, || ())
}

/// The only run of this name; `clean_up` is called when it is over.
fn failed(name: &str, arguments: &[&str], clean_up: fn()) -> TestResult<Run> {
    let run = Run::once(name, || {
        let run = Start::new(name, MANIFEST, arguments)?.run();
        clean_up();
        run
    })?;
    assert!(!run.success, "{}", run.output);
    Ok(run)
}

/// A line that is no record is told, with the line: on this machine by its suite, on a lane by the lane.
fn is_no_record(run: &Run, suite: &str, words: &str) -> TestResult {
    let Ok(troubles) = run.troubles() else {
        return run.suite(suite)?.has_problem("is no record: ");
    };
    let mut records = troubles
        .iter()
        .filter(|(class, text)| *class == "records" && text.contains(words));
    assert!(records.next().is_some(), "{troubles:?}");
    Ok(())
}

fn nothing_ran(name: &str, arguments: &[&str], words: &str) -> TestResult {
    let mut all = vec!["gated::", "--package", "harmless"];
    all.extend(arguments);
    let run = Start::new(name, MANIFEST, &all)?.run()?;
    assert!(!run.success && run.output.contains(words), "{}", run.output);
    let gated = run.suite("gated")?;
    gated.has_no_problem()?;
    assert_eq!(
        gated.tests()[0][2..],
        ["skipped", "needs Linux 99.0 (NEVER)"]
    );
    Ok(())
}
