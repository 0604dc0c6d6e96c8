//! What can be seen of it: its descriptor table, and what it says of that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uring_testkit::files::TempDir;
use uring_testkit::{Context, Feature, Suite, TestResult};

use crate::ghost::client::Client;
use crate::ghost::service::Ghost;

/// What is in its table beside the standard streams, when it was looked at before, while and after connections and files were open.
fn seen(ghost: &Ghost) -> TestResult<Vec<PathBuf>> {
    let mut seen = Vec::new();
    let mut look = || -> TestResult {
        let table = ghost.descriptors()?;
        let numbers: Vec<_> = table.keys().copied().take(3).collect();
        assert_eq!(numbers, [0, 1, 2]);
        seen.extend(
            table
                .into_iter()
                .filter(|(number, _)| *number > 2)
                .map(|(_, target)| target),
        );
        Ok(())
    };
    look()?;
    for _ in 0..5 {
        let mut clients = Vec::new();
        for path in ["/endless", "/endless", "/stats", "/missing", "/endless"] {
            let mut client = Client::connect(ghost.address)?;
            client.ask(path)?;
            look()?;
            // The file is open from here on, since it cannot have gone out as a whole.
            client.head()?;
            look()?;
            clients.push(client);
        }
        drop(clients);
        look()?;
    }
    ghost.wait_for_rest()?;
    look()?;
    seen.sort();
    seen.dedup();
    Ok(seen)
}

fn start() -> TestResult<(TempDir, Ghost)> {
    let dir = TempDir::new()?;
    fs::File::create(dir.path().join("endless"))?.set_len(32 << 20)?;
    let ghost = Ghost::start(dir.path(), &["--connections", "16"])?;
    Ok((dir, ghost))
}

fn it_owns_no_descriptor(_: &Context) -> TestResult {
    let (_dir, ghost) = start()?;
    assert_eq!(seen(&ghost)?, [] as [PathBuf; 0]);
    let statistics = ghost.statistics()?;
    assert_eq!(statistics["descriptors"], 3, "{statistics:#}");
    // What it does with less is not seen, nor that its port was asked for before it served anybody.
    for concession in statistics["concessions"].as_array().ok_or("no list")? {
        let said = concession.as_str().ok_or("no text")?;
        let may_be = ["asked for its port", "one operation at a time"];
        assert!(may_be.iter().any(|may| said.contains(may)), "{said}");
    }
    let line = ghost.told.lines().next();
    assert_eq!(line, Some("the ring is registered index, no descriptor"));
    ghost.end()
}

fn what_it_cannot_hide_it_says(context: &Context) -> TestResult {
    let (_dir, ghost) = start()?;
    let seen = seen(&ghost)?;
    let statistics = ghost.statistics()?;
    for concession in statistics["concessions"].as_array().ok_or("no list")? {
        let said = concession.as_str().ok_or("no text")?;
        assert!(ghost.told.contains(said), "{said}: {}", ghost.told);
    }
    let says = |what: &str| ghost.told.contains(what);
    // No connection and no file is among them on any kernel.
    let ring = Path::new("anon_inode:[io_uring]");
    let eventfd = Path::new("anon_inode:[eventfd]");
    assert!(
        seen.iter()
            .all(|target| target == ring || target == eventfd),
        "{seen:?}"
    );
    assert_eq!(
        seen.contains(&ring.to_owned()),
        says("the ring has a descriptor"),
        "{seen:?}"
    );
    assert_eq!(
        seen.contains(&eventfd.to_owned()),
        says("the eventfd"),
        "{seen:?}"
    );
    let count = u64::try_from(3 + seen.len())?;
    assert_eq!(statistics["descriptors"], count, "{statistics:#}");
    let missing = |feature| context.missing().contains(&feature);
    assert!(
        !missing(Feature::REG_REG_RING) || says("the ring has a descriptor"),
        "{}",
        ghost.told
    );
    let listen = Feature::opcode(uring_sys::IORING_OP_LISTEN);
    assert_eq!(
        missing(listen),
        says("the listening socket had a descriptor until"),
        "{}",
        ghost.told
    );
    ghost.end()
}

pub(crate) fn tests(suite: &mut Suite) {
    suite
        .test("it_owns_no_descriptor", it_owns_no_descriptor)
        .needs([
            Feature::REG_REG_RING,
            Feature::REGISTERED_FD_ONLY,
            Feature::opcode(uring_sys::IORING_OP_LISTEN),
        ])
        .refused_by(what_it_cannot_hide_it_says)
        .timeout(Duration::from_secs(120));
}
