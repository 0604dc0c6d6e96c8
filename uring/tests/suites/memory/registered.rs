//! Memory that is registered with rings, which read a disk into it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use uring::op::{Nop, ReadFixed};
use uring::{Any, Builder, RegisteredBuf, Ring, Token};
use uring_testkit::{Context, Feature, HandleKind, Recording, TestResult};

use crate::common::{self, Recorded};
use crate::memory::buffers::{Disk, LENGTH, assert_untouched_since_drop, close_leaked_files};

pub(crate) const CLONE: Feature = Feature::register(uring_sys::IORING_REGISTER_CLONE_BUFFERS);

type Reading = ReadFixed<std::sync::Arc<std::fs::File>, RegisteredBuf>;

/// A ring with one registered buffer, and what watches that.
fn with_buffer(context: &Context) -> TestResult<(Ring<Any>, Recording)> {
    let mut ring = common::ring(context, 8)?;
    let (memory, recording) = Recorded::new(LENGTH)?;
    ring.register_buffers_sparse(1)?;
    ring.register_buf(0, memory)?;
    Ok((ring, recording))
}

/// A read of the disk into the buffer, on its way.
fn begin(ring: &mut Ring<Any>, disk: &Disk) -> TestResult<Token<Reading>> {
    let buf = ring.registered_buf(0).ok_or("somebody has it")?;
    let token = ring.push(ReadFixed::new(disk.file.clone(), buf).at(0))?;
    ring.submit()?;
    Ok(token)
}

/// Of one ring, in every order: nothing is freed that the kernel still writes to.
pub(crate) fn m07_registered_memory(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut recordings = Vec::new();
    for order in 0..5 {
        let (mut ring, recording) = with_buffer(context)?;
        let token = begin(&mut ring, &disk)?;
        match order {
            // The ring, with a read that nobody looks for.
            0 => drop((token, ring)),
            // In flight it is neither taken out nor given out.
            1 => {
                ring.detach(token);
                assert!(ring.unregister_buf(0).is_err_and(|error| error.is_in_use()));
                assert!(
                    ring.unregister_buffers()
                        .is_err_and(|error| error.is_in_use())
                );
                while ring.in_flight() > 0 {
                    ring.call(Nop::new())??;
                }
                drop(ring.unregister_buf(0)?);
                assert!(recording.dropped().is_some());
            }
            // The user last.
            2 => {
                let done = ring.wait(token)?;
                assert_eq!(done.result?, LENGTH);
                drop(ring);
                assert!(recording.dropped().is_none());
                drop(done.buf);
            }
            // The table first, what was in it after the ring.
            3 => {
                drop(ring.wait(token)?);
                let taken = ring.unregister_buffers()?;
                drop(ring);
                assert!(recording.dropped().is_none());
                drop(taken);
            }
            // A panic with all of it at hand.
            _ => {
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _both = (ring, token);
                    resume_unwind(Box::new("on purpose"));
                }));
                common::assert_panicked(panicked, "on purpose");
            }
        }
        assert!(recording.dropped().is_some(), "order {order}");
        recordings.push(recording);
    }
    assert_untouched_since_drop(&recordings);
    Ok(())
}

/// Of two rings, whichever of them goes first, while the other reads.
pub(crate) fn m07_cloned_memory(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut recordings = Vec::new();
    for order in 0..4 {
        let (mut one, recording) = with_buffer(context)?;
        let mut two = common::with_handle(HandleKind::Fd, &Builder::new(8))?;
        two.clone_buffers(&one)?;
        match order {
            // What it was cloned from.
            0 => {
                let token = begin(&mut two, &disk)?;
                drop(one);
                assert!(recording.dropped().is_none());
                drop((token, two));
            }
            // Taken out of one, in flight in the other.
            1 => {
                let token = begin(&mut two, &disk)?;
                drop(one.unregister_buf(0)?);
                drop(one.unregister_buffers()?);
                assert!(recording.dropped().is_none());
                assert_eq!(two.wait(token)?.result?, LENGTH);
                drop(two.unregister_buffers()?);
            }
            // The clone.
            2 => {
                let token = begin(&mut one, &disk)?;
                drop(two);
                assert!(recording.dropped().is_none());
                drop((token, one));
            }
            // Both, with the user last.
            _ => {
                let token = begin(&mut two, &disk)?;
                let done = two.wait(token)?;
                drop((one, two));
                assert!(recording.dropped().is_none());
                drop(done.buf);
            }
        }
        assert!(recording.dropped().is_some(), "order {order}");
        recordings.push(recording);
    }
    assert_untouched_since_drop(&recordings);
    Ok(())
}

/// Ring and user forgotten, the memory is there for good.
pub(crate) fn m07_both_forgotten(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let (mut ring, recording) = with_buffer(context)?;
    let token = begin(&mut ring, &disk)?;
    mem::forget(ring);
    drop((token, disk));
    thread::sleep(Duration::from_millis(5));
    assert!(recording.dropped().is_none());
    common::ring(context, 4)?.call(Nop::new())??;
    close_leaked_files()
}
