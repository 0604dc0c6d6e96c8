//! Messages: several buffers with an address and control data, and the header that the kernel wants for them.

use std::mem::offset_of;
use std::ptr::NonNull;

use crate::op::sealed::Sealed;
use crate::resource::address::{Address, AddressMemory, AddressSpace, SocketAddress};
use crate::resource::control::{Control, ControlMessage, ControlSpace};
use crate::resource::{
    BufferName, Fixed, FixedMemory, FixedVecs, Untracked, Vectored, VectoredMut,
};

/// A `struct msghdr` whose addresses are numbers, so that it moves between threads as what it points to does.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Header {
    name: usize,
    pub(crate) name_len: libc::socklen_t,
    vectors: usize,
    vector_count: usize,
    control: usize,
    pub(crate) control_len: usize,
    flags: i32,
}

const _: () = assert!(
    size_of::<Header>() == size_of::<libc::msghdr>()
        && align_of::<Header>() == align_of::<libc::msghdr>()
        && offset_of!(Header, name_len) == offset_of!(libc::msghdr, msg_namelen)
        && offset_of!(Header, vectors) == offset_of!(libc::msghdr, msg_iov)
        && offset_of!(Header, vector_count) == offset_of!(libc::msghdr, msg_iovlen)
        && offset_of!(Header, control) == offset_of!(libc::msghdr, msg_control)
        && offset_of!(Header, control_len) == offset_of!(libc::msghdr, msg_controllen)
        && offset_of!(Header, flags) == offset_of!(libc::msghdr, msg_flags)
);

fn exposed<T>(pointer: *const T) -> usize {
    pointer.expose_provenance()
}

/// A message to be sent: buffers, and what goes with them.
///
/// It comes back from each operation and can be sent again, without another allocation.
///
/// ```
/// use uring::IoVecs;
/// use uring::net::Message;
///
/// let message = Message::new(IoVecs::from(vec!["head", "body"]));
/// assert_eq!(message.into_bufs().into_bufs(), ["head", "body"]);
/// ```
#[derive(Debug)]
#[doc(alias = "msghdr")]
pub struct Message<'fd, V> {
    parts: Box<Parts<'fd, V>>,
}

#[derive(Debug)]
struct Parts<'fd, V> {
    header: Header,
    vectors: V,
    address: Option<SocketAddress>,
    control: Control<'fd>,
}

impl<'fd, V: Vectored> Message<'fd, V> {
    /// A message of these bytes, to the peer that the socket is connected to.
    pub fn new(bufs: V) -> Message<'fd, V> {
        Message {
            parts: Box::new(Parts {
                header: Header::default(),
                vectors: bufs,
                address: None,
                control: Control::new(),
            }),
        }
    }

    /// Sends it to that address.
    #[must_use]
    pub fn to(mut self, address: impl Into<SocketAddress>) -> Self {
        self.parts.address = Some(address.into());
        self
    }

    /// Sends control data with it, instead of what there was.
    #[must_use]
    pub fn control(mut self, control: Control<'fd>) -> Self {
        self.parts.control = control;
        self
    }
}

impl<V> Message<'_, V> {
    /// The buffers.
    #[must_use]
    pub fn bufs(&self) -> &V {
        &self.parts.vectors
    }

    /// The buffers, given back; the rest is dropped.
    #[must_use]
    pub fn into_bufs(self) -> V {
        self.parts.vectors
    }
}

/// What the kernel sends as a message: a [`Message`], or by promise a [`RawMessage`]. Sealed.
pub trait Outgoing: Sealed {
    /// The header, with everything in it where the kernel is to find it.
    #[doc(hidden)]
    fn header(&mut self) -> *const libc::msghdr;
}

impl<V> Sealed for Message<'_, V> {}

impl<V: Vectored> Outgoing for Message<'_, V> {
    fn header(&mut self) -> *const libc::msghdr {
        let parts = &mut *self.parts;
        let (name, name_len) = match &parts.address {
            // SAFETY: a reference to it.
            Some(address) => unsafe { SocketAddress::sockaddr(address) },
            None => (std::ptr::null(), 0),
        };
        let (vectors, vector_count) = parts.vectors.io_vecs();
        let (control, control_len) = parts.control.bytes();
        parts.header = Header {
            name: exposed(name),
            name_len,
            vectors: exposed(vectors),
            vector_count,
            control: if control_len == 0 {
                0
            } else {
                exposed(control)
            },
            control_len,
            flags: 0,
        };
        (&raw const parts.header).cast()
    }
}

/// What the kernel sends as a message from a registered buffer: a [`Message`] of [`FixedVecs`], or by promise a [`RawFixedMessage`]. Sealed.
pub trait OutgoingFixed: Outgoing {
    #[doc(hidden)]
    fn name(&self) -> BufferName;
}

impl<F: Fixed> OutgoingFixed for Message<'_, FixedVecs<F>> {
    fn name(&self) -> BufferName {
        self.bufs().name()
    }
}

/// Room for a message to be received, and what was received into it.
///
/// It comes back from each operation and can be used again, without another allocation; descriptors that came with the last message and
/// were not taken are closed then, as they are when it is dropped.
///
/// ```
/// use uring::IoVecs;
/// use uring::net::MessageSpace;
///
/// let bufs = IoVecs::from(vec![Vec::with_capacity(16), Vec::with_capacity(4096)]);
/// let space = MessageSpace::new(bufs).with_address().with_control(64);
/// assert!(space.address().is_none());
/// ```
#[derive(Debug)]
#[doc(alias = "msghdr")]
pub struct MessageSpace<V> {
    parts: Box<SpaceParts<V>>,
}

#[derive(Debug)]
struct SpaceParts<V> {
    header: Header,
    vectors: V,
    address: Option<AddressSpace>,
    received_address: Option<SocketAddress>,
    control: ControlSpace,
}

impl<V: VectoredMut> MessageSpace<V> {
    /// Room for the bytes of a message.
    pub fn new(bufs: V) -> MessageSpace<V> {
        MessageSpace {
            parts: Box::new(SpaceParts {
                header: Header::default(),
                vectors: bufs,
                address: None,
                received_address: None,
                control: ControlSpace::default(),
            }),
        }
    }

    /// Asks where it comes from.
    #[must_use]
    pub fn with_address(mut self) -> Self {
        self.parts.address = Some(AddressSpace::new());
        self
    }

    /// Has room for that many bytes of control data, rounded up to whole words.
    ///
    /// A control message takes 16 bytes more than its data, and begins at a multiple of 8.
    #[must_use]
    pub fn with_control(mut self, bytes: usize) -> Self {
        self.parts.control = ControlSpace::new(bytes);
        self
    }
}

impl<V> MessageSpace<V> {
    /// The buffers.
    #[must_use]
    pub fn bufs(&self) -> &V {
        &self.parts.vectors
    }

    /// The buffers, given back; the rest is dropped.
    #[must_use]
    pub fn into_bufs(self) -> V {
        self.parts.vectors
    }

    /// Where the message came from, if that was asked for. Stream sockets do not say.
    #[must_use]
    pub fn address(&self) -> Option<&SocketAddress> {
        self.parts.received_address.as_ref()
    }

    /// The flags of the message: `MSG_EOR`, `MSG_TRUNC`, `MSG_CTRUNC`, `MSG_ERRQUEUE`, …
    #[must_use]
    pub fn flags(&self) -> i32 {
        self.parts.header.flags
    }

    /// Whether the message was longer than the buffers, and the rest of it is lost.
    #[doc(alias = "MSG_TRUNC")]
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags() & libc::MSG_TRUNC != 0
    }

    /// Whether there was more control data than room for it, and the rest is lost: descriptors in it were never opened.
    #[doc(alias = "MSG_CTRUNC")]
    #[must_use]
    pub fn is_control_truncated(&self) -> bool {
        self.flags() & libc::MSG_CTRUNC != 0
    }

    /// The next piece of control data that came with the message; each is given out once.
    ///
    /// There may be pieces that nobody has asked for: on Linux 6.17 each message of a Unix stream has one.
    pub fn next_control(&mut self) -> Option<ControlMessage<'_>> {
        self.parts.control.next()
    }
}

/// Where the kernel puts a message: a [`MessageSpace`], or by promise a [`RawMessage`]. Sealed.
pub trait Incoming: Sealed {
    /// The header, with everything in it where the kernel is to write to.
    #[doc(hidden)]
    fn header(&mut self) -> *mut libc::msghdr;

    /// Takes note of a message of so many bytes.
    ///
    /// # Safety
    ///
    /// The kernel has received it with the header.
    #[doc(hidden)]
    unsafe fn set_received(&mut self, bytes: usize);
}

impl<V> Sealed for MessageSpace<V> {}

impl<V: VectoredMut> Incoming for MessageSpace<V> {
    fn header(&mut self) -> *mut libc::msghdr {
        let parts = &mut *self.parts;
        parts.received_address = None;
        let (name, name_len) = match &mut parts.address {
            Some(space) => {
                *space = AddressSpace::new();
                // SAFETY: an exclusive reference to it; the length that it has beside is not used.
                let (name, len) = unsafe { AddressSpace::sockaddr(space) };
                // SAFETY: as above.
                (name, unsafe { len.read() })
            }
            None => (std::ptr::null_mut(), 0),
        };
        let (vectors, vector_count) = parts.vectors.io_vecs_mut();
        let (control, control_len) = parts.control.room();
        parts.header = Header {
            name: exposed(name.cast_const()),
            name_len,
            vectors: exposed(vectors),
            vector_count,
            control: if control_len == 0 {
                0
            } else {
                exposed(control.cast_const())
            },
            control_len,
            flags: 0,
        };
        (&raw mut parts.header).cast()
    }

    unsafe fn set_received(&mut self, bytes: usize) {
        let parts = &mut *self.parts;
        // SAFETY: the kernel has written that many bytes of the buffers, in order, and has done with the room for control data.
        unsafe {
            parts.vectors.set_filled(bytes);
            parts.control.set_received();
        }
        // SAFETY: where room for an address was given, the kernel has written it.
        parts.received_address = parts.address.as_mut().map(|space| unsafe {
            let (_, len) = AddressSpace::sockaddr(space);
            len.write(parts.header.name_len);
            space.with(()).1
        });
        // Nobody is told of an address of no bytes.
        parts.received_address = parts
            .received_address
            .filter(|address| !address.as_bytes().is_empty());
    }
}

/// The bare address of a `struct msghdr`.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage(NonNull<libc::msghdr>);

impl RawMessage {
    /// The header at that address.
    ///
    /// # Safety
    ///
    /// Until the last completion of each operation pushed with it has been reaped, it stays there, as does everything that it points to,
    /// valid for what the operation does (reads for a send, writes for a receive), and used by nobody else in a way that conflicts.
    #[must_use]
    pub const unsafe fn new(header: NonNull<libc::msghdr>) -> RawMessage {
        RawMessage(header)
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawMessage {}

impl Sealed for RawMessage {}

impl Outgoing for RawMessage {
    fn header(&mut self) -> *const libc::msghdr {
        self.0.as_ptr().cast_const()
    }
}

impl Incoming for RawMessage {
    fn header(&mut self) -> *mut libc::msghdr {
        self.0.as_ptr()
    }

    unsafe fn set_received(&mut self, _: usize) {}
}

/// The bare address of a `struct msghdr` whose vectors are in a registered buffer.
#[derive(Clone, Copy, Debug)]
pub struct RawFixedMessage {
    message: RawMessage,
    index: u16,
}

impl RawFixedMessage {
    /// The header at that address, with vectors that lie in the buffer with that index.
    ///
    /// # Safety
    ///
    /// As for [`RawMessage::new`], and until the last completion of each operation pushed with it has been reaped, which is the one with
    /// [`NOTIF`](crate::CompletionFlags::NOTIF) if there is one, the ring that it is pushed to has a buffer with that index. A vector outside the
    /// buffer makes the operation complete with `EFAULT`.
    #[must_use]
    pub const unsafe fn new(index: u16, header: NonNull<libc::msghdr>) -> RawFixedMessage {
        RawFixedMessage {
            // SAFETY: passed on to the caller.
            message: unsafe { RawMessage::new(header) },
            index,
        }
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawFixedMessage {}

impl Sealed for RawFixedMessage {}

impl Outgoing for RawFixedMessage {
    fn header(&mut self) -> *const libc::msghdr {
        Outgoing::header(&mut self.message)
    }
}

impl OutgoingFixed for RawFixedMessage {
    fn name(&self) -> BufferName {
        BufferName::raw(self.index)
    }
}
