//! Which operation has which opcode, and that each has a raw form. A new opcode in the kernel's headers fails this until it has a row.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicU32;

use uring_sys as sys;

use crate::entry::Entry;
use crate::names::opcode_name;
use crate::net::{RawMessage, SocketAddress};
use crate::op::*;
use crate::{Direct, FixedVecs, IoVecs, RegisteredBuf};

/// The opcode of an operation, and its name.
type Typed = (u8, &'static str);

/// An opcode, and the operation that has it.
type Row = (u8, fn() -> Typed);

fn typed<O: Operation>() -> Typed {
    (O::OPCODE, std::any::type_name::<O>())
}

/// It has an opcode of its own where entries are mixed.
fn large_command() -> Typed {
    let (opcode, name) = typed::<LargeCommand<OwnedFd>>();
    let mut entry = Entry::new(opcode);
    entry.name_for_mixed_queue();
    (entry.opcode(), name)
}

/// All opcodes in order.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (sys::IORING_OP_NOP, typed::<Nop>),
    (sys::IORING_OP_READV, typed::<ReadV<OwnedFd, IoVecs<Vec<u8>>>>),
    (sys::IORING_OP_WRITEV, typed::<WriteV<OwnedFd, IoVecs<Vec<u8>>>>),
    (sys::IORING_OP_FSYNC, typed::<Fsync<OwnedFd>>),
    (sys::IORING_OP_READ_FIXED, typed::<ReadFixed<OwnedFd, RegisteredBuf>>),
    (sys::IORING_OP_WRITE_FIXED, typed::<WriteFixed<OwnedFd, RegisteredBuf>>),
    (sys::IORING_OP_POLL_ADD, typed::<Poll<OwnedFd>>),
    (sys::IORING_OP_POLL_REMOVE, typed::<PollUpdate>),
    (sys::IORING_OP_SYNC_FILE_RANGE, typed::<SyncFileRange<OwnedFd>>),
    (sys::IORING_OP_SENDMSG, typed::<SendMsg<OwnedFd, RawMessage>>),
    (sys::IORING_OP_RECVMSG, typed::<RecvMsg<OwnedFd, RawMessage>>),
    (sys::IORING_OP_TIMEOUT, typed::<Timeout>),
    (sys::IORING_OP_TIMEOUT_REMOVE, typed::<TimeoutUpdate>),
    (sys::IORING_OP_ACCEPT, typed::<Accept<OwnedFd>>),
    (sys::IORING_OP_ASYNC_CANCEL, typed::<Cancel>),
    (sys::IORING_OP_LINK_TIMEOUT, typed::<TimeLimit>),
    (sys::IORING_OP_CONNECT, typed::<Connect<OwnedFd, SocketAddress>>),
    (sys::IORING_OP_FALLOCATE, typed::<Fallocate<OwnedFd>>),
    (sys::IORING_OP_OPENAT, typed::<OpenAt<CString>>),
    (sys::IORING_OP_CLOSE, typed::<Close>),
    (sys::IORING_OP_FILES_UPDATE, typed::<FilesUpdate<OwnedFd>>),
    (sys::IORING_OP_STATX, typed::<Statx<CString>>),
    (sys::IORING_OP_READ, typed::<Read<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_WRITE, typed::<Write<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_FADVISE, typed::<Fadvise<OwnedFd>>),
    (sys::IORING_OP_MADVISE, typed::<Madvise<Vec<u8>>>),
    (sys::IORING_OP_SEND, typed::<Send<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_RECV, typed::<Recv<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_OPENAT2, typed::<OpenAt2<CString>>),
    (sys::IORING_OP_EPOLL_CTL, typed::<EpollCtl<OwnedFd, OwnedFd>>),
    (sys::IORING_OP_SPLICE, typed::<Splice<OwnedFd, OwnedFd>>),
    (sys::IORING_OP_PROVIDE_BUFFERS, typed::<ProvideBuffers>),
    (sys::IORING_OP_REMOVE_BUFFERS, typed::<RemoveBuffers>),
    (sys::IORING_OP_TEE, typed::<Tee<OwnedFd, OwnedFd>>),
    (sys::IORING_OP_SHUTDOWN, typed::<Shutdown<OwnedFd>>),
    (sys::IORING_OP_RENAMEAT, typed::<RenameAt<CString, CString>>),
    (sys::IORING_OP_UNLINKAT, typed::<UnlinkAt<CString>>),
    (sys::IORING_OP_MKDIRAT, typed::<MkdirAt<CString>>),
    (sys::IORING_OP_SYMLINKAT, typed::<SymlinkAt<CString, CString>>),
    (sys::IORING_OP_LINKAT, typed::<LinkAt<CString, CString>>),
    (sys::IORING_OP_MSG_RING, typed::<MsgRing<OwnedFd>>),
    (sys::IORING_OP_FSETXATTR, typed::<FSetXattr<OwnedFd, CString, Vec<u8>>>),
    (sys::IORING_OP_SETXATTR, typed::<SetXattr<CString, CString, Vec<u8>>>),
    (sys::IORING_OP_FGETXATTR, typed::<FGetXattr<OwnedFd, CString, Vec<u8>>>),
    (sys::IORING_OP_GETXATTR, typed::<GetXattr<CString, CString, Vec<u8>>>),
    (sys::IORING_OP_SOCKET, typed::<Socket>),
    (sys::IORING_OP_URING_CMD, typed::<SiocInq<OwnedFd>>),
    (sys::IORING_OP_SEND_ZC, typed::<SendZc<OwnedFd, Vec<u8>>>),
    (sys::IORING_OP_SENDMSG_ZC, typed::<SendMsgZc<OwnedFd, RawMessage>>),
    (sys::IORING_OP_READ_MULTISHOT, typed::<ReadMultishot<OwnedFd>>),
    (sys::IORING_OP_WAITID, typed::<WaitId<AnyChild>>),
    (sys::IORING_OP_FUTEX_WAIT, typed::<FutexWait<&AtomicU32>>),
    (sys::IORING_OP_FUTEX_WAKE, typed::<FutexWake<&AtomicU32>>),
    (sys::IORING_OP_FUTEX_WAITV, typed::<FutexWaitV<FutexWords<&AtomicU32>>>),
    (sys::IORING_OP_FIXED_FD_INSTALL, typed::<InstallFd<Direct>>),
    (sys::IORING_OP_FTRUNCATE, typed::<Ftruncate<OwnedFd>>),
    (sys::IORING_OP_BIND, typed::<Bind<OwnedFd, SocketAddress>>),
    (sys::IORING_OP_LISTEN, typed::<Listen<OwnedFd>>),
    (sys::IORING_OP_RECV_ZC, typed::<RecvZc<OwnedFd>>),
    (sys::IORING_OP_EPOLL_WAIT, typed::<EpollWait<OwnedFd>>),
    (sys::IORING_OP_READV_FIXED, typed::<ReadFixed<OwnedFd, FixedVecs<RegisteredBuf>>>),
    (sys::IORING_OP_WRITEV_FIXED, typed::<WriteFixed<OwnedFd, FixedVecs<RegisteredBuf>>>),
    (sys::IORING_OP_PIPE, typed::<Pipe>),
    (sys::IORING_OP_NOP128, typed::<Nop128>),
    (sys::IORING_OP_URING_CMD128, large_command),
];

#[test]
fn every_opcode_has_its_operation() {
    let mut rows = TABLE.iter();
    for opcode in 0..sys::IORING_OP_LAST {
        let name = opcode_name(opcode).unwrap_or("without a name");
        let Some((of_row, operation)) = rows.next() else {
            panic!("opcode {opcode} ({name}) is new: it needs a row");
        };
        assert_eq!(*of_row, opcode, "the row of {name} is elsewhere");
        let (of_operation, operation) = operation();
        assert_eq!(of_operation, opcode, "{operation} is not {name}");
    }
    assert!(rows.next().is_none(), "a row is left");
}

/// Those that are pushed raw as another type, which their documentation names.
const RAW_AS_ANOTHER: [&str; 2] = ["CloseDirect", "TimeLimit"];

/// The types that the sources in this folder implement a trait for, or the macros' variables in their place.
fn implementors(of: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/op");
    let mut types = BTreeSet::new();
    for file in fs::read_dir(folder).expect("the sources are there") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a source");
        let head = format!(" {of} for ");
        let mut parts = text.split(&head).map(str::trim_start);
        let _before_the_first = parts.next();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        types.extend(parts.map(|rest| {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            rest[..end].to_owned()
        }));
    }
    types
}

#[test]
fn every_operation_has_a_raw_form() {
    let (all, raw) = (implementors("Operation"), implementors("RawOperation"));
    assert!(all.len() > 80 && raw.is_subset(&all), "{all:?} {raw:?}");
    let others: Vec<_> = all.difference(&raw).collect();
    assert_eq!(others, RAW_AS_ANOTHER);
}
