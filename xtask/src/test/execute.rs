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

/// How often is looked at what a running program has printed.
const LOOK: Duration = Duration::from_millis(250);

/// Runs `command` to its end, or to the limit; standard output and error go to `log` in the order they are written.
///
/// While it runs, `look` is called with what it has printed so far.
pub(super) fn logged(command: &mut Command, log: &Path, look: impl Fn(&str)) -> Result<Ran> {
    let file = File::create(log).with_context(|| format!("{}", log.display()))?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let mut too_long = false;
    let mut looked = start;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !too_long && start.elapsed() > LIMIT {
            too_long = true;
            child.kill()?;
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            look(&text(log)?);
        }
        thread::sleep(Duration::from_millis(5));
    };
    Ok(Ran {
        status,
        output: text(log)?,
        time: start.elapsed(),
        too_long,
    })
}

fn text(log: &Path) -> Result<String> {
    let bytes = fs::read(log).with_context(|| format!("{}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, env};

    use super::*;

    #[test]
    fn what_is_printed_is_seen_while_it_runs() {
        let log = env::temp_dir().join(format!("xtask-execute-{}", std::process::id()));
        let seen = RefCell::new(String::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo early; sleep 1; echo late >&2; exit 3"]);
        let ran = logged(&mut command, &log, |text| {
            seen.replace(text.to_owned()).clear()
        })
        .unwrap();
        fs::remove_file(&log).unwrap();
        assert_eq!(*seen.borrow(), "early\n");
        assert_eq!(ran.output, "early\nlate\n");
        assert_eq!(ran.status.code(), Some(3));
        assert!(!ran.too_long);
    }
}
