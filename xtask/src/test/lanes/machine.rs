//! One emulated machine: its disk, its first file system, its command line, its run.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Lane, archive::Archive, judge::Boot, reports::Plans};
use crate::kernels::Emulator;

/// How long a machine may be silent: longer than the guest lets one test hang.
const SILENCE: Duration = Duration::from_secs(700);
/// How long an emulated machine may take to its first record.
pub(super) const BOOT: Duration = Duration::from_secs(60);
/// The same without emulation, on a machine that may not be able to.
pub(super) const NATIVE_BOOT: Duration = Duration::from_secs(20);
pub(super) const EMULATED: &str = "tcg,thread=multi";
pub(super) const NATIVE: &str = "kvm";
const DISK_BYTES: u64 = 512 << 20;
/// A disk that is only memory has done a read before a test can look: this many bytes a second are a disk's.
const DISK_BYTES_READ_A_SECOND: u64 = 32 << 20;
/// The number of the disk's namespace; the names of devices follow the order in which they are found.
pub(super) const DISK_NAMESPACE: u32 = 1;
pub(super) const RAW_NAMESPACE: u32 = 2;
/// A namespace without a file system, for tests that want the device itself.
const RAW_BYTES: u64 = 64 << 20;
/// A namespace that keeps protection information beside each block, for nothing but tests of that.
pub(super) const PROTECTED_NAMESPACE: u32 = 4;
const PROTECTED_BYTES: u64 = 1 << 20;
/// Where records go: a serial port would take microseconds for each byte.
pub(super) const RECORDS_NAMESPACE: u32 = 3;
const RECORDS_BYTES: u64 = 64 << 20;
const RECORDS: &str = "records.jsonl";
const CONSOLE: &str = "console.log";
const MEMORY_MIB: u32 = 768;
/// What costs an emulator most and io_uring knows nothing of: more levels of page tables, checks at each access of the
/// kernel's to user memory, strings that are copied by the byte.
const CPU: &str = "max,-la57,-smap,-smep,-pku,-umip,-erms,-fsrm";
/// What kernels do against attackers, for accounts and for their only processor, which takes a quarter of the time of a run.
const FAST: &str = "mitigations=off init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off nokaslr noreplace-smp \
    lsm=capability audit=0 psi=0 cryptomgr.notests cgroup_disable=memory,pressure";

/// What a machine is to do.
#[derive(Debug)]
pub(super) struct Work {
    /// The first file system, as the kernel unpacks it.
    pub(super) archive: Vec<u8>,
    pub(super) plans: Plans,
    pub(super) plan_text: String,
}

impl Work {
    /// Nothing to report.
    pub(super) fn of(archive: Archive) -> Self {
        Self {
            archive: archive.finish(),
            plans: Plans::new(),
            plan_text: String::new(),
        }
    }
}

/// One emulated machine.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) lane: &'a Lane,
    pub(super) emulator: &'a Emulator,
    /// As QEMU calls it.
    pub(super) accelerator: &'static str,
    pub(super) cpus: usize,
    /// How long it may take to its first record.
    pub(super) patience: Duration,
}

/// Whether machines might run without emulation.
pub(super) fn has_native_device() -> bool {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
}

/// `6.12` of `6.12.107+deb13-cloud-amd64`.
pub(super) fn series_of(release: &str) -> String {
    let numbers = release.split(|c: char| !c.is_ascii_digit());
    numbers.take(2).collect::<Vec<_>>().join(".")
}

/// The release that a kernel's image says it is.
pub(super) fn release_of(image: &Path) -> Result<String> {
    // The boot protocol: the header's magic number, and where the text begins, counted from the second sector.
    const MAGIC: usize = 0x202;
    const POINTER: usize = 0x20e;
    const SECTOR: usize = 0x200;
    let bytes = fs::read(image).with_context(|| format!("{}", image.display()))?;
    let no_kernel = || format!("{} is no image of an x86 kernel", image.display());
    if bytes.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        bail!(no_kernel());
    }
    let pointer = [bytes[POINTER], bytes[POINTER + 1]];
    let text = bytes
        .get(usize::from(u16::from_le_bytes(pointer)) + SECTOR..)
        .with_context(no_kernel)?;
    let text = text.split(|byte| matches!(byte, 0 | b' ')).next();
    Ok(String::from_utf8_lossy(text.unwrap_or_default()).into_owned())
}

impl Machine<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.lane.dir.join(name)
    }

    /// QEMU with everything but the places that console and records go to.
    fn command(&self) -> Result<Command> {
        let mut command = self.emulator.command()?;
        let mut cpu = CPU.to_owned();
        if !self.emulator.is_sound() {
            // Old emulators get the flags of this instruction wrong.
            cpu.push_str(",-cx16");
        }
        let disk = format!(
            "file={},if=none,id=disk,format=raw,cache=unsafe,throttling.bps-read={DISK_BYTES_READ_A_SECOND}",
            self.file("disk").display()
        );
        let plain = |name: &str, file: &str| {
            format!(
                "file={},if=none,id={name},format=raw,cache=unsafe",
                self.file(file).display()
            )
        };
        command
            .args(["-M", "q35", "-accel", self.accelerator, "-cpu", &cpu])
            .args(["-smp", &self.cpus.to_string()])
            .args(["-m", &self.memory().to_string()])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-drive", &disk, "-drive", &plain("raw", "raw")])
            .args(["-drive", &plain("records", RECORDS)])
            .args(["-device", "nvme,id=nvme,serial=disk"])
            .args(["-device", &namespace(DISK_NAMESPACE, "disk")])
            .args(["-device", &namespace(RAW_NAMESPACE, "raw")])
            .args(["-device", &namespace(RECORDS_NAMESPACE, "records")])
            .args(["-drive", &plain("protected", "protected")])
            .args([
                "-device",
                &(namespace(PROTECTED_NAMESPACE, "protected") + ",ms=8,pi=1"),
            ])
            .arg("-kernel")
            .arg(&self.lane.image)
            .arg("-initrd")
            .arg(self.file("initrd"));
        Ok(command)
    }

    fn memory(&self) -> u32 {
        let fault = self.lane.fault.as_ref();
        fault.and_then(|fault| fault.memory).unwrap_or(MEMORY_MIB)
    }

    /// Warnings are shown: a kernel that is told to be quiet hides what a run is to find.
    fn boot_line(&self, interactive: bool) -> String {
        let level = if interactive { "quiet" } else { "loglevel=5" };
        let mut words = vec![
            "console=ttyS0",
            "panic=-1",
            "nvme.poll_queues=1",
            level,
            FAST,
        ];
        let fault = self.lane.fault.iter();
        words.extend(fault.flat_map(|fault| fault.boot.iter().map(String::as_str)));
        words.join(" ")
    }

    fn with_logs(&self) -> Result<Command> {
        let mut command = self.command()?;
        let console = format!("file:{}", self.file(CONSOLE).display());
        command.args(["-serial", &console, "-append", &self.boot_line(false)]);
        Ok(command)
    }

    /// The command that `run` starts, for people.
    pub(super) fn command_line(&self) -> Result<String> {
        Ok(format!("{:?}", self.with_logs()?))
    }

    fn prepare(&self, work: &Work) -> Result<()> {
        let dir = &self.lane.dir;
        fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
        File::create(self.file(CONSOLE))?;
        File::create(self.file(RECORDS))?.set_len(RECORDS_BYTES)?;
        fs::write(self.file("initrd"), &work.archive)?;
        File::create(self.file("raw"))?.set_len(RAW_BYTES)?;
        File::create(self.file("protected"))?.set_len(PROTECTED_BYTES)?;
        let disk = self.file("disk");
        File::create(&disk)?.set_len(DISK_BYTES)?;
        // A journal would be worth its time to nobody: the disk lives as long as the machine.
        let made = self
            .emulator
            .mkfs()?
            .args(["-q", "-F", "-O", "^has_journal"])
            .arg(&disk)
            .output()
            .context("starting mkfs.ext4")?;
        if !made.status.success() {
            bail!("mkfs.ext4: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(())
    }

    /// Runs the machine to its end; `look` is told how many records have come.
    pub(super) fn run(&self, work: &Work, look: impl Fn(usize)) -> Result<Boot> {
        self.prepare(work)?;
        let said = File::create(self.file("qemu.log"))?;
        let mut command = self.with_logs()?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let start = Instant::now();
        let mut child = command.spawn().context("starting QEMU")?;
        let mut records = Follower::open(&self.file(RECORDS), true)?;
        let mut console = Follower::open(&self.file(CONSOLE), false)?;
        let (mut last_sign, mut too_long) = (start, false);
        loop {
            let ended = child.try_wait()?.is_some();
            let more = [records.read()?, console.read()?];
            if more.contains(&true) {
                last_sign = Instant::now();
                look(records.lines());
            }
            if ended {
                break;
            }
            let late_boot = records.lines() == 0 && start.elapsed() > self.patience;
            if late_boot || last_sign.elapsed() > SILENCE {
                too_long = true;
                child.kill()?;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let records = records.text();
        // What is left of the disk is nothing to look at.
        let end = u64::try_from(records.len())?;
        File::options()
            .write(true)
            .open(self.file(RECORDS))?
            .set_len(end)?;
        Ok(Boot {
            records,
            console: console.text(),
            emulator: fs::read_to_string(self.file("qemu.log")).unwrap_or_default(),
            seconds: start.elapsed().as_secs_f64(),
            too_long,
        })
    }

    /// Runs the machine with its console on this terminal.
    pub(super) fn interactive(&self, work: &Work) -> Result<()> {
        self.prepare(work)?;
        println!("Ctrl-A X ends the machine\n");
        let mut command = self.command()?;
        command
            .args(["-serial", "mon:stdio"])
            .args(["-append", &self.boot_line(true)]);
        let status = command.status().context("starting QEMU")?;
        if !status.success() {
            bail!("QEMU ended with {status}");
        }
        Ok(())
    }

    /// Puts the logs of a boot that is repeated aside.
    pub(super) fn keep_logs(&self, boot: usize) -> Result<()> {
        for log in ["console.log", "records.jsonl", "qemu.log"] {
            fs::rename(self.file(log), self.file(&format!("boot-{boot}.{log}")))?;
        }
        Ok(())
    }

    /// Removes what is large and can be made again.
    pub(super) fn remove_disks(&self) {
        for name in ["disk", "raw", "protected", "initrd"] {
            // What stays is overwritten by the next run.
            let _ = fs::remove_file(self.file(name));
        }
    }
}

fn namespace(number: u32, drive: &str) -> String {
    format!("nvme-ns,bus=nvme,nsid={number},drive={drive}")
}

/// A file that is written from its beginning on.
#[derive(Debug)]
struct Follower {
    file: File,
    /// Whether it is long from the start, and zero where nothing was written yet.
    is_disk: bool,
    bytes: Vec<u8>,
    lines: usize,
}

impl Follower {
    fn open(path: &Path, is_disk: bool) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        Ok(Self {
            file,
            is_disk,
            bytes: Vec::new(),
            lines: 0,
        })
    }

    /// Whether there was something new.
    fn read(&mut self) -> Result<bool> {
        // The emulator truncates the console's file when it opens it.
        let known = self.bytes.len();
        self.file.seek(SeekFrom::Start(u64::try_from(known)?))?;
        let mut part = [0; 1 << 16];
        loop {
            let read = self.file.read(&mut part)?;
            let written = part[..read]
                .iter()
                .position(|byte| self.is_disk && *byte == 0);
            self.bytes.extend(&part[..written.unwrap_or(read)]);
            if read == 0 || written.is_some() {
                break;
            }
        }
        let new = self.bytes.len() > known;
        let newlines = self.bytes[known..].iter().filter(|byte| **byte == b'\n');
        self.lines += newlines.count();
        Ok(new)
    }

    fn lines(&self) -> usize {
        self.lines
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_is_the_two_first_numbers() {
        for (release, series) in [
            ("6.12.107+deb13-cloud-amd64", "6.12"),
            ("5.10.0-32-cloud-amd64", "5.10"),
            ("7.3-rc7", "7.3"),
        ] {
            assert_eq!(series_of(release), series);
        }
    }

    #[test]
    fn an_image_tells_its_release() {
        let path = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        let mut image = vec![0; 0x400];
        fs::write(&path, &image).unwrap();
        assert!(release_of(&path).is_err());
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x30d].copy_from_slice(b"6.1.176 (a@b)");
        fs::write(&path, &image).unwrap();
        assert_eq!(release_of(&path).unwrap(), "6.1.176");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_growing_file_is_followed() {
        let path = std::env::temp_dir().join(format!("xtask-follow-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        for (is_disk, zeros, text) in [(false, "\0", "a\nb\0c\n"), (true, "", "a\nbc\n")] {
            fs::write(&path, "").unwrap();
            let mut follower = Follower::open(&path, is_disk).unwrap();
            assert!(!follower.read().unwrap());
            fs::write(&path, "a\nb").unwrap();
            assert!(follower.read().unwrap());
            assert!(!follower.read().unwrap());
            fs::write(&path, format!("a\nb{zeros}c\n\0\0")).unwrap();
            assert!(follower.read().unwrap());
            assert!(!follower.read().unwrap());
            assert_eq!(follower.lines(), 2);
            assert!(follower.text().starts_with(text), "{is_disk}");
        }
        fs::remove_file(&path).unwrap();
    }
}
