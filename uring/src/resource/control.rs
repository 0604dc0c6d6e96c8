//! What travels beside the bytes of a message: descriptors, credentials, times.

use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Control data for a message to be sent.
///
/// What it owns stays open until the operation has completed, and is closed when the control data is dropped: the receiver has
/// descriptors of its own.
///
/// ```
/// use uring::net::Control;
///
/// let file = std::fs::File::open("/dev/null")?;
/// let control = Control::new().owned_descriptors(vec![file.into()]);
/// assert!(!control.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Source: `cmsg(3)`, `unix(7)`.
#[derive(Debug, Default)]
#[doc(alias = "cmsghdr")]
pub struct Control<'fd> {
    /// The kernel wants headers aligned as words are.
    words: Vec<usize>,
    /// How many bytes count.
    len: usize,
    owned: Vec<OwnedFd>,
    borrowed: PhantomData<BorrowedFd<'fd>>,
}

/// Who a process is, as it says of itself to the peer of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "ucred")]
#[doc(alias = "SCM_CREDENTIALS")]
pub struct Credentials {
    /// The process.
    pub pid: i32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// How many bytes a word has; headers and data begin at multiples.
const WORD: usize = size_of::<usize>();
/// The size of a header, which is where its data begins.
const HEADER: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(HEADER % WORD == 0);

impl<'fd> Control<'fd> {
    /// No control data.
    #[must_use]
    pub fn new() -> Control<'fd> {
        Control::default()
    }

    /// Sends these open files along, which stay the sender's too.
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn descriptors(self, files: &[BorrowedFd<'fd>]) -> Control<'fd> {
        let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        self.rights(&numbers)
    }

    /// Sends these open files along, and closes them here when the control data is dropped.
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn owned_descriptors(mut self, files: Vec<OwnedFd>) -> Control<'fd> {
        let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        self.owned.extend(files);
        self.rights(&numbers)
    }

    fn rights(mut self, numbers: &[RawFd]) -> Control<'fd> {
        let data: Vec<u8> = numbers.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        self.put(libc::SOL_SOCKET, libc::SCM_RIGHTS, &data);
        self
    }

    /// Says who the sender is; the kernel lets only the privileged lie.
    #[doc(alias = "SCM_CREDENTIALS")]
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Control<'fd> {
        let Credentials { pid, uid, gid } = credentials;
        let data = [pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat();
        self.put(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &data);
        self
    }

    /// Adds one control message of any level and kind.
    ///
    /// # Safety
    ///
    /// What the data names (descriptors, for `SCM_RIGHTS`) is as the kernel wants it until the last completion of each operation pushed
    /// with it.
    #[must_use]
    pub unsafe fn raw(mut self, level: i32, kind: i32, data: &[u8]) -> Control<'fd> {
        self.put(level, kind, data);
        self
    }

    fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        let mut bytes = Vec::with_capacity(HEADER + data.len() + WORD);
        bytes.extend_from_slice(&(HEADER + data.len()).to_ne_bytes());
        bytes.resize(offset_of!(libc::cmsghdr, cmsg_level), 0);
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        for word in bytes.chunks_exact(WORD) {
            let mut value = [0; WORD];
            value.copy_from_slice(word);
            self.words.push(usize::from_ne_bytes(value));
        }
        self.len += bytes.len();
    }

    /// Whether nothing travels beside the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte, and how many there are.
    pub(crate) fn bytes(&self) -> (*const u8, usize) {
        (self.words.as_ptr().cast(), self.len)
    }
}

/// One piece of control data that came with a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage<'a> {
    /// Open files; those that are dropped are closed.
    Descriptors(Vec<OwnedFd>),
    /// A descriptor of the sending process (`SO_PASSPIDFD`, Linux 6.5).
    Process(OwnedFd),
    /// Who sent it (`SO_PASSCRED`).
    Credentials(Credentials),
    /// When it arrived, since the beginning of 1970 (`SO_TIMESTAMP`, `SO_TIMESTAMPNS`).
    Timestamp(Duration),
    /// The times of software, of nobody, and of hardware (`SO_TIMESTAMPING`); zero where there is none.
    Timestamping([Duration; 3]),
    /// Something else.
    Other {
        /// `SOL_SOCKET`, `IPPROTO_IP`, …
        level: i32,
        /// What it is, as the level counts.
        kind: i32,
        /// The data.
        data: &'a [u8],
    },
}

/// `SCM_PIDFD` of `linux/socket.h`, which libc does not have.
const SCM_PIDFD: i32 = 4;

/// Where in some control data the next piece begins; each is given out once, since it may be the only owner of descriptors.
#[derive(Debug, Default)]
pub(crate) struct Cursor(usize);

impl Cursor {
    /// The next piece of `bytes`.
    ///
    /// # Safety
    ///
    /// The kernel has written the bytes from the beginning of the control data on, they have not changed since, and this cursor alone goes
    /// over them.
    pub(crate) unsafe fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<ControlMessage<'a>> {
        let (header, data) = header_at(bytes, self.0)?;
        self.0 = data.end.next_multiple_of(WORD);
        let data = bytes.get(data)?;
        // SAFETY: passed on to the caller: what these bytes name was made for the receiver, and is taken here for the first time.
        Some(unsafe { interpret(header, data) })
    }
}

#[derive(Clone, Copy)]
struct Header {
    level: i32,
    kind: i32,
}

fn word_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from_ne_bytes(array_at(bytes, at)?))
}

fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(array_at(bytes, at)?))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn header_at(bytes: &[u8], at: usize) -> Option<(Header, Range<usize>)> {
    let len = word_at(bytes, at)?;
    let header = Header {
        level: int_at(bytes, at + offset_of!(libc::cmsghdr, cmsg_level))?,
        kind: int_at(bytes, at + offset_of!(libc::cmsghdr, cmsg_type))?,
    };
    let end = at.checked_add(len)?.min(bytes.len());
    (len >= HEADER).then_some((header, at + HEADER..end))
}

/// # Safety
///
/// The data was written by the kernel for the receiver of a message, and nobody has taken the descriptors in it.
unsafe fn interpret(header: Header, data: &[u8]) -> ControlMessage<'_> {
    let other = ControlMessage::Other {
        level: header.level,
        kind: header.kind,
        data,
    };
    if header.level != libc::SOL_SOCKET {
        return other;
    }
    // SAFETY: passed on to the caller.
    let owned = |number| unsafe { OwnedFd::from_raw_fd(number) };
    let known = match header.kind {
        libc::SCM_RIGHTS => {
            let numbers = data.chunks_exact(size_of::<RawFd>());
            let numbers = numbers.filter_map(|number| int_at(number, 0));
            Some(ControlMessage::Descriptors(numbers.map(owned).collect()))
        }
        SCM_PIDFD => int_at(data, 0)
            .filter(|number| *number >= 0)
            .map(|number| ControlMessage::Process(owned(number))),
        libc::SCM_CREDENTIALS => credentials(data).map(ControlMessage::Credentials),
        libc::SCM_TIMESTAMP => time_at(data, 0, 1_000).map(ControlMessage::Timestamp),
        libc::SCM_TIMESTAMPNS => time_at(data, 0, 1).map(ControlMessage::Timestamp),
        libc::SCM_TIMESTAMPING => times(data).map(ControlMessage::Timestamping),
        _ => None,
    };
    known.unwrap_or(other)
}

fn credentials(data: &[u8]) -> Option<Credentials> {
    Some(Credentials {
        pid: int_at(data, offset_of!(libc::ucred, pid))?,
        uid: u32::from_ne_bytes(array_at(data, offset_of!(libc::ucred, uid))?),
        gid: u32::from_ne_bytes(array_at(data, offset_of!(libc::ucred, gid))?),
    })
}

/// Seconds and a fraction, each a word; `unit` is how many nanoseconds the fraction counts.
fn time_at(data: &[u8], at: usize, unit: u32) -> Option<Duration> {
    let seconds = u64::try_from(word_at(data, at)?).ok()?;
    let fraction = u32::try_from(word_at(data, at + WORD)?).ok()?;
    Some(Duration::new(seconds, fraction.checked_mul(unit)?))
}

fn times(data: &[u8]) -> Option<[Duration; 3]> {
    let at = |index: usize| time_at(data, index * 2 * WORD, 1);
    Some([at(0)?, at(1)?, at(2)?])
}

/// Room for control data, and what the kernel has put there.
#[derive(Default)]
pub(crate) struct ControlSpace {
    words: Box<[usize]>,
    /// In how many bytes the kernel may have written; they are given out from the cursor on.
    received: usize,
    cursor: Cursor,
}

impl fmt::Debug for ControlSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSpace")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl ControlSpace {
    pub(crate) fn new(bytes: usize) -> ControlSpace {
        ControlSpace {
            words: vec![0; bytes.div_ceil(WORD)].into(),
            received: 0,
            cursor: Cursor::default(),
        }
    }

    /// Address and size of the room, which is empty from here on: there is nothing but zeroes in it.
    pub(crate) fn room(&mut self) -> (*mut u8, usize) {
        self.forget_received();
        self.words.fill(0);
        (self.words.as_mut_ptr().cast(), self.words.len() * WORD)
    }

    /// Takes note that the kernel may have written control data.
    ///
    /// All of the room is looked through, up to the zeroes that nobody has written over: Linux 6.17 tells less than it has written when it had
    /// to wait for the message, and descriptors in the rest would be lost.
    ///
    /// # Safety
    ///
    /// Nobody but the kernel has written to the room since the last call of `room`, and the kernel has done with it.
    pub(crate) unsafe fn set_received(&mut self) {
        self.received = self.words.len() * WORD;
        self.cursor = Cursor::default();
    }

    pub(crate) fn next(&mut self) -> Option<ControlMessage<'_>> {
        // SAFETY: initialised words are so many bytes; what is not zero in the first `received` of them the kernel has written (promised
        // to `set_received`), and only this cursor goes over them.
        unsafe {
            let bytes = std::slice::from_raw_parts(self.words.as_ptr().cast(), self.received);
            self.cursor.next(bytes)
        }
    }

    fn forget_received(&mut self) {
        while self.next().is_some() {}
        self.received = 0;
    }
}

impl Drop for ControlSpace {
    fn drop(&mut self) {
        self.forget_received();
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, ControlMessage, ControlSpace, Credentials, Cursor};

    const CREDENTIALS: Credentials = Credentials {
        pid: 1,
        uid: 2,
        gid: 3,
    };

    fn bytes(control: &Control<'_>) -> Vec<u8> {
        let words = control.words.iter();
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(control.len);
        bytes
    }

    #[test]
    fn what_is_put_together_is_taken_apart() {
        // SAFETY: the data names nothing.
        let control = unsafe { Control::new().raw(41, 7, b"odd") }.credentials(CREDENTIALS);
        let bytes = bytes(&control);
        let mut cursor = Cursor::default();
        // SAFETY: there are no descriptors in it.
        let mut next = || unsafe { cursor.next(&bytes) };
        assert!(matches!(
            next(),
            Some(ControlMessage::Other {
                level: 41,
                kind: 7,
                data: b"odd"
            })
        ));
        assert!(matches!(
            next(),
            Some(ControlMessage::Credentials(CREDENTIALS))
        ));
        assert!(next().is_none());
    }

    #[test]
    fn control_data_that_is_cut_off_ends_early() {
        let whole = bytes(&Control::new().credentials(CREDENTIALS));
        for len in 0..whole.len() {
            // SAFETY: there are no descriptors in it.
            match unsafe { Cursor::default().next(&whole[..len]) } {
                None => assert!(len < 16),
                Some(ControlMessage::Other { data, .. }) => assert_eq!(data.len(), len - 16),
                Some(ControlMessage::Credentials(CREDENTIALS)) => assert!(len >= 16 + 12),
                Some(other) => panic!("{other:?} of {len} bytes"),
            }
        }
        // A header whose length is less than its own.
        let nonsense = [0; 64];
        // SAFETY: as above.
        assert!(unsafe { Cursor::default().next(&nonsense) }.is_none());
        assert!(ControlSpace::new(0).next().is_none());
    }
}
