//! What others can see of the copy: its descriptor table at any moment, and its system calls.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use uring_testkit::files::TempDir;
use uring_testkit::{Context, Feature, Suite, TestResult};

use super::vanish;

const RING: &str = "anon_inode:[io_uring]";
/// Long enough to be looked at often, on any machine.
const LEAST_MIB: u64 = 8;

/// What the descriptors of the process refer to now.
fn look(process: u32) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"))?;
    // A descriptor may be closed between the two looks.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links.collect())
}

/// Looks at the child's descriptors until it ends: all that was seen, and how often while the copy was being made.
fn watch(child: &mut Child, dir: &Path) -> TestResult<(BTreeSet<PathBuf>, usize)> {
    let mut seen = BTreeSet::new();
    let mut looks = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end between the two.
        if let Ok(links) = look(child.id()) {
            seen.extend(links);
        }
        let is_temporary =
            |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".vanish");
        looks += usize::from(super::listing(dir)?.iter().any(is_temporary));
    };
    if status.success() {
        Ok((seen, looks))
    } else {
        Err(format!("vanish failed: {status}").into())
    }
}

/// Copies a file, and gives what was seen in the descriptor table that is a ring or in the directory of the files.
fn seen_while_copying(context: &Context) -> TestResult<Vec<PathBuf>> {
    let size = usize::try_from(context.rounds(48).max(LEAST_MIB) << 20)?;
    let dir = TempDir::new()?;
    let source = dir.random_file("source", size, 4)?;
    let mut command = vanish(&source, &dir.path().join("target"))?;
    let mut child = command.stdout(Stdio::null()).args(["--block=16"]).spawn()?;
    let (seen, looks) = watch(&mut child, dir.path())?;
    assert!(looks >= 20, "only {looks} looks: too few to tell");
    assert!(
        seen.contains(Path::new("/dev/null")),
        "standard output was not seen: {seen:?}"
    );
    let of_interest = |path: &PathBuf| path == Path::new(RING) || path.starts_with(dir.path());
    Ok(seen.into_iter().filter(of_interest).collect())
}

fn no_ring_and_no_file_is_ever_in_the_table(context: &Context) -> TestResult {
    let seen = seen_while_copying(context)?;
    assert!(seen.is_empty(), "{seen:?}");
    Ok(())
}

fn only_rings_are_ever_in_the_table(context: &Context) -> TestResult {
    assert_eq!(seen_while_copying(context)?, [PathBuf::from(RING)]);
    Ok(())
}

fn has_strace() -> bool {
    Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// One file of trace for each thread, so that no call is split into two lines.
fn trace(dir: &TempDir) -> TestResult<Vec<String>> {
    let source = dir.random_file("source", 1 << 20, 5)?;
    let traces = dir.path().join("traces");
    fs::create_dir(&traces)?;
    let vanish = vanish(&source, &dir.path().join("target"))?;
    let output = Command::new("strace")
        .args([
            "-ff",
            "-X",
            "raw",
            "-e",
            "trace=%desc,%file,io_uring_setup",
            "-o",
        ])
        .arg(traces.join("of"))
        .arg(vanish.get_program())
        .args(vanish.get_args())
        .output()?;
    super::common::example::assert_code(&output, 0);
    let mut calls = Vec::new();
    for name in super::listing(&traces)? {
        let text = fs::read_to_string(traces.join(name))?;
        calls.extend(text.lines().map(str::to_owned));
    }
    Ok(calls)
}

/// The number behind a call's equals sign.
fn result(call: &str) -> Option<i64> {
    let (_, result) = call.rsplit_once(" = ")?;
    result.split_whitespace().next()?.parse().ok()
}

/// The flags of an `io_uring_setup`, printed as a number.
fn flags(call: &str) -> Option<u32> {
    let flags = call.split_once("flags=")?.1;
    let end = flags.find(|c: char| !c.is_ascii_alphanumeric())?;
    match flags[..end].strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => flags[..end].parse().ok(),
    }
}

fn no_call_makes_a_descriptor_of_a_ring_or_file(context: &Context) -> TestResult {
    if !has_strace() {
        eprintln!("strace is not installed: looking at the table, as the other test does");
        return no_ring_and_no_file_is_ever_in_the_table(context);
    }
    let dir = TempDir::new()?;
    let calls = trace(&dir)?;
    let setups = calls
        .iter()
        .filter(|call| call.starts_with("io_uring_setup("));
    let made: Vec<_> = setups.filter(|call| result(call) >= Some(0)).collect();
    // The main thread's, two that copy, and two that verify.
    assert_eq!(made.len(), 5, "{made:#?}");
    for call in made {
        let flags = flags(call).ok_or_else(|| format!("no flags in {call}"))?;
        assert!(
            flags & uring_sys::IORING_SETUP_REGISTERED_FD_ONLY != 0,
            "{call}"
        );
        assert!(result(call) < Some(16), "not an index: {call}");
    }
    let opened = |name: &str| {
        let path = dir.path().join(name);
        let path = format!("\"{}", path.display());
        let opens = |call: &&String| call.starts_with("open") || call.starts_with("creat");
        calls.iter().filter(opens).any(|call| call.contains(&path))
    };
    assert!(
        !opened("source") && !opened("target") && !opened(".vanish"),
        "{calls:#?}"
    );
    assert!(
        calls
            .iter()
            .any(|call| call.starts_with("rename") && call.contains("/.vanish-")),
        "the trace has no rename: {calls:#?}"
    );
    Ok(())
}

pub(super) fn tests(suite: &mut Suite) {
    let born = [Feature::NO_MMAP, Feature::REGISTERED_FD_ONLY];
    suite
        .test(
            "no_ring_and_no_file_is_ever_in_the_table",
            no_ring_and_no_file_is_ever_in_the_table,
        )
        .needs(born)
        .refused_by(only_rings_are_ever_in_the_table)
        .timeout(Duration::from_secs(60));
    suite
        .test(
            "no_call_makes_a_descriptor_of_a_ring_or_file",
            no_call_makes_a_descriptor_of_a_ring_or_file,
        )
        .needs(born)
        .no_refusal(
            "what older kernels show is looked at in no_ring_and_no_file_is_ever_in_the_table",
        )
        .timeout(Duration::from_secs(60));
}
