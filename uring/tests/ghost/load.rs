//! Thousands of connections by clients that are not ours.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use uring_testkit::files::TempDir;
use uring_testkit::{Context, Facility, Observation, Suite, TestResult};

use crate::common::example::{assert_code, text};
use crate::service::Ghost;

/// `ab` and `curl`. A host is to have them; the machines of lanes have no programs but ours, and say what they have.
const CLIENTS: Facility = Facility::new("http-clients", INSTALL, || {
    let is_there = |name: &str| Command::new(name).arg("-V").output().is_ok();
    match (
        is_there("ab") && is_there("curl"),
        env::var_os("URING_FACILITIES"),
    ) {
        (true, _) => Observation::Present,
        (false, Some(_)) => Observation::Absent,
        (false, None) => Observation::Inconclusive(INSTALL.to_owned()),
    }
});
const INSTALL: &str = "ab and curl are not both installed: apt-get install -y apache2-utils curl";

/// How much larger the process may become by a round like the one before, in KiB. What is kept by design (send buffers, tables) was
/// made by the first; the allocator may lay the rest out differently. A hundred bytes lost by each request would be as much.
const GROWTH: u64 = 2048;

/// Requests of a round without and with connections that are used again.
const SINGLE: u32 = 4000;
const KEPT: u32 = 20_000;

/// Has `ab` ask for a file so many times, and gives what it counted.
fn ask(url: &str, requests: u32, options: &[&str]) -> TestResult<String> {
    let output = Command::new("ab")
        .args(["-q", "-c", "64", "-s", "60", "-n", &requests.to_string()])
        .args(options)
        .arg(url)
        .output()?;
    assert_code(&output, 0);
    let said = text(&output.stdout);
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
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "60",
            "--output",
        ])
        .arg(into)
        .arg(url)
        .output()?;
    assert_code(&output, 0);
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
fn round(ghost: &Ghost, dir: &TempDir) -> TestResult {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                let table = ghost.descriptors().unwrap_or_default();
                assert!(table.keys().eq(&[0, 1, 2]), "{table:?}");
                looks += 1;
            }
            looks
        });
        let over = Over(&is_over);
        let url = |path: &str| format!("http://{}/{path}", ghost.address);
        ask(&url("small"), SINGLE, &[])?;
        let kept = ask(&url("small"), KEPT, &["-k"])?;
        let mut lines = kept.lines();
        let speed = lines.find(|line| line.starts_with("Requests per second"));
        eprintln!("{}", speed.unwrap_or_default());
        ask(&url("large"), 64, &["-k"])?;
        let copy = dir.path().join("copy");
        fetch(&url("large"), &copy)?;
        assert!(fs::read(&copy)? == fs::read(dir.path().join("site/large"))?);
        drop(over);
        let looks = watch.join().map_err(|_| "a descriptor was there")?;
        assert!(looks >= 20, "only {looks} looks: too few to tell");
        Ok(())
    })
}

fn thousands_of_connections_leave_nothing_behind(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    fs::create_dir(dir.path().join("site"))?;
    fs::write(dir.path().join("site/small"), "small\n")?;
    dir.random_file("site/large", 3_000_001, 1)?;
    let ghost = Ghost::start(&dir.path().join("site"), &[])?;
    round(&ghost, &dir)?;
    let before = (ghost.wait_for_rest()?, ghost.resident()?);
    for _ in 0..2 {
        round(&ghost, &dir)?;
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
        .requires([CLIENTS])
        .timeout(Duration::from_secs(300));
}
