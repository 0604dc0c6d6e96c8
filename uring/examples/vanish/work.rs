//! The file in parts, one for each thread, and the blocks of a part.

use std::ffi::CString;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use uring::op::OpenAt;
use uring::{Any, Direct, Ring};

use crate::failure::Failure;
use crate::files::{self, Source, Target, c_path};
use crate::temporary::Temporary;
use crate::{INTERRUPTED, Options};

/// What all threads work on.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) source: &'a Path,
    pub(crate) target: &'a Path,
    /// What the target is called until it is complete.
    temporary: &'a Path,
    pub(crate) depth: usize,
    pub(crate) block: usize,
    size: u64,
    threads: u64,
}

/// A block, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl Block {
    /// What remains behind the first `done` bytes.
    pub(crate) fn rest(self, done: usize) -> Option<Block> {
        let len = self.len.checked_sub(done).filter(|&len| len > 0)?;
        Some(Block {
            offset: self.offset + bytes(done),
            len,
        })
    }
}

/// The blocks of a part that were not begun yet.
#[derive(Debug)]
pub(crate) struct Blocks {
    part: Range<u64>,
    next: u64,
    block: usize,
}

impl Blocks {
    pub(crate) fn is_half_begun(&self) -> bool {
        self.next - self.part.start >= self.part.end - self.next
    }
}

impl Iterator for Blocks {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let offset = self.next;
        let left = usize::try_from(self.part.end - offset).unwrap_or(usize::MAX);
        let len = left.min(self.block);
        self.next += bytes(len);
        (len > 0).then_some(Block { offset, len })
    }
}

/// A length of memory as one of a file.
pub(crate) fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        options: &Options,
        source: &'a Source,
        target: &'a Target,
        temporary: &'a Temporary,
    ) -> Work<'a> {
        Work {
            source: source.path(),
            target: target.path(),
            temporary: temporary.path(),
            depth: options.depth.into(),
            block: usize::try_from(options.block).unwrap_or(usize::MAX) * 1024,
            size: source.size(),
            threads: options.threads.into(),
        }
    }

    pub(crate) fn blocks(&self, part: Range<u64>) -> Blocks {
        Blocks {
            next: part.start,
            part,
            block: self.block,
        }
    }

    /// Opens both files into the table of the calling thread's ring.
    pub(crate) fn open(
        &self,
        ring: &mut Ring<Any>,
        to_target: impl FnOnce(OpenAt<CString>) -> OpenAt<CString>,
    ) -> Result<(Direct, Direct), Failure> {
        let source = files::open(ring, OpenAt::new(c_path(self.source)?))?
            .map_err(|error| Failure::file("cannot open", self.source, error))?;
        let target = files::open(ring, to_target(OpenAt::new(c_path(self.temporary)?)))?
            .map_err(|error| Failure::file("cannot open", self.target, error))?;
        Ok((source, target))
    }

    /// Runs `each` on a new thread for each part, with what `provision` made for it, and `meanwhile` on this one. The first failure
    /// stops the others.
    pub(crate) fn on_threads<T: Send>(
        &self,
        provision: impl Fn() -> T,
        each: impl Fn(Range<u64>, T, &Stop) -> Result<(), Failure> + Sync,
        meanwhile: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let stop = Stop::default();
        let results = thread::scope(|scope| {
            let (each, stop) = (&each, &stop);
            let spawn = |part| {
                let provision = provision();
                let run = move || stop.if_failed(each(part, provision, stop));
                let thread = thread::Builder::new().spawn_scoped(scope, run);
                stop.if_failed(thread.map_err(Failure::thread))
            };
            let threads: Vec<_> = self.parts().map(spawn).collect();
            let mut results = vec![stop.if_failed(meanwhile())];
            results.extend(threads.into_iter().map(|thread| {
                thread?
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            results
        });
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(Failure::interrupted());
        }
        results.into_iter().collect()
    }

    /// As many parts as threads, of whole blocks; the last ones may be empty.
    fn parts(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let block = bytes(self.block);
        let blocks_each = self.size.div_ceil(block).div_ceil(self.threads);
        let (len, size) = (blocks_each * block, self.size);
        (0..self.threads).map(move |part| (part * len).min(size)..((part + 1) * len).min(size))
    }
}

/// Tells threads that there is no use in going on.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) || INTERRUPTED.load(Ordering::Relaxed)
    }

    fn if_failed<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
        result
    }
}
