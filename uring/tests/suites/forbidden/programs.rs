//! The examples say what forbids them, and leave nothing behind.

use std::fs;

use serde_json::Value;
use uring_testkit::files::TempDir;
use uring_testkit::{Cause, Context, Suite, TestResult};

use crate::common::example::{assert_code, example, text};
use crate::forbidden::only_registering_is_forbidden;

pub(crate) fn add_to(suite: &mut Suite) {
    suite.test("probe_says_what_forbids_rings", probe_says_so);
    suite.test("vanish_says_what_forbids_rings", vanish_says_so);
}

fn cause(context: &Context) -> &'static str {
    match context.forbidden().cause() {
        Cause::Sysctl(2) => "kernel.io_uring_disabled=2",
        Cause::Sysctl(_) => "kernel.io_uring_disabled=1",
        _ => "a seccomp filter is active",
    }
}

fn probe_says_so(context: &Context) -> TestResult {
    let works = only_registering_is_forbidden(context);
    let output = example("probe")?.arg("--json").output()?;
    assert_code(&output, i32::from(!works));
    let findings: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(findings["works"], works);
    let registered = &findings["handles"][1];
    let blocked = [&findings["blocked"], &registered["why_not"]];
    let blocked = blocked[usize::from(works)].as_str().unwrap_or_default();
    assert!(blocked.contains(cause(context)), "{blocked}");
    match context.forbidden().cause() {
        Cause::Sysctl(value) => assert_eq!(findings["policy"]["io_uring_disabled"], value),
        _ => assert_eq!(findings["policy"]["seccomp"], 2),
    }
    // For people too.
    let printed = example("probe")?.output()?;
    assert_code(&printed, i32::from(!works));
    assert!(
        text(&printed.stdout).contains(cause(context)),
        "{}",
        text(&printed.stdout)
    );
    Ok(())
}

fn vanish_says_so(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let source = dir.random_file("source", 100_000, 1)?;
    let target = dir.path().join("target");
    let output = example("vanish")?.args([&source, &target]).output()?;
    assert_code(&output, 1);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(cause(context)), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let left: Vec<_> = fs::read_dir(dir.path())?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["source"]);
    Ok(())
}
