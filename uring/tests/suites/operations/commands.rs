//! Commands for drivers, no-ops with results of choice, and changes of timeouts.

use std::fs::File;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::ptr::NonNull;
use std::time::Duration;

use uring::op::{
    Command, CommandMultishot, Discard, EndReason, LargeCommand, Limited, LinkTimeout, Nop,
    NopInjected, OpenAt, RawTimespec, Read, ResetZones, TimeByValue, Timeout, TimeoutEnd,
    TimeoutMultishot, TimeoutRemove, TimeoutUpdate, Timespec, Write,
};
use uring::{
    Any, Builder, Chain, CompletionFlags, CompletionSize, EntrySize, RawBufferGroup, RawTarget,
    Ring,
};
use uring_testkit::files::pipe;
use uring_testkit::fixtures::{LoopDevice, NullBlock, NullBlockOptions, Nvme, NvmeCommand};
use uring_testkit::{Context, Feature, KernelVersion, Observation, TestResult};

use crate::common::{self, Recorded};
use crate::operations::files::{assert_cancelled, assert_errno};

const SHORT: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

/// `SOCKET_URING_OP_SIOCINQ`: how many bytes can be received. Linux 6.7, as is [`Feature::opcode`] of `WAITID`.
const BYTES_WAITING: u32 = uring_sys::SOCKET_URING_OP_SIOCINQ;

pub(crate) fn command(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"seven b", socket.local_addr()?)?;
    wait_for_datagram(&socket)?;
    ask(&mut ring, &socket)?;
    // SAFETY: the command points to nothing.
    let unknown = unsafe { Command::new(&socket, 0xffff, [0; 16], ()) };
    assert_errno(ring.call(unknown)?.result, libc::EOPNOTSUPP);
    multishot_refused(&mut ring, &socket)?;
    let (reader, _writer) = pipe()?;
    // SAFETY: as above.
    let deaf = unsafe { Command::new(&reader, BYTES_WAITING, [0; 16], ()) };
    assert_errno(ring.call(deaf)?.result, libc::EOPNOTSUPP);
    // SAFETY: as above.
    let large = || unsafe { LargeCommand::new(&socket, BYTES_WAITING, [0; 80], vec![1, 2]) };
    assert!(ring.call(large()).is_err(), "it needs larger entries");

    let sizes = [
        (Feature::SQE128, EntrySize::Large),
        (Feature::SQE_MIXED, EntrySize::Mixed),
    ];
    for (_, size) in sizes
        .into_iter()
        .filter(|(feature, _)| context.has(*feature))
    {
        let mut ring = common::build(context, &Builder::new(8).entry_size(size))?;
        let done = ring.call(large())?;
        assert_eq!((done.result?, done.memory), (7, vec![1, 2]), "{size:?}");
        ask(&mut ring, &socket)?;
        ring.call(Nop::new())??;
        // SAFETY: the socket lives to the end of this function, and the completion is waited for.
        let raw = unsafe {
            let target = RawTarget::descriptor(socket.as_raw_fd());
            LargeCommand::new(target, BYTES_WAITING, [0; 80], ())
        };
        ring.push_raw(raw, 4)?;
        ring.submit_and_wait(1)?;
        assert_eq!(
            ring.next_completion()?
                .ok_or("it was waited for")?
                .result()?,
            7
        );
    }
    Ok(())
}

/// A multishot command ends with what the driver says against it; see also `ublk`.
fn multishot_refused(ring: &mut Ring<Any>, socket: &UdpSocket) -> TestResult {
    // SAFETY: the command points to nothing, and no driver knows it.
    let unknown = unsafe {
        let buffers = RawBufferGroup::new(9);
        let target = RawTarget::descriptor(socket.as_raw_fd());
        CommandMultishot::new(target, 0xffff, [0; 16], buffers, ())
    };
    ring.push_raw(unknown, 5)?;
    ring.submit_and_wait(1)?;
    let refused = ring.next_completion()?.ok_or("it was waited for")?;
    // Older kernels do not select buffers for commands.
    assert_eq!(refused.raw_result(), -libc::EOPNOTSUPP);
    assert!(!refused.flags().contains(CompletionFlags::MORE));
    let (buffers, socket) = (ring.buffer_ring(2, 64)?, socket.try_clone()?);
    // SAFETY: as above.
    let unknown = unsafe { CommandMultishot::new(socket, 0xffff, [0; 16], buffers, "kept") };
    let token = ring.push(unknown)?;
    assert!(ring.wait_item(&token)?.is_none());
    let ended = ring.wait(token)?;
    match ended.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ended.op.into_parts().1, "kept");
    Ok(())
}

/// Asks in each way that an operation can be run.
fn ask(ring: &mut Ring<Any>, socket: &UdpSocket) -> TestResult {
    // SAFETY: the command points to nothing; the raw target lives on, and its completion is waited for.
    let (owned, raw) = unsafe {
        (
            Command::new(socket.try_clone()?, BYTES_WAITING, [0; 16], "kept"),
            Command::new(
                RawTarget::descriptor(socket.as_raw_fd()),
                BYTES_WAITING,
                [0; 16],
                (),
            ),
        )
    };
    let token = ring.push(owned)?;
    let done = ring.wait(token)?;
    assert_eq!((done.result?, done.memory, done.extra), (7, "kept", [0; 2]));
    ring.push_raw(raw, 3)?;
    ring.submit_and_wait(1)?;
    assert_eq!(
        ring.next_completion()?
            .ok_or("it was waited for")?
            .result()?,
        7
    );
    Ok(())
}

fn wait_for_datagram(socket: &UdpSocket) -> TestResult {
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    assert_eq!(socket.peek(&mut [0; 16])?, 7);
    Ok(())
}

pub(crate) fn command_refused(context: &Context) -> TestResult {
    let feature = Feature::opcode(uring_sys::IORING_OP_WAITID);
    let Some(mut ring) = common::ring_without(feature, context, 4)? else {
        return Ok(());
    };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: the command points to nothing.
    let asked = ring.call(unsafe { Command::new(&socket, BYTES_WAITING, [0; 16], ()) })?;
    let known = context.has(Feature::opcode(uring_sys::IORING_OP_URING_CMD));
    let errno = if known {
        libc::EOPNOTSUPP
    } else {
        libc::EINVAL
    };
    assert_errno(asked.result, errno);
    Ok(())
}

/// Commands of 80 bytes arrive whole, and completions of 32 bytes come back.
pub(crate) fn nvme_command(context: &Context) -> TestResult {
    let device = Nvme::open()?;
    let generic = device.open_generic()?;
    let mut written = vec![0; 4096];
    written
        .iter_mut()
        .zip((0..251_u8).cycle())
        .for_each(|(byte, value)| *byte = value);
    let mut sizes = vec![(EntrySize::Large, CompletionSize::Large)];
    if context.has(Feature::SQE_MIXED) {
        sizes.push((EntrySize::Mixed, CompletionSize::Mixed));
    }
    for (index, (entries, completions)) in sizes.into_iter().enumerate() {
        let builder = Builder::new(8)
            .entry_size(entries)
            .completion_size(completions);
        let mut ring = common::build(context, &builder)?;
        let block = u64::try_from(index)? * 64;
        let put = written.clone();
        let command = device.write_command(&generic, block, &put)?;
        assert_eq!(call(&mut ring, &generic, command, put)?, written);
        let mut got = vec![0; 4096];
        let command = device.read_command(&generic, block, &mut got)?;
        assert_eq!(call(&mut ring, &generic, command, got)?, written);
    }
    Ok(())
}

fn call(
    ring: &mut Ring<Any>,
    generic: &File,
    command: NvmeCommand,
    memory: Vec<u8>,
) -> TestResult<Vec<u8>> {
    let number = u32::try_from(command.entry.off)?;
    // SAFETY: the command points to the memory that the operation keeps.
    let command = unsafe { LargeCommand::new(generic, number, command.command, memory) };
    let done = ring.call(command)?;
    assert_eq!(done.result?, 0);
    Ok(done.memory)
}

pub(crate) fn discard(context: &Context) -> TestResult {
    let device = LoopDevice::new(1 << 20)?;
    let file = File::options().read(true).write(true).open(device.path())?;
    (&file).write_all(&[b'x'; 16384])?;
    file.sync_all()?;
    let mut ring = common::ring(context, 8)?;
    let discarded = ring.call(Discard::new(&file, 4096, 8192))?;
    if !context.has(Feature::BUFFER_RING_INC) {
        // As old as the command.
        let errno = discarded
            .result
            .expect_err("no such command")
            .raw_os_error();
        assert!(
            matches!(errno, Some(libc::EOPNOTSUPP | libc::EINVAL)),
            "{errno:?}"
        );
        return Ok(());
    }
    discarded.result?;
    let mut bytes = vec![0; 16384];
    file.read_exact_at(&mut bytes, 0)?;
    let gone = |range: std::ops::Range<usize>| bytes[range].iter().all(|byte| *byte == 0);
    assert!(gone(4096..12288), "it was discarded");
    assert!(!gone(0..4096) && !gone(12288..16384), "it was not");
    assert_errno(ring.call(Discard::new(&file, 0, 100))?.result, libc::EINVAL);
    let token = ring.push(Discard::new(file.try_clone()?, 0, 4096))?;
    ring.wait(token)?.result?;
    Ok(())
}

/// Nothing else of the kernel is as old as the command, so that older versions may have it or not.
pub(crate) fn reset_zones(context: &Context) -> TestResult {
    let device = NullBlock::new(NullBlockOptions {
        zoned: true,
        ..NullBlockOptions::default()
    })?;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    let file = options.open(device.path())?;
    let mut ring = common::ring(context, 8)?;
    let (buffer, _recording) = Recorded::new(4096)?;
    let written = ring.call(Write::new(&file, buffer).at(0))?;
    assert_eq!(written.result?, 4096);
    let again = ring.call(Write::new(&file, written.buf).at(0))?;
    assert_errno(again.result, libc::EIO);
    let token = ring.push(ResetZones::new(file.try_clone()?))?;
    match ring.wait(token)?.result {
        Ok(()) => {
            let anew = ring.call(Write::new(&file, again.buf).at(0))?;
            assert_eq!(anew.result?, 4096);
        }
        Err(error) => {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
            let mut numbers = release.split(|sign: char| !sign.is_ascii_digit());
            let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
            assert!(
                (number(), number()) < (Some(7), Some(3)),
                "{release}: {error}"
            );
            assert!(
                matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)),
                "{error}"
            );
        }
    }
    let no_device = ring.call(ResetZones::new(File::open("/proc/self/exe")?))?;
    assert!(matches!(
        no_device.result.expect_err("no device").raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EINVAL)
    ));
    Ok(())
}

pub(crate) fn nop_injected(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    assert_eq!(ring.call(NopInjected::new(5))??, 5);
    assert_errno(ring.call(NopInjected::new(-libc::ENOSPC))?, libc::ENOSPC);
    ring.push_raw(NopInjected::new(6), 1)?;
    ring.submit_and_wait(1)?;
    assert_eq!(
        ring.next_completion()?
            .ok_or("it was waited for")?
            .raw_result(),
        6
    );
    let file = File::open("/proc/self/exe")?;
    let on_file = ring.call(NopInjected::new(7).on(&file))?;
    if context.has(Feature::nop(uring_sys::IORING_NOP_FILE)) {
        assert_eq!(on_file?, 7);
        ring.register_direct(1)?;
        let slot = ring.direct_slot()?;
        let direct = ring
            .call(OpenAt::new(c"/proc/self/exe").into_direct(slot))?
            .result?;
        let token = ring.push(NopInjected::new(8).on(direct))?;
        assert_eq!(ring.wait(token)??, 8);
        // SAFETY: that there is no such file is what is tried.
        let none = unsafe { RawTarget::direct(9) };
        assert_missing(ring.call(NopInjected::new(0).on(none))?, libc::EBADF);
        // No buffer is registered.
        let no_buffer = ring.call(NopInjected::new(0).registered_buffer(0))?;
        assert_missing(no_buffer, libc::EFAULT);
    } else {
        assert_errno(on_file, libc::EINVAL);
    }
    let late = ring.call(NopInjected::new(9).task_work())?;
    if context.has(Feature::nop(uring_sys::IORING_NOP_TW)) {
        assert_eq!(late?, 9);
    } else {
        assert_errno(late, libc::EINVAL);
    }
    Ok(())
}

/// Some kernels (6.13 to 6.18.15 at least) tell the result of choice also where nothing was found.
#[track_caller]
fn assert_missing(result: std::io::Result<u32>, errno: i32) {
    match result {
        Ok(chosen) => assert_eq!(chosen, 0),
        Err(error) => assert_eq!(error.raw_os_error(), Some(errno), "{error}"),
    }
}

pub(crate) fn timeout_changes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let timeout = ring.push(Timeout::after(HOUR))?;
    ring.call(TimeoutRemove::token(&timeout))??;
    assert_errno(ring.wait(timeout)?, libc::ECANCELED);
    assert_errno(ring.call(TimeoutRemove::user_data(99))?, libc::ENOENT);

    let timeout = ring.push(Timeout::after(HOUR))?;
    let update = ring.push(TimeoutUpdate::token(&timeout, SHORT))?;
    assert_eq!(ring.wait(timeout)??, TimeoutEnd::TimeOver);
    ring.wait(update)??;
    let timeout = ring.push(Timeout::after(HOUR))?;
    let past = TimeoutUpdate::token(&timeout, Duration::from_nanos(1)).absolute();
    ring.scope(|scope| -> TestResult {
        let token = scope.push(past)?;
        Ok(scope.wait(token)??)
    })?;
    assert_eq!(ring.wait(timeout)??, TimeoutEnd::TimeOver);

    let (reader, _writer) = pipe()?;
    let read = Read::new(reader, vec![0; 4]);
    let (read, limit) = ring.push_chain(Chain::new(read).timeout(LinkTimeout::after(HOUR)))?;
    ring.submit()?;
    let wrong = ring.call(TimeoutUpdate::token(&limit, SHORT))?;
    assert_errno(wrong, libc::ENOENT);
    ring.call(TimeoutUpdate::token(&limit, SHORT).of_link())??;
    assert_cancelled(ring.wait(read)?.result);
    assert_eq!(ring.wait(limit)??, Limited::TimeOver);

    let (hour, soon) = (Timespec::from(HOUR), Timespec::from(SHORT));
    // SAFETY: both live to the end of this function, and each completion is waited for.
    let (hour, soon) = unsafe {
        (
            RawTimespec::new(NonNull::from(&hour)),
            RawTimespec::new(NonNull::from(&soon)),
        )
    };
    ring.push_raw(Timeout::at_address(hour), 1)?;
    ring.push_raw(TimeoutUpdate::user_data(1, soon), 2)?;
    ring.push_raw(Timeout::at_address(hour), 3)?;
    ring.push_raw(TimeoutRemove::user_data(3), 4)?;
    ring.submit_and_wait(4)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    let expected = [(1, -libc::ETIME), (2, 0), (3, -libc::ECANCELED), (4, 0)];
    assert_eq!(results, expected);
    Ok(())
}

/// Timeouts that carry their time, asked for without the library.
pub(crate) const TIME_BY_VALUE: Feature =
    Feature::new("timeouts by value", KernelVersion::new(7, 1), || {
        let entry = uring_testkit::raw::Entry {
            opcode: uring_sys::IORING_OP_TIMEOUT,
            fd: -1,
            addr: 1,
            len: 1,
            op_flags: uring_sys::IORING_TIMEOUT_IMMEDIATE_ARG,
            ..Default::default()
        };
        let ring = uring_testkit::raw::RawRing::new(2, 0);
        // SAFETY: where the flag is known there is no memory to read, and elsewhere the flag is refused first.
        match ring.and_then(|mut ring| unsafe { ring.call(entry) }) {
            Ok(completed) if completed.res == -libc::ETIME => Observation::Present,
            Ok(completed) if completed.res == -libc::EINVAL => Observation::Absent,
            other => Observation::Inconclusive(format!("a timeout by value: {other:?}")),
        }
    });

pub(crate) fn time_by_value(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let short = TimeByValue::from(SHORT);
    assert_eq!(
        ring.call(Timeout::at_address(short))??,
        TimeoutEnd::TimeOver
    );
    let begun = Timeout::at_address(short).absolute();
    assert_eq!(ring.call(begun)??, TimeoutEnd::TimeOver);
    ring.push_raw(Timeout::at_address(short), 1)?;
    ring.submit_and_wait(1)?;
    let raw = ring.next_completion()?.ok_or("it was waited for")?;
    assert_eq!(raw.raw_result(), -libc::ETIME);
    let ticks = ring.push(TimeoutMultishot::at_address(short).repeats(2))?;
    assert!(ring.wait_item(&ticks)?.is_some());
    ring.detach(ticks);
    let timeout = ring.push(Timeout::at_address(TimeByValue::from(Duration::MAX)))?;
    ring.call(TimeoutUpdate::token_at_address(&timeout, short))??;
    assert_eq!(ring.wait(timeout)??, TimeoutEnd::TimeOver);
    Ok(())
}

pub(crate) fn time_by_value_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(TIME_BY_VALUE, context, 4)? else {
        return Ok(());
    };
    let short = TimeByValue::from(SHORT);
    assert_errno(ring.call(Timeout::at_address(short))?, libc::EINVAL);
    Ok(())
}
