//! A ring and what its operations are about; what happens is decided by a seed alone.

use std::any::Any as Anything;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use uring::op::{Cancel, LinkTimeout, Nop, Read, Write};
use uring::{
    Any, BufferRing, Builder, Chain, Direct, Fd, ProvidedBuffers, Push, Ring, SendQueue,
    SubmissionThread, TaskWork,
};
use uring_testkit::files::{self, TempDir};
use uring_testkit::{Context, Feature, Recording, TestResult};

use crate::common::{self, Recorded};
use crate::random::canaries::Canaries;
use crate::random::chance::Random;
use crate::random::flying::Flying;
use crate::random::kinds;

pub(crate) const LENGTH: usize = 512;

pub(crate) struct World {
    pub(crate) random: Random,
    /// Chance of its own, so that a seed means the same operations whatever changes there are.
    pub(crate) changes: Random,
    pub(crate) ring: Ring<Any>,
    flying: Vec<Box<dyn Flying>>,
    recordings: Vec<Recording>,
    /// Results that nobody has dropped yet: buffers that came back, leases, connections.
    kept: Vec<Box<dyn Anything>>,
    pub(crate) directs: Vec<Direct>,
    pub(crate) file: Arc<File>,
    pub(crate) pipe: (Arc<OwnedFd>, Arc<OwnedFd>),
    pub(crate) sockets: (Arc<OwnedFd>, Arc<OwnedFd>),
    pub(crate) listener: Arc<TcpListener>,
    clients: Vec<TcpStream>,
    pub(crate) epoll: Arc<OwnedFd>,
    pub(crate) word: Arc<AtomicU32>,
    pub(crate) chosen: Option<BufferRing>,
    pub(crate) used_up: Option<BufferRing>,
    pub(crate) provided: Option<ProvidedBuffers>,
    pub(crate) to_send: Option<SendQueue<Recorded>>,
    pub(crate) other: Ring<Fd>,
    canaries: Canaries,
    /// Where nothing cancels past them, drains keep the end of a ring from being one.
    may_drain: bool,
    /// Where the kernel counts completions, one that finds no room keeps drains from ever starting.
    pub(crate) may_go_on: bool,
    /// A drain holds back what a scope would wait for.
    drained: bool,
    dir: TempDir,
}

/// A ring of any kind that the kernel has with this handle.
fn ring(context: &Context, random: &mut Random) -> TestResult<Ring<Any>> {
    let mut builder = Builder::new([8, 16, 64][random.index(3)]).in_flight(256);
    builder = match random.below(8) {
        0 => builder.submission_thread(SubmissionThread::new().idle(Duration::from_millis(1))),
        1 => builder.task_work(TaskWork::Interrupting),
        2 => builder.stop_at_refused(true),
        3 => builder.own_memory(true),
        // Completions that find no room wait in the kernel.
        4 => builder.completion_entries(8).clamp(true),
        _ => builder,
    };
    match common::build(context, &builder) {
        Ok(ring) => Ok(ring),
        Err(error) if error.is_unsupported() || error.is_invalid_request() => {
            Ok(common::ring(context, 16)?)
        }
        Err(error) => Err(error.into()),
    }
}

impl World {
    pub(crate) fn new(context: &Context, seed: u64) -> TestResult<World> {
        let mut random = Random::new(seed);
        let dir = TempDir::new()?;
        let path = dir.path().join("0");
        fs::write(&path, vec![b'r'; 4 * LENGTH])?;
        let file = File::options().read(true).write(true).open(&path)?;
        // Before Linux 6.4, which brought these timeouts too, several reads of one pipe can make the kernel try one of them for ever.
        let (reader, writer) = if context.has(Feature::TIMEOUT_MULTISHOT) {
            files::pipe()?
        } else {
            files::socketpair()?
        };
        let (one, other) = files::socketpair()?;
        let mut ring = ring(context, &mut random)?;
        let counts_requests = context.has(Feature::opcode(uring_sys::IORING_OP_PIPE));
        let may_drain = context.has(Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL))
            && (counts_requests || seed % 2 == 0);
        // What the kernel does not have is left out: its operations are refused or complete with an error.
        let _ = ring.register_direct(6);
        let registered = vec![vec![0; LENGTH].into(), vec![0; 2 * LENGTH].into()];
        ring.register_buffers(registered)
            .map_err(|refused| refused.into_parts().1)?;
        Ok(World {
            chosen: ring.buffer_ring(4, 128).ok(),
            used_up: ring.incremental_buffer_ring(2, 1024).ok(),
            provided: Some(ring.provided_buffers(4, 128)?),
            to_send: ring.send_queue(4).ok(),
            random,
            changes: Random::new(!seed),
            ring,
            flying: Vec::new(),
            recordings: Vec::new(),
            kept: Vec::new(),
            directs: Vec::new(),
            file: Arc::new(file),
            pipe: (Arc::new(reader), Arc::new(writer)),
            sockets: (Arc::new(one), Arc::new(other)),
            listener: Arc::new(TcpListener::bind("127.0.0.1:0")?),
            clients: Vec::new(),
            epoll: Arc::new(kinds::epoll()?),
            word: Arc::default(),
            other: Ring::new(4)?,
            canaries: Canaries::in_dir(dir.path()),
            may_drain,
            may_go_on: counts_requests || !may_drain,
            drained: false,
            dir,
        })
    }

    /// Lives through that many operations and ends, in a way that is random too.
    pub(crate) fn live(mut self, operations: u64) -> TestResult {
        for _ in 0..operations {
            let kind = kinds::ALL[self.random.index(kinds::ALL.len())];
            let pushed = kind(&mut self)?;
            self.flying.extend(pushed);
            for _ in 0..self.random.below(3) {
                self.happen()?;
            }
            if self.changes.one_in(8) {
                let change = kinds::CHANGES[self.changes.index(kinds::CHANGES.len())];
                change(&mut self)?;
            }
        }
        let ring_first = self.random.one_in(2);
        let World {
            ring,
            flying,
            recordings,
            kept,
            directs,
            canaries,
            chosen,
            used_up,
            provided,
            to_send,
            other,
            ..
        } = self;
        let groups = (chosen, used_up, provided, to_send);
        let resources = (flying, kept, directs, groups, other);
        if ring_first {
            drop(ring);
            drop(resources);
        } else {
            drop(resources);
            drop(ring);
        }
        canaries.check()?;
        for (number, recording) in recordings.iter().enumerate() {
            assert_eq!(
                recording.changed_since_drop(),
                Some(0),
                "bytes of buffer {number} that were written after its drop; none if it was never dropped"
            );
        }
        Ok(())
    }

    pub(crate) fn buffer(&mut self) -> TestResult<Recorded> {
        let (buffer, recording) = Recorded::new(LENGTH)?;
        self.recordings.push(recording);
        Ok(buffer)
    }

    /// Nothing is dropped before chance has it so.
    pub(crate) fn keep(&mut self, result: impl Anything) {
        self.kept.push(Box::new(result));
    }

    /// A place in the file, or behind its end.
    pub(crate) fn place(&mut self) -> u64 {
        self.random.below(5 * 512)
    }

    /// One of a few names, so that they meet.
    pub(crate) fn path(&mut self) -> TestResult<CString> {
        let path = self.dir.path().join(self.random.below(4).to_string());
        Ok(CString::new(path.as_os_str().as_bytes())?)
    }

    pub(crate) fn options(&mut self) -> Push {
        match self.random.below(48) {
            0 if self.may_drain => {
                self.drained = true;
                Push::new().drain()
            }
            1..6 => Push::new().always_async(),
            _ => Push::new(),
        }
    }

    /// Something happens to the ring, to an operation, or in the world.
    fn happen(&mut self) -> TestResult {
        match self.random.below(15) {
            // What fails is what the kernel has to say about completions that nobody takes.
            0 => drop(self.ring.submit()),
            1 => drop(self.ring.submit_and_get_events()),
            2 => drop(File::from(self.pipe.1.try_clone()?).write(b"pp")),
            3 => {
                let client = TcpStream::connect(self.listener.local_addr()?)?;
                self.clients.push(client);
            }
            4 => drop(self.clients.pop()),
            5 => self.chain()?,
            6 if !self.drained => self.scope()?,
            7 => self.canaries.open_another()?,
            8 => drop(self.directs.pop()),
            9 => {
                if !self.kept.is_empty() {
                    let which = self.random.index(self.kept.len());
                    drop(self.kept.swap_remove(which));
                }
            }
            10 if self.random.one_in(6) => {
                let every = Cancel::any().every();
                let _ = self.ring.cancel_sync(every, Some(Duration::ZERO));
            }
            _ => self.happen_to_one()?,
        }
        Ok(())
    }

    fn happen_to_one(&mut self) -> TestResult {
        if self.flying.is_empty() {
            return Ok(());
        }
        let which = self.random.index(self.flying.len());
        let flying = self.flying.swap_remove(which);
        match self.random.below(6) {
            0 => flying.detach(&mut self.ring),
            1 if self.random.one_in(3) => std::mem::forget(flying),
            2 => {
                flying.cancel(&mut self.ring)?;
                self.flying.push(flying);
            }
            _ => {
                let taken = flying.take(&mut self.ring);
                self.flying.extend(taken.goes_on);
                self.directs.extend(taken.direct);
                self.kept.extend(taken.result);
            }
        }
        Ok(())
    }

    /// A chain whose first member may never complete by itself, and whose tokens nobody keeps.
    fn chain(&mut self) -> TestResult {
        let read = Read::new(Arc::clone(&self.pipe.0), self.buffer()?);
        let write = Write::new(Arc::clone(&self.file), self.buffer()?);
        let options = self.options();
        if self.random.one_in(3) {
            let limit = LinkTimeout::after(Duration::from_micros(self.random.below(2000)));
            let chain = Chain::new(read).with(options).timeout(limit).then(write);
            if let Ok(((read, limit), write)) = self.ring.push_chain(chain) {
                self.ring.detach(read);
                self.ring.detach(limit);
                self.ring.detach(write);
            }
            return Ok(());
        }
        let chain = Chain::new(read)
            .with(options)
            .then(write)
            .then_always(Nop::new());
        if let Ok(((read, write), nop)) = self.ring.push_chain(chain) {
            if self.random.one_in(2) {
                self.ring.cancel(&read)?;
            }
            self.ring.detach(read);
            self.ring.detach(write);
            self.ring.detach(nop);
        }
        Ok(())
    }

    /// A scope on borrowed memory, left by returning or by a panic.
    fn scope(&mut self) -> TestResult {
        let panics = self.random.one_in(3);
        let mut memory = [0; LENGTH];
        let (ring, file, pipe) = (&mut self.ring, &self.file, &self.pipe.0);
        let left = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let (front, back) = memory.split_at_mut(LENGTH / 2);
                let _ = scope
                    .push(Read::new(&**file, front).at(0))
                    .map(|token| scope.detach(token));
                if panics {
                    // Only the panic lets the scope cancel it.
                    let _ = scope.push(Read::new(&**pipe, back)).map(drop);
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
            });
        }));
        assert_eq!(left.is_err(), panics);
        // Nobody writes to it any more.
        memory.fill(1);
        assert!(memory.iter().all(|byte| *byte == 1));
        Ok(())
    }
}
