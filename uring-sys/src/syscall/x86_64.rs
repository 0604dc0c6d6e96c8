//! x86-64: number in `rax`, `syscall` overwrites `rcx` and `r11`.

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
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    answer
}
