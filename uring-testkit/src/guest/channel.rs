//! The way records leave the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{RecordingBuffer, fixtures::raw_mode, records::Record};

/// How long lines are gathered before they are sent.
const PAUSE: Duration = Duration::from_millis(10);

/// A device that takes lines, and how many it took.
#[derive(Debug)]
pub(super) struct Channel {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    device: Device,
    /// What is to be sent together.
    gathered: Vec<u8>,
    lines: usize,
}

/// Where lines go.
#[derive(Debug)]
enum Device {
    /// One byte after the other.
    Stream(File),
    /// From the beginning of a disk on, up to a byte that is zero.
    Disk(Disk),
}

#[derive(Debug)]
struct Disk {
    file: File,
    /// The first block that is not full, at its place.
    place: u64,
    /// What of that block is taken.
    taken: usize,
    /// Begins with that block.
    blocks: RecordingBuffer,
}

/// What a disk is written in.
const BLOCK: usize = 4096;
/// How much is written at a time.
const BLOCKS: usize = 16 * BLOCK;

impl Device {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if fs::metadata(path)?.file_type().is_block_device() {
            return Ok(Self::Disk(Disk {
                file: options.custom_flags(libc::O_DIRECT).open(path)?,
                place: 0,
                taken: 0,
                blocks: RecordingBuffer::new(BLOCKS)?.0,
            }));
        }
        let file = options.open(path)?;
        raw_mode(&file)?;
        Ok(Self::Stream(file))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(file) => file.write_all(bytes),
            Self::Disk(disk) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(BLOCKS - disk.taken));
                    disk.write(now)?;
                    rest = later;
                }
                Ok(())
            }
        }
    }
}

impl Disk {
    /// As much as fits the blocks, which is on the disk afterwards.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.taken + bytes.len();
        self.blocks[self.taken..end].copy_from_slice(bytes);
        let written = end.next_multiple_of(BLOCK);
        self.blocks[end..written].fill(0);
        self.file
            .write_all_at(&self.blocks[..written], self.place)?;
        let full = end - end % BLOCK;
        self.blocks.copy_within(full..end, 0);
        self.place += full as u64;
        self.taken = end - full;
        Ok(())
    }
}

impl State {
    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.gathered.extend_from_slice(line);
        // A report that stops in the middle of a line gets its newline here.
        if !line.ends_with(b"\n") {
            self.gathered.push(b'\n');
        }
    }

    fn send(&mut self) {
        if let Err(error) = self.device.write(&self.gathered) {
            eprintln!("error: the record channel: {error}");
        }
        self.gathered.clear();
    }
}

impl Channel {
    pub(super) fn open(device: &Path) -> Result<Self, String> {
        let opened = Device::open(device);
        Ok(Self {
            state: Mutex::new(State {
                device: opened.map_err(|error| format!("{}: {error}", device.display()))?,
                gathered: Vec::new(),
                lines: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn send(&self, record: &Record) {
        let mut state = self.state();
        state.add(format!("{record}\n").as_bytes());
        state.send();
    }

    /// Sends what is written to the pipe at `path`, until nobody has it open for writing any more.
    pub(super) fn forward(&self, path: &Path) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.state().add(&line);
            line.clear();
            if reader.buffer().is_empty() {
                self.state().send();
                // Waking up for each line costs the tests more than the line does.
                thread::sleep(PAUSE);
            }
        }
        self.state().send();
        Ok(())
    }

    /// Sends the last record and waits until it has left the machine.
    pub(super) fn finish(self, taint: &str) {
        let records = self.state().lines;
        self.send(&Record::Done {
            records,
            taint: taint.to_owned(),
        });
        if let Device::Stream(file) = &self.state().device {
            // SAFETY: waiting for a device to send changes no memory.
            unsafe { libc::tcdrain(file.as_raw_fd()) };
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::TempDir;

    #[test]
    fn a_disk_holds_every_line_in_order() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("disk");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        let mut device = Device::Disk(Disk {
            file,
            place: 0,
            taken: 0,
            blocks: RecordingBuffer::new(BLOCKS).unwrap().0,
        });
        let mut written = Vec::new();
        for length in [1, BLOCK - 1, 1, 3 * BLOCK, BLOCKS - 1, 2 * BLOCKS, 5] {
            let line = vec![b'a' + u8::try_from(length % 7).unwrap(); length];
            device.write(&line).unwrap();
            written.extend(line);
            let disk = fs::read(&path).unwrap();
            assert_eq!(disk.len() % BLOCK, 0);
            let (text, rest) = disk.split_at(written.len());
            assert!(text == written, "after {length} more");
            assert!(rest.iter().all(|byte| *byte == 0));
        }
    }
}
