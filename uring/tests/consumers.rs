//! A package of its own outside of the workspace that depends on this crate and nothing else.

use std::path::Path;
use std::process::{Command, Output};

/// Builds the consumer, and runs it with these arguments.
fn high_level(arguments: &[&str]) -> Output {
    let manifest = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../consumers/high-level/Cargo.toml"
    );
    // A target directory of its own: cargo may hold the lock of the workspace's while it runs this test. With its lock file, whose
    // versions are the workspace's, the network is not needed.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumers");
    Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--manifest-path", manifest])
        .arg("--")
        .args(arguments)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_package_outside_of_the_workspace_reads_files() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("three_lines");
    std::fs::write(&file, "one\ntwo\nthree\n").expect("a file to read");
    let program = std::env::current_exe().expect("this program has a path");
    let file = file.to_str().expect("a UTF-8 path");
    let program = program.to_str().expect("a UTF-8 path");
    let output = high_level(&[file, program]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("ring: "), "{stdout}");
    assert_eq!(
        lines[1..],
        [format!("{file}: 3 lines"), format!("{program}: a program")]
    );
}

#[test]
fn its_errors_are_told() {
    let output = high_level(&["/"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "high-level: Is a directory (os error 21)\n"
    );
}

/// The ring's own executor, tokio's current-thread runtime and smol's do the same work.
#[test]
fn rings_work_under_other_executors() {
    let manifest = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../consumers/awaited/Cargo.toml"
    );
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumers");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--locked", "--manifest-path", manifest])
        .args(["--test", "executors"])
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo runs");
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    for executor in ["own", "tokio_current_thread", "smol"] {
        let ran = stdout.contains(&format!("executors::{executor}[fd]"));
        assert!(ran, "{executor}: {stdout}");
    }
}
