//! A test that does not end.

use std::time::Duration;

use uring_testkit::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("hangs");
    suite
        .test("for_ever", |_| {
            loop {
                std::thread::park();
            }
        })
        .timeout(Duration::from_millis(50));
    suite.run()
}
