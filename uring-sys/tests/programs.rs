//! Programs that a user of this crate would write, built and run: the example, and a package of its own outside of the
//! workspace that depends on nothing else.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

fn cargo(args: &[&str], directory: &str) -> Output {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(directory)
        .join("Cargo.toml");
    // A target directory of its own: cargo may hold the lock of the workspace's while it runs this test.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--manifest-path"])
        .arg(manifest)
        .args(args)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_example_reads_a_file() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("to_read");
    std::fs::write(&file, "read through a ring").expect("a file to read");
    let path = file.to_str().expect("a UTF-8 path");
    let output = cargo(&["--example", "nop_and_read", "--", path], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "nop: 0\nread: 19 bytes: \"read through a ring\"\n"
    );
}

#[test]
fn the_example_fails_with_one_clear_line() {
    let output = cargo(&["--example", "nop_and_read", "--", "/no/such/file"], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "nop_and_read: /no/such/file: No such file or directory (os error 2)\n"
    );

    let output = cargo(&["--example", "nop_and_read", "--", "/"], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "nop_and_read: reading /: Is a directory (os error 21)\n"
    );
}

#[test]
fn a_package_outside_of_the_workspace_needs_nothing_else() {
    let output = cargo(&[], "../consumers/sys-only");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("IORING_OP_NOP"), "{stdout}");
    assert!(
        stdout
            .lines()
            .last()
            .is_some_and(|line| line.ends_with("opcodes supported")),
        "{stdout}"
    );
}
