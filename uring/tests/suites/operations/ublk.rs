//! A server of `ublk` that takes requests in batches: what multishot commands are for (Linux 7.0).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use uring::op::{CommandMultishot, EndReason, LargeCommand, RawEntry};
use uring::{Any, BufferLease, Builder, EntrySize, Fd, Ring, Token};
use uring_testkit::{Context, Facility, TestResult};

use crate::common;

pub(crate) const REQUIRES: [Facility; 2] = [Facility::PRIVILEGES, Facility::UBLK];

/// `UBLK_U_CMD_ADD_DEV` and what comes after it: `_IOWR('u', n, struct ublksrv_ctrl_cmd)`.
const ADD: u32 = 0xc020_7504;
const DELETE: u32 = 0xc020_7505;
const START: u32 = 0xc020_7506;
const STOP: u32 = 0xc020_7507;
const SET_PARAMETERS: u32 = 0xc020_7508;
/// `UBLK_U_IO_PREP_IO_CMDS` and what comes after it: `_IOWR('u', n, struct ublk_batch_io)`.
const PREPARE: u32 = 0xc010_7525;
const COMMIT: u32 = 0xc010_7526;
const FETCH: u32 = 0xc010_7527;
/// `UBLK_F_CMD_IOCTL_ENCODE` and `UBLK_F_BATCH_IO`.
const FLAGS: u64 = 1 << 6 | 1 << 15;
/// `UBLK_BATCH_F_HAS_BUF_ADDR`.
const WITH_ADDRESSES: u16 = 1 << 1;
/// `UBLK_BATCH_IO_UNUSED_TAG`.
const NO_TAG: u16 = u16::MAX;

const DEPTH: u16 = 4;
const REQUEST: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

fn address<T: ?Sized>(pointer: *const T) -> u64 {
    pointer.cast::<u8>().expose_provenance() as u64
}

/// The driver's own device, and the number of the one that was made through it.
struct Control {
    file: File,
    ring: Ring<Fd>,
    number: u32,
}

type Told = Token<LargeCommand<File, Vec<u8>>>;

impl Control {
    /// `argument` is what the command reads or fills in.
    fn push(&mut self, command: u32, argument: Vec<u8>, data: u64) -> TestResult<Told> {
        let mut bytes = [0; 80];
        bytes[..4].copy_from_slice(&self.number.to_ne_bytes());
        bytes[4..6].copy_from_slice(&u16::MAX.to_ne_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(argument.len())?.to_ne_bytes());
        bytes[8..16].copy_from_slice(&address(argument.as_ptr()).to_ne_bytes());
        bytes[16..24].copy_from_slice(&data.to_ne_bytes());
        // SAFETY: the argument is on the heap, and the operation keeps it.
        let command =
            unsafe { LargeCommand::new(self.file.try_clone()?, command, bytes, argument) };
        let token = self.ring.push(command)?;
        self.ring.submit()?;
        Ok(token)
    }

    fn call(&mut self, command: u32, argument: Vec<u8>) -> TestResult<Vec<u8>> {
        let token = self.push(command, argument, 0)?;
        let done = self.ring.wait(token)?;
        done.result?;
        Ok(done.memory)
    }

    /// Makes a device of 64 sectors, whose requests are of a page at most.
    fn add_device() -> TestResult<Control> {
        let mut control = Control {
            file: File::options()
                .read(true)
                .write(true)
                .open("/dev/ublk-control")?,
            ring: Builder::new(4).entry_size(EntrySize::Large).build()?,
            number: u32::MAX,
        };
        let request = u32::try_from(REQUEST)?;
        let mut info = vec![0; 64];
        info[..2].copy_from_slice(&1_u16.to_ne_bytes());
        info[2..4].copy_from_slice(&DEPTH.to_ne_bytes());
        info[8..12].copy_from_slice(&request.to_ne_bytes());
        info[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        info[24..32].copy_from_slice(&FLAGS.to_ne_bytes());
        let info = control.call(ADD, info)?;
        control.number = u32::from_ne_bytes(info[12..16].try_into()?);
        // The driver adds some of its own.
        let flags = u64::from_ne_bytes(info[24..32].try_into()?);
        assert_eq!(flags & FLAGS, FLAGS);
        let mut parameters = vec![0; 40];
        parameters[..4].copy_from_slice(&40_u32.to_ne_bytes());
        parameters[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        parameters[12..16].copy_from_slice(&[9, 12, 12, 9]);
        parameters[16..20].copy_from_slice(&(request >> 9).to_ne_bytes());
        parameters[24..32].copy_from_slice(&64_u64.to_ne_bytes());
        control.call(SET_PARAMETERS, parameters)?;
        Ok(control)
    }

    /// Opens the device's own file: its node may take a moment.
    fn open(&self) -> io::Result<File> {
        let path = format!("/dev/ublkc{}", self.number);
        let end = Instant::now() + PATIENCE;
        loop {
            match File::options().read(true).write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(1));
                }
                opened => return opened,
            }
        }
    }
}

/// The header that each command of a batch begins with, for the only queue.
fn header(flags: u16, elements: usize, element: u8) -> [u8; 16] {
    let mut header = [0; 16];
    header[2..4].copy_from_slice(&flags.to_ne_bytes());
    header[4..6].copy_from_slice(&u16::try_from(elements).unwrap_or(0).to_ne_bytes());
    header[6] = element;
    header
}

/// A request's tag, what it came to, and the memory for the next with that tag.
#[repr(C)]
#[derive(Clone, Copy)]
struct Element {
    tag: u16,
    buffer: u16,
    result: i32,
    address: u64,
}

/// What the kernel has written of requests, by tag: `struct ublksrv_io_desc`.
struct Requests(NonNull<[u32; 6]>);

impl Requests {
    const LEN: usize = 4096;

    fn of(device: &File) -> io::Result<Requests> {
        let (none, read) = (std::ptr::null_mut(), libc::PROT_READ);
        // SAFETY: a new mapping of the file.
        let start = unsafe {
            libc::mmap(
                none,
                Self::LEN,
                read,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start.cast()) {
            Some(requests) if start != libc::MAP_FAILED => Ok(Requests(requests)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// How many bytes the request reads or writes.
    fn bytes(&self, tag: u16) -> TestResult<i32> {
        // SAFETY: the mapping has one for each tag, and the kernel leaves this one alone until it is committed.
        let request = unsafe { self.0.add(usize::from(tag)).read_volatile() };
        Ok(i32::try_from(request[1])? * 512)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // SAFETY: the mapping that was made, which nobody else knows of.
        unsafe { libc::munmap(self.0.as_ptr().cast(), Self::LEN) };
    }
}

struct Server<'ring> {
    ring: &'ring mut Ring<Any>,
    device: File,
    requests: Requests,
    memory: Vec<[u8; REQUEST]>,
    batches: u32,
}

impl Server<'_> {
    /// Carries out a command on these elements.
    fn call(&mut self, command: u32, elements: &[Element]) -> TestResult<u32> {
        // SAFETY: an opcode that does nothing by itself; its memory is borrowed until it has completed.
        let entry = unsafe { RawEntry::new(uring_sys::IORING_OP_URING_CMD) };
        let mut bytes = entry
            .fd(self.device.as_raw_fd())
            .off(command.into())
            .addr(address(elements.as_ptr()))
            .to_bytes();
        let element = u8::try_from(size_of::<Element>())?;
        bytes[48..].copy_from_slice(&header(WITH_ADDRESSES, elements.len(), element));
        // SAFETY: as above; the memory of requests lives as long as the device is open.
        let entry = unsafe { RawEntry::from_bytes(bytes) };
        Ok(self.ring.call(entry)?.result()?)
    }

    fn element(&mut self, tag: u16, result: i32) -> Element {
        Element {
            tag,
            buffer: 0,
            result,
            address: address(self.memory[usize::from(tag)].as_mut_ptr()),
        }
    }

    fn prepare(&mut self) -> TestResult {
        let all: Vec<_> = (0..DEPTH).map(|tag| self.element(tag, 0)).collect();
        assert_eq!(self.call(PREPARE, &all)?, 0);
        Ok(())
    }

    /// Gives all requests of a batch back as done.
    fn serve(&mut self, batch: &BufferLease) -> TestResult {
        let tags = batch
            .chunks(2)
            .map(|tag| u16::from_ne_bytes([tag[0], tag[1]]));
        let mut done = Vec::new();
        for tag in tags.filter(|tag| *tag != NO_TAG) {
            let bytes = self.requests.bytes(tag)?;
            done.push(self.element(tag, bytes));
        }
        self.batches += 1;
        let committed = self.call(COMMIT, &done)?;
        assert_eq!(usize::try_from(committed)?, size_of_val(&done[..]));
        Ok(())
    }
}

pub(crate) fn batches(context: &Context) -> TestResult {
    let mut control = Control::add_device()?;
    let device = control.open()?;
    let mut ring = common::ring(context, 16)?;
    let buffers = ring.buffer_ring(4, 64)?;
    let mut server = Server {
        ring: &mut ring,
        requests: Requests::of(&device)?,
        device,
        memory: vec![[b'u'; REQUEST]; DEPTH.into()],
        batches: 0,
    };
    server.prepare()?;
    // SAFETY: the driver means it to be multishot; it points to nothing.
    let fetch = unsafe {
        let device = server.device.try_clone()?;
        CommandMultishot::new(device, FETCH, header(0, 0, 2), buffers, "kept")
    };
    let fetch = server.ring.push(fetch)?;
    server.ring.submit()?;
    let pid = u64::from(std::process::id());
    let mut starting = Some(control.push(START, Vec::new(), pid)?);
    let path = format!("/dev/ublkb{}", control.number);
    let mut reader: Option<thread::JoinHandle<io::Result<Vec<u8>>>> = None;
    let mut stopping = None;
    let end = Instant::now() + PATIENCE;
    while stopping.is_none() {
        assert!(Instant::now() < end, "the device is stuck");
        while let Some(batch) = server.ring.take_item(&fetch) {
            server.serve(&batch)?;
        }
        if let Some(token) = starting.take() {
            match control.ring.take(token) {
                Ok(started) => {
                    started.result?;
                    let path = path.clone();
                    reader = Some(thread::spawn(move || {
                        let mut read = vec![0; 4 * REQUEST];
                        File::open(path)?.read_exact(&mut read)?;
                        Ok(read)
                    }));
                }
                Err(token) => starting = Some(token),
            }
        }
        if reader.as_ref().is_some_and(thread::JoinHandle::is_finished) {
            let read = reader.take().ok_or("it is there")?.join();
            let read = read.map_err(|_| "the reader panicked")??;
            assert!(read.iter().all(|byte| *byte == b'u'));
            stopping = Some(control.push(STOP, Vec::new(), 0)?);
        }
        let _ = server
            .ring
            .submit_and_wait_timeout(1, Duration::from_millis(1));
    }
    assert!(server.batches > 0);
    while let Some(batch) = server.ring.wait_item(&fetch)? {
        server.serve(&batch)?;
    }
    let ended = server.ring.wait(fetch)?;
    match ended.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::ENODEV)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ended.op.into_parts().1, "kept");
    if let Some(stopping) = stopping {
        control.ring.wait(stopping)?.result?;
    }
    // What is open of it the deletion waits for.
    drop(server);
    control.call(DELETE, Vec::new())?;
    Ok(())
}
