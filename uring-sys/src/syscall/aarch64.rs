//! AArch64: number in `x8`, answer in `x0`.

use core::{arch::asm, ffi::c_long};

/// Makes a system call and gives the kernel's answer, negative for an error.
///
/// # Safety
///
/// The arguments are what the call asks for.
#[inline]
pub(super) unsafe fn syscall(number: c_long, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the registers are those of the calling convention and the stack is not touched; the flags are restored
    // on return; memory is accessed as the caller promised.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] => answer,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack, preserves_flags),
        );
    }
    answer
}
