//! A ring with nothing but `uring-sys`: set up, mapped, a NOP and a read submitted in one call, both results printed.
//!
//! ```text
//! cargo run -p uring-sys --example nop_and_read [FILE]
//! ```

use std::{
    env,
    error::Error,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    process::ExitCode,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use uring_sys::{
    IORING_ENTER_GETEVENTS, IORING_FEAT_SINGLE_MMAP, IORING_OFF_SQ_RING, IORING_OFF_SQES,
    IORING_OP_NOP, IORING_OP_READ, io_uring_cqe, io_uring_enter, io_uring_params, io_uring_setup,
    io_uring_sqe,
};

const NOP: u64 = 1;
const READ: u64 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nop_and_read: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"),
        PathBuf::from,
    );
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut ring = Ring::new(2)?;
    let mut buffer = [0_u8; 64];

    ring.push(io_uring_sqe {
        opcode: IORING_OP_NOP,
        user_data: NOP,
        ..Default::default()
    });
    let mut read = io_uring_sqe {
        opcode: IORING_OP_READ,
        fd: file.as_raw_fd(),
        len: u32::try_from(buffer.len())?,
        user_data: READ,
        ..Default::default()
    };
    read.anon_1.off = 0;
    read.anon_2.addr = u64::try_from(buffer.as_mut_ptr().expose_provenance())?;
    ring.push(read);

    // SAFETY: the file and the buffer outlive both completions, which this call waits for.
    unsafe { ring.submit_and_wait(2)? };
    for _ in 0..2 {
        let cqe = ring
            .pop()
            .ok_or("the kernel counted two completions and posted fewer")?;
        let result = match u32::try_from(-cqe.res) {
            Ok(errno) if errno != 0 => Err(io::Error::from_raw_os_error(-cqe.res)),
            _ => Ok(usize::try_from(cqe.res)?),
        };
        match cqe.user_data {
            NOP => println!("nop: {}", result.map_err(|error| format!("nop: {error}"))?),
            READ => {
                let length =
                    result.map_err(|error| format!("reading {}: {error}", path.display()))?;
                println!(
                    "read: {length} bytes: {:?}",
                    String::from_utf8_lossy(&buffer[..length])
                );
            }
            other => {
                return Err(format!("a completion for {other}, which was not submitted").into());
            }
        }
    }
    Ok(())
}

/// A ring and its two mappings.
struct Ring {
    params: io_uring_params,
    queues: Mapping,
    entries: Mapping,
    fd: OwnedFd,
}

impl Ring {
    fn new(entries: u32) -> Result<Self, Box<dyn Error>> {
        let mut params = io_uring_params::default();
        // SAFETY: `params` is a valid block that names no memory.
        let fd = unsafe { io_uring_setup(entries, &raw mut params) }.map_err(|errno| {
            format!("io_uring_setup: {errno}; EPERM and ENOSYS mean that io_uring is switched off for this process")
        })?;
        // SAFETY: the descriptor was just made and is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd)?) };
        if params.features & IORING_FEAT_SINGLE_MMAP == 0 {
            return Err(
                "this kernel maps its two rings separately: Linux 5.4 or newer is needed".into(),
            );
        }
        let sq_end = bytes(params.sq_off.array, params.sq_entries, size_of::<u32>())?;
        let cq_end = bytes(
            params.cq_off.cqes,
            params.cq_entries,
            size_of::<io_uring_cqe>(),
        )?;
        let queues = Mapping::new(&fd, sq_end.max(cq_end), IORING_OFF_SQ_RING)?;
        let entries = Mapping::new(
            &fd,
            bytes(0, params.sq_entries, size_of::<io_uring_sqe>())?,
            IORING_OFF_SQES,
        )?;
        Ok(Self {
            params,
            queues,
            entries,
            fd,
        })
    }

    /// Puts an entry at the tail; there are no more than fit in this program.
    fn push(&mut self, sqe: io_uring_sqe) {
        let off = self.params.sq_off;
        let tail = self.queues.atomic(off.tail);
        let position = tail.load(Ordering::Relaxed);
        let index = position & self.queues.atomic(off.ring_mask).load(Ordering::Relaxed);
        // SAFETY: a masked index is within both arrays, and the kernel reads neither at `index` before the tail moves.
        unsafe {
            self.entries
                .address
                .cast::<io_uring_sqe>()
                .add(index as usize)
                .write(sqe);
            self.queues
                .address
                .byte_add(off.array as usize)
                .cast::<u32>()
                .add(index as usize)
                .write(index);
        }
        tail.store(position.wrapping_add(1), Ordering::Release);
    }

    /// # Safety
    ///
    /// What the pushed entries point to stays valid until their completions.
    unsafe fn submit_and_wait(&mut self, count: u32) -> Result<(), Box<dyn Error>> {
        let fd = u32::try_from(self.fd.as_raw_fd())?;
        // SAFETY: there is no argument, and the caller answers for the entries.
        let submitted =
            unsafe { io_uring_enter(fd, count, count, IORING_ENTER_GETEVENTS, ptr::null(), 0) }
                .map_err(|errno| format!("io_uring_enter: {errno}"))?;
        if submitted == count {
            Ok(())
        } else {
            Err(format!("io_uring_enter took {submitted} of {count} entries").into())
        }
    }

    fn pop(&mut self) -> Option<io_uring_cqe> {
        let off = self.params.cq_off;
        let head = self.queues.atomic(off.head);
        let position = head.load(Ordering::Relaxed);
        if position == self.queues.atomic(off.tail).load(Ordering::Acquire) {
            return None;
        }
        let index = position & self.queues.atomic(off.ring_mask).load(Ordering::Relaxed);
        // SAFETY: a masked index is within the array, and the kernel wrote the completion before it moved the tail.
        let cqe = unsafe {
            self.queues
                .address
                .byte_add(off.cqes as usize)
                .cast::<io_uring_cqe>()
                .add(index as usize)
                .read()
        };
        head.store(position.wrapping_add(1), Ordering::Release);
        Some(cqe)
    }
}

/// Ring memory that the kernel made.
struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(fd: &OwnedFd, length: usize, offset: u64) -> Result<Self, Box<dyn Error>> {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                libc::off_t::try_from(offset)?,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(format!("mapping the ring: {}", io::Error::last_os_error()).into());
        }
        Ok(Self {
            address: NonNull::new(address.cast()).ok_or("the ring was mapped at address zero")?,
            length,
        })
    }

    /// A word that the kernel and this program share.
    fn atomic(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of an aligned word within the mapping, which lives as long as `self`.
        unsafe {
            self.address
                .byte_add(offset as usize)
                .cast::<AtomicU32>()
                .as_ref()
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and no reference into it outlives it.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

fn bytes(offset: u32, count: u32, size: usize) -> Result<usize, Box<dyn Error>> {
    Ok(usize::try_from(offset)? + usize::try_from(count)? * size)
}
