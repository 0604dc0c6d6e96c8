//! The kernel's io_uring interface as C sees it: every constant, struct and union of the UAPI headers under the
//! kernel's names, and the three system calls.
//!
//! Nothing here is safe or convenient; it is what the `uring` crate, or a library of your own, is built on. The
//! constants and types are generated from one release of the kernel's headers and committed, so depending on this
//! crate takes no build script and no libclang. It is `no_std` and needs `libc` only.
//!
//! ```
//! use std::ptr;
//! use uring_sys::{IORING_FEAT_SINGLE_MMAP, io_uring_params, io_uring_setup};
//!
//! let mut params = io_uring_params::default();
//! // SAFETY: `params` is a valid parameter block without user memory in it.
//! match unsafe { io_uring_setup(8, &raw mut params) } {
//!     Ok(fd) => {
//!         println!("descriptor {fd}, {} entries", params.sq_entries);
//!         assert_ne!(params.features & IORING_FEAT_SINGLE_MMAP, 0);
//!         # // SAFETY: the descriptor was just made and nothing else knows it.
//!         # unsafe { libc::close(i32::try_from(fd)?) };
//!     }
//!     Err(errno) => println!("io_uring_setup: {errno}"),
//! }
//! # Ok::<(), std::num::TryFromIntError>(())
//! ```
//!
//! `examples/nop_and_read.rs` goes on from there: it maps the rings, submits a NOP and a read, and waits for both.
//!
//! # Depending on it
//!
//! The crate is not on a registry. By path or by repository:
//!
//! ```toml
//! [dependencies]
//! uring-sys = { path = "../uring-sys" }
//! # or: uring-sys = { git = "<this repository>" }
//! ```
//!
//! # How C became Rust
//!
//! - A constant has the type of the field that it goes into, so no casts are needed: `IORING_OP_READ` is a `u8` like
//!   [`io_uring_sqe::opcode`], [`IOSQE_IO_LINK`] a `u8` like [`io_uring_sqe::flags`], the offsets for `mmap` are `u64`,
//!   and everything else `u32`. The documentation of those that are not `u32` names the field.
//! - Members without a name in C are fields `anon_1`, `anon_2`, … of their struct, in order. `sqe->off` is
//!   `sqe.anon_1.off`.
//! - Flexible arrays are arrays of no elements (`big_cqe: [u64; 0]`): their address is right, their contents are
//!   reached through a pointer to the whole memory.
//! - Everything is plain data: `Copy`, and `Default` gives all zeroes. The kernel adds members in reserved space, so
//!   construct structs with `..Default::default()`.
//! - [`since`] tells since which kernel a constant or struct exists.
//!
//! The bindings are those of every 64-bit Linux target; the generator compares them. 32-bit x86 aligns 64-bit
//! members differently and is refused at compile time.

#![no_std]

#[cfg(not(target_os = "linux"))]
compile_error!("io_uring is an interface of the Linux kernel");

#[cfg(target_arch = "x86")]
compile_error!(
    "uring-sys has no bindings for 32-bit x86, where 64-bit struct members are aligned differently"
);

mod abi;
#[rustfmt::skip]
#[allow(
    non_camel_case_types,
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: the names are C's, members are described by the manual pages, and the unsafe blocks zero plain data"
)]
mod bindings;
mod errno;
mod since;
#[rustfmt::skip]
mod since_table;
mod syscall;

pub use bindings::*;
pub use errno::Errno;
pub use since::since;
pub use syscall::{io_uring_enter, io_uring_register, io_uring_setup};
