//! A small file system of one's own, and what mounting takes.

use std::{
    ffi::{CStr, CString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
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
        own_namespace()?;
        mount(c"tmpfs", dir.path(), 0, &format!("size={bytes}"))?;
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
        unmount(self.path());
    }
}

/// Gives the calling thread mounts of its own, which nobody else sees but what it starts.
pub(crate) fn own_namespace() -> io::Result<()> {
    // SAFETY: changes what this thread sees of the file system and nothing of its memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == -1 {
        return Err(io::Error::last_os_error());
    }
    mount(c"none", Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "")
}

/// Takes what is mounted at `target` out of sight; it goes when nobody uses it any more.
pub(crate) fn unmount(target: &Path) {
    let Ok(target) = c_path(target) else { return };
    // SAFETY: a string that ends in a zero byte. The mount goes with the namespace if this fails.
    unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
}

/// Mounts a file system that has no device.
pub(crate) fn mount(
    kind: &CStr,
    target: &Path,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let (target, options) = (c_path(target)?, CString::new(options)?);
    let (name, target) = (kind.as_ptr(), target.as_ptr());
    // SAFETY: strings that end in zero bytes and outlive the call.
    match unsafe { libc::mount(name, target, name, flags, options.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
