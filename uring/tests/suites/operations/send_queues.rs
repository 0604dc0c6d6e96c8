//! Buffers that wait to be sent.

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;

use uring::op::{EndReason, SendQueued};
use uring::{Any, Hint, Ring, SendQueue, Token};
use uring_testkit::fixtures::SocketKind;
use uring_testkit::{Context, Feature, Recording, TestResult};

use crate::common::child::Child;
use crate::common::{self, Recorded};
use crate::operations::raw_groups;

pub(crate) const BUNDLES: Feature = Feature::ring(uring_sys::IORING_FEAT_RECVSEND_BUNDLE);

type Sends<T, B> = SendQueued<T, SendQueue<B>>;

/// A buffer of that many times that byte.
fn filled(byte: u8, len: usize) -> TestResult<(Recorded, Recording)> {
    let (mut buffer, recording) = Recorded::new(len)?;
    buffer.0.fill(byte);
    Ok((buffer, recording))
}

/// Takes what was sent until the send has ended.
fn finish<T: uring::Target, B: uring::Buf + Send + 'static>(
    ring: &mut Ring<Any>,
    token: Token<Sends<T, B>>,
) -> TestResult<(Vec<B>, EndReason, Sends<T, B>)> {
    let mut sent = Vec::new();
    while let Some(bufs) = ring.wait_item(&token)? {
        sent.extend(bufs);
    }
    let ended = ring.wait(token)?;
    Ok((sent, ended.reason, ended.op))
}

pub(crate) fn send(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let queue = ring.send_queue(4)?;
    let (one, other) = SocketKind::TcpV4.pair()?;
    let mut other = TcpStream::from(other);

    let empty = ring.push(SendQueued::new(one, queue.clone()))?;
    let (sent, reason, op) = finish(&mut ring, empty)?;
    assert!(sent.is_empty());
    assert!(matches!(reason, EndReason::NoBuffers), "{reason:?}");

    // More than once around the queue, with buffers of several lengths.
    let mut op = op;
    for round in 0..3_u8 {
        let mut recordings = Vec::new();
        for (byte, len) in [(1, 1), (2, 5000), (3, 300), (4, 77)] {
            let (buffer, recording) = filled(byte + round, len)?;
            queue
                .put(buffer)
                .map_err(|refused| refused.into_parts().1)?;
            recordings.push(recording);
        }
        let full = queue.put(filled(0, 1)?.0).expect_err("four are there");
        assert!(full.error().is_busy(), "{full}");
        drop(full);
        let token = ring.push(op)?;
        let second = SendQueued::new(other.try_clone()?, queue.clone());
        let refused = ring.push(second).expect_err("one sends");
        assert!(refused.error().is_invalid_request(), "{refused}");
        drop(refused);
        assert!(queue.take_unsent().is_none(), "one sends");
        let (sent, reason, ended) = finish(&mut ring, token)?;
        assert!(matches!(reason, EndReason::Finished), "{reason:?}");
        op = ended;
        let lens: Vec<_> = sent.iter().map(|buffer| buffer.0.len()).collect();
        assert_eq!(lens, [1, 5000, 300, 77]);
        assert!(queue.is_empty());
        let mut bytes = vec![0; 5378];
        other.read_exact(&mut bytes)?;
        let runs = [
            (1, bytes[0]),
            (2, bytes[1]),
            (2, bytes[5000]),
            (3, bytes[5001]),
            (3, bytes[5300]),
            (4, bytes[5301]),
            (4, bytes[5377]),
        ];
        for (byte, got) in runs {
            assert_eq!(got, byte + round);
        }
        assert!(
            recordings
                .iter()
                .all(|recording| recording.dropped().is_none())
        );
        drop(sent);
        assert!(
            recordings
                .iter()
                .all(|recording| recording.dropped().is_some())
        );
    }
    drop(op);
    raw_groups::send_queued(&mut ring)?;
    bad_buffers(&mut ring)?;
    another_ring(context, &mut ring)?;
    failure(&mut ring, other)?;
    in_flight(context)
}

fn bad_buffers(ring: &mut Ring<Any>) -> TestResult {
    let queue: SendQueue<Vec<u8>> = ring.send_queue(1)?;
    assert_eq!(queue.capacity(), 1);
    let refused = queue.put(Vec::new()).expect_err("nothing in it");
    assert!(refused.error().is_invalid_request(), "{refused}");
    let child = Child::run(|| {
        let refused = queue.put(vec![1]).expect_err("the parent's");
        assert_eq!(refused.error().hint(), Some(Hint::Forked));
        Ok(())
    });
    child?.end()?;
    assert!(queue.is_empty());
    // Emptied, it is of no use.
    queue.put(vec![1])?;
    let unsent = queue.take_unsent().ok_or("nothing is in flight")?;
    assert_eq!((unsent.len(), &unsent[0].buf[..]), (1, &[1][..]));
    let refused = queue.put(vec![2]).expect_err("it was emptied");
    assert!(refused.error().is_invalid_request(), "{refused}");
    let (one, _other) = SocketKind::TcpV4.pair()?;
    let refused = ring.push(SendQueued::new(one, queue));
    let refused = refused.expect_err("it was emptied").into_parts().1;
    assert!(refused.is_invalid_request(), "{refused}");
    for count in [0, 3] {
        let error = ring
            .send_queue::<Vec<u8>>(count)
            .expect_err("no such queue");
        assert!(error.is_invalid_request(), "{error}");
    }
    Ok(())
}

fn another_ring(context: &Context, ring: &mut Ring<Any>) -> TestResult {
    let queue: SendQueue<Vec<u8>> = ring.send_queue(1)?;
    let (one, _other) = SocketKind::TcpV4.pair()?;
    let mut stranger = common::ring(context, 8)?;
    let refused = stranger
        .push(SendQueued::new(one, queue))
        .expect_err("of the first ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    Ok(())
}

/// What was not sent comes back, and the queue is of no use any more.
fn failure(ring: &mut Ring<Any>, socket: TcpStream) -> TestResult {
    socket.shutdown(Shutdown::Write)?;
    let queue = ring.send_queue(2)?;
    queue.put("one")?;
    queue.put("two")?;
    let token = ring.push(SendQueued::new(OwnedFd::from(socket), queue.clone()))?;
    let (sent, reason, op) = finish(ring, token)?;
    assert!(sent.is_empty());
    let EndReason::Failed(error) = reason else {
        return Err(format!("{reason:?}").into());
    };
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    let refused = ring.push(op).expect_err("it has failed");
    assert!(refused.error().is_invalid_request(), "{refused}");
    drop(refused);
    assert!(
        queue
            .put("three")
            .is_err_and(|refused| { refused.error().is_invalid_request() })
    );
    let unsent = queue.take_unsent().ok_or("nothing is in flight")?;
    let unsent: Vec<_> = unsent
        .iter()
        .map(|unsent| (unsent.buf, unsent.sent))
        .collect();
    assert_eq!(unsent, [("one", 0), ("two", 0)]);
    Ok(())
}

/// Nobody reads, so the send is in flight when its ring ends.
fn in_flight(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let queue = ring.send_queue(2)?;
    let (one, _other) = SocketKind::UnixStream.pair()?;
    let (buffer, recording) = filled(7, 4 << 20)?;
    queue
        .put(buffer)
        .map_err(|refused| refused.into_parts().1)?;
    let token = ring.push(SendQueued::new(one, queue.clone()))?;
    ring.submit()?;
    drop(token);
    assert!(recording.dropped().is_none());
    drop(ring);
    assert!(recording.dropped().is_none(), "the queue has it");
    drop(queue);
    assert!(recording.dropped().is_some());
    Ok(())
}

pub(crate) fn refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(BUNDLES, context, 4)? else {
        return Ok(());
    };
    let error = ring.send_queue::<Vec<u8>>(4).expect_err("not before 6.10");
    assert!(error.is_unsupported(), "{error}");
    let (one, _other) = SocketKind::TcpV4.pair()?;
    let refused = raw_groups::send_queued_unknown(&mut ring, &one)?;
    assert_eq!(refused.raw_result(), -libc::EOPNOTSUPP);
    Ok(())
}
