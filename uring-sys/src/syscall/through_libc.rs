//! Every other target: through libc, whose wrapper moves the error to `errno`.

use core::ffi::c_long;

/// Makes a system call and gives the kernel's answer, negative for an error.
///
/// # Safety
///
/// The arguments are what the call asks for.
#[inline]
pub(super) unsafe fn syscall(number: c_long, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller promises what the call asks for; `errno` is this thread's, and the call before set it.
    unsafe {
        match libc::syscall(number, a, b, c, d, e, f) {
            -1 => -(*libc::__errno_location() as isize),
            answer => answer as isize,
        }
    }
}
