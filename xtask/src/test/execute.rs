//! Running a program with its output in a file.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// How long one binary may take. Its tests have limits of their own; this one ends what they do not.
const LIMIT: Duration = Duration::from_secs(900);

/// What a program left.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    pub(super) time: Duration,
    /// Set if it was ended for taking too long.
    pub(super) too_long: bool,
}

/// Runs `command` to its end, or to the limit; standard output and error go to `log` in the order they are written.
pub(super) fn logged(command: &mut Command, log: &Path) -> Result<Ran> {
    let file = File::create(log).with_context(|| format!("{}", log.display()))?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let mut too_long = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !too_long && start.elapsed() > LIMIT {
            too_long = true;
            child.kill()?;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = fs::read(log).with_context(|| format!("{}", log.display()))?;
    Ok(Ran {
        status,
        output: String::from_utf8_lossy(&output).into_owned(),
        time: start.elapsed(),
        too_long,
    })
}
