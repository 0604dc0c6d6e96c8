//! Tests that leave something behind.

use std::{fs::File, time::Duration};

use uring_testkit::{Context, Feature, Suite, TestResult, raw::RawRing};

fn a_slot(_: &Context) -> TestResult {
    let mut ring = RawRing::new(1, 0)?;
    ring.register()?;
    ring.close();
    ring.leak();
    Ok(())
}

fn a_descriptor(_: &Context) -> TestResult {
    std::mem::forget(File::open("/dev/null")?);
    Ok(())
}

fn a_child(_: &Context) -> TestResult {
    // SAFETY: the child sleeps and ends, and does not return into the test.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            std::thread::sleep(Duration::from_secs(3600));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        _ => Ok(()),
    }
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("leaks");
    suite
        .test("a_slot", a_slot)
        .needs([Feature::RING_FDS])
        .no_refusal("there are no slots to leak");
    suite.test("a_descriptor", a_descriptor);
    suite.test("a_child", a_child);
    suite.run()
}
