//! Files and directories for tests.

use std::{
    env, fs, io,
    io::Write as _,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory of its own that is removed on drop.
///
/// It is made in `URING_TEST_DIR`, by default in cargo's target directory (which is usually on a disk, where the
/// system's directory for temporary files often is not).
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// The place does not exist or cannot be written to; the message names it.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = uring_testkit::files::TempDir::new()?;
    /// let path = dir.path().to_owned();
    /// std::fs::write(dir.path().join("file"), "contents")?;
    /// drop(dir);
    /// assert!(!path.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("uring-test-{}-{count}", process::id());
            let path = place().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by a test that was killed: process numbers come again.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let message = format!("{}: {error}; set URING_TEST_DIR", path.display());
                    return Err(io::Error::new(error.kind(), message));
                }
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file of `length` bytes that no compression shortens and no two offsets share; equal seeds give equal files.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn random_file(&self, name: &str, length: usize, seed: u64) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, random_bytes(length, seed))?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        debug_assert!(removed.is_ok(), "{}: {removed:?}", self.0.display());
    }
}

/// The nearest directory above the test binary that carries cargo's own tag, so not a directory of sources.
fn place() -> PathBuf {
    if let Some(place) = env::var_os("URING_TEST_DIR") {
        return place.into();
    }
    let binary = env::current_exe().unwrap_or_default();
    let target = binary
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.map_or_else(env::temp_dir, Path::to_owned)
}

/// `length` bytes from a small generator (splitmix64).
#[must_use]
pub fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Whether `path` is in memory (tmpfs or ramfs), where I/O never takes the way through a disk.
///
/// # Errors
///
/// `statfs` failed.
pub fn is_in_memory(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a string that ends in a zero byte, and room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the structure in.
    let kind = unsafe { stat.assume_init() }.f_type;
    Ok([libc::TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind))
}

/// Opens `path` for reading past the page cache.
///
/// # Errors
///
/// The file system has no `O_DIRECT` (tmpfs before 6.6): the message says where to point `URING_TEST_DIR`.
pub fn open_direct(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    options.open(path).map_err(|error| {
        let advice = "set URING_TEST_DIR to a directory on a disk";
        io::Error::new(
            error.kind(),
            format!("{}: {error}; {advice}", path.display()),
        )
    })
}

/// A pipe: its reading end, its writing end.
///
/// # Errors
///
/// `pipe2` failed.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just made and are known to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Two connected stream sockets.
///
/// # Errors
///
/// `socketpair` failed.
pub fn socketpair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    Ok((one.into(), other.into()))
}

/// How many bytes can be read from `fd` at once, without reading them.
///
/// # Errors
///
/// `FIONREAD` failed.
pub fn bytes_waiting(fd: &OwnedFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: `FIONREAD` writes one int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) } == -1 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(count).map_err(io::Error::other)
}

/// Fills a file system: writes to a new file in `dir` until it is full.
///
/// # Errors
///
/// Writing failed in another way than for want of space.
pub fn fill(dir: &Path) -> io::Result<()> {
    let mut file = fs::File::create(dir.join("filler"))?;
    let mut block = vec![0; 1 << 16];
    while !block.is_empty() {
        match file.write(&block) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                block.truncate(block.len() / 2);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let first = TempDir::new().unwrap();
        let (name, count) = first.path().to_str().unwrap().rsplit_once('-').unwrap();
        let count: u32 = count.parse().unwrap();
        // Other tests of this process may take numbers meanwhile.
        let next: Vec<_> = (count + 1..count + 20)
            .map(|count| format!("{name}-{count}"))
            .collect();
        let taken: Vec<_> = next
            .iter()
            .filter(|path| fs::create_dir(path).is_ok())
            .collect();
        let second = TempDir::new();
        taken.iter().for_each(|path| fs::remove_dir(path).unwrap());
        assert!(!taken.is_empty() && second.is_ok(), "{second:?}");
    }

    #[test]
    fn seeds_tell_bytes_apart() {
        assert_eq!(random_bytes(1001, 1), random_bytes(1001, 1));
        assert_ne!(random_bytes(1001, 1), random_bytes(1001, 2));
        assert_eq!(random_bytes(1001, 1).len(), 1001);
        assert_eq!(random_bytes(0, 1), []);
    }
}
