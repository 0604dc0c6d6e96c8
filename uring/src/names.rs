//! The kernel's names of opcodes.

use uring_sys as sys;

/// The kernel's name of an operation's opcode, such as `IORING_OP_READ`; `None` for opcodes newer than Linux 7.3.
///
/// ```
/// assert_eq!(uring::opcode_name(0), Some("IORING_OP_NOP"));
/// assert_eq!(uring::opcode_name(255), None);
/// ```
///
/// Source: `linux/io_uring.h`.
#[must_use]
pub const fn opcode_name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        sys::IORING_OP_NOP => "IORING_OP_NOP",
        sys::IORING_OP_READV => "IORING_OP_READV",
        sys::IORING_OP_WRITEV => "IORING_OP_WRITEV",
        sys::IORING_OP_FSYNC => "IORING_OP_FSYNC",
        sys::IORING_OP_READ_FIXED => "IORING_OP_READ_FIXED",
        sys::IORING_OP_WRITE_FIXED => "IORING_OP_WRITE_FIXED",
        sys::IORING_OP_POLL_ADD => "IORING_OP_POLL_ADD",
        sys::IORING_OP_POLL_REMOVE => "IORING_OP_POLL_REMOVE",
        sys::IORING_OP_SYNC_FILE_RANGE => "IORING_OP_SYNC_FILE_RANGE",
        sys::IORING_OP_SENDMSG => "IORING_OP_SENDMSG",
        sys::IORING_OP_RECVMSG => "IORING_OP_RECVMSG",
        sys::IORING_OP_TIMEOUT => "IORING_OP_TIMEOUT",
        sys::IORING_OP_TIMEOUT_REMOVE => "IORING_OP_TIMEOUT_REMOVE",
        sys::IORING_OP_ACCEPT => "IORING_OP_ACCEPT",
        sys::IORING_OP_ASYNC_CANCEL => "IORING_OP_ASYNC_CANCEL",
        sys::IORING_OP_LINK_TIMEOUT => "IORING_OP_LINK_TIMEOUT",
        sys::IORING_OP_CONNECT => "IORING_OP_CONNECT",
        sys::IORING_OP_FALLOCATE => "IORING_OP_FALLOCATE",
        sys::IORING_OP_OPENAT => "IORING_OP_OPENAT",
        sys::IORING_OP_CLOSE => "IORING_OP_CLOSE",
        sys::IORING_OP_FILES_UPDATE => "IORING_OP_FILES_UPDATE",
        sys::IORING_OP_STATX => "IORING_OP_STATX",
        sys::IORING_OP_READ => "IORING_OP_READ",
        sys::IORING_OP_WRITE => "IORING_OP_WRITE",
        sys::IORING_OP_FADVISE => "IORING_OP_FADVISE",
        sys::IORING_OP_MADVISE => "IORING_OP_MADVISE",
        sys::IORING_OP_SEND => "IORING_OP_SEND",
        sys::IORING_OP_RECV => "IORING_OP_RECV",
        sys::IORING_OP_OPENAT2 => "IORING_OP_OPENAT2",
        sys::IORING_OP_EPOLL_CTL => "IORING_OP_EPOLL_CTL",
        sys::IORING_OP_SPLICE => "IORING_OP_SPLICE",
        sys::IORING_OP_PROVIDE_BUFFERS => "IORING_OP_PROVIDE_BUFFERS",
        sys::IORING_OP_REMOVE_BUFFERS => "IORING_OP_REMOVE_BUFFERS",
        sys::IORING_OP_TEE => "IORING_OP_TEE",
        sys::IORING_OP_SHUTDOWN => "IORING_OP_SHUTDOWN",
        sys::IORING_OP_RENAMEAT => "IORING_OP_RENAMEAT",
        sys::IORING_OP_UNLINKAT => "IORING_OP_UNLINKAT",
        sys::IORING_OP_MKDIRAT => "IORING_OP_MKDIRAT",
        sys::IORING_OP_SYMLINKAT => "IORING_OP_SYMLINKAT",
        sys::IORING_OP_LINKAT => "IORING_OP_LINKAT",
        sys::IORING_OP_MSG_RING => "IORING_OP_MSG_RING",
        sys::IORING_OP_FSETXATTR => "IORING_OP_FSETXATTR",
        sys::IORING_OP_SETXATTR => "IORING_OP_SETXATTR",
        sys::IORING_OP_FGETXATTR => "IORING_OP_FGETXATTR",
        sys::IORING_OP_GETXATTR => "IORING_OP_GETXATTR",
        sys::IORING_OP_SOCKET => "IORING_OP_SOCKET",
        sys::IORING_OP_URING_CMD => "IORING_OP_URING_CMD",
        sys::IORING_OP_SEND_ZC => "IORING_OP_SEND_ZC",
        sys::IORING_OP_SENDMSG_ZC => "IORING_OP_SENDMSG_ZC",
        sys::IORING_OP_READ_MULTISHOT => "IORING_OP_READ_MULTISHOT",
        sys::IORING_OP_WAITID => "IORING_OP_WAITID",
        sys::IORING_OP_FUTEX_WAIT => "IORING_OP_FUTEX_WAIT",
        sys::IORING_OP_FUTEX_WAKE => "IORING_OP_FUTEX_WAKE",
        sys::IORING_OP_FUTEX_WAITV => "IORING_OP_FUTEX_WAITV",
        sys::IORING_OP_FIXED_FD_INSTALL => "IORING_OP_FIXED_FD_INSTALL",
        sys::IORING_OP_FTRUNCATE => "IORING_OP_FTRUNCATE",
        sys::IORING_OP_BIND => "IORING_OP_BIND",
        sys::IORING_OP_LISTEN => "IORING_OP_LISTEN",
        sys::IORING_OP_RECV_ZC => "IORING_OP_RECV_ZC",
        sys::IORING_OP_EPOLL_WAIT => "IORING_OP_EPOLL_WAIT",
        sys::IORING_OP_READV_FIXED => "IORING_OP_READV_FIXED",
        sys::IORING_OP_WRITEV_FIXED => "IORING_OP_WRITEV_FIXED",
        sys::IORING_OP_PIPE => "IORING_OP_PIPE",
        sys::IORING_OP_NOP128 => "IORING_OP_NOP128",
        sys::IORING_OP_URING_CMD128 => "IORING_OP_URING_CMD128",
        _ => return None,
    })
}

/// The kernel's name of a register opcode, such as `IORING_REGISTER_RING_FDS`; `None` for opcodes newer than Linux 7.3.
///
/// ```
/// assert_eq!(uring::register_opcode_name(20), Some("IORING_REGISTER_RING_FDS"));
/// assert_eq!(uring::register_opcode_name(u32::MAX), None);
/// ```
///
/// Source: `linux/io_uring.h`.
#[must_use]
pub const fn register_opcode_name(opcode: u32) -> Option<&'static str> {
    Some(match opcode {
        sys::IORING_REGISTER_BUFFERS => "IORING_REGISTER_BUFFERS",
        sys::IORING_UNREGISTER_BUFFERS => "IORING_UNREGISTER_BUFFERS",
        sys::IORING_REGISTER_FILES => "IORING_REGISTER_FILES",
        sys::IORING_UNREGISTER_FILES => "IORING_UNREGISTER_FILES",
        sys::IORING_REGISTER_EVENTFD => "IORING_REGISTER_EVENTFD",
        sys::IORING_UNREGISTER_EVENTFD => "IORING_UNREGISTER_EVENTFD",
        sys::IORING_REGISTER_FILES_UPDATE => "IORING_REGISTER_FILES_UPDATE",
        sys::IORING_REGISTER_EVENTFD_ASYNC => "IORING_REGISTER_EVENTFD_ASYNC",
        sys::IORING_REGISTER_PROBE => "IORING_REGISTER_PROBE",
        sys::IORING_REGISTER_PERSONALITY => "IORING_REGISTER_PERSONALITY",
        sys::IORING_UNREGISTER_PERSONALITY => "IORING_UNREGISTER_PERSONALITY",
        sys::IORING_REGISTER_RESTRICTIONS => "IORING_REGISTER_RESTRICTIONS",
        sys::IORING_REGISTER_ENABLE_RINGS => "IORING_REGISTER_ENABLE_RINGS",
        sys::IORING_REGISTER_FILES2 => "IORING_REGISTER_FILES2",
        sys::IORING_REGISTER_FILES_UPDATE2 => "IORING_REGISTER_FILES_UPDATE2",
        sys::IORING_REGISTER_BUFFERS2 => "IORING_REGISTER_BUFFERS2",
        sys::IORING_REGISTER_BUFFERS_UPDATE => "IORING_REGISTER_BUFFERS_UPDATE",
        sys::IORING_REGISTER_IOWQ_AFF => "IORING_REGISTER_IOWQ_AFF",
        sys::IORING_UNREGISTER_IOWQ_AFF => "IORING_UNREGISTER_IOWQ_AFF",
        sys::IORING_REGISTER_IOWQ_MAX_WORKERS => "IORING_REGISTER_IOWQ_MAX_WORKERS",
        sys::IORING_REGISTER_RING_FDS => "IORING_REGISTER_RING_FDS",
        sys::IORING_UNREGISTER_RING_FDS => "IORING_UNREGISTER_RING_FDS",
        sys::IORING_REGISTER_PBUF_RING => "IORING_REGISTER_PBUF_RING",
        sys::IORING_UNREGISTER_PBUF_RING => "IORING_UNREGISTER_PBUF_RING",
        sys::IORING_REGISTER_SYNC_CANCEL => "IORING_REGISTER_SYNC_CANCEL",
        sys::IORING_REGISTER_FILE_ALLOC_RANGE => "IORING_REGISTER_FILE_ALLOC_RANGE",
        sys::IORING_REGISTER_PBUF_STATUS => "IORING_REGISTER_PBUF_STATUS",
        sys::IORING_REGISTER_NAPI => "IORING_REGISTER_NAPI",
        sys::IORING_UNREGISTER_NAPI => "IORING_UNREGISTER_NAPI",
        sys::IORING_REGISTER_CLOCK => "IORING_REGISTER_CLOCK",
        sys::IORING_REGISTER_CLONE_BUFFERS => "IORING_REGISTER_CLONE_BUFFERS",
        sys::IORING_REGISTER_SEND_MSG_RING => "IORING_REGISTER_SEND_MSG_RING",
        sys::IORING_REGISTER_ZCRX_IFQ => "IORING_REGISTER_ZCRX_IFQ",
        sys::IORING_REGISTER_RESIZE_RINGS => "IORING_REGISTER_RESIZE_RINGS",
        sys::IORING_REGISTER_MEM_REGION => "IORING_REGISTER_MEM_REGION",
        sys::IORING_REGISTER_QUERY => "IORING_REGISTER_QUERY",
        sys::IORING_REGISTER_ZCRX_CTRL => "IORING_REGISTER_ZCRX_CTRL",
        sys::IORING_REGISTER_BPF_FILTER => "IORING_REGISTER_BPF_FILTER",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_opcode_has_one_name_and_the_rest_have_none() {
        let names: Vec<_> = (0..=u8::MAX).map_while(opcode_name).collect();
        assert_eq!(u8::try_from(names.len()), Ok(sys::IORING_OP_LAST));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        let named = (0..=u8::MAX).filter(|&opcode| opcode_name(opcode).is_some());
        assert_eq!(named.count(), names.len());
    }

    #[test]
    fn each_register_opcode_has_one_name_and_the_rest_have_none() {
        let names: Vec<_> = (0..1024).map_while(register_opcode_name).collect();
        assert_eq!(u32::try_from(names.len()), Ok(sys::IORING_REGISTER_LAST));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        let named = (0..1024).filter(|&opcode| register_opcode_name(opcode).is_some());
        assert_eq!(named.count(), names.len());
    }
}
