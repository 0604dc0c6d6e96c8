//! What it answers: to what is asked for rightly, wrongly, slowly, and too much.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use serde_json::Value;
use uring_testkit::files::{TempDir, random_bytes};
use uring_testkit::{Context, Suite, TestResult};

use crate::ghost::client::Client;
use crate::ghost::service::{Ghost, PATIENCE};

/// More than the socket buffers of both sides hold.
const ENDLESS: u64 = 32 << 20;

/// A folder with files, and links to some outside of it.
fn folder() -> TestResult<TempDir> {
    let dir = TempDir::new()?;
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret\n")?;
    let site = dir.path().join("site");
    fs::create_dir_all(site.join("sub"))?;
    fs::write(site.join("index.html"), "hello\n")?;
    fs::write(site.join("sub/index.html"), "below\n")?;
    fs::write(site.join("a b.txt"), "spaces\n")?;
    fs::write(site.join("empty"), "")?;
    fs::write(site.join("odd"), random_bytes(200_001, 1))?;
    fs::File::create(site.join("endless"))?.set_len(ENDLESS)?;
    symlink("../secret", site.join("out"))?;
    symlink(&secret, site.join("absolute"))?;
    symlink("..", site.join("up"))?;
    symlink("loop", site.join("loop"))?;
    symlink("sub/../index.html", site.join("in"))?;
    Ok(dir)
}

fn files_are_served(_: &Context) -> TestResult {
    let dir = folder()?;
    let site = dir.path().join("site");
    nix::unistd::mkfifo(&site.join("fifo"), Mode::S_IRWXU)?;
    let ghost = Ghost::start(&site, &["--connections", "8"])?;
    // All on one connection.
    let mut client = Client::connect(ghost.address)?;
    let odd = fs::read(site.join("odd"))?;
    for (path, kind, contents) in [
        ("/", "text/html", &b"hello\n"[..]),
        ("/index.html?query=/../..", "text/html", b"hello\n"),
        ("//sub//", "text/html", b"below\n"),
        ("/sub/index.html", "text/html", b"below\n"),
        ("/in", "application/octet-stream", b"hello\n"),
        ("/a%20b.txt", "text/plain", b"spaces\n"),
        ("/empty", "application/octet-stream", b""),
        ("/odd", "application/octet-stream", &odd),
        ("http://ghost/%6fdd", "application/octet-stream", &odd),
    ] {
        let answer = client.get(path)?;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.body == contents,
            "{path}: {} bytes",
            answer.body.len()
        );
        assert!(
            answer.says(&format!("content-type: {kind}")),
            "{path}: {answer:?}"
        );
        assert!(answer.says("connection: keep-alive"), "{path}: {answer:?}");
    }
    for path in [
        "/missing",
        "/sub",
        "/sub/missing/",
        "/index.html/",
        "/fifo",
        "/out",
        "/absolute",
        "/up/secret",
        "/loop",
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/.%2E/index.html",
        "/./index.html",
        "/%2fsecret",
        "/index.html%00",
        "/%00",
        "/%",
        "/%zz",
        "/..",
    ] {
        let answer = client.get(path)?;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, b"404 Not Found\n", "{path}");
    }
    // Several at once, in small pieces, and without what they bring.
    let get = "GET /sub/ HTTP/1.1\r\nHost: ghost\r\n\r\n";
    client.say(get.repeat(3))?;
    for byte in get.bytes() {
        client.say([byte])?;
    }
    for _ in 0..4 {
        assert_eq!(client.answer()?.body, b"below\n");
    }
    for path in ["/odd", "/missing"] {
        client.say(format!("HEAD {path} HTTP/1.1\r\nHost: ghost\r\n\r\n"))?;
        let answer = client.head()?;
        let expected = if path == "/odd" {
            (200, odd.len())
        } else {
            (404, 14)
        };
        assert_eq!((answer.status, answer.len()?), expected);
    }
    // One that says that there is no more still gets its answer.
    client.ask("/odd")?;
    client.stream().shutdown(Shutdown::Write)?;
    assert!(client.answer()?.body == odd);
    // HTTP/1.0 ends with the answer, if nothing else is said.
    let mut old = Client::connect(ghost.address)?;
    old.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")?;
    assert!(old.answer()?.says("connection: keep-alive"));
    assert!(old.answer()?.says("connection: close"));
    assert_eq!(old.rest()?, b"");
    drop((client, old));
    let statistics = ghost.wait_for_rest()?;
    assert_eq!(statistics["statuses"]["404"], 22, "{statistics:#}");
    assert_eq!(statistics["connections"]["cut_off"], 0, "{statistics:#}");
    ghost.end()
}

/// Refused by the look at a path or by the open, in either place where permission may be missing, whoever runs this.
fn what_it_may_not_read_is_forbidden(_: &Context) -> TestResult {
    let dir = folder()?;
    let site = dir.path().join("site");
    fs::write(site.join("locked"), "locked\n")?;
    fs::create_dir(site.join("closed"))?;
    fs::write(site.join("closed/index.html"), "closed\n")?;
    let set_mode = |name, mode| fs::set_permissions(site.join(name), Permissions::from_mode(mode));
    set_mode("locked", 0)?;
    set_mode("closed", 0)?;
    let ghost = Ghost::start_without_override(&site, &["--connections", "8"])?;
    let mut client = Client::connect(ghost.address)?;
    for path in ["/locked", "/closed/", "/closed/missing"] {
        let answer = client.get(path)?;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.body, b"403 Forbidden\n", "{path}");
        assert!(answer.says("connection: keep-alive"), "{path}: {answer:?}");
    }
    // On the same connection, whatever may be read, and what was locked when it is no longer.
    assert_eq!(client.get("/")?.body, b"hello\n");
    set_mode("locked", 0o600)?;
    set_mode("closed", 0o700)?;
    assert_eq!(client.get("/locked")?.body, b"locked\n");
    assert_eq!(client.get("/closed/")?.body, b"closed\n");
    drop(client);
    let statistics = ghost.wait_for_rest()?;
    assert_eq!(statistics["statuses"]["403"], 3, "{statistics:#}");
    ghost.end()
}

fn what_cannot_be_answered_is_refused(_: &Context) -> TestResult {
    let dir = folder()?;
    let site = dir.path().join("site");
    let ghost = Ghost::start(&site, &["--connections", "8", "--header-limit", "4096"])?;
    let long = "a".repeat(5000);
    let many = "A: b\r\n".repeat(65);
    let host = "Host: ghost\r\n";
    for (request, status) in [
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET index.html HTTP/1.1\r\nHost: ghost\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
            400,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
            400,
        ),
        (format!("GET / HTTP/1.1\r\n{host}No colon\r\n\r\n"), 400),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\nx"),
            405,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
            413,
        ),
        (format!("GET /{long}"), 414),
        (format!("GET / HTTP/1.1\r\n{host}A: {long}"), 431),
        (format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), 431),
        (format!("BREW / HTTP/1.1\r\n{host}\r\n"), 501),
        (
            format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"),
            501,
        ),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), 505),
    ] {
        let mut client = Client::connect(ghost.address)?;
        client.say(&request)?;
        // What follows is not looked at, and does not keep the answer from coming.
        client.say("more ".repeat(1000))?;
        let answer = client.answer()?;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.says("connection: close"), "{request}: {answer:?}");
        assert_eq!(
            answer.says("allow: get, head"),
            status == 405,
            "{request}: {answer:?}"
        );
        assert_eq!(client.rest()?, b"", "{request}");
    }
    ghost.wait_for_rest()?;
    ghost.end()
}

/// Repeats what depends on who is faster until it comes out, for at most so long.
fn in_time(mut attempt: impl FnMut() -> TestResult<bool>) -> TestResult {
    let start = Instant::now();
    while !attempt()? {
        assert!(start.elapsed() < PATIENCE, "it never comes out");
    }
    Ok(())
}

fn the_slow_are_cut_off(_: &Context) -> TestResult {
    let dir = folder()?;
    let options = ["--connections", "8", "--idle-timeout", "0.2"];
    let ghost = Ghost::start(&dir.path().join("site"), &options)?;
    // One who says nothing hears nothing.
    assert_eq!(Client::connect(ghost.address)?.rest()?, b"");
    // One who does not finish is told, unless it was too slow to begin.
    in_time(|| {
        let mut client = Client::connect(ghost.address)?;
        let said = client.say("GET / HTTP/1.1\r\n").is_ok();
        let answer = client.answer();
        Ok(said && answer.is_ok_and(|answer| answer.status == 408))
    })?;
    // One who takes nothing gets no more. Others may be cut off meanwhile: those before, and who asks for the statistics.
    let cut_off = |statistics: &Value| statistics["connections"]["cut_off"].as_u64();
    in_time(|| {
        let before = cut_off(&ghost.wait_for("an answer", |all| cut_off(all).is_some())?);
        let mut client = Client::connect(ghost.address)?;
        client.ask("/endless")?;
        ghost.wait_for("a connection that is cut off", |all| cut_off(all) > before)?;
        match client.rest() {
            Ok(rest) => Ok(u64::try_from(rest.len())? < ENDLESS),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                Ok(true)
            }
        }
    })?;
    ghost.wait_for_rest()?;
    ghost.end()
}

fn one_too_many_is_turned_away(_: &Context) -> TestResult {
    let dir = folder()?;
    let ghost = Ghost::start(&dir.path().join("site"), &["--connections", "2"])?;
    let mut inside = Vec::new();
    in_time(|| {
        let mut client = Client::connect(ghost.address)?;
        // Those before may not have gone yet.
        let got_in = client.get("/").is_ok_and(|answer| answer.status == 200);
        inside.extend(got_in.then_some(client));
        Ok(inside.len() == 2)
    })?;
    for _ in 0..3 {
        let mut client = Client::connect(ghost.address)?;
        let answer = client.answer()?;
        assert_eq!(answer.status, 503);
        assert!(answer.says("retry-after: 1"), "{answer:?}");
        assert_eq!(client.rest()?, b"");
    }
    for client in &mut inside {
        assert_eq!(client.get("/")?.body, b"hello\n");
    }
    drop(inside);
    let statistics = ghost.wait_for_rest()?;
    assert!(
        statistics["connections"]["refused"].as_u64() >= Some(3),
        "{statistics:#}"
    );
    ghost.end()
}

/// Clients that send more than all receive buffers hold, and are not listened to, do not keep others from being heard.
fn nobody_takes_all_the_buffers(_: &Context) -> TestResult {
    let dir = folder()?;
    let options = ["--connections", "16", "--idle-timeout", "60"];
    let ghost = Ghost::start(&dir.path().join("site"), &options)?;
    let ran_dry = |statistics: &Value| {
        let has_buffers = !statistics["receive_buffers"].is_null();
        has_buffers.then(|| statistics["receive_buffers_ran_dry"].as_u64())
    };
    let mut hogs = Vec::new();
    while hogs.is_empty() || ran_dry(&ghost.statistics()?) == Some(Some(0)) {
        assert!(hogs.len() < 12, "there are always buffers");
        let hog = Client::connect(ghost.address)?;
        hog.ask("/endless")?;
        let patience = Some(Duration::from_millis(50));
        hog.stream().set_write_timeout(patience)?;
        // Nobody takes it, so at some point there is no room for more.
        let more = vec![b'\n'; 64 << 10];
        let said = (0..1024).try_for_each(|_| hog.say(&more));
        let said = said.map_err(|error| error.kind());
        assert_eq!(said, Err(ErrorKind::WouldBlock));
        hogs.push(hog);
    }
    for _ in 0..3 {
        let answer = Client::connect(ghost.address)?.get("/")?;
        assert_eq!(answer.body, b"hello\n");
    }
    let after = ran_dry(&ghost.statistics()?);
    assert!(after.is_none() || after >= Some(Some(4)), "{after:?}");
    drop(hogs);
    ghost.wait_for_rest()?;
    ghost.end()
}

pub(crate) fn tests(suite: &mut Suite) {
    suite
        .test("files_are_served", files_are_served)
        .timeout(Duration::from_secs(120));
    suite.test(
        "what_it_may_not_read_is_forbidden",
        what_it_may_not_read_is_forbidden,
    );
    suite.test(
        "what_cannot_be_answered_is_refused",
        what_cannot_be_answered_is_refused,
    );
    suite
        .test("the_slow_are_cut_off", the_slow_are_cut_off)
        .timeout(Duration::from_secs(300));
    suite.test("one_too_many_is_turned_away", one_too_many_is_turned_away);
    suite
        .test("nobody_takes_all_the_buffers", nobody_takes_all_the_buffers)
        .timeout(Duration::from_secs(120));
}
