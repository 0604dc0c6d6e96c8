//! Several rings in one thread, as libraries that do not know of each other have them.

use std::fs::File;

use uring::op::{MsgRing, Nop, OpenAt, Read, ReadFixed, SendDirect};
use uring::{Builder, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::buffer_tables::CLONE;

/// Two rings with tables of their own, a pool of workers, messages, files and buffers between them; then the first of them goes.
pub(crate) fn two_in_a_thread(context: &Context) -> TestResult {
    let mut plain = Ring::new(8)?;
    let mut ring = common::build(context, &Builder::new(8).share_workers(&plain))?;
    let version = File::open("/proc/version")?;

    // The same indices mean something else in each.
    let (zero, mut buf) = (File::open("/dev/zero")?, [1; 5]);
    let ours = ring.register_files(&[&version], 1)?;
    let theirs = plain.register_files(&[&zero], 1)?;
    assert_eq!(ours[0].index(), theirs[0].index());
    assert_eq!(
        ring.call(Read::new(&ours[0], &mut buf[..]).at(0))?.result?,
        5
    );
    assert_eq!(&buf, b"Linux");
    plain.call(Read::new(&theirs[0], &mut buf[..]))?.result?;
    assert_eq!(buf, [0; 5]);
    assert!(
        ring.call(Read::new(&theirs[0], &mut buf[..]))
            .is_err_and(|error| error.is_wrong_ring())
    );

    // To the one that has a descriptor; the other has no address to send to, by type.
    let address = plain.address()?;
    let sent = SendDirect::new(address.clone(), &ours[0], plain.direct_slot()?).notice(5);
    let there = ring.call(sent)?.result?;
    ring.call(MsgRing::new(address.clone(), 6, 7))?.result?;
    plain.submit_and_wait(2)?;
    let told = [plain.next_completion()?, plain.next_completion()?];
    let told = told.map(|told| told.map(|told| (told.user_data(), told.raw_result())));
    assert_eq!(told[1], Some((6, 7)));
    assert_eq!(told[0].map(|told| told.0), Some(5));
    plain.call(Read::new(&there, &mut buf[..]).at(0))?.result?;
    assert_eq!(&buf, b"Linux");
    let full = plain.direct_slot().expect_err("both are taken");
    assert!(full.is_invalid_request(), "{full}");

    plain.register_buffers(vec![vec![3; 8].into()])?;
    let cloned = ring.clone_buffers(&plain);
    assert_eq!(cloned.is_ok(), context.has(CLONE), "{cloned:?}");

    // What the first has given lives on in the second, and its own does not.
    let (reader, writer) = pipe()?;
    let waiting = ring.push(Read::new(reader, vec![0; 4]))?;
    ring.submit()?;
    drop((there, plain));
    if cloned.is_ok() {
        let buf = ring.registered_buf(0).ok_or("its ring is gone")?;
        let done = ring.call(ReadFixed::new(&ours[0], buf).at(0))?;
        assert_eq!((done.result?, &done.buf[..5]), (8, &b"Linux"[..]));
    }
    // The kernel's part of it is there as long as its address.
    ring.call(MsgRing::new(address, 8, 9))?.result?;
    ring.call(uring::op::Write::new(&writer, "on"))?.result?;
    assert_eq!(ring.wait(waiting)?.result?, 2);
    let slot = ring.direct_slot()?;
    ring.call(OpenAt::new(c"/dev/null").into_direct(slot))?
        .result?;
    ring.call(Nop::new())??;
    Ok(())
}
