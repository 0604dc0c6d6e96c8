//! Copying a part of the file: a fixed number of buffers, each read into, written from, and read into again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use indicatif::ProgressBar;
use uring::op::{OpenAt, Read, Write};
use uring::{Any, Direct, Ring, Scope, Token};

use crate::RINGS;
use crate::failure::Failure;
use crate::files;
use crate::midpoint::{Arrival, OnTheWay};
use crate::status::RingStatus;
use crate::work::{Block, Stop, Work, bytes};

/// Copies `part` through the calling thread's ring.
pub(crate) fn copy(
    work: &Work<'_>,
    part: Range<u64>,
    bar: &ProgressBar,
    midpoint: OnTheWay<'_>,
    stop: &Stop,
) -> Result<(), Failure> {
    RINGS.with(|ring| {
        let arrive = |arrival| midpoint.arrive(arrival);
        copy_through(ring, work, part, bar, stop, arrive)
    })?
}

fn copy_through(
    ring: &mut Ring<Any>,
    work: &Work<'_>,
    part: Range<u64>,
    bar: &ProgressBar,
    stop: &Stop,
    arrive: impl FnOnce(Arrival),
) -> Result<(), Failure> {
    let (source, target) = work.open(ring, OpenAt::write_only)?;
    let status = RingStatus::of(ring);
    let files = Files {
        work,
        source: &source,
        target: &target,
    };
    let mut blocks = work.blocks(part);
    let mut arrive = Some(arrive);
    // Whatever way this ends, the scope waits for what is in flight.
    ring.scope(|scope| {
        let mut queue = VecDeque::with_capacity(work.depth);
        for block in blocks.by_ref().take(work.depth) {
            queue.push_back(files.read(scope, block, Vec::with_capacity(work.block))?);
        }
        loop {
            if let Some(arrive) = arrive.take_if(|_| blocks.is_half_begun()) {
                scope.submit()?;
                arrive(Arrival {
                    ring: status,
                    in_flight: queue.len(),
                });
            }
            let Some(oldest) = queue.pop_front().filter(|_| !stop.is_set()) else {
                return Ok(());
            };
            match files.finish(scope, oldest)? {
                Step::Next(in_flight) => queue.push_back(in_flight),
                Step::Copied(block, buf) => {
                    bar.inc(bytes(buf.len()));
                    if let Some(next) = block.rest(buf.len()).or_else(|| blocks.next()) {
                        queue.push_back(files.read(scope, next, buf)?);
                    }
                }
            }
        }
    })
}

/// Both files in the table of one ring.
struct Files<'a> {
    work: &'a Work<'a>,
    source: &'a Direct,
    target: &'a Direct,
}

/// A block, and what its buffer is doing.
enum InFlight<'a> {
    Read(Block, Token<Read<&'a Direct, Vec<u8>>>),
    Write {
        block: Block,
        /// By earlier writes from the same buffer.
        written: usize,
        token: Token<Write<&'a Direct, Vec<u8>>>,
    },
}

/// What follows when an operation is done.
enum Step<'a> {
    Next(InFlight<'a>),
    /// All that was read is written; a short read leaves a rest of the block.
    Copied(Block, Vec<u8>),
}

impl<'a> Files<'a> {
    fn finish(
        &self,
        scope: &mut Scope<'_, 'a>,
        in_flight: InFlight<'a>,
    ) -> Result<Step<'a>, Failure> {
        match in_flight {
            InFlight::Read(block, token) => {
                let done = scope.wait(token).map_err(uring::Error::from)?;
                match done.result {
                    Ok(0) => Err(files::changed(self.work.source)),
                    Ok(_) => Ok(Step::Next(self.write(scope, block, 0, done.buf)?)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        Ok(Step::Next(self.read(scope, block, done.buf)?))
                    }
                    Err(error) => Err(Failure::file("cannot read", self.work.source, error)),
                }
            }
            InFlight::Write {
                block,
                written,
                token,
            } => {
                let done = scope.wait(token).map_err(uring::Error::from)?;
                let written = match done.result {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    Ok(more) => Ok(written + more),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(written),
                    Err(error) => Err(error),
                };
                let written = written
                    .map_err(|error| Failure::file("cannot write", self.work.target, error))?;
                if written == done.buf.len() {
                    return Ok(Step::Copied(block, done.buf));
                }
                Ok(Step::Next(self.write(scope, block, written, done.buf)?))
            }
        }
    }

    fn read(
        &self,
        scope: &mut Scope<'_, 'a>,
        block: Block,
        buf: Vec<u8>,
    ) -> Result<InFlight<'a>, uring::Error> {
        let op = Read::new(self.source, buf)
            .at(block.offset)
            .limit(block.len);
        Ok(InFlight::Read(block, scope.push(op)?))
    }

    fn write(
        &self,
        scope: &mut Scope<'_, 'a>,
        block: Block,
        written: usize,
        buf: Vec<u8>,
    ) -> Result<InFlight<'a>, uring::Error> {
        let op = Write::new(self.target, buf)
            .at(block.offset + bytes(written))
            .skip(written);
        Ok(InFlight::Write {
            block,
            written,
            token: scope.push(op)?,
        })
    }
}
