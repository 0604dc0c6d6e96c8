//! What sockets work with: addresses, and messages with what travels beside their bytes.

pub use crate::resource::address::{
    Address, AddressMemory, AddressSpace, InternetAddress, NoAddress, RawAddress, RawAddressSpace,
    SocketAddress, ToAddress,
};
pub use crate::resource::control::{Control, ControlMessage, Credentials};
pub use crate::resource::message::{
    Incoming, Message, MessageSpace, Outgoing, OutgoingFixed, RawFixedMessage, RawMessage,
};
pub use crate::resource::received::{HoldsMessage, MessageLayout, ReceivedMessage};
