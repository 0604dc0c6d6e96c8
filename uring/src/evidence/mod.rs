//! Finds out why the kernel refused, after it did.
//!
//! Nothing here runs unless a call has failed. What is read is closed again, and the trial calls neither make a ring nor
//! change one.

mod host;
mod resources;

use std::ptr;

use uring_sys as sys;
use uring_sys::Errno;

use self::host::Host;
use crate::capabilities::Capabilities;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::syscall::{self, Name};

/// The most entries that `io_uring_setup` gives a submission queue, and a completion queue.
const MAX_ENTRIES: u32 = 32768;
const MAX_COMPLETIONS: u32 = 2 * MAX_ENTRIES;

/// Explains a failed `io_uring_setup` with these parameters.
pub(crate) fn setup_failed(errno: Errno, entries: u32, params: &sys::io_uring_params) -> Error {
    let flags = SetupFlags::from_bits_retain(params.flags);
    let hint = match errno {
        Errno::EINVAL => entry_count(entries, params).or_else(|| {
            Capabilities::get()
                .ok()
                .and_then(|kernel| kernel.missing(flags))
        }),
        Errno::EBUSY if flags.contains(SetupFlags::REGISTERED_FD_ONLY) => Some(Hint::SlotsTaken),
        _ => setup_refusal(errno, flags, &Host::observe(), bare_setup),
    };
    explained(Error::sys(Call::Setup, errno), hint)
}

/// Explains a failed `io_uring_register` of a ring.
pub(crate) fn register_failed(name: Name, opcode: u32, errno: Errno) -> Error {
    let hint = match errno {
        Errno::EBUSY if opcode == sys::IORING_REGISTER_RING_FDS => Some(Hint::SlotsTaken),
        Errno::EINVAL if opcode == sys::IORING_REGISTER_RING_FDS && lacks_ring_fds(name) => {
            Some(NO_RING_FDS)
        }
        Errno::EINVAL => {
            unreachable_for_register(name, errno).or_else(|| resources::missing(name, opcode))
        }
        Errno::EEXIST | Errno::EBADF | Errno::EOPNOTSUPP => unreachable_for_register(name, errno),
        // It asks for a privilege.
        Errno::EPERM if opcode == sys::IORING_REGISTER_ZCRX_IFQ => None,
        _ => register_refusal(errno, &Host::observe(), || bare_register(opcode))
            .or_else(|| (errno == Errno::EACCES).then_some(Hint::Restricted)),
    };
    explained(Error::sys(Call::register(opcode), errno), hint)
}

/// Explains a failed `IORING_REGISTER_RING_FDS`.
pub(crate) fn register_ring_fd_failed(name: Name, errno: Errno) -> Error {
    register_failed(name, sys::IORING_REGISTER_RING_FDS, errno)
}

/// Explains a failed `io_uring_register` without a ring.
pub(crate) fn blind_register_failed(opcode: u32, errno: Errno) -> Error {
    let hint = register_refusal(errno, &Host::observe(), || bare_register(opcode));
    explained(Error::sys(Call::register(opcode), errno), hint)
}

/// Explains why the calling thread may not restrict itself.
pub(crate) fn thread_refused(opcode: u32, errno: Errno) -> Error {
    let error = blind_register_failed(opcode, errno);
    // SAFETY: the call reads an attribute of the thread.
    let may_gain = || unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 0;
    let hint = match (error.hint(), errno) {
        (None, Errno::EACCES) if Host::observe().is_no_administrator() && may_gain() => {
            Hint::MayGainPrivileges
        }
        (None, Errno::EACCES) => Hint::Restricted,
        (None, Errno::EPERM) => {
            Hint::contradiction(&"this thread has restrictions or filters already")
        }
        _ => return error,
    };
    error.with_hint(hint)
}

/// Explains a failed `IORING_REGISTER_SEND_MSG_RING`, which is called without a ring.
pub(crate) fn send_message_failed(errno: Errno) -> Error {
    let opcode = sys::IORING_REGISTER_SEND_MSG_RING;
    if errno == Errno::EINVAL {
        // The argument is right, so it is the opcode that the kernel does not take.
        let evidence = &"io_uring_register refuses IORING_REGISTER_SEND_MSG_RING";
        let hint = Hint::needs_linux(6, 13, evidence);
        return Error::sys(Call::register(opcode), errno).with_hint(hint);
    }
    blind_register_failed(opcode, errno)
}

/// Explains a failed `io_uring_enter` of a ring.
pub(crate) fn enter_failed(name: Name, errno: Errno) -> Error {
    let hint = match errno {
        Errno::EINTR => Some(Hint::Interrupted),
        Errno::EBUSY => Some(Hint::CompletionsWaiting),
        Errno::EAGAIN => Some(Hint::OutOfRequests),
        Errno::EEXIST => Some(Hint::SingleIssuer),
        Errno::EBADFD => Some(Hint::NotEnabled),
        Errno::EOWNERDEAD => Some(Hint::SubmissionThreadDied),
        Errno::EBADF | Errno::EINVAL | Errno::EOPNOTSUPP => unreachable_for_enter(name),
        Errno::ENOSYS | Errno::EPERM | Errno::EACCES => {
            register_refusal(errno, &Host::observe(), bare_enter)
        }
        _ => None,
    };
    explained(Error::sys(Call::Enter, errno), hint)
}

/// Explains a failed `io_uring_enter` that waits on terms of its own, with these flags for them.
pub(crate) fn wait_failed(name: Name, errno: Errno, flags: u32) -> Error {
    let error = enter_failed(name, errno);
    let absolute = flags & sys::IORING_ENTER_ABS_TIMER != 0;
    if errno != Errno::EINVAL || error.hint().is_some() || !absolute {
        return error;
    }
    // SAFETY: nothing is submitted and no argument passed.
    let tried = unsafe { syscall::enter(name, 0, 0, sys::IORING_ENTER_ABS_TIMER, ptr::null(), 0) };
    if tried == Err(Errno::EINVAL) {
        let evidence = &"io_uring_enter refuses IORING_ENTER_ABS_TIMER";
        return error.with_hint(Hint::needs_linux(6, 12, evidence));
    }
    error
}

/// Whether a register opcode that reads its argument first is refused as such: where it is known, an address that cannot be read answers
/// EFAULT.
pub(crate) fn lacks_register(name: Name, opcode: u32, count: u32) -> bool {
    let unreadable = ptr::without_provenance_mut(8);
    // SAFETY: nothing can be registered, as the kernel cannot read the argument: no program has its first page mapped.
    let tried = unsafe { syscall::register(name, opcode, unreadable, count) };
    tried == Err(Errno::EINVAL)
}

const NO_RING_FDS: Hint =
    Hint::needs_linux(5, 18, &"io_uring_register refuses IORING_REGISTER_RING_FDS");

fn explained(error: Error, hint: Option<Hint>) -> Error {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn entry_count(entries: u32, params: &sys::io_uring_params) -> Option<Hint> {
    let flags = SetupFlags::from_bits_retain(params.flags);
    let wrong =
        |asked: u32, most: u32| asked == 0 || (asked > most && !flags.contains(SetupFlags::CLAMP));
    if wrong(entries, MAX_ENTRIES) {
        return Some(Hint::EntryCount { asked: entries });
    }
    let asked = params.cq_entries;
    (flags.contains(SetupFlags::CQSIZE) && wrong(asked, MAX_COMPLETIONS))
        .then_some(Hint::EntryCount { asked })
}

/// Why this thread may make no ring. `bare` makes the call without anything that could be refused by itself.
fn setup_refusal(
    errno: Errno,
    flags: SetupFlags,
    host: &Host,
    bare: impl Fn() -> Option<Errno>,
) -> Option<Hint> {
    match errno {
        Errno::EPERM if host.disabled_by_sysctl() => by_sysctl(host),
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS if bare() == Some(errno) => {
            match (host.filtered?, errno) {
                (true, _) => Some(Hint::SeccompFilter),
                (false, Errno::ENOSYS) => Some(Hint::NotBuilt),
                // The sysctl looks at capabilities in the initial user namespace, which may not be this thread's.
                (false, Errno::EPERM) if matches!(host.disabled, Some(1..)) => by_sysctl(host),
                (false, _) => Some(Hint::SecurityPolicy),
            }
        }
        Errno::EPERM
            if flags.contains(SetupFlags::SQPOLL) && host.lacks_submission_thread_privilege() =>
        {
            Some(Hint::SubmissionThreadPrivilege)
        }
        _ => limit(errno, host),
    }
}

/// Why this thread may not make a call that is always allowed once rings are. `bare` makes it without a ring.
fn register_refusal(errno: Errno, host: &Host, bare: impl Fn() -> Option<Errno>) -> Option<Hint> {
    match errno {
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS => {
            if bare() != Some(errno) {
                return None;
            }
            match (host.filtered?, errno) {
                (true, _) => Some(Hint::SeccompFilter),
                (false, Errno::ENOSYS) => Some(Hint::NotBuilt),
                (false, _) => None,
            }
        }
        _ => limit(errno, host),
    }
}

fn by_sysctl(host: &Host) -> Option<Hint> {
    let group = host.group;
    host.disabled
        .map(|value| Hint::DisabledBySysctl { value, group })
}

fn limit(errno: Errno, host: &Host) -> Option<Hint> {
    match errno {
        Errno::ENOMEM => host.memory_limit().map(|limit| Hint::Memlock { limit }),
        Errno::EMFILE => host
            .descriptors
            .map(|limit| Hint::DescriptorLimit { limit }),
        _ => None,
    }
}

/// Whether the opcode is refused as such: where it is known, an array at address 0 answers EFAULT.
fn lacks_ring_fds(name: Name) -> bool {
    // SAFETY: nothing can be registered, as the kernel cannot read the argument.
    let tried =
        unsafe { syscall::register(name, sys::IORING_REGISTER_RING_FDS, ptr::null_mut(), 1) };
    tried == Err(Errno::EINVAL)
}

/// Whether a name still leads to a ring that takes register calls from this thread.
///
/// The errno that is to be explained may as well be about the call's arguments, so a call without any is tried.
fn unreachable_for_register(name: Name, errno: Errno) -> Option<Hint> {
    // SAFETY: without an argument this opcode is refused, after the ring was looked up.
    let tried = unsafe { syscall::register(name, sys::IORING_REGISTER_PROBE, ptr::null_mut(), 0) };
    match tried.err()? {
        Errno::EEXIST if errno == Errno::EEXIST => Some(Hint::SingleIssuer),
        Errno::EBADF if name.registers_by_index() => Some(Hint::SlotEmpty),
        Errno::EBADF => Some(Hint::DescriptorClosed),
        Errno::EOPNOTSUPP => Some(Hint::DescriptorReplaced),
        Errno::EINVAL if name.registers_by_index() => unreachable_for_enter(name),
        _ => None,
    }
}

/// Whether a name still leads to a ring: an enter that submits nothing and waits for nothing is tried.
fn unreachable_for_enter(name: Name) -> Option<Hint> {
    // SAFETY: nothing is submitted and no argument passed.
    let tried = unsafe { syscall::enter(name, 0, 0, 0, ptr::null(), 0) };
    match tried.err()? {
        Errno::EBADF | Errno::EINVAL if name.enters_by_index() => Some(Hint::SlotEmpty),
        Errno::EBADF => Some(Hint::DescriptorClosed),
        Errno::EOPNOTSUPP => Some(Hint::DescriptorReplaced),
        _ => None,
    }
}

/// What `io_uring_setup` answers to zero entries: EINVAL, where it may be called at all.
fn bare_setup() -> Option<Errno> {
    let mut params = sys::io_uring_params::default();
    // SAFETY: `params` is valid for reads and writes and names no memory.
    unsafe { sys::io_uring_setup(0, &raw mut params) }.err()
}

/// What `io_uring_register` answers without ring and argument.
fn bare_register(opcode: u32) -> Option<Errno> {
    // SAFETY: there is neither a ring to change nor an argument to read.
    unsafe { sys::io_uring_register(-1, opcode, ptr::null_mut(), 0) }.err()
}

/// What `io_uring_enter` answers without a ring.
fn bare_enter() -> Option<Errno> {
    // SAFETY: there is neither a ring nor an argument.
    unsafe { sys::io_uring_enter(u32::MAX, 0, 0, 0, ptr::null(), 0) }.err()
}

#[cfg(test)]
mod tests;
