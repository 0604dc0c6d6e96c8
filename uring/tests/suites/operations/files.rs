//! Operations on files and names.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use uring::op::{Close, Fsync, OpenAt, Read, Statx, UnlinkAt, Write};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, SmallDisk, TestResult};

use crate::common;

pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero byte in it")
}

#[track_caller]
pub(crate) fn assert_errno<T>(result: io::Result<T>, errno: i32) {
    let error = result.err().expect("it must fail");
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

/// It was cancelled before it began, or interrupted while a worker was at it.
#[track_caller]
pub(crate) fn assert_cancelled<T>(result: io::Result<T>) {
    let error = result.err().expect("it must not come to its end");
    let errno = error.raw_os_error();
    assert!(
        matches!(errno, Some(libc::ECANCELED | libc::EINTR)),
        "{error}"
    );
}

pub(crate) fn open_and_close(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(OpenAt::new(c"/proc/self/exe"))?;
    let owned = ring.wait(token)?;
    assert_eq!(owned.path, c"/proc/self/exe");
    let fd = owned.result?;
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    let number = fd.as_raw_fd();
    let token = ring.push(Close::new(fd))?;
    ring.wait(token)??;
    // SAFETY: the number names nothing any more.
    assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1);

    let path = CString::new("/proc/self/exe")?;
    let fd: OwnedFd = ring.call(OpenAt::new(path.as_c_str()))?.result?;
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(Close::new(fd))?;
        scope.wait(token)?
    })?;
    Ok(())
}

pub(crate) fn open_relative(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    fs::write(dir.path().join("file"), "relative")?;
    let directory = File::open(dir.path())?;
    let mut ring = common::ring(context, 8)?;
    let opened = ring.call(OpenAt::new(c"file").relative_to(&directory))?;
    let mut text = String::new();
    File::from(opened.result?).read_to_string(&mut text)?;
    assert_eq!(text, "relative");
    let missing = ring.call(OpenAt::new(c"missing").relative_to(directory))?;
    assert_errno(missing.result, libc::ENOENT);
    assert!(missing.directory.metadata()?.is_dir());
    let status = ring
        .call(Statx::new(c"file").relative_to(&missing.directory))?
        .result?;
    assert_eq!(status.size(), 8);
    let unlinked = ring.call(UnlinkAt::new(c"file").relative_to(missing.directory))?;
    unlinked.result?;
    assert!(!dir.path().join("file").exists());
    Ok(())
}

pub(crate) fn open_flags(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let name = || OpenAt::new(c_path(&path));
    let mut ring = common::ring(context, 8)?;
    let created = ring.call(name().write_only().create_new(0o640))?.result?;
    assert_eq!(path.metadata()?.permissions().mode() & 0o137, 0);
    assert_errno(
        ring.call(name().write_only().create_new(0o600))?.result,
        libc::EEXIST,
    );
    ring.call(Write::new(&File::from(created), "123456"))?
        .result?;
    let appended = ring
        .call(name().write_only().flags(libc::O_APPEND))?
        .result?;
    ring.call(Write::new(appended, "789"))?.result?;
    assert_eq!(fs::read(&path)?, b"123456789");
    let both = ring.call(name().read_write().create(0o600))?.result?;
    ring.call(Write::new(&both, "abc").at(0))?.result?;
    assert_eq!(
        ring.call(Read::new(&both, vec![0; 16]).at(0))?.buf,
        b"abc456789"
    );
    ring.call(name().write_only().truncate())?.result?;
    assert_eq!(path.metadata()?.len(), 0);
    let read_only = ring.call(name())?.result?;
    assert_errno(ring.call(Write::new(read_only, "no"))?.result, libc::EBADF);
    Ok(())
}

pub(crate) fn open_refused(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    fs::write(dir.path().join("file"), "")?;
    let mut ring = common::ring(context, 8)?;
    let missing = ring.call(OpenAt::new(c_path(&dir.path().join("missing"))))?;
    assert_errno(missing.result, libc::ENOENT);
    assert!(missing.path.to_bytes().ends_with(b"/missing"));
    assert_errno(
        ring.call(OpenAt::new(c_path(dir.path())).write_only())?
            .result,
        libc::EISDIR,
    );
    let below = c_path(&dir.path().join("file/below"));
    assert_errno(ring.call(OpenAt::new(below))?.result, libc::ENOTDIR);
    let private = dir.path().join("private");
    fs::write(&private, "")?;
    // Nobody in particular may be the owner.
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000))?;
    let open = OpenAt::new(c_path(&private));
    let refused = as_nobody(|| ring.call(open))?;
    assert_errno(refused.result, libc::EACCES);
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600))?;
    ring.call(OpenAt::new(refused.path))?.result?;
    Ok(())
}

/// Calls `body` with the file system rights of nobody in particular.
pub(crate) fn as_nobody<T>(body: impl FnOnce() -> T) -> T {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: changes the calling thread's user where file systems are concerned, and nothing else.
    let before = unsafe { libc::setfsuid(NOBODY) };
    let done = body();
    // SAFETY: as above.
    unsafe { libc::setfsuid(before.unsigned_abs()) };
    done
}

pub(crate) fn read_and_write(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let mut options = File::options();
    let mut file = options
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)?;
    let mut ring = common::ring(context, 8)?;

    // At the file's position, which moves; what is skipped is not written.
    let token = ring.push(Write::new(file.try_clone()?, b"##first".to_vec()).skip(2))?;
    let written = ring.wait(token)?;
    assert_eq!((written.result?, &written.buf[..]), (5, &b"##first"[..]));
    assert_eq!(file.stream_position()?, 5);
    assert_eq!(ring.call(Write::new(&file, "second").skip(99))?.result?, 0);
    // At an offset, which does not.
    assert_eq!(ring.call(Write::new(&file, "second").at(5))?.result?, 6);
    assert_eq!(file.stream_position()?, 5);
    assert_eq!(fs::read(&path)?, b"firstsecond");

    let token = ring.push(Read::new(file.try_clone()?, Vec::with_capacity(100)))?;
    let read = ring.wait(token)?;
    assert_eq!((read.result?, &read.buf[..]), (6, &b"second"[..]));
    assert_eq!(read.buf.capacity(), 100);
    assert_eq!(file.stream_position()?, 11);
    let end = ring.call(Read::new(&file, read.buf))?;
    assert_eq!((end.result?, end.buf.len()), (0, 0));
    let limited = ring.call(Read::new(&file, end.buf).at(1).limit(3))?;
    assert_eq!((limited.result?, &limited.buf[..]), (3, &b"irs"[..]));
    let boxed: Box<[u8]> = vec![9; 8].into();
    let boxed = ring.call(Read::new(&file, boxed).at(7))?;
    assert_eq!(
        (boxed.result?, &boxed.buf[..]),
        (4, &b"cond\x09\x09\x09\x09"[..])
    );

    let (mut head, mut tail) = ([0; 5], [0; 6]);
    ring.scope(|scope| -> std::io::Result<()> {
        let head = scope.push(Read::new(&file, &mut head[..]).at(0))?;
        let tail = scope.push(Read::new(&file, &mut tail[..]).at(5))?;
        assert_eq!(scope.wait(tail)?.result?, 6);
        assert_eq!(scope.wait(head)?.result?, 5);
        Ok(())
    })?;
    assert_eq!((&head, &tail), (b"first", b"second"));
    Ok(())
}

pub(crate) fn read_and_write_refused(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let mut ring = common::ring(context, 8)?;
    let directory = File::open(dir.path())?;
    let token = ring.push(Read::new(directory, vec![1; 8]))?;
    let refused = ring.wait(token)?;
    assert_errno(refused.result, libc::EISDIR);
    assert_eq!(refused.buf, [1; 8]);
    assert!(refused.target.metadata()?.is_dir());

    let (reader, writer) = pipe()?;
    assert_errno(
        ring.call(Read::new(&writer, vec![0; 8]))?.result,
        libc::EBADF,
    );
    let refused = ring.call(Write::new(&reader, vec![2; 8]))?;
    assert_errno(refused.result, libc::EBADF);
    assert_eq!(refused.buf, [2; 8]);
    drop(reader);
    assert_errno(
        ring.call(Write::new(&writer, "nobody reads"))?.result,
        libc::EPIPE,
    );
    Ok(())
}

pub(crate) fn write_to_a_full_disk(context: &Context) -> TestResult {
    let disk = SmallDisk::new(1 << 16)?;
    let file = File::create(disk.path().join("file"))?;
    let mut ring = common::ring(context, 8)?;
    let mut offset = 0;
    let mut buf = vec![7; 10_000];
    let errno = loop {
        let token = ring.push(Write::new(file.try_clone()?, buf).at(offset))?;
        let written = ring.wait(token)?;
        assert_eq!(written.buf.len(), 10_000);
        buf = written.buf;
        match written.result {
            Ok(count) => offset += u64::try_from(count)?,
            Err(error) => break error.raw_os_error(),
        }
        assert!(offset <= 1 << 16);
    };
    assert_eq!(errno, Some(libc::ENOSPC));
    assert_eq!(file.metadata()?.len(), offset);
    Ok(())
}

pub(crate) fn fsync(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = File::create(dir.path().join("file"))?;
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Fsync::new(file))?;
    let synced = ring.wait(token)?;
    synced.result?;
    ring.call(Fsync::new(&synced.target).data_only())?.result?;
    let (reader, _writer) = pipe()?;
    let refused = ring.call(Fsync::new(reader))?;
    assert_errno(refused.result, libc::EINVAL);
    assert_ne!(refused.target.as_raw_fd(), -1);
    Ok(())
}

pub(crate) fn statx(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, vec![1; 12_345])?;
    symlink(&file, &link)?;
    let mut ring = common::ring(context, 8)?;
    for (name, of_link) in [(&file, false), (&link, false), (&link, true)] {
        let expected = if of_link {
            name.symlink_metadata()?
        } else {
            name.metadata()?
        };
        let statx = Statx::new(c_path(name));
        let token = ring.push(if of_link { statx.of_link() } else { statx })?;
        let done = ring.wait(token)?;
        assert_eq!(done.path, c_path(name));
        let status = done.result?;
        assert_eq!(status.size(), expected.size());
        assert_eq!(u32::from(status.mode()), expected.mode());
        assert_eq!(status.inode(), expected.ino());
        assert_eq!(u64::from(status.links()), expected.nlink());
        assert_eq!(
            (status.user(), status.group()),
            (expected.uid(), expected.gid())
        );
        assert_eq!(status.blocks(), expected.blocks());
        assert_eq!(u64::from(status.block_size()), expected.blksize());
        assert_eq!(status.modified(), expected.modified()?);
        let (major, minor) = status.device();
        assert_eq!(libc::makedev(major, minor), expected.dev());
        assert_eq!(status.is_file(), expected.is_file());
    }
    assert!(
        ring.call(Statx::new(c_path(dir.path())))?
            .result?
            .is_directory()
    );
    let missing = ring.call(Statx::new(c"/no/such/file"))?;
    assert_errno(missing.result, libc::ENOENT);
    assert_eq!(missing.path, c"/no/such/file");
    Ok(())
}

pub(crate) fn unlink(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let (file, below) = (dir.path().join("file"), dir.path().join("below"));
    fs::write(&file, "")?;
    fs::create_dir(&below)?;
    fs::write(below.join("in it"), "")?;
    let mut ring = common::ring(context, 8)?;
    let refused = ring.call(UnlinkAt::new(c_path(&file)).directory())?;
    assert_errno(refused.result, libc::ENOTDIR);
    let token = ring.push(UnlinkAt::new(refused.path))?;
    ring.wait(token)?.result?;
    assert!(!file.exists());
    assert_errno(
        ring.call(UnlinkAt::new(c_path(&file)))?.result,
        libc::ENOENT,
    );
    assert_errno(
        ring.call(UnlinkAt::new(c_path(&below)))?.result,
        libc::EISDIR,
    );
    assert_errno(
        ring.call(UnlinkAt::new(c_path(&below)).directory())?.result,
        libc::ENOTEMPTY,
    );
    ring.call(UnlinkAt::new(c_path(&below.join("in it"))))?
        .result?;
    ring.call(UnlinkAt::new(c_path(&below)).directory())?
        .result?;
    assert!(!below.exists());
    Ok(())
}
