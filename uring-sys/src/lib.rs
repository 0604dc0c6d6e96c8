#![no_std]
//! The kernel io_uring ABI.
