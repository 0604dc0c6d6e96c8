//! The example `echo` over loopback.

use crate::common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{ChildStdout, Stdio};
use std::thread;

use common::example::{assert_code, example, text};
use uring_testkit::files::random_bytes;
use uring_testkit::{Context, Feature, Suite, TestResult};

/// Where it says that it listens.
fn address(stdout: &mut BufReader<ChildStdout>) -> TestResult<String> {
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let address = line.trim_end().strip_prefix("listening on ");
    Ok(address
        .ok_or_else(|| format!("it said {line:?}"))?
        .to_owned())
}

/// Sends bytes and reads them back, at the same time.
fn exchange(address: &str, bytes: &[u8]) -> TestResult {
    let mut stream = TcpStream::connect(address)?;
    let mut reader = stream.try_clone()?;
    let mut echoed = vec![0; bytes.len()];
    let echoed = thread::spawn(move || reader.read_exact(&mut echoed).map(|()| echoed));
    stream.write_all(bytes)?;
    let echoed = echoed.join().map_err(|_| "the reader has panicked")??;
    assert!(echoed == bytes, "{} bytes come back as others", bytes.len());
    // Not before the bytes have come: some kernels miss an end that comes with them.
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(stream.read(&mut [0; 1])?, 0);
    Ok(())
}

fn connections_are_echoed(_: &Context) -> TestResult {
    let mut child = example("echo")?
        .args(["127.0.0.1:0", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("it is piped")?);
    let address = address(&mut stdout)?;
    // One is open all the time, and says something at the end.
    let mut quiet = TcpStream::connect(&address)?;
    exchange(&address, b"")?;
    exchange(&address, b"a line\n")?;
    // More than all buffers hold.
    exchange(&address, &random_bytes(300_000, 1))?;
    quiet.write_all(b"at last")?;
    let mut echoed = [0; 7];
    quiet.read_exact(&mut echoed)?;
    assert_eq!(&echoed, b"at last");
    drop(quiet);
    let mut said = String::new();
    stdout.read_to_string(&mut said)?;
    assert_code(&child.wait_with_output()?, 0);
    let mut said: Vec<_> = said.lines().collect();
    said.sort_unstable();
    assert_eq!(said, ["0 bytes", "300000 bytes", "7 bytes", "7 bytes"]);
    Ok(())
}

fn what_is_no_address_is_told(_: &Context) -> TestResult {
    for (arguments, told) in [
        (["nowhere", "1"], "echo: "),
        (["127.0.0.1:0", "many"], "the number of connections: "),
    ] {
        let output = example("echo")?.args(arguments).output()?;
        assert_code(&output, 1);
        assert!(text(&output.stderr).starts_with(told), "{arguments:?}");
    }
    Ok(())
}

fn an_old_kernel_is_told_of(_: &Context) -> TestResult {
    let output = example("echo")?.args(["127.0.0.1:0", "0"]).output()?;
    assert_code(&output, 0);
    let mut child = example("echo")?
        .args(["127.0.0.1:0", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("it is piped")?);
    // It may have ended by then.
    drop(address(&mut stdout).map(TcpStream::connect)?);
    let output = child.wait_with_output()?;
    assert!(
        text(&output.stderr).contains("Invalid argument"),
        "{output:?}"
    );
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("echo");
    suite.takes_turns();
    suite
        .test("connections_are_echoed", connections_are_echoed)
        .needs([Feature::opcode(uring_sys::IORING_OP_SEND_ZC)])
        .refused_by(an_old_kernel_is_told_of);
    suite.test("what_is_no_address_is_told", what_is_no_address_is_told);
    suite
}
