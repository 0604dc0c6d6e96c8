//! A test kills the suite that runs it.

use uring_testkit::{Context, Suite, TestResult};

fn kills_its_suite(_: &Context) -> TestResult {
    // The test's parent has started it for the suite, whose child that is.
    let parent = std::os::unix::process::parent_id();
    let status = std::fs::read_to_string(format!("/proc/{parent}/status"))?;
    let suite = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let suite: i32 = suite.ok_or("a process has a parent")?.trim().parse()?;
    // SAFETY: a signal to the suite.
    unsafe { libc::kill(suite, libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("killed");
    suite.test("kills_its_suite", kills_its_suite);
    suite.run()
}
