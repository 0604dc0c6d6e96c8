//! Reading both files again.

use std::collections::VecDeque;
use std::ops::Range;

use indicatif::ProgressBar;
use uring::op::Read;
use uring::{Any, Direct, Ring, Scope, Token};

use crate::RINGS;
use crate::failure::Failure;
use crate::work::{Block, Stop, Work, bytes};

/// Compares `part` of both files through the calling thread's ring.
pub(crate) fn verify(
    work: &Work<'_>,
    part: Range<u64>,
    bar: &ProgressBar,
    stop: &Stop,
) -> Result<(), Failure> {
    RINGS.with(|ring| verify_through(ring, work, part, bar, stop))?
}

/// The same block of both files.
struct Pair<'a> {
    block: Block,
    source: Token<Read<&'a Direct, Vec<u8>>>,
    target: Token<Read<&'a Direct, Vec<u8>>>,
}

fn verify_through(
    ring: &mut Ring<Any>,
    work: &Work<'_>,
    part: Range<u64>,
    bar: &ProgressBar,
    stop: &Stop,
) -> Result<(), Failure> {
    let (source, target) = work.open(ring, |open| open)?;
    let mut blocks = work.blocks(part);
    ring.scope(|scope| {
        let mut queue = VecDeque::with_capacity(work.depth);
        for block in blocks.by_ref().take(work.depth.div_ceil(2)) {
            let buffers = [(); 2].map(|()| Vec::with_capacity(work.block));
            queue.push_back(read(scope, &source, &target, block, buffers)?);
        }
        while let Some(oldest) = queue.pop_front() {
            if stop.is_set() {
                return Ok(());
            }
            let block = oldest.block;
            let one = scope.wait(oldest.source).map_err(uring::Error::from)?;
            let other = scope.wait(oldest.target).map_err(uring::Error::from)?;
            one.result
                .map_err(|error| Failure::file("cannot read again", work.source, error))?;
            other
                .result
                .map_err(|error| Failure::file("cannot read again", work.target, error))?;
            let same = one.buf.len().min(other.buf.len());
            if same == 0 || one.buf[..same] != other.buf[..same] {
                return Err(differs(work, block.offset));
            }
            bar.inc(bytes(same));
            if let Some(next) = block.rest(same).or_else(|| blocks.next()) {
                queue.push_back(read(scope, &source, &target, next, [one.buf, other.buf])?);
            }
        }
        Ok(())
    })
}

fn read<'a>(
    scope: &mut Scope<'_, 'a>,
    source: &'a Direct,
    target: &'a Direct,
    block: Block,
    [one, other]: [Vec<u8>; 2],
) -> Result<Pair<'a>, uring::Error> {
    let mut push = |file, buf| {
        let op = Read::new(file, buf).at(block.offset).limit(block.len);
        scope.push(op).map_err(uring::Error::from)
    };
    Ok(Pair {
        block,
        source: push(source, one)?,
        target: push(target, other)?,
    })
}

fn differs(work: &Work<'_>, offset: u64) -> Failure {
    let why = format!("it differs from the source in the block at byte {offset}");
    let advice = "look whether the source is being changed, and whether the disk is sound";
    Failure::unfit("cannot verify", work.target, &why, advice)
}
