//! The example `probe`: what it finds is what the testkit's own probes find.

use crate::common;

use std::fs;

use common::example::{assert_code, example, text};
use serde_json::Value;
use uring_testkit::process::{with_denied, with_rlimit};
use uring_testkit::{Context, Facility, Feature, Suite, TestResult};

/// What `probe --json` prints, and ends with.
fn findings(code: i32) -> TestResult<Value> {
    let output = example("probe")?.arg("--json").output()?;
    assert_code(&output, code);
    assert_eq!(text(&output.stderr), "");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The section that has names with this beginning.
fn section<'a>(findings: &'a Value, name: &str) -> Option<&'a Vec<Value>> {
    let key = match name {
        _ if name.starts_with("IORING_FEAT_") => "features",
        _ if name.starts_with("IORING_SETUP_") => "setup_flags",
        _ if name.starts_with("IORING_OP_") => "opcodes",
        _ if name.starts_with("IORING_REGISTER_") => "register_opcodes",
        _ => return None,
    };
    findings[key]["items"].as_array()
}

fn item<'a>(findings: &'a Value, name: &str) -> Option<&'a Value> {
    section(findings, name)?
        .iter()
        .find(|item| item["name"] == name)
}

/// Compares with each probe of the testkit whose name begins so, and counts them.
fn compare(context: &Context, findings: &Value, prefix: &str) -> TestResult<usize> {
    let mut compared = 0;
    for feature in Feature::all() {
        let name = feature.name();
        if !name.starts_with(prefix) {
            continue;
        }
        let item = item(findings, name).ok_or_else(|| format!("{name} is not there"))?;
        assert_eq!(item["present"], context.has(*feature), "{name}");
        assert_eq!(item["since"], feature.since().to_string(), "{name}");
        compared += 1;
    }
    Ok(compared)
}

fn flags_and_opcodes_are_those_of_the_kernel(context: &Context) -> TestResult {
    let findings = findings(0)?;
    assert_eq!(compare(context, &findings, "IORING_FEAT_")?, 18);
    assert_eq!(compare(context, &findings, "IORING_SETUP_")?, 21);
    let opcodes = compare(context, &findings, "IORING_OP_")?;
    assert!(opcodes > 30, "only {opcodes} opcodes compared");
    for (key, names) in [
        ("features", 18),
        ("setup_flags", 21),
        ("opcodes", 65),
        ("register_opcodes", 38),
    ] {
        let items = findings[key]["items"].as_array().map(Vec::as_slice);
        let items = items.ok_or_else(|| format!("no {key}"))?;
        let known = items.iter().filter(|item| item["since"].is_string());
        assert_eq!(known.count(), names, "{key}");
    }
    Ok(())
}

fn register_opcodes_are_those_of_the_kernel(context: &Context) -> TestResult {
    let findings = findings(0)?;
    let compared = compare(context, &findings, "IORING_REGISTER_")?;
    assert!(compared > 10, "only {compared} register opcodes compared");
    Ok(())
}

fn register_opcodes_are_not_known(_: &Context) -> TestResult {
    let findings = findings(0)?;
    assert_eq!(findings["register_opcodes"]["says"], Value::Null);
    let ring_fds = item(&findings, "IORING_REGISTER_RING_FDS").ok_or("no item")?;
    assert_eq!(ring_fds["present"], Value::Null);
    Ok(())
}

fn handles_are_those_of_the_kernel(context: &Context) -> TestResult {
    let findings = findings(0)?;
    let has = |features: &[Feature]| features.iter().all(|feature| context.has(*feature));
    let expected = [
        ("descriptor", true),
        ("registered", has(&[Feature::RING_FDS])),
        ("fd-less by closing", has(&[Feature::REG_REG_RING])),
        (
            "fd-less by birth",
            has(&[Feature::NO_MMAP, Feature::REGISTERED_FD_ONLY]),
        ),
    ];
    for (index, (handle, works)) in expected.into_iter().enumerate() {
        let trial = &findings["handles"][index];
        assert_eq!(trial["handle"], handle);
        assert_eq!(trial["works"], works, "{trial}");
        assert_eq!(trial["why_not"].is_string(), !works, "{trial}");
    }
    let slots = &findings["limits"]["free_ring_slots"];
    if has(&[Feature::RING_FDS]) {
        assert_eq!(*slots, 16);
    } else {
        assert_eq!(*slots, Value::Null);
    }
    Ok(())
}

fn kernel_and_limits_are_those_of_the_process(_: &Context) -> TestResult {
    let findings = with_rlimit(libc::RLIMIT_NOFILE, 77, || {
        with_rlimit(libc::RLIMIT_MEMLOCK, 65536, || findings(0))
    })???;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    assert_eq!(findings["kernel"]["release"], release.trim());
    let limits = &findings["limits"];
    assert_eq!(limits["nofile"]["soft"], 77);
    assert_eq!(limits["memlock"]["soft"], 65536);
    assert_eq!(limits["entries"], 32768);
    assert_eq!(limits["completion_entries"], 65536);
    Ok(())
}

/// What is found where a filter forbids rings.
fn findings_behind_a_filter() -> TestResult<Value> {
    let findings = with_denied(&[(libc::SYS_io_uring_setup, libc::EPERM)], || findings(1))??;
    assert_eq!(findings["works"], false);
    assert_eq!(findings["policy"]["seccomp"], 2);
    let blocked = findings["blocked"].as_str().unwrap_or_default();
    assert!(
        blocked.contains("a seccomp filter is active")
            && blocked.contains("; allow io_uring_setup"),
        "{blocked}"
    );
    Ok(findings)
}

fn what_is_known_is_shown_where_rings_are_forbidden(context: &Context) -> TestResult {
    let findings = findings_behind_a_filter()?;
    assert_eq!(findings["features"]["says"], "IORING_REGISTER_QUERY");
    assert_eq!(compare(context, &findings, "IORING_FEAT_")?, 18);
    assert_eq!(compare(context, &findings, "IORING_SETUP_")?, 21);
    Ok(())
}

fn nothing_is_claimed_where_nothing_can_be_asked(_: &Context) -> TestResult {
    let findings = findings_behind_a_filter()?;
    for key in ["features", "setup_flags", "opcodes", "register_opcodes"] {
        assert_eq!(findings[key]["says"], Value::Null, "{key}");
        assert_eq!(findings[key]["items"][0]["present"], Value::Null, "{key}");
    }
    Ok(())
}

fn tables_say_the_same_as_json(context: &Context) -> TestResult {
    let output = example("probe")?.output()?;
    assert_code(&output, 0);
    let stdout = text(&output.stdout);
    let works = "io_uring works";
    assert!(
        stdout
            .lines()
            .next()
            .is_some_and(|line| line.ends_with(works)),
        "{stdout}"
    );
    let operations = stdout.split_once("Operations").map(|(_, rest)| rest);
    let operations = operations
        .and_then(|rest| rest.split_once("\n\n"))
        .ok_or("no table")?
        .0;
    for feature in Feature::all() {
        let Some(name) = feature.name().strip_prefix("IORING_OP_") else {
            continue;
        };
        let mut words = operations
            .split_whitespace()
            .skip_while(|word| *word != name);
        let here = if context.has(*feature) { "yes" } else { "no" };
        assert_eq!(words.nth(1), Some(&*feature.since().to_string()), "{name}");
        assert_eq!(words.next(), Some(here), "{name}");
    }
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("probe");
    suite.takes_turns();
    suite.completed_by(common::completed);
    suite.test(
        "flags_and_opcodes_are_those_of_the_kernel",
        flags_and_opcodes_are_those_of_the_kernel,
    );
    suite
        .test(
            "register_opcodes_are_those_of_the_kernel",
            register_opcodes_are_those_of_the_kernel,
        )
        .needs([Feature::register(uring_sys::IORING_REGISTER_QUERY)])
        .refused_by(register_opcodes_are_not_known);
    suite.test(
        "handles_are_those_of_the_kernel",
        handles_are_those_of_the_kernel,
    );
    // The limit of locked memory keeps only the privileged from nothing.
    suite
        .test(
            "kernel_and_limits_are_those_of_the_process",
            kernel_and_limits_are_those_of_the_process,
        )
        .requires([Facility::PRIVILEGES]);
    suite
        .test(
            "what_is_known_is_shown_where_rings_are_forbidden",
            what_is_known_is_shown_where_rings_are_forbidden,
        )
        .needs([Feature::register(uring_sys::IORING_REGISTER_QUERY)])
        .refused_by(nothing_is_claimed_where_nothing_can_be_asked);
    suite.test("tables_say_the_same_as_json", tables_say_the_same_as_json);
    suite
}
