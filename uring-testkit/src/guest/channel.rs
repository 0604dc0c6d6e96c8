//! The way records leave the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::{fixtures::raw_mode, records::Record};

/// How long lines are gathered before they are sent.
const PAUSE: Duration = Duration::from_millis(10);

/// A device that takes lines, and how many it took.
#[derive(Debug)]
pub(super) struct Channel {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    device: File,
    lines: usize,
}

impl Channel {
    pub(super) fn open(device: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().read(true).write(true).open(device);
        let file = file.map_err(|error| format!("{}: {error}", device.display()))?;
        raw_mode(&file).map_err(|error| format!("{}: {error}", device.display()))?;
        Ok(Self {
            state: Mutex::new(State {
                device: file,
                lines: 0,
            }),
        })
    }

    pub(super) fn send(&self, record: &Record) {
        self.send_line(format!("{record}\n").as_bytes());
    }

    /// Sends a line, which ends in a newline; a report that stops in the middle of one gets its newline here.
    fn send_line(&self, line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines += 1;
        let newline: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
        for part in [line, newline] {
            if let Err(error) = state.device.write_all(part) {
                eprintln!("error: the record channel: {error}");
            }
        }
    }

    /// Sends what is written to the pipe at `path`, until nobody has it open for writing any more.
    pub(super) fn forward(&self, path: &Path) -> std::io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.send_line(&line);
            line.clear();
            if reader.buffer().is_empty() {
                // Waking up for each line costs the tests more than the line does.
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Sends the last record and waits until it has left the machine.
    pub(super) fn finish(self, taint: &str) {
        let lines = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = lines.lines;
        drop(lines);
        self.send(&Record::Done {
            records: count,
            taint: taint.to_owned(),
        });
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // SAFETY: waiting for a device to send changes no memory.
        unsafe { libc::tcdrain(state.device.as_raw_fd()) };
    }
}

/// A pipe with a name, for one suite's report.
pub(super) fn make_pipe(path: &Path) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt as _;
    let _ = fs::remove_file(path);
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: a string that ends in a zero byte.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(format!(
            "{}: {}",
            path.display(),
            std::io::Error::last_os_error()
        )),
    }
}
