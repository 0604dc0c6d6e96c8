//! What Linux 6.5 to 6.9 want of ring memory, asked for on other kernels: no lane has one of those.
//!
//! They pin the memory that a ring is given (`IORING_SETUP_NO_MMAP`) and refuse queues of several pages with `EINVAL` unless all of
//! them lie in one huge page. Here a seccomp filter hands each `io_uring_setup` to a supervisor that decides by the same rule.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::mpsc;
use std::thread;

use uring_sys::io_uring_params;

const PAGE: u64 = 4096;
const HUGE_PAGE: u64 = 2 << 20;

/// Runs `body` in a new thread for which, and for whose threads, the kernel wants ring memory physically contiguous.
pub(crate) fn with_contiguous_memory_wanted<T: Send>(
    body: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let (sender, listener) = mpsc::channel();
        let worker = scope.spawn(move || {
            let installed = install();
            let works = installed.is_ok();
            // The receiver waits for it.
            let _ = sender.send(installed);
            works.then(body)
        });
        let listener = listener.recv().map_err(io::Error::other)??;
        supervise(&listener)?;
        match worker.join() {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(io::Error::other("the filter was not installed")),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    })
}

/// Makes the calling thread's `io_uring_setup` wait for what is decided through the descriptor.
fn install() -> io::Result<OwnedFd> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let setup = u32::try_from(libc::SYS_io_uring_setup).map_err(io::Error::other)?;
    let mut program = [
        step(LOAD, 0, 0, 0),
        step(JUMP_IF_EQUAL, setup, 0, 1),
        step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: an option of this thread alone.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program is alive and as long as said, and the kernel copies it.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        )
    };
    if listener == -1 {
        return Err(io::Error::last_os_error());
    }
    let listener = i32::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: the descriptor was just made and is known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Decides about each call until the last thread with the filter has ended.
fn supervise(listener: &OwnedFd) -> io::Result<()> {
    loop {
        let mut ready = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor to poll, exclusively borrowed.
        if unsafe { libc::poll(&raw mut ready, 1, -1) } == -1 {
            return Err(io::Error::last_os_error());
        }
        if ready.revents & libc::POLLIN == 0 {
            return Ok(());
        }
        match decide(listener) {
            // The call was interrupted meanwhile, by work for its thread, and will be made again.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            decided => decided?,
        }
    }
}

/// Takes one call and answers it.
fn decide(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: numbers, for which all zeroes are valid, and which the kernel wants to be zero.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let receive = libc::SECCOMP_IOCTL_NOTIF_RECV;
    // SAFETY: the command fills in the structure that it is for.
    if unsafe { libc::ioctl(listener.as_raw_fd(), receive, &raw mut call) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = libc::seccomp_notif_resp {
        id: call.id,
        val: 0,
        error: 0,
        flags: 0,
    };
    if is_refused(&call.data.args)? {
        answer.error = -libc::EINVAL;
    } else {
        answer.flags =
            u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
    }
    let send = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // SAFETY: the command reads the structure that it is for.
    match unsafe { libc::ioctl(listener.as_raw_fd(), send, &raw mut answer) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether those kernels would refuse a setup with these arguments for its memory.
fn is_refused(arguments: &[u64; 6]) -> io::Result<bool> {
    let params = std::ptr::with_exposed_provenance::<io_uring_params>(
        usize::try_from(arguments[1]).map_err(io::Error::other)?,
    );
    if params.is_null() {
        return Ok(false);
    }
    // SAFETY: the calling thread is of this process and has lent the structure to a system call in which it waits, or from
    // which it may be called back to make it again, with the structure where it was.
    let params = unsafe { params.read() };
    let has = |flag: u32| params.flags & flag != 0;
    // Memory at 0 is that of a trial call, which gets its usual answer.
    let given = [params.sq_off.user_addr, params.cq_off.user_addr];
    if !has(uring_sys::IORING_SETUP_NO_MMAP) || given.contains(&0) {
        return Ok(false);
    }
    let entries = arguments[0].next_power_of_two();
    let completions = if has(uring_sys::IORING_SETUP_CQSIZE) {
        u64::from(params.cq_entries).next_power_of_two()
    } else {
        2 * entries
    };
    let entry_size = 64 << u64::from(has(uring_sys::IORING_SETUP_SQE128));
    let completion_size = 16 << u64::from(has(uring_sys::IORING_SETUP_CQE32));
    // The completions follow a header of at least this size.
    let rings = 64 + completions * completion_size;
    for (start, length) in [(given[0], entries * entry_size), (given[1], rings)] {
        let in_one = |page: u64| start / page == (start + length - 1) / page;
        let contiguous = in_one(PAGE) || in_one(HUGE_PAGE) && is_in_huge_pages(start)?;
        if !contiguous {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_in_huge_pages(address: u64) -> io::Result<bool> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let holds = |line: &&str| {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        range.is_some_and(|(start, end)| {
            let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
            (number(start)..number(end)).contains(&address)
        })
    };
    let mapping = maps.lines().find(holds);
    Ok(mapping.is_some_and(|line| line.contains("anon_hugepage")))
}
