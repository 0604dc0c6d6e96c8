//! Messages in buffers that the kernel has chosen.

use std::ops::Deref;

use uring_sys::io_uring_recvmsg_out;

use crate::buffers::{BufferLease, SelectedBuffer};
use crate::op::sealed::Sealed;
use crate::resource::address::{SocketAddress, address_len};
use crate::resource::control::{ControlMessage, Cursor};
use crate::resource::message::Header;

/// How much of a buffer a [multishot receive](crate::op::RecvMsgMultishot) keeps for address and control data.
///
/// One that is pushed raw has it written [where the caller says](crate::op::RecvMsgMultishot::layout_into), for the messages to be read with.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
// The kernel is told with a header that points nowhere.
pub struct MessageLayout(Header);

/// What the kernel puts in front of a message.
const OUT: usize = size_of::<io_uring_recvmsg_out>();

impl MessageLayout {
    pub(crate) fn with_address(mut self) -> MessageLayout {
        self.0.name_len = address_len::<libc::sockaddr_storage>();
        self
    }

    pub(crate) fn with_control(mut self, bytes: usize) -> MessageLayout {
        self.0.control_len = bytes;
        self
    }

    /// The message that a completion of a raw operation has brought.
    ///
    /// ```
    /// use std::mem::MaybeUninit;
    /// use std::os::fd::AsRawFd;
    /// use std::ptr::NonNull;
    /// use uring::net::MessageLayout;
    /// use uring::op::{ProvideBuffers, RawBuffers, RecvMsgMultishot};
    /// use uring::{RawBufferGroup, RawMemory, RawTarget};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// # if !ring.probe()?.supports(uring_sys::IORING_OP_SEND_ZC) { return Ok(()); }
    /// let one = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let other = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut buffer = [0; 512];
    /// let mut layout = MaybeUninit::<MessageLayout>::uninit();
    /// // SAFETY: all of it stays as it is to the end of the operation, below; the library has no group of that number.
    /// let (provide, receive) = unsafe {
    ///     let buffers = RawBuffers::new(7, 0, NonNull::from(&mut buffer).cast(), 512, 1);
    ///     let (target, group) = (RawTarget::descriptor(other.as_raw_fd()), RawBufferGroup::new(7));
    ///     let receive = RecvMsgMultishot::new(target, group).with_address();
    ///     let memory = RawMemory::new(NonNull::from(&mut layout));
    ///     (ProvideBuffers::at_address(buffers), receive.layout_into(memory))
    /// };
    /// ring.push_raw(provide, 1)?;
    /// ring.push_raw(receive, 2)?;
    /// ring.submit_and_wait(1)?;
    /// ring.next_completion()?.expect("it was waited for").result()?;
    ///
    /// for word in ["hello", "no buffer is left for this"] {
    ///     one.send_to(word.as_bytes(), other.local_addr()?)?;
    ///     ring.submit_and_wait(1)?;
    ///     let received = ring.next_completion()?.expect("it was waited for");
    ///     if received.flags().buffer_id() == Some(0) {
    ///         let filled = &buffer[..received.result()?.try_into()?];
    ///         // SAFETY: the operation has filled both in, and this is the first time that the buffer is read.
    ///         let message = unsafe { layout.assume_init().read(filled) };
    ///         assert_eq!(message.bytes(), b"hello");
    ///         assert_eq!(message.address().and_then(|from| from.internet()), Some(one.local_addr()?));
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Safety
    ///
    /// `filled` is what the kernel has put into the buffer that the completion names, as many bytes as it says, for an operation with this layout;
    /// and it is read only once, since the descriptors in the message are the caller's from then on, or closed when the message is dropped.
    #[doc(alias = "io_uring_recvmsg_validate")]
    pub unsafe fn read(self, filled: &[u8]) -> ReceivedMessage<&[u8]> {
        ReceivedMessage {
            bytes: filled,
            layout: self,
            cursor: Cursor::default(),
        }
    }

    /// Where the address begins, where the control data does, and where the bytes do.
    fn starts(self) -> [usize; 3] {
        let address = usize::try_from(self.0.name_len).unwrap_or(usize::MAX);
        let control = OUT.saturating_add(address);
        [OUT, control, control.saturating_add(self.0.control_len)]
    }
}

/// A message in a buffer that the kernel has chosen, with its sender's address and control data.
///
/// Dropping it gives the buffer back, and closes the descriptors that were not taken.
#[derive(Debug)]
#[doc(alias = "io_uring_recvmsg_out")]
pub struct ReceivedMessage<B: Deref<Target = [u8]> = BufferLease> {
    /// The whole of what the kernel has put into the buffer: always the same bytes.
    bytes: B,
    layout: MessageLayout,
    cursor: Cursor,
}

/// What a multishot receive of messages makes of a buffer that one has come in: of a [`BufferLease`] a [`ReceivedMessage`], while what a raw
/// group is known by stays as it is. Sealed.
pub trait HoldsMessage: Sealed {
    /// What it makes.
    type Message;

    /// # Safety
    ///
    /// The kernel has filled the buffer with a message of that layout, and nobody has taken descriptors out of it.
    #[doc(hidden)]
    unsafe fn message(self, layout: MessageLayout) -> Self::Message;
}

impl Sealed for BufferLease {}
impl Sealed for SelectedBuffer {}

impl HoldsMessage for BufferLease {
    type Message = ReceivedMessage;

    unsafe fn message(self, layout: MessageLayout) -> ReceivedMessage {
        ReceivedMessage {
            bytes: self,
            layout,
            cursor: Cursor::default(),
        }
    }
}

impl HoldsMessage for SelectedBuffer {
    type Message = SelectedBuffer;

    unsafe fn message(self, _: MessageLayout) -> SelectedBuffer {
        self
    }
}

impl<B: Deref<Target = [u8]>> ReceivedMessage<B> {
    fn out(&self) -> io_uring_recvmsg_out {
        let word = |index: usize| {
            let bytes = self.bytes.get(4 * index..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        io_uring_recvmsg_out {
            namelen: word(0).unwrap_or(0),
            controllen: word(1).unwrap_or(0),
            payloadlen: word(2).unwrap_or(0),
            flags: word(3).unwrap_or(0),
        }
    }

    /// The message.
    #[doc(alias = "io_uring_recvmsg_payload")]
    #[doc(alias = "io_uring_recvmsg_payload_length")]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let [.., start] = self.layout.starts();
        self.bytes.get(start..).unwrap_or(&[])
    }

    /// Where it came from, if that was asked for. Stream sockets do not say.
    #[doc(alias = "io_uring_recvmsg_name")]
    #[must_use]
    pub fn address(&self) -> Option<SocketAddress> {
        let [start, end, _] = self.layout.starts();
        let len = usize::try_from(self.out().namelen).ok()?;
        let bytes = self.bytes.get(start..end.min(start.saturating_add(len)))?;
        SocketAddress::from_bytes(bytes).filter(|address| !address.as_bytes().is_empty())
    }

    /// The flags of the message: `MSG_EOR`, `MSG_TRUNC`, `MSG_CTRUNC`, …
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.out().flags
    }

    /// Whether the message was longer than the rest of the buffer, and the rest of it is lost.
    #[doc(alias = "MSG_TRUNC")]
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags() & libc::MSG_TRUNC.unsigned_abs() != 0
    }

    /// Whether there was more control data than room for it, and the rest is lost: descriptors in it were never opened.
    #[doc(alias = "MSG_CTRUNC")]
    #[must_use]
    pub fn is_control_truncated(&self) -> bool {
        self.flags() & libc::MSG_CTRUNC.unsigned_abs() != 0
    }

    /// The next piece of control data that came with the message; each is given out once.
    #[doc(alias = "io_uring_recvmsg_cmsg_firsthdr")]
    #[doc(alias = "io_uring_recvmsg_cmsg_nexthdr")]
    pub fn next_control(&mut self) -> Option<ControlMessage<'_>> {
        let [_, start, end] = self.layout.starts();
        let len = usize::try_from(self.out().controllen).ok()?;
        let control = self.bytes.get(start..end.min(start.saturating_add(len)))?;
        // SAFETY: the promise of whoever has made it; nobody can write to the buffer, and only this cursor goes over it.
        unsafe { self.cursor.next(control) }
    }
}

impl<B: Deref<Target = [u8]>> Drop for ReceivedMessage<B> {
    fn drop(&mut self) {
        while self.next_control().is_some() {}
    }
}
