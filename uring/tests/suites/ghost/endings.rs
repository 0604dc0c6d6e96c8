//! How it ends, and begins again.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use uring_testkit::files::{TempDir, random_bytes};
use uring_testkit::{Context, Suite, TestResult};

use crate::common::example::{assert_code, example, text};
use crate::ghost::client::Client;
use crate::ghost::service::{Ghost, PATIENCE};

/// More than the socket buffers of both sides hold.
const LARGE: usize = 24 << 20;

fn a_signal_lets_downloads_end(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let large = random_bytes(LARGE, 1);
    fs::write(dir.path().join("large"), &large)?;
    let options = [
        "--connections",
        "8",
        "--idle-timeout",
        "60",
        "--grace",
        "60",
    ];
    let ghost = Ghost::start(dir.path(), &options)?;
    let address = ghost.address;
    let mut idle = Client::connect(address)?;
    assert_eq!(idle.get("/missing")?.status, 404);
    let mut loading = Client::connect(address)?;
    loading.ask("/large")?;
    let head = loading.head()?;
    assert_eq!((head.status, head.len()?), (200, LARGE));
    ghost.terminate()?;
    // Who has nothing under way is let go, and nobody else is let in.
    assert_eq!(idle.rest()?, b"");
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < PATIENCE, "it listens all the time");
    }
    // The connection ends with the download, though the head has promised more.
    assert!(loading.rest()? == large);
    let end = ghost.wait()?;
    end.check();
    assert_eq!(end.statistics["connections"]["cut_off"], 0, "{end:?}");

    // The port is free at once.
    for _ in 0..3 {
        let ghost = Ghost::start_at(&address.to_string(), dir.path(), &options)?;
        assert_eq!(ghost.address, address);
        let mut kept = Client::connect(address)?;
        assert_eq!(kept.get("/missing")?.status, 404);
        ghost.end()?;
    }
    Ok(())
}

fn grace_has_an_end(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    fs::File::create(dir.path().join("endless"))?.set_len(32 << 20)?;
    let options = ["--connections", "8", "--grace", "0.1"];
    let ghost = Ghost::start(dir.path(), &options)?;
    let mut loading = Client::connect(ghost.address)?;
    loading.ask("/endless")?;
    loading.head()?;
    ghost.terminate()?;
    let end = ghost.wait()?;
    end.check();
    Ok(())
}

fn what_it_cannot_do_it_says(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let folder = dir.path().to_string_lossy();
    for (arguments, code, told) in [
        (vec!["/no/such"], 1, "cannot serve /no/such"),
        (
            vec![&*folder, "--address", "192.0.2.1:80"],
            1,
            "cannot listen on 192.0.2.1:80",
        ),
        (vec![&*folder, "--connections", "0"], 2, "--connections"),
        (vec![&*folder, "--idle-timeout", "0"], 2, "--idle-timeout"),
    ] {
        let output = example("ghost")?.args(&arguments).output()?;
        assert_code(&output, code);
        assert!(text(&output.stderr).contains(told), "{output:?}");
    }
    Ok(())
}

pub(crate) fn tests(suite: &mut Suite) {
    suite
        .test("a_signal_lets_downloads_end", a_signal_lets_downloads_end)
        .timeout(Duration::from_secs(300));
    suite.test("grace_has_an_end", grace_has_an_end);
    suite.test("what_it_cannot_do_it_says", what_it_cannot_do_it_says);
}
