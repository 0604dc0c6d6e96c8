//! Every feature that a test can be gated on: its name and how it is probed.
//!
//! The version that introduced it is in `uring-sys`, which has it for its documentation; only flags that are not
//! listed there have theirs here.

use uring_sys::*;

use crate::{
    feature::{Feature, Probe},
    kernel::KernelVersion,
};

const fn row(name: &'static str, probe: Probe) -> Feature {
    Feature {
        name,
        probe,
        since: None,
        config: None,
    }
}

impl Feature {
    const fn since_linux(mut self, major: u16, minor: u16) -> Self {
        self.since = Some(KernelVersion::new(major, minor));
        self
    }

    const fn configured(mut self, config: &'static str) -> Self {
        self.config = Some(config);
        self
    }
}

const fn setup(name: &'static str, flag: u32) -> Feature {
    row(name, Probe::Setup { flag, partners: 0 })
}

const fn setup_with(name: &'static str, flag: u32, partners: u32) -> Feature {
    row(name, Probe::Setup { flag, partners })
}

const fn ring(name: &'static str, bit: u32) -> Feature {
    row(name, Probe::Ring(bit))
}

const fn op(name: &'static str, opcode: u8) -> Feature {
    row(name, Probe::Opcode(opcode))
}

const fn enter(name: &'static str, flag: u32) -> Feature {
    row(name, Probe::Enter(flag))
}

/// `count` is a number of arguments that the opcode accepts, so that the kernel goes on to read them.
const fn register(name: &'static str, opcode: u32, count: u32) -> Feature {
    row(name, Probe::Register { opcode, count })
}

/// Every row.
#[rustfmt::skip]
pub(crate) const ROWS: &[Feature] = &[
    setup("IORING_SETUP_IOPOLL", IORING_SETUP_IOPOLL),
    setup("IORING_SETUP_SQPOLL", IORING_SETUP_SQPOLL),
    setup_with("IORING_SETUP_SQ_AFF", IORING_SETUP_SQ_AFF, IORING_SETUP_SQPOLL),
    setup("IORING_SETUP_CQSIZE", IORING_SETUP_CQSIZE),
    setup("IORING_SETUP_CLAMP", IORING_SETUP_CLAMP),
    setup("IORING_SETUP_ATTACH_WQ", IORING_SETUP_ATTACH_WQ),
    setup("IORING_SETUP_R_DISABLED", IORING_SETUP_R_DISABLED),
    setup("IORING_SETUP_SUBMIT_ALL", IORING_SETUP_SUBMIT_ALL),
    setup("IORING_SETUP_COOP_TASKRUN", IORING_SETUP_COOP_TASKRUN),
    setup_with("IORING_SETUP_TASKRUN_FLAG", IORING_SETUP_TASKRUN_FLAG, IORING_SETUP_COOP_TASKRUN),
    setup("IORING_SETUP_SQE128", IORING_SETUP_SQE128),
    setup("IORING_SETUP_CQE32", IORING_SETUP_CQE32),
    setup("IORING_SETUP_SINGLE_ISSUER", IORING_SETUP_SINGLE_ISSUER),
    setup_with("IORING_SETUP_DEFER_TASKRUN", IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER),
    setup("IORING_SETUP_NO_MMAP", IORING_SETUP_NO_MMAP),
    setup_with("IORING_SETUP_REGISTERED_FD_ONLY", IORING_SETUP_REGISTERED_FD_ONLY, IORING_SETUP_NO_MMAP),
    setup("IORING_SETUP_NO_SQARRAY", IORING_SETUP_NO_SQARRAY),
    setup_with("IORING_SETUP_HYBRID_IOPOLL", IORING_SETUP_HYBRID_IOPOLL, IORING_SETUP_IOPOLL),
    setup("IORING_SETUP_CQE_MIXED", IORING_SETUP_CQE_MIXED),
    setup("IORING_SETUP_SQE_MIXED", IORING_SETUP_SQE_MIXED),
    setup_with("IORING_SETUP_SQ_REWIND", IORING_SETUP_SQ_REWIND, IORING_SETUP_NO_SQARRAY),

    ring("IORING_FEAT_SINGLE_MMAP", IORING_FEAT_SINGLE_MMAP),
    ring("IORING_FEAT_NODROP", IORING_FEAT_NODROP),
    ring("IORING_FEAT_SUBMIT_STABLE", IORING_FEAT_SUBMIT_STABLE),
    ring("IORING_FEAT_RW_CUR_POS", IORING_FEAT_RW_CUR_POS),
    ring("IORING_FEAT_CUR_PERSONALITY", IORING_FEAT_CUR_PERSONALITY),
    ring("IORING_FEAT_FAST_POLL", IORING_FEAT_FAST_POLL),
    ring("IORING_FEAT_POLL_32BITS", IORING_FEAT_POLL_32BITS),
    ring("IORING_FEAT_SQPOLL_NONFIXED", IORING_FEAT_SQPOLL_NONFIXED),
    ring("IORING_FEAT_EXT_ARG", IORING_FEAT_EXT_ARG),
    ring("IORING_FEAT_NATIVE_WORKERS", IORING_FEAT_NATIVE_WORKERS),
    ring("IORING_FEAT_RSRC_TAGS", IORING_FEAT_RSRC_TAGS),
    ring("IORING_FEAT_CQE_SKIP", IORING_FEAT_CQE_SKIP),
    ring("IORING_FEAT_LINKED_FILE", IORING_FEAT_LINKED_FILE),
    ring("IORING_FEAT_REG_REG_RING", IORING_FEAT_REG_REG_RING),
    ring("IORING_FEAT_RECVSEND_BUNDLE", IORING_FEAT_RECVSEND_BUNDLE),
    ring("IORING_FEAT_MIN_TIMEOUT", IORING_FEAT_MIN_TIMEOUT),
    ring("IORING_FEAT_RW_ATTR", IORING_FEAT_RW_ATTR),
    ring("IORING_FEAT_NO_IOWAIT", IORING_FEAT_NO_IOWAIT),

    enter("IORING_ENTER_ABS_TIMER", IORING_ENTER_ABS_TIMER),
    enter("IORING_ENTER_EXT_ARG_REG", IORING_ENTER_EXT_ARG_REG),
    enter("IORING_ENTER_NO_IOWAIT", IORING_ENTER_NO_IOWAIT),

    op("IORING_OP_NOP", IORING_OP_NOP),
    op("IORING_OP_READV", IORING_OP_READV),
    op("IORING_OP_WRITEV", IORING_OP_WRITEV),
    op("IORING_OP_FSYNC", IORING_OP_FSYNC),
    op("IORING_OP_READ_FIXED", IORING_OP_READ_FIXED),
    op("IORING_OP_WRITE_FIXED", IORING_OP_WRITE_FIXED),
    op("IORING_OP_POLL_ADD", IORING_OP_POLL_ADD),
    op("IORING_OP_POLL_REMOVE", IORING_OP_POLL_REMOVE),
    op("IORING_OP_SYNC_FILE_RANGE", IORING_OP_SYNC_FILE_RANGE),
    op("IORING_OP_SENDMSG", IORING_OP_SENDMSG),
    op("IORING_OP_RECVMSG", IORING_OP_RECVMSG),
    op("IORING_OP_TIMEOUT", IORING_OP_TIMEOUT),
    op("IORING_OP_TIMEOUT_REMOVE", IORING_OP_TIMEOUT_REMOVE),
    op("IORING_OP_ACCEPT", IORING_OP_ACCEPT),
    op("IORING_OP_ASYNC_CANCEL", IORING_OP_ASYNC_CANCEL),
    op("IORING_OP_LINK_TIMEOUT", IORING_OP_LINK_TIMEOUT),
    op("IORING_OP_CONNECT", IORING_OP_CONNECT),
    op("IORING_OP_FALLOCATE", IORING_OP_FALLOCATE),
    op("IORING_OP_OPENAT", IORING_OP_OPENAT),
    op("IORING_OP_CLOSE", IORING_OP_CLOSE),
    op("IORING_OP_FILES_UPDATE", IORING_OP_FILES_UPDATE),
    op("IORING_OP_STATX", IORING_OP_STATX),
    op("IORING_OP_READ", IORING_OP_READ),
    op("IORING_OP_WRITE", IORING_OP_WRITE),
    op("IORING_OP_FADVISE", IORING_OP_FADVISE),
    op("IORING_OP_MADVISE", IORING_OP_MADVISE),
    op("IORING_OP_SEND", IORING_OP_SEND),
    op("IORING_OP_RECV", IORING_OP_RECV),
    op("IORING_OP_OPENAT2", IORING_OP_OPENAT2),
    op("IORING_OP_EPOLL_CTL", IORING_OP_EPOLL_CTL).configured("CONFIG_EPOLL"),
    op("IORING_OP_SPLICE", IORING_OP_SPLICE),
    op("IORING_OP_PROVIDE_BUFFERS", IORING_OP_PROVIDE_BUFFERS),
    op("IORING_OP_REMOVE_BUFFERS", IORING_OP_REMOVE_BUFFERS),
    op("IORING_OP_TEE", IORING_OP_TEE),
    op("IORING_OP_SHUTDOWN", IORING_OP_SHUTDOWN),
    op("IORING_OP_RENAMEAT", IORING_OP_RENAMEAT),
    op("IORING_OP_UNLINKAT", IORING_OP_UNLINKAT),
    op("IORING_OP_MKDIRAT", IORING_OP_MKDIRAT),
    op("IORING_OP_SYMLINKAT", IORING_OP_SYMLINKAT),
    op("IORING_OP_LINKAT", IORING_OP_LINKAT),
    op("IORING_OP_MSG_RING", IORING_OP_MSG_RING),
    op("IORING_OP_FSETXATTR", IORING_OP_FSETXATTR),
    op("IORING_OP_SETXATTR", IORING_OP_SETXATTR),
    op("IORING_OP_FGETXATTR", IORING_OP_FGETXATTR),
    op("IORING_OP_GETXATTR", IORING_OP_GETXATTR),
    op("IORING_OP_SOCKET", IORING_OP_SOCKET),
    op("IORING_OP_URING_CMD", IORING_OP_URING_CMD),
    op("IORING_OP_SEND_ZC", IORING_OP_SEND_ZC),
    op("IORING_OP_SENDMSG_ZC", IORING_OP_SENDMSG_ZC),
    op("IORING_OP_READ_MULTISHOT", IORING_OP_READ_MULTISHOT),
    op("IORING_OP_WAITID", IORING_OP_WAITID),
    op("IORING_OP_FUTEX_WAIT", IORING_OP_FUTEX_WAIT),
    op("IORING_OP_FUTEX_WAKE", IORING_OP_FUTEX_WAKE),
    op("IORING_OP_FUTEX_WAITV", IORING_OP_FUTEX_WAITV),
    op("IORING_OP_FIXED_FD_INSTALL", IORING_OP_FIXED_FD_INSTALL),
    op("IORING_OP_FTRUNCATE", IORING_OP_FTRUNCATE),
    op("IORING_OP_BIND", IORING_OP_BIND),
    op("IORING_OP_LISTEN", IORING_OP_LISTEN),
    op("IORING_OP_RECV_ZC", IORING_OP_RECV_ZC).configured("CONFIG_IO_URING_ZCRX"),
    op("IORING_OP_EPOLL_WAIT", IORING_OP_EPOLL_WAIT).configured("CONFIG_EPOLL"),
    op("IORING_OP_READV_FIXED", IORING_OP_READV_FIXED),
    op("IORING_OP_WRITEV_FIXED", IORING_OP_WRITEV_FIXED),
    op("IORING_OP_PIPE", IORING_OP_PIPE),
    op("IORING_OP_NOP128", IORING_OP_NOP128),
    op("IORING_OP_URING_CMD128", IORING_OP_URING_CMD128),

    register("IORING_REGISTER_FILES2", IORING_REGISTER_FILES2, 32),
    register("IORING_REGISTER_FILES_UPDATE2", IORING_REGISTER_FILES_UPDATE2, 32),
    register("IORING_REGISTER_BUFFERS2", IORING_REGISTER_BUFFERS2, 32),
    register("IORING_REGISTER_BUFFERS_UPDATE", IORING_REGISTER_BUFFERS_UPDATE, 32),
    register("IORING_REGISTER_IOWQ_AFF", IORING_REGISTER_IOWQ_AFF, 1),
    register("IORING_REGISTER_IOWQ_MAX_WORKERS", IORING_REGISTER_IOWQ_MAX_WORKERS, 2),
    register("IORING_REGISTER_RING_FDS", IORING_REGISTER_RING_FDS, 1),
    register("IORING_REGISTER_PBUF_RING", IORING_REGISTER_PBUF_RING, 1),
    register("IORING_REGISTER_SYNC_CANCEL", IORING_REGISTER_SYNC_CANCEL, 1),
    register("IORING_REGISTER_FILE_ALLOC_RANGE", IORING_REGISTER_FILE_ALLOC_RANGE, 0),
    register("IORING_REGISTER_PBUF_STATUS", IORING_REGISTER_PBUF_STATUS, 1),
    register("IORING_REGISTER_NAPI", IORING_REGISTER_NAPI, 1),
    register("IORING_REGISTER_CLOCK", IORING_REGISTER_CLOCK, 0),
    register("IORING_REGISTER_CLONE_BUFFERS", IORING_REGISTER_CLONE_BUFFERS, 1),
    register("IORING_REGISTER_SEND_MSG_RING", IORING_REGISTER_SEND_MSG_RING, 1),
    register("IORING_REGISTER_RESIZE_RINGS", IORING_REGISTER_RESIZE_RINGS, 1),
    register("IORING_REGISTER_MEM_REGION", IORING_REGISTER_MEM_REGION, 1),
    register("IORING_REGISTER_QUERY", IORING_REGISTER_QUERY, 0),
    row("IORING_REGISTER_ZCRX_CTRL", Probe::RegisterCount(IORING_REGISTER_ZCRX_CTRL)),
    row("IORING_REGISTER_BPF_FILTER", Probe::RegisterCount(IORING_REGISTER_BPF_FILTER)),

    row("IOU_PBUF_RING_MMAP", Probe::BufferRing(IOU_PBUF_RING_MMAP)).since_linux(6, 4),
    row("IOU_PBUF_RING_INC", Probe::BufferRing(IOU_PBUF_RING_INC)).since_linux(6, 12),

    row("IORING_TIMEOUT_MULTISHOT", Probe::Timeout(IORING_TIMEOUT_MULTISHOT)).since_linux(6, 4),

    row("IORING_NOP_INJECT_RESULT", Probe::Nop(IORING_NOP_INJECT_RESULT)).since_linux(6, 10),
    row("IORING_NOP_FILE", Probe::Nop(IORING_NOP_FILE)).since_linux(6, 13),
    row("IORING_NOP_FIXED_FILE", Probe::Nop(IORING_NOP_FIXED_FILE)).since_linux(6, 13),
    row("IORING_NOP_FIXED_BUFFER", Probe::Nop(IORING_NOP_FIXED_BUFFER)).since_linux(6, 13),
    row("IORING_NOP_TW", Probe::Nop(IORING_NOP_TW)).since_linux(6, 16),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_in_one_place() {
        for row in ROWS {
            let listed = uring_sys::since(row.name).is_some();
            assert_ne!(listed, row.since.is_some(), "{}", row.name);
        }
    }

    #[test]
    fn every_listed_setup_flag_feature_and_opcode_has_a_row() {
        for bit in 0..21 {
            let _ = Feature::setup(1 << bit);
        }
        for bit in 0..18 {
            let _ = Feature::ring(1 << bit);
        }
        for opcode in 0..65 {
            let _ = Feature::opcode(opcode);
        }
    }
}
