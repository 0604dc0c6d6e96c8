//! A ring and what its operations are about; what happens is decided by a seed alone.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use uring::op::{
    AcceptMultishot, Fsync, Nop, OpenAt, Poll, PollEvents, PollMultishot, Read, ReadV, Recv, Send,
    SendZc, Socket, Statx, Timeout, TimeoutMultishot, Write, WriteV,
};
use uring::{Any, Chain, IoVecs, Push, Ring};
use uring_testkit::files::{self, TempDir};
use uring_testkit::{Context, Feature, Recording, TestResult};

use crate::common::{self, Recorded};
use crate::flying::{Flying, push, push_many};

const LENGTH: usize = 512;

/// Marsaglia's xorshift, which is random enough for decisions.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Which newer operations the kernel has.
struct Has {
    direct: bool,
    socket: bool,
    accept_multishot: bool,
    timeout_multishot: bool,
    send_zc: bool,
}

pub(crate) struct World {
    random: Random,
    has: Has,
    ring: Ring<Any>,
    flying: Vec<Box<dyn Flying>>,
    recordings: Vec<Recording>,
    file: Arc<File>,
    path: CString,
    pipe: (Arc<OwnedFd>, File),
    sockets: (Arc<OwnedFd>, Arc<OwnedFd>),
    listener: Arc<TcpListener>,
    clients: Vec<TcpStream>,
    drained: bool,
    _dir: TempDir,
}

impl World {
    pub(crate) fn new(context: &Context, seed: u64) -> TestResult<World> {
        let opcode = |opcode| context.has(Feature::opcode(opcode));
        let has = Has {
            // Of the same kernel, where the flag of the operation cannot be probed.
            direct: opcode(uring_sys::IORING_OP_LINKAT),
            socket: opcode(uring_sys::IORING_OP_SOCKET),
            accept_multishot: opcode(uring_sys::IORING_OP_SOCKET),
            timeout_multishot: context.has(Feature::TIMEOUT_MULTISHOT),
            send_zc: opcode(uring_sys::IORING_OP_SEND_ZC),
        };
        let dir = TempDir::new()?;
        let path = dir.path().join("file");
        fs::write(&path, vec![b'r'; 4 * LENGTH])?;
        let file = File::options().read(true).write(true).open(&path)?;
        let (reader, writer) = files::pipe()?;
        let (one, other) = files::socketpair()?;
        let mut ring = common::ring(context, 16)?;
        if has.direct {
            ring.register_direct(4)?;
        }
        Ok(World {
            // Zero would stay zero.
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            has,
            ring,
            flying: Vec::new(),
            recordings: Vec::new(),
            file: Arc::new(file),
            path: CString::new(path.as_os_str().as_bytes())?,
            pipe: (Arc::new(reader), writer.into()),
            sockets: (Arc::new(one), Arc::new(other)),
            listener: Arc::new(TcpListener::bind("127.0.0.1:0")?),
            clients: Vec::new(),
            drained: false,
            _dir: dir,
        })
    }

    /// Lives through that many operations and ends, in a way that is random too.
    pub(crate) fn live(mut self, operations: u64) -> TestResult {
        for _ in 0..operations {
            if let Some(flying) = self.start()? {
                self.flying.push(flying);
            }
            for _ in 0..self.random.below(3) {
                self.happen()?;
            }
        }
        let World {
            ring,
            flying,
            recordings,
            ..
        } = self;
        drop((ring, flying));
        for (number, recording) in recordings.iter().enumerate() {
            assert_eq!(
                recording.changed_since_drop(),
                Some(0),
                "bytes of buffer {number} that were written after its drop; none if it was never dropped"
            );
        }
        Ok(())
    }

    fn buffer(&mut self) -> TestResult<Recorded> {
        let (buffer, recording) = Recorded::new(LENGTH)?;
        self.recordings.push(recording);
        Ok(buffer)
    }

    fn options(&mut self) -> Push {
        if self.random.one_in(24) {
            self.drained = true;
            Push::new().drain()
        } else if self.random.one_in(8) {
            Push::new().always_async()
        } else {
            Push::new()
        }
    }

    /// Pushes any operation.
    fn start(&mut self) -> TestResult<Option<Box<dyn Flying>>> {
        let options = self.options();
        let place = self.random.below(4 * 512);
        Ok(match self.random.below(18) {
            0 => push(&mut self.ring, Nop::new(), options),
            1 => {
                let read = Read::new(Arc::clone(&self.pipe.0), self.buffer()?);
                push(&mut self.ring, read, options)
            }
            2 => {
                let read = Read::new(Arc::clone(&self.file), self.buffer()?).at(place);
                push(&mut self.ring, read, options)
            }
            3 => {
                let write = Write::new(Arc::clone(&self.file), self.buffer()?).at(place);
                push(&mut self.ring, write, options)
            }
            4 => push(&mut self.ring, OpenAt::new(self.path.clone()), options),
            5 => match self.has.direct.then(|| self.ring.direct_slot()) {
                Some(Ok(slot)) => {
                    let open = OpenAt::new(self.path.clone()).into_direct(slot);
                    push(&mut self.ring, open, options)
                }
                _ => None,
            },
            6 => {
                let after = Duration::from_micros(self.random.below(3000));
                push(&mut self.ring, Timeout::after(after), options)
            }
            7 if self.has.timeout_multishot => {
                let every = Duration::from_micros(500 + self.random.below(1000));
                let repeats = u32::try_from(self.random.below(4))?;
                push_many(
                    &mut self.ring,
                    TimeoutMultishot::every(every).repeats(repeats),
                )
            }
            8 => {
                let poll = Poll::new(Arc::clone(&self.pipe.0), PollEvents::IN);
                push(&mut self.ring, poll, options)
            }
            9 => push(&mut self.ring, Fsync::new(Arc::clone(&self.file)), options),
            10 => push(&mut self.ring, Statx::new(self.path.clone()), options),
            11 => {
                let receive = Recv::new(Arc::clone(&self.sockets.0), self.buffer()?);
                push(&mut self.ring, receive, options)
            }
            12 => {
                let send = Send::new(Arc::clone(&self.sockets.1), self.buffer()?);
                push(&mut self.ring, send, options)
            }
            13 if self.has.accept_multishot => {
                let accept = AcceptMultishot::new(Arc::clone(&self.listener));
                push_many(&mut self.ring, accept)
            }
            14 => {
                let bufs = IoVecs::from(vec![self.buffer()?, self.buffer()?]);
                let read = ReadV::new(Arc::clone(&self.file), bufs).at(place);
                push(&mut self.ring, read, options)
            }
            15 => {
                let bufs = IoVecs::from(vec![self.buffer()?, self.buffer()?]);
                let write = WriteV::new(Arc::clone(&self.file), bufs).at(place);
                push(&mut self.ring, write, options)
            }
            16 if self.has.send_zc => {
                let client = TcpStream::connect(self.listener.local_addr()?)?;
                let send = SendZc::new(Arc::new(client), self.buffer()?);
                push(&mut self.ring, send, options)
            }
            16 if self.has.socket => {
                let socket = Socket::new(libc::AF_INET, libc::SOCK_STREAM);
                push(&mut self.ring, socket, options)
            }
            17 => {
                let poll = PollMultishot::new(Arc::clone(&self.pipe.0), PollEvents::IN);
                push_many(&mut self.ring, poll)
            }
            _ => None,
        })
    }

    /// Something happens to the ring, to an operation, or in the world.
    fn happen(&mut self) -> TestResult {
        match self.random.below(11) {
            0 => drop(self.ring.submit()),
            1 => drop(self.ring.submit_and_get_events()),
            2 => self.pipe.1.write_all(b"p")?,
            3 => {
                let client = TcpStream::connect(self.listener.local_addr()?)?;
                self.clients.push(client);
            }
            4 => drop(self.clients.pop()),
            5 => self.chain()?,
            6 if !self.drained => self.scope()?,
            6 => {}
            what => {
                if self.flying.is_empty() {
                    return Ok(());
                }
                let count = u64::try_from(self.flying.len())?;
                let which = usize::try_from(self.random.below(count))?;
                let flying = self.flying.swap_remove(which);
                match what {
                    7 => flying.detach(&mut self.ring),
                    8 if self.random.one_in(3) => std::mem::forget(flying),
                    9 => {
                        flying.cancel(&mut self.ring)?;
                        self.flying.push(flying);
                    }
                    _ => self.flying.extend(flying.take(&mut self.ring)),
                }
            }
        }
        Ok(())
    }

    /// A chain whose first member may never complete by itself, and whose tokens nobody keeps.
    fn chain(&mut self) -> TestResult {
        let read = Read::new(Arc::clone(&self.pipe.0), self.buffer()?);
        let write = Write::new(Arc::clone(&self.file), self.buffer()?);
        let chain = Chain::new(read).then(write).then_always(Nop::new());
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
