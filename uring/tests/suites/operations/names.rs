//! Operations on names: new ones, other ones, and how far a path may lead.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use uring::op::{LinkAt, MkdirAt, OpenAt, Operation, Read, RenameAt, Resolve, SymlinkAt};
use uring::{Any, RawPath, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, FdTable, Feature, TestResult};

use crate::common;
use crate::operations::files::{assert_errno, c_path};
use crate::operations::raw::call;
use crate::operations::raw_forms;

/// A name in that directory.
fn name(dir: &TempDir, name: &str) -> CString {
    c_path(&dir.path().join(name))
}

pub(crate) fn rename(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name);
    let mut ring = common::ring(context, 8)?;
    fs::write(path("a"), "a")?;
    let token = ring.push(RenameAt::new(name(&dir, "a"), name(&dir, "b")))?;
    let renamed = ring.wait(token)?;
    renamed.result?;
    assert_eq!(
        (renamed.from, renamed.to),
        (name(&dir, "a"), name(&dir, "b"))
    );
    assert!(!path("a").exists());

    let directory = File::open(dir.path())?;
    let back = RenameAt::new(c"b", c"a").relative_to(&directory, &directory);
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(back)?;
        scope.wait(token)?.result
    })?;
    assert_eq!(fs::read(path("a"))?, b"a");

    fs::write(path("c"), "c")?;
    let kept = RenameAt::new(c"a", c"c")
        .relative_to(&directory, &directory)
        .no_replace();
    let refused = ring.call(kept)?;
    assert_errno(refused.result, libc::EEXIST);
    assert_eq!((refused.from, refused.to), (c"a", c"c"));
    let swap = RenameAt::new(c"a", c"c")
        .relative_to(&directory, &directory)
        .exchange();
    let swapped = ring.call(swap)?.result;
    if let Err(error) = &swapped {
        // Not every file system can.
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    }
    let content = if swapped.is_ok() { b"c" } else { b"a" };
    assert_eq!(fs::read(path("a"))?, content);
    let both = RenameAt::new(c"a", c"c").relative_to(&directory, &directory);
    assert_errno(
        ring.call(both.exchange().no_replace())?.result,
        libc::EINVAL,
    );
    // SAFETY: names and directory live to the end of this function, and the completion is waited for.
    let (from, to, at) = unsafe {
        let at = RawTarget::descriptor(directory.as_raw_fd());
        (RawPath::new(c"a".as_ptr()), RawPath::new(c"c".as_ptr()), at)
    };
    call(&mut ring, RenameAt::new(from, to).relative_to(at, at), 1)?.result()?;
    assert_eq!(fs::read(path("c"))?, content);
    assert!(!path("a").exists());
    Ok(())
}

pub(crate) fn mkdir_symlink_and_link(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name);
    let directory = File::open(dir.path())?;
    let mut ring = common::ring(context, 8)?;

    let token = ring.push(MkdirAt::new(name(&dir, "below"), 0o750))?;
    let made = ring.wait(token)?;
    made.result?;
    let made_mode = path("below").metadata()?.permissions().mode();
    assert_eq!(made_mode & 0o027, 0, "{made_mode:o}");
    let refused = ring.call(MkdirAt::new(c"below", 0o700).relative_to(&directory))?;
    assert_errno(refused.result, libc::EEXIST);
    assert_eq!(refused.path, c"below");

    let token = ring.push(SymlinkAt::new(CString::from(c"below"), name(&dir, "link")))?;
    let linked = ring.wait(token)?;
    linked.result?;
    assert_eq!(
        (linked.content, linked.path),
        (c"below".into(), name(&dir, "link"))
    );
    assert_eq!(fs::read_link(path("link"))?.to_str(), Some("below"));
    let again = SymlinkAt::new(c"elsewhere", c"link").relative_to(&directory);
    let refused = ring.call(again)?;
    assert_errno(refused.result, libc::EEXIST);
    assert_eq!((refused.content, refused.path), (c"elsewhere", c"link"));

    fs::write(path("file"), "one")?;
    let token = ring.push(LinkAt::new(name(&dir, "file"), name(&dir, "file too")))?;
    let linked = ring.wait(token)?;
    linked.result?;
    assert_eq!(
        (linked.from, linked.to),
        (name(&dir, "file"), name(&dir, "file too"))
    );
    assert_eq!(
        path("file too").metadata()?.ino(),
        path("file").metadata()?.ino()
    );
    symlink("file", path("soft"))?;
    let soft = |to| LinkAt::new(c"soft", to).relative_to(&directory, &directory);
    ring.call(soft(c"hard"))?.result?;
    assert!(path("hard").symlink_metadata()?.is_symlink());
    ring.call(soft(c"followed").follow())?.result?;
    assert!(path("followed").symlink_metadata()?.is_file());
    assert_errno(ring.call(soft(c"file"))?.result, libc::EEXIST);
    let file = File::open(path("file"))?;
    let by_file = LinkAt::new(c"", c"by file").relative_to(&file, &directory);
    assert_errno(ring.call(by_file)?.result, libc::ENOENT);

    // SAFETY: names and directory live to the end of this function, and each completion is waited for.
    let raw = |name: &'static std::ffi::CStr| unsafe { RawPath::new(name.as_ptr()) };
    // SAFETY: as above.
    let at = unsafe { RawTarget::descriptor(directory.as_raw_fd()) };
    call(
        &mut ring,
        MkdirAt::new(raw(c"raw"), 0o700).relative_to(at),
        1,
    )?
    .result()?;
    let soft = SymlinkAt::new(raw(c"raw"), raw(c"raw link")).relative_to(at);
    call(&mut ring, soft, 2)?.result()?;
    assert!(path("raw link").metadata()?.is_dir());
    let hard = LinkAt::new(raw(c"file"), raw(c"raw file")).relative_to(at, at);
    call(&mut ring, hard, 3)?.result()?;
    assert_eq!(path("file").metadata()?.nlink(), 4);
    Ok(())
}

/// The kernel knows none of them, and gives all back.
pub(crate) fn mkdir_symlink_and_link_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(LINKAT, context, 8)? else {
        return Ok(());
    };
    fn refused<O: Operation>(ring: &mut Ring<Any>, op: O) -> TestResult<O::Output> {
        Ok(ring.call(op)?)
    }
    let made = refused(&mut ring, MkdirAt::new(c"/proc/new", 0o700))?;
    assert_errno(made.result, libc::EINVAL);
    assert_eq!(made.path, c"/proc/new");
    let linked = refused(&mut ring, SymlinkAt::new(c"a", c"/proc/new"))?;
    assert_errno(linked.result, libc::EINVAL);
    let linked = refused(&mut ring, LinkAt::new(c"/proc/self/exe", c"/proc/new"))?;
    assert_errno(linked.result, libc::EINVAL);
    Ok(())
}

/// The newest of the three, which are of one kernel.
pub(crate) const LINKAT: Feature = Feature::opcode(uring_sys::IORING_OP_LINKAT);

pub(crate) fn openat2(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("below"))?;
    fs::write(path("file"), "above")?;
    fs::write(path("below/file"), "below")?;
    symlink("file", path("below/link"))?;
    symlink("/file", path("below/root"))?;
    let below = File::open(path("below"))?;
    let mut ring = common::ring(context, 8)?;
    let open = |path| OpenAt::new(path).relative_to(&below);

    let mut text = String::new();
    let opened = ring.call(open(c"file").resolve(Resolve::BENEATH | Resolve::NO_XDEV))?;
    File::from(opened.result?).read_to_string(&mut text)?;
    assert_eq!(text, "below");
    let refused = ring.call(open(c"../file").resolve(Resolve::BENEATH))?;
    assert_errno(refused.result, libc::EXDEV);
    assert_eq!(refused.path, c"../file");
    assert_errno(
        ring.call(open(c"link").resolve(Resolve::NO_SYMLINKS))?
            .result,
        libc::ELOOP,
    );
    ring.call(open(c"link").resolve(Resolve::BENEATH))?.result?;
    assert_errno(
        ring.call(open(c"root").resolve(Resolve::empty()))?.result,
        libc::ENOENT,
    );
    ring.call(open(c"root").resolve(Resolve::IN_ROOT))?.result?;
    let magic = OpenAt::new(c"/proc/self/exe").resolve(Resolve::NO_MAGICLINKS);
    assert_errno(ring.call(magic)?.result, libc::ELOOP);

    // Owned, created, and without unknown flags.
    let create = OpenAt::new(name(&dir, "new"))
        .write_only()
        .create_new(0o600);
    let token = ring.push(create.resolve(Resolve::empty()))?;
    let created = ring.wait(token)?;
    let file = created.result?;
    assert_eq!(path("new").metadata()?.permissions().mode() & 0o777, 0o600);
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    let unknown = open(c"file").flags(1 << 30).resolve(Resolve::empty());
    assert_errno(ring.call(unknown)?.result, libc::EINVAL);
    raw_forms::open_at_2(&mut ring)
}

/// The same into the ring's own table (Linux 5.15).
pub(crate) fn openat2_direct(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct(1)?;
    let before = FdTable::now()?;
    let slot = ring.direct_slot()?;
    let open = OpenAt::new(c"/proc/version").into_direct(slot);
    let direct = ring.call(open.resolve(Resolve::NO_SYMLINKS))?.result?;
    assert!(before.diff(&FdTable::now()?).is_empty(), "it has no number");
    assert_eq!(ring.call(Read::new(&direct, vec![0; 5]))?.buf, b"Linux");
    drop(direct);
    let slot = ring.direct_slot()?;
    let open = OpenAt::new(c"/proc/self/exe").into_direct(slot);
    let refused = ring.call(open.resolve(Resolve::NO_SYMLINKS))?;
    assert_errno(refused.result, libc::ELOOP);
    ring.direct_slot()?;
    Ok(())
}
