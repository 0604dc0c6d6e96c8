//! The package's examples, run as processes.

use std::env;
use std::process::{Command, Output};

use uring_testkit::TestResult;

/// A command that runs the example of that name, as built together with this test.
pub(crate) fn example(name: &str) -> TestResult<Command> {
    let test = env::current_exe()?;
    let path = test
        .parent()
        .and_then(|deps| deps.parent())
        .map(|profile| profile.join("examples").join(name));
    match path {
        Some(path) if path.is_file() => Ok(Command::new(path)),
        _ => Err(format!(
            "{} has no example {name} beside it: `cargo test -p uring` builds them, `cargo test --test` does not",
            test.display()
        )
        .into()),
    }
}

/// What a command printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with all that was printed unless the command ended with that code.
#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
}
