//! RISC-V: number in `a7`, answer in `a0`; vector registers do not survive a system call
//! (`Documentation/arch/riscv/vector.rst`).

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
            "ecall",
            in("a7") number,
            inlateout("a0") args[0] => answer,
            in("a1") args[1],
            in("a2") args[2],
            in("a3") args[3],
            in("a4") args[4],
            in("a5") args[5],
            lateout("v0") _,
            lateout("v1") _,
            lateout("v2") _,
            lateout("v3") _,
            lateout("v4") _,
            lateout("v5") _,
            lateout("v6") _,
            lateout("v7") _,
            lateout("v8") _,
            lateout("v9") _,
            lateout("v10") _,
            lateout("v11") _,
            lateout("v12") _,
            lateout("v13") _,
            lateout("v14") _,
            lateout("v15") _,
            lateout("v16") _,
            lateout("v17") _,
            lateout("v18") _,
            lateout("v19") _,
            lateout("v20") _,
            lateout("v21") _,
            lateout("v22") _,
            lateout("v23") _,
            lateout("v24") _,
            lateout("v25") _,
            lateout("v26") _,
            lateout("v27") _,
            lateout("v28") _,
            lateout("v29") _,
            lateout("v30") _,
            lateout("v31") _,
            options(nostack, preserves_flags),
        );
    }
    answer
}
