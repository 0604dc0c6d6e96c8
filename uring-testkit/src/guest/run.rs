//! The suites, one after the other.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::{Command, ExitStatus},
    thread,
    time::Instant,
};

use super::{
    channel::{self, Channel},
    machine,
    settings::{Program, Settings},
};
use crate::{isolate, records::Record};

/// Where a suite writes its records.
const REPORT: &str = "/tmp/report";

pub(super) fn suites(settings: &Settings, channel: &Channel) -> Result<(), String> {
    if let Some(shell) = &settings.shell {
        let status = command(shell, settings).status();
        return status
            .map(drop)
            .map_err(|error| format!("{}: {error}", shell.path.display()));
    }
    for program in &settings.suites {
        suite(program, settings, channel)?;
    }
    Ok(())
}

fn command(program: &Program, settings: &Settings) -> Command {
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env("PATH", "/bin")
        .env("TMPDIR", "/tmp")
        .envs(settings.environment.iter().cloned());
    if settings.disk.is_some() {
        command.env("URING_TEST_DIR", machine::DISK);
    }
    command
}

fn suite(program: &Program, settings: &Settings, channel: &Channel) -> Result<(), String> {
    let name = program.path.display().to_string();
    let fail = |error: std::io::Error| format!("{name}: {error}");
    let report = Path::new(REPORT);
    channel::make_pipe(report)?;
    channel.send(&Record::Begin {
        program: name.clone(),
    });
    let start = Instant::now();
    let (status, late) = thread::scope(|scope| {
        let forward = scope.spawn(|| channel.forward(report));
        // Holding the pipe open keeps the reader from taking the time before the suite opens it for the end.
        let held = OpenOptions::new().write(true).open(report).map_err(fail)?;
        let mut command = command(program, settings);
        let ended = settings
            .conditions
            .become_user(&mut command, report)
            .and_then(|()| execute(command.env("URING_REPORT", report), settings));
        drop(held);
        let forwarded = forward.join().unwrap_or(Ok(()));
        let ended = ended.map_err(fail)?;
        forwarded.map_err(fail)?;
        Ok::<_, String>(ended)
    })?;
    machine::reap_orphans();
    let mut ended = format!("{status}");
    if late {
        ended = format!("ended after {:?}", settings.limit);
    }
    channel.send(&Record::Exit {
        program: name.clone(),
        status: ended,
        time: start.elapsed(),
    });
    Ok(())
}

/// Runs it to its end or to the limit, and says whether it was the limit.
fn execute(command: &mut Command, settings: &Settings) -> std::io::Result<(ExitStatus, bool)> {
    let mut child = command.spawn()?;
    let number = i32::try_from(child.id()).map_err(std::io::Error::other)?;
    let in_time = isolate::wait(number, settings.limit)?;
    if !in_time {
        // The kernel shows on its console where blocked tasks are; what it cannot show must not keep the suite alive.
        let _ = fs::write("/proc/sys/kernel/printk", "7");
        let _ = fs::write("/proc/sysrq-trigger", "w");
        child.kill()?;
    }
    Ok((child.wait()?, !in_time))
}
