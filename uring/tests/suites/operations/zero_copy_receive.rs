//! Receiving without copying: with no interface queue at all, with one that has no device, and up to what devices refuse.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use uring::op::{EndReason, Ended, RecvZc};
use uring::{
    Any, Builder, CompletionSize, Error, InterfaceQueue, InterfaceQueueOptions, Ring, Token,
    ZeroCopyReceive,
};
use uring_testkit::{Context, Feature, HandleKind, TestResult};

use crate::common;
use crate::operations::sockets::loopback;

pub(crate) const PAGE: usize = 4096;
/// A feature of Linux 7.0.
const SEVEN: Feature = Feature::setup(uring_sys::IORING_SETUP_SQ_REWIND);
const CONTROL: Feature = Feature::register(uring_sys::IORING_REGISTER_ZCRX_CTRL);
pub(crate) const OPERATION: Feature = Feature::opcode(uring_sys::IORING_OP_RECV_ZC);

/// A connection over loopback.
pub(crate) fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(loopback())?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    Ok((one, listener.accept()?.0))
}

pub(crate) fn receive(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (_one, other) = connection()?;
    let token = ring.push(RecvZc::new(other, 0).poll_first())?;
    assert!(ring.wait_item(&token)?.is_none());
    match ring.wait(token)?.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        other => return Err(format!("{other:?}").into()),
    }
    drop(ring);
    refused_devices(context)?;
    let flags = ZeroCopyReceive::get().map_or(0, |receive| receive.register_flags);
    let without_device = flags & u64::from(uring_sys::ZCRX_REG_NODEV) != 0;
    assert!(
        context.has(SEVEN) || !without_device,
        "no kernel before 7.0 has it"
    );
    // Only a ring of one thread has its task work deferred.
    if without_device && context.handle() != HandleKind::Fd {
        receive_without_device(context)?;
    }
    Ok(())
}

pub(crate) fn refusal(ring: &mut Ring<Any>, options: InterfaceQueueOptions) -> Error {
    let error = ring.interface_queue(options).map(drop);
    error.expect_err("no machine here has a device for it")
}

/// Whatever is asked for, up to what the kernel says of the devices that every machine has.
fn refused_devices(context: &Context) -> TestResult {
    let no_such = InterfaceQueueOptions::device(1_000_000, 0);
    let mut small = common::ring(context, 8)?;
    let error = refusal(&mut small, no_such);
    assert!(error.is_invalid_request(), "{error}");
    drop(small);
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let Ok(mut ring) = common::build(context, &large) else {
        assert!(!context.has(Feature::CQE32));
        return Ok(());
    };
    let empty = refusal(&mut ring, no_such.area(0));
    assert!(empty.is_invalid_request(), "{empty}");
    let error = refusal(&mut ring, no_such);
    if context.handle() == HandleKind::Fd || !context.has(Feature::DEFER_TASKRUN) {
        assert!(error.is_invalid_request(), "{error}");
        return Ok(());
    }
    if !context.has(OPERATION) {
        assert!(error.is_unsupported(), "{error}");
        return Ok(());
    }
    assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    let error = ring.dma_buf_queue(no_such, &io::stdin(), 4096).map(drop);
    let error = error.expect_err("there is no such device");
    assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    // The loopback interface puts nothing anywhere.
    let error = refusal(&mut ring, InterfaceQueueOptions::device(1, 0));
    assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
    assert_eq!(error.hint(), None, "{error}");
    let loopback = InterfaceQueueOptions::device(1, 0);
    let error = ring.dma_buf_queue(loopback, &io::stdin(), 4096).map(drop);
    let error = error.expect_err("nor into another device's memory");
    assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
    let none = InterfaceQueueOptions::without_device();
    let error = ring.dma_buf_queue(none, &io::stdin(), 4096).map(drop);
    let error = error.expect_err("nobody would put anything there");
    assert!(error.is_invalid_request(), "{error}");
    Ok(())
}

pub(crate) fn unprivileged(_: &Context) -> TestResult {
    // SAFETY: changes the user of this process, which is the test's own.
    let changed = unsafe { libc::setresuid(65534, 65534, 65534) };
    assert_eq!(changed, 0, "{}", io::Error::last_os_error());
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let mut ring = large.build_best()?;
    let error = refusal(&mut ring, InterfaceQueueOptions::device(1, 0));
    assert_eq!(error.errno(), Some(libc::EPERM), "{error}");
    assert!(error.is_blocked(), "{error}");
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    Ok(())
}

type Receives = Token<RecvZc<TcpStream, InterfaceQueue>>;

fn receive_without_device(context: &Context) -> TestResult {
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let mut ring = common::build(context, &large)?;
    let options = InterfaceQueueOptions::without_device();
    let queue = ring.interface_queue(options.area(8 * PAGE).refills(2))?;
    let stranger = InterfaceQueueOptions::without_device().area(PAGE);
    let stranger = ring.interface_queue(stranger)?;
    assert_ne!(queue.id(), stranger.id());

    let (mut one, other) = connection()?;
    let receives = ring.push(RecvZc::new(other, queue.clone()))?;
    let (mut text, mut received) = (Vec::new(), Vec::new());
    for word in ["one ", "after ", "the other"] {
        one.write_all(word.as_bytes())?;
        text.extend_from_slice(word.as_bytes());
        while received.len() < text.len() {
            // Given back at once.
            let bytes = ring.wait_item(&receives)?.ok_or("it goes on")?;
            received.extend_from_slice(&bytes);
        }
    }
    assert_eq!(received, text);
    ring.flush_interface_queue(&queue)?;
    much_more_than_fits(&mut ring, &queue, &mut one, &receives)?;

    // Another ring of the thread receives into the same memory, and the first refuses its name for that.
    let mut second = common::build(context, &large)?;
    let shared = second.share_interface_queue(&ring, &queue)?;
    let (mut sender, socket) = connection()?;
    let refused = ring.push(RecvZc::new(socket, shared.clone()));
    let refused = refused.expect_err("it is the second's");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    for wrong in [
        ring.flush_interface_queue(&shared),
        second.export_interface_queue(&queue).map(drop),
    ] {
        assert!(wrong.expect_err("another's").is_wrong_ring());
    }
    let receives_too = second.push(refused.into_inner())?;
    sender.write_all(b"shared")?;
    let bytes = second.wait_item(&receives_too)?.ok_or("it goes on")?;
    assert_eq!(&bytes[..], b"shared");
    drop(second);
    // It outlives its ring.
    assert_eq!(&bytes[..], b"shared");
    drop(bytes);

    drop(one);
    let ended = end(&mut ring, receives)?;
    assert!(
        matches!(ended.reason, EndReason::Finished),
        "{:?}",
        ended.reason
    );
    assert!(ended.op.into_target().as_raw_fd() >= 0);
    let exported = ring.export_interface_queue(&queue)?;
    drop((ring, queue));
    drop(exported);
    let mixed = Builder::new(8).completion_size(CompletionSize::Mixed);
    let mut mixed = common::build(context, &mixed)?;
    drop(mixed.interface_queue(options)?);
    assert!(context.has(CONTROL));
    Ok(())
}

fn end(
    ring: &mut Ring<Any>,
    receives: Receives,
) -> TestResult<Ended<RecvZc<TcpStream, InterfaceQueue>>> {
    assert!(ring.wait_item(&receives)?.is_none());
    Ok(ring.wait(receives)?)
}

/// The area is used again and again, although no more than two buffers can be on their way back.
fn much_more_than_fits(
    ring: &mut Ring<Any>,
    queue: &InterfaceQueue,
    one: &mut TcpStream,
    receives: &Receives,
) -> TestResult {
    let sent: Vec<u8> = (0..100 * PAGE)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect();
    let mut received = 0;
    for part in sent.chunks(4 * PAGE) {
        one.write_all(part)?;
        let mut held = Vec::new();
        let until = received + part.len();
        while received < until {
            let bytes = ring.wait_item(receives)?.ok_or("it goes on")?;
            assert_eq!(bytes[..], sent[received..received + bytes.len()]);
            received += bytes.len();
            held.push(bytes);
            if held.len() == 4 {
                held.clear();
                ring.flush_interface_queue(queue)?;
            }
        }
        held.clear();
        ring.flush_interface_queue(queue)?;
    }
    Ok(())
}
