//! A ring whose completions are polled for: the device writes into memory while nobody enters the kernel.

use std::fs::File;
use std::sync::Arc;

use uring::op::{Read, ReadFixed, ReadV, Write};
use uring::{Any, Builder, IoVecs, Polling, Ring};
use uring_testkit::fixtures::Nvme;
use uring_testkit::{Context, Recording, TestResult};

use crate::common::{self, Recorded};
use crate::random::chance::Random;

/// As long as a page, which such devices want it to be aligned to.
const BLOCK: usize = 4096;
const BLOCKS: usize = 64;

struct Polled {
    random: Random,
    ring: Ring<Any>,
    device: Arc<File>,
    recordings: Vec<Recording>,
}

pub(crate) fn live(context: &Context, seed: u64, operations: u64) -> TestResult {
    let device = Nvme::open()?;
    let mut ring = common::build(context, &Builder::new(8).polling(Polling::Busy))?;
    // Twice the block, so that one begins in it.
    ring.register_buffers(vec![vec![0; 2 * BLOCK].into()])
        .map_err(|refused| refused.into_parts().1)?;
    let mut world = Polled {
        random: Random::new(seed),
        ring,
        device: Arc::new(device.file().try_clone()?),
        recordings: Vec::new(),
    };
    for _ in 0..operations {
        world.start()?;
        match world.random.below(4) {
            0 => drop(world.ring.submit()),
            1 => drop(world.ring.submit_and_get_events()),
            _ => {}
        }
    }
    drop(world.ring);
    for (number, recording) in world.recordings.iter().enumerate() {
        assert_eq!(
            recording.changed_since_drop(),
            Some(0),
            "bytes of buffer {number} that were written after its drop; none if it was never dropped"
        );
    }
    Ok(())
}

impl Polled {
    fn buffer(&mut self) -> TestResult<Recorded> {
        let (buffer, recording) = Recorded::new(BLOCK)?;
        self.recordings.push(recording);
        Ok(buffer)
    }

    /// Pushes one operation and leaves it to itself, or cancels it. What finds no room is dropped.
    fn start(&mut self) -> TestResult {
        let place = u64::try_from(BLOCK * self.random.index(BLOCKS))?;
        let device = Arc::clone(&self.device);
        match self.random.below(4) {
            0 => {
                let read = Read::new(device, self.buffer()?).at(place);
                if let Ok(token) = self.ring.push(read) {
                    if self.random.one_in(3) {
                        self.ring.cancel(&token)?;
                    }
                    if self.random.one_in(3) {
                        drop(self.ring.wait(token)?);
                    }
                }
            }
            1 => {
                let write = Write::new(device, self.buffer()?).at(place);
                drop(self.ring.push(write));
            }
            2 => {
                let bufs = IoVecs::from(vec![self.buffer()?, self.buffer()?]);
                drop(self.ring.push(ReadV::new(device, bufs).at(place)));
            }
            _ => {
                let Some(buf) = self.ring.registered_buf(0) else {
                    return Ok(());
                };
                let before = buf.as_ptr().align_offset(BLOCK);
                let (_, aligned) = buf.split_at(before);
                let (aligned, _) = aligned.split_at(BLOCK);
                drop(self.ring.push(ReadFixed::new(device, aligned).at(place)));
            }
        }
        Ok(())
    }
}
