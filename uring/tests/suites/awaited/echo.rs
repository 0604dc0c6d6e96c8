//! The example `echo_await`: several clients at once, one of them gone early.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;

use uring_testkit::files::random_bytes;
use uring_testkit::{Context, TestResult};

use crate::common::example::{assert_code, example, text};

pub(crate) fn echo_await_sends_back(_: &Context) -> TestResult {
    let mut server = example("echo_await")?
        .args(["127.0.0.1:0", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = BufReader::new(server.stdout.take().ok_or("it has one")?);
    let mut address = String::new();
    stdout.read_line(&mut address)?;
    let connect = || TcpStream::connect(address.trim());
    let bytes = random_bytes(100_000, 3);
    let (mut idle, mut first, mut second) = (connect()?, connect()?, connect()?);
    first.write_all(&bytes)?;
    second.write_all(b"short")?;
    for (client, sent) in [(&mut second, &b"short"[..]), (&mut first, &bytes)] {
        let mut received = vec![0; sent.len()];
        client.read_exact(&mut received)?;
        assert!(received == sent, "{} bytes", sent.len());
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.read(&mut [0])?, 0);
    }
    drop(connect()?);
    idle.write_all(b"at last")?;
    idle.shutdown(Shutdown::Write)?;
    let mut last = String::new();
    idle.read_to_string(&mut last)?;
    assert_eq!(last, "at last");
    let mut told = String::new();
    stdout.read_to_string(&mut told)?;
    let output = server.wait_with_output()?;
    assert_code(&output, 0);
    assert_eq!(text(&output.stderr), "");
    let mut lines: Vec<_> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "connection 0: 7 bytes",
            "connection 1: 100000 bytes",
            "connection 2: 5 bytes",
            "connection 3: 0 bytes"
        ]
    );
    let output = example("echo_await")?.output()?;
    assert_code(&output, 1);
    assert_eq!(text(&output.stderr), "echo_await: where to listen?\n");
    Ok(())
}
