mod common;
fn main() -> std::process::ExitCode {
    uring_testkit::Suite::new("forbidden").run()
}
