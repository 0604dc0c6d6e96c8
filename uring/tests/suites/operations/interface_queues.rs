//! What a queue without a device tells of itself, and how it is given more memory.

use std::io::Write as _;
use std::net::TcpStream;

use uring::op::{Nop, RecvZc};
use uring::{
    Any, Builder, CompletionSize, InterfaceEvent, InterfaceQueue, InterfaceQueueOptions,
    ReceivedBytes, Ring, Token, ZeroCopyReceive,
};
use uring_sys::{io_uring_query_hdr, io_uring_query_zcrx};
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::zero_copy_receive::{PAGE, connection, refusal};

/// What the completions that tell of events are called.
const TOLD: u64 = 7;

/// What the kernel says itself of receiving without copying; nothing before it could be asked.
fn asked() -> TestResult<io_uring_query_zcrx> {
    let mut answer = io_uring_query_zcrx::default();
    let mut question = io_uring_query_hdr {
        query_data: (&raw mut answer).expose_provenance().try_into()?,
        query_op: uring_sys::IO_URING_QUERY_ZCRX,
        size: size_of::<io_uring_query_zcrx>().try_into()?,
        ..io_uring_query_hdr::default()
    };
    let argument = (&raw mut question).cast();
    // SAFETY: one question with room for its answer, both of which the kernel reads and writes during the call only.
    let _ =
        unsafe { uring_sys::io_uring_register(-1, uring_sys::IORING_REGISTER_QUERY, argument, 0) };
    Ok(answer)
}

struct Connected {
    ring: Ring<Any>,
    sender: TcpStream,
    receives: Token<RecvZc<TcpStream, InterfaceQueue>>,
}

impl Connected {
    /// Sends that byte twice, and receives it.
    fn pass(&mut self, byte: u8) -> TestResult<ReceivedBytes> {
        self.sender.write_all(&[byte; 2])?;
        let bytes = self.ring.wait_item(&self.receives)?;
        let bytes = bytes.ok_or("it goes on")?;
        assert_eq!(&bytes[..], [byte; 2]);
        Ok(bytes)
    }

    /// What was told since it was asked last.
    fn told(&mut self) -> TestResult<Vec<Option<InterfaceEvent>>> {
        self.ring.call(Nop::new())??;
        let mut told = Vec::new();
        while let Some(completion) = self.ring.next_completion()? {
            assert_eq!(completion.user_data(), TOLD);
            told.push(InterfaceEvent::of(&completion));
        }
        Ok(told)
    }
}

pub(crate) fn told_and_enlarged(context: &Context) -> TestResult {
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let mut ring = common::build(context, &large)?;
    let plain = InterfaceQueueOptions::without_device().area(2 * PAGE);
    let telling = plain.events(TOLD, &[InterfaceEvent::Copied]).statistics();
    let asked = asked()?;
    let answer = ZeroCopyReceive::get();
    let answer = answer.map_or((0, 0), |answer| (answer.features, answer.control_opcodes));
    assert_eq!(answer, (asked.features, asked.nr_ctrl_opcodes));
    if asked.register_flags & u64::from(uring_sys::ZCRX_REG_NODEV) == 0 {
        assert!(refusal(&mut ring, plain).is_unsupported());
        return Ok(());
    }
    let tells = asked.features & uring_sys::ZCRX_FEATURE_EVENT != 0;
    if tells {
        for number in [0, 1 << 63] {
            let error = refusal(&mut ring, plain.events(number, &[]));
            assert!(error.is_invalid_request(), "{error}");
        }
    } else {
        for options in [plain.statistics(), plain.events(TOLD, &[]), telling] {
            let error = refusal(&mut ring, options);
            assert!(error.is_unsupported(), "{error}");
            assert!(error.to_string().contains("ZCRX_FEATURE_EVENT"), "{error}");
        }
    }
    let queue = ring.interface_queue(if tells { telling } else { plain })?;
    let (sender, socket) = connection()?;
    let receives = ring.push(RecvZc::new(socket, queue.clone()))?;
    let mut connected = Connected {
        ring,
        sender,
        receives,
    };
    let arms = asked.nr_ctrl_opcodes > uring_sys::ZCRX_CTRL_ARM_EVENT;
    assert_eq!(arms, tells);
    if tells {
        tells_once(&mut connected, &queue)?;
    } else {
        assert_eq!(queue.statistics(), None);
        let armed = connected
            .ring
            .arm_interface_event(&queue, InterfaceEvent::Copied);
        let error = armed.expect_err("the kernel does not know it");
        assert!(error.is_unsupported(), "{error}");
        assert!(error.to_string().contains("ZCRX_CTRL_ARM_EVENT"), "{error}");
    }
    connected.ring.flush_interface_queue(&queue)?;

    // Both buffers are taken.
    let mut held = vec![connected.pass(1)?, connected.pass(2)?];
    let added = connected.ring.add_interface_area(&queue, 2 * PAGE - 1);
    if asked.nr_ctrl_opcodes <= uring_sys::ZCRX_CTRL_ADD_AREA {
        let error = added.expect_err("the kernel does not know it");
        assert!(error.is_unsupported(), "{error}");
        assert!(error.to_string().contains("ZCRX_CTRL_ADD_AREA"), "{error}");
        return Ok(());
    }
    added?;
    let empty = connected.ring.add_interface_area(&queue, 0);
    assert!(empty.is_err_and(|error| error.is_invalid_request()));
    // Each goes back to the area that it is of: otherwise there would be fewer in the next round.
    for round in [3, 7, 11] {
        held.push(connected.pass(round)?);
        held.push(connected.pass(round + 1)?);
        assert_eq!(held.len(), 4);
        let bytes: Vec<u8> = held.iter().map(|bytes| bytes[0]).collect();
        assert_eq!(bytes, [round - 2, round - 1, round, round + 1]);
        held.clear();
        connected.ring.flush_interface_queue(&queue)?;
        held.push(connected.pass(round + 2)?);
        held.push(connected.pass(round + 3)?);
    }
    let Connected { ring, .. } = connected;
    drop((ring, queue));
    assert_eq!([held[0][0], held[1][0]], [13, 14], "they outlive the ring");
    Ok(())
}

/// An event is told of once until it is armed again; the counts go on.
fn tells_once(connected: &mut Connected, queue: &InterfaceQueue) -> TestResult {
    let counted = |statistics: Option<uring::InterfaceStatistics>| {
        statistics.map(|statistics| (statistics.copies, statistics.bytes))
    };
    assert_eq!(counted(queue.statistics()), Some((0, 0)));
    let arm = |connected: &mut Connected, event| {
        let armed = connected.ring.arm_interface_event(queue, event);
        armed.map_err(|error| (error.errno(), error.is_unsupported()))
    };
    let was_not_told = Err((Some(libc::EINVAL), false));
    for event in [InterfaceEvent::Copied, InterfaceEvent::OutOfBuffers] {
        assert_eq!(arm(connected, event), was_not_told);
    }
    assert_eq!(connected.told()?, []);
    for round in 1..=3 {
        drop(connected.pass(5)?);
        assert_eq!(connected.told()?, [Some(InterfaceEvent::Copied)]);
        connected.ring.flush_interface_queue(queue)?;
        drop(connected.pass(5)?);
        assert_eq!(connected.told()?, []);
        connected.ring.flush_interface_queue(queue)?;
        assert_eq!(counted(queue.statistics()), Some((2 * round, 4 * round)));
        assert_eq!(arm(connected, InterfaceEvent::Copied), Ok(()));
        assert_eq!(arm(connected, InterfaceEvent::Copied), was_not_told);
    }
    let mut other = Ring::best(2)?;
    let stranger = other.arm_interface_event(queue, InterfaceEvent::Copied);
    assert!(stranger.is_err_and(|error| error.is_wrong_ring()));
    let stranger = other.add_interface_area(queue, PAGE);
    assert!(stranger.is_err_and(|error| error.is_wrong_ring()));
    // The next is told of again, to nobody who asks.
    drop(connected.pass(5)?);
    assert_eq!(connected.told()?, [Some(InterfaceEvent::Copied)]);
    connected.ring.flush_interface_queue(queue)?;
    Ok(())
}
