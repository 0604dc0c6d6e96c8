//! Which operation has which opcode. A new opcode in the kernel's headers fails this until it has a row.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use uring_sys as sys;

use crate::names::opcode_name;
use crate::op::*;

/// What stands for an opcode: the opcode and name of an operation, or that there is none yet.
type Typed = Option<(u8, &'static str)>;

const NOT_YET: fn() -> Typed = || None;

fn typed<O: Operation>() -> Typed {
    Some((O::OPCODE, std::any::type_name::<O>()))
}

/// All opcodes in order. An operation replaces `NOT_YET` in its row.
#[rustfmt::skip]
const TABLE: &[(u8, fn() -> Typed)] = &[
    (sys::IORING_OP_NOP, typed::<Nop>),
    (sys::IORING_OP_READV, NOT_YET),
    (sys::IORING_OP_WRITEV, NOT_YET),
    (sys::IORING_OP_FSYNC, typed::<Fsync<OwnedFd>>),
    (sys::IORING_OP_READ_FIXED, NOT_YET),
    (sys::IORING_OP_WRITE_FIXED, NOT_YET),
    (sys::IORING_OP_POLL_ADD, NOT_YET),
    (sys::IORING_OP_POLL_REMOVE, NOT_YET),
    (sys::IORING_OP_SYNC_FILE_RANGE, NOT_YET),
    (sys::IORING_OP_SENDMSG, NOT_YET),
    (sys::IORING_OP_RECVMSG, NOT_YET),
    (sys::IORING_OP_TIMEOUT, typed::<Timeout>),
    (sys::IORING_OP_TIMEOUT_REMOVE, NOT_YET),
    (sys::IORING_OP_ACCEPT, NOT_YET),
    (sys::IORING_OP_ASYNC_CANCEL, typed::<Cancel>),
    (sys::IORING_OP_LINK_TIMEOUT, typed::<TimeLimit>),
    (sys::IORING_OP_CONNECT, NOT_YET),
    (sys::IORING_OP_FALLOCATE, NOT_YET),
    (sys::IORING_OP_OPENAT, typed::<OpenAt<CString>>),
    (sys::IORING_OP_CLOSE, typed::<Close>),
    (sys::IORING_OP_FILES_UPDATE, NOT_YET),
    (sys::IORING_OP_STATX, typed::<Statx<CString>>),
    (sys::IORING_OP_READ, typed::<Read<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_WRITE, typed::<Write<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_FADVISE, NOT_YET),
    (sys::IORING_OP_MADVISE, NOT_YET),
    (sys::IORING_OP_SEND, NOT_YET),
    (sys::IORING_OP_RECV, NOT_YET),
    (sys::IORING_OP_OPENAT2, NOT_YET),
    (sys::IORING_OP_EPOLL_CTL, NOT_YET),
    (sys::IORING_OP_SPLICE, NOT_YET),
    (sys::IORING_OP_PROVIDE_BUFFERS, NOT_YET),
    (sys::IORING_OP_REMOVE_BUFFERS, NOT_YET),
    (sys::IORING_OP_TEE, NOT_YET),
    (sys::IORING_OP_SHUTDOWN, NOT_YET),
    (sys::IORING_OP_RENAMEAT, NOT_YET),
    (sys::IORING_OP_UNLINKAT, typed::<UnlinkAt<CString>>),
    (sys::IORING_OP_MKDIRAT, NOT_YET),
    (sys::IORING_OP_SYMLINKAT, NOT_YET),
    (sys::IORING_OP_LINKAT, NOT_YET),
    (sys::IORING_OP_MSG_RING, NOT_YET),
    (sys::IORING_OP_FSETXATTR, NOT_YET),
    (sys::IORING_OP_SETXATTR, NOT_YET),
    (sys::IORING_OP_FGETXATTR, NOT_YET),
    (sys::IORING_OP_GETXATTR, NOT_YET),
    (sys::IORING_OP_SOCKET, NOT_YET),
    (sys::IORING_OP_URING_CMD, NOT_YET),
    (sys::IORING_OP_SEND_ZC, NOT_YET),
    (sys::IORING_OP_SENDMSG_ZC, NOT_YET),
    (sys::IORING_OP_READ_MULTISHOT, NOT_YET),
    (sys::IORING_OP_WAITID, NOT_YET),
    (sys::IORING_OP_FUTEX_WAIT, NOT_YET),
    (sys::IORING_OP_FUTEX_WAKE, NOT_YET),
    (sys::IORING_OP_FUTEX_WAITV, NOT_YET),
    (sys::IORING_OP_FIXED_FD_INSTALL, NOT_YET),
    (sys::IORING_OP_FTRUNCATE, NOT_YET),
    (sys::IORING_OP_BIND, NOT_YET),
    (sys::IORING_OP_LISTEN, NOT_YET),
    (sys::IORING_OP_RECV_ZC, NOT_YET),
    (sys::IORING_OP_EPOLL_WAIT, NOT_YET),
    (sys::IORING_OP_READV_FIXED, NOT_YET),
    (sys::IORING_OP_WRITEV_FIXED, NOT_YET),
    (sys::IORING_OP_PIPE, NOT_YET),
    (sys::IORING_OP_NOP128, typed::<Nop128>),
    (sys::IORING_OP_URING_CMD128, NOT_YET),
];

#[test]
fn every_opcode_has_its_operation_or_is_known_to_have_none() {
    let mut rows = TABLE.iter();
    for opcode in 0..sys::IORING_OP_LAST {
        let name = opcode_name(opcode).unwrap_or("without a name");
        let Some((of_row, operation)) = rows.next() else {
            panic!("opcode {opcode} ({name}) is new: it needs a row");
        };
        assert_eq!(*of_row, opcode, "the row of {name} is elsewhere");
        if let Some((of_operation, operation)) = operation() {
            assert_eq!(of_operation, opcode, "{operation} is not {name}");
        }
    }
    assert!(rows.next().is_none(), "a row is left");
}
