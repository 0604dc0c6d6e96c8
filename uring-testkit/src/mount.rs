//! A small file system of one's own.

use std::{
    ffi::{CStr, CString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    ptr,
};

use crate::files::TempDir;

/// A tmpfs of limited size that only the calling thread, and what it starts, can see.
///
/// The thread gets a mount namespace of its own, for which it must be privileged, and keeps it.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts a file system of `bytes`, rounded up to pages.
    ///
    /// # Errors
    ///
    /// The thread may not mount (`EPERM`).
    pub fn new(bytes: usize) -> io::Result<Self> {
        let dir = TempDir::new()?;
        // SAFETY: changes what this thread sees of the file system and nothing of its memory.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } == -1 {
            return Err(io::Error::last_os_error());
        }
        mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE, c"")?;
        let options = CString::new(format!("size={bytes}"))?;
        mount(c"tmpfs", &c_path(dir.path())?, 0, &options)?;
        Ok(Self(dir))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let Ok(path) = c_path(self.path()) else {
            return;
        };
        // SAFETY: a string that ends in a zero byte. The mount goes with the namespace if this fails.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong, options: &CStr) -> io::Result<()> {
    let (kind, target) = (kind.as_ptr(), target.as_ptr());
    let options = options.as_ptr();
    // SAFETY: strings that end in zero bytes and outlive the call.
    match unsafe { libc::mount(ptr::null(), target, kind, flags, options.cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
