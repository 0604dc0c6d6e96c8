//! Every operation. What the kernel does not have is refused, or completes with an error.

mod data;
mod names;
mod net;
mod resources;
mod selected;
mod tables;
mod waits;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use uring_testkit::TestResult;

use crate::random::flying::Pushed;
use crate::random::world::World;

/// Pushes one operation, of those things in the world that chance has chosen.
pub(crate) type Kind = fn(&mut World) -> TestResult<Pushed>;

pub(crate) const ALL: &[Kind] = &[
    data::read,
    data::read_pipe,
    data::write,
    data::read_vectored,
    data::write_vectored,
    data::read_registered,
    data::write_registered,
    data::read_registered_vectored,
    data::read_direct,
    data::splice,
    data::tee,
    data::fsync,
    data::sync_range,
    data::allocate,
    data::truncate,
    data::advise,
    data::advise_memory,
    data::discard,
    names::open,
    names::open2,
    names::status,
    names::rename,
    names::unlink,
    names::make_directory,
    names::link,
    names::symlink,
    names::get_attribute,
    names::set_attribute,
    names::get_attribute_by_name,
    names::set_attribute_by_name,
    net::accept,
    net::accept_multishot,
    net::connect,
    net::bind,
    net::listen,
    net::shut_down,
    net::send,
    net::send_vectored,
    net::send_zero_copy,
    net::send_zero_copy_registered,
    net::send_message,
    net::send_message_zero_copy,
    net::send_message_registered,
    net::send_queued,
    net::receive,
    net::receive_message,
    net::receive_zero_copy,
    net::make_socket,
    net::get_option,
    net::set_option,
    net::bytes_waiting,
    net::own_name,
    net::timestamps,
    selected::read,
    selected::read_multishot,
    selected::receive,
    selected::receive_multishot,
    selected::receive_bundles,
    selected::receive_messages,
    selected::receive_incrementally,
    selected::provide,
    selected::remove,
    tables::open,
    tables::socket,
    tables::pipe,
    tables::close,
    tables::close_descriptor,
    tables::install,
    tables::adopt,
    tables::send,
    tables::make_pipe,
    waits::nop,
    waits::nop_injected,
    waits::timeout,
    waits::timeout_multishot,
    waits::timeout_remove,
    waits::timeout_update,
    waits::poll,
    waits::poll_multishot,
    waits::poll_remove,
    waits::poll_update,
    waits::cancel,
    waits::futex_wait,
    waits::futex_wait_several,
    waits::futex_wake,
    waits::epoll_control,
    waits::epoll_wait,
    waits::child,
    waits::message,
];

/// What is done by call, between the operations.
pub(crate) type Change = fn(&mut World) -> TestResult;

pub(crate) const CHANGES: &[Change] = &[
    resources::adopt_all,
    resources::replace,
    resources::take_table_away,
    resources::swap_buffer,
    resources::share_buffer,
    resources::replace_group,
];

/// An epoll instance that waits for nothing yet.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, which nobody else knows of.
    match unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
