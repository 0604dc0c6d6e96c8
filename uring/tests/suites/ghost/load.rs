//! Thousands of connections, by clients that are not ours where there are any.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use uring_testkit::files::TempDir;
use uring_testkit::{Context, Suite, TestResult};

use crate::common::example::{assert_code, text};
use crate::ghost::client::Client;
use crate::ghost::service::Ghost;

/// How much larger the process may become by a round like the one before, in KiB. What is kept by design (send buffers, tables) was
/// made by the first; the allocator may lay the rest out differently. A hundred bytes lost by each request would be as much.
const GROWTH: u64 = 2048;

/// Requests of a round without and with connections that are used again.
const SINGLE: u32 = 4000;
const KEPT: u32 = 20_000;

/// Who asks: `ab` and `curl`, or on machines that have no programs but ours, which say what they have, a client of our own.
fn load(context: &Context, ghost: &Ghost, dir: &TempDir) -> TestResult {
    let large = fs::read(dir.path().join("site/large"))?;
    if env::var_os("URING_FACILITIES").is_some() {
        return own_load(context, ghost, &large);
    }
    let url = |path: &str| format!("http://{}/{path}", ghost.address);
    ask(&url("small"), SINGLE, &[])?;
    let kept = ask(&url("small"), KEPT, &["-k"])?;
    let mut lines = kept.lines();
    let speed = lines.find(|line| line.starts_with("Requests per second"));
    eprintln!("{}", speed.unwrap_or_default());
    ask(&url("large"), 64, &["-k"])?;
    let copy = dir.path().join("copy");
    fetch(&url("large"), &copy)?;
    assert!(fs::read(&copy)? == large);
    Ok(())
}

fn own_load(context: &Context, ghost: &Ghost, large: &[u8]) -> TestResult {
    for _ in 0..context.rounds(SINGLE.into()) {
        let answer = Client::connect(ghost.address)?.get("/small")?;
        assert_eq!(answer.body, b"small\n");
    }
    let mut client = Client::connect(ghost.address)?;
    for _ in 0..context.rounds(KEPT.into()) {
        assert_eq!(client.get("/small")?.body, b"small\n");
    }
    assert!(client.get("/large")?.body == large);
    Ok(())
}

/// Runs a program that a host is to have.
fn run(program: &mut Command) -> TestResult<String> {
    let output = program.output().map_err(|error| {
        let name = program.get_program().to_os_string();
        format!("{name:?}: {error}: apt-get install -y apache2-utils curl")
    })?;
    assert_code(&output, 0);
    Ok(text(&output.stdout))
}

/// Has `ab` ask for a file so many times, and gives what it said.
fn ask(url: &str, requests: u32, options: &[&str]) -> TestResult<String> {
    let said = run(Command::new("ab")
        .args(["-q", "-c", "64", "-s", "60", "-n", &requests.to_string()])
        .args(options)
        .arg(url))?;
    let counted = |what: &str| {
        let mut lines = said.lines();
        let count = lines.find_map(|line| line.strip_prefix(what))?;
        count.trim().parse::<u32>().ok()
    };
    assert_eq!(counted("Complete requests:"), Some(requests), "{said}");
    assert_eq!(counted("Failed requests:"), Some(0), "{said}");
    assert_eq!(counted("Non-2xx responses:"), None, "{said}");
    Ok(said)
}

fn fetch(url: &str, into: &Path) -> TestResult {
    run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .arg("--output")
        .arg(into)
        .arg(url))?;
    Ok(())
}

/// Says that something is over, also when it has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A round of load, during which the descriptor table is looked at all the time.
fn round(context: &Context, ghost: &Ghost, dir: &TempDir) -> TestResult {
    let before = ghost.descriptors()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) || looks < 20 {
                let table = ghost.descriptors().unwrap_or_default();
                assert_eq!(table, before);
                looks += 1;
            }
        });
        let over = Over(&is_over);
        load(context, ghost, dir)?;
        drop(over);
        watch.join().map_err(|_| "a descriptor was there")?;
        Ok(())
    })
}

fn thousands_of_connections_leave_nothing_behind(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    fs::create_dir(dir.path().join("site"))?;
    fs::write(dir.path().join("site/small"), "small\n")?;
    dir.random_file("site/large", 3_000_001, 1)?;
    let ghost = Ghost::start(&dir.path().join("site"), &[])?;
    round(context, &ghost, &dir)?;
    let before = (ghost.wait_for_rest()?, ghost.resident()?);
    for _ in 0..2 {
        round(context, &ghost, &dir)?;
    }
    let after = (ghost.wait_for_rest()?, ghost.resident()?);
    for what in ["direct_slots", "receive_buffers", "descriptors"] {
        assert_eq!(before.0[what], after.0[what], "{what}");
    }
    assert_eq!(after.0["connections"]["cut_off"], 0, "{:#}", after.0);
    assert!(
        after.1 <= before.1 + GROWTH,
        "{} KiB, then {} KiB",
        before.1,
        after.1
    );
    ghost.end()
}

pub(crate) fn tests(suite: &mut Suite) {
    suite
        .test(
            "thousands_of_connections_leave_nothing_behind",
            thousands_of_connections_leave_nothing_behind,
        )
        .timeout(Duration::from_secs(300));
}
