//! What becomes of a file's space, its pages, and memory.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::ptr::NonNull;

use uring::op::{
    Advised, Allocation, Fadvise, Fallocate, FileAdvice, Ftruncate, Madvise, MemoryAdvice,
    SyncFileRange,
};
use uring::{Any, RawBuf, RawTarget, Ring};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw::call;

const MIB: u64 = 1 << 20;

fn file(dir: &TempDir) -> TestResult<File> {
    let path = dir.path().join("file");
    fs::write(&path, vec![1; 8192])?;
    Ok(File::options().read(true).write(true).open(path)?)
}

pub(crate) fn fallocate(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir)?;
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Fallocate::new(file.try_clone()?, 0, MIB).keep_size())?;
    let kept = ring.wait(token)?;
    kept.result?;
    let status = kept.target.metadata()?;
    assert_eq!(status.len(), 8192);
    assert!(status.blocks() >= MIB / 512, "{} blocks", status.blocks());
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(Fallocate::new(&file, MIB, MIB))?;
        scope.wait(token)?.result
    })?;
    assert_eq!(file.metadata()?.len(), 2 * MIB);
    let punch = Fallocate::new(&file, 0, 4096).allocation(Allocation::PunchHole);
    ring.call(punch)?.result?;
    let bytes = fs::read(dir.path().join("file"))?;
    assert_eq!(
        (bytes.len() as u64, bytes[4095], bytes[4096]),
        (2 * MIB, 0, 1)
    );
    // These are not for every file system; where they are, they do what they say.
    let mut if_possible = |allocation, offset: u64, len: u64| -> TestResult<Option<Vec<u8>>> {
        let op = Fallocate::new(&file, offset, len).allocation(allocation);
        match ring.call(op)?.result {
            Ok(()) => Ok(Some(fs::read(dir.path().join("file"))?)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
                Ok(None)
            }
        }
    };
    if let Some(bytes) = if_possible(Allocation::CollapseRange, 0, 4096)? {
        assert_eq!((bytes.len() as u64, bytes[0]), (2 * MIB - 4096, 1));
        let bytes =
            if_possible(Allocation::InsertRange, 0, 4096)?.ok_or("one without the other")?;
        assert_eq!((bytes.len() as u64, bytes[0], bytes[4096]), (2 * MIB, 0, 1));
    }
    if let Some(bytes) = if_possible(Allocation::ZeroRange, 4096, 100)? {
        assert_eq!((bytes[4096], bytes[4195], bytes[4196]), (0, 0, 1));
    }
    if_possible(Allocation::UnshareRange, 0, 4096)?;

    let (reader, writer) = pipe()?;
    let refused = ring.call(Fallocate::new(reader, 0, 1))?;
    assert_errno(refused.result, libc::EBADF);
    assert_errno(
        ring.call(Fallocate::new(writer, 0, 1))?.result,
        libc::ESPIPE,
    );
    assert_errno(ring.call(Fallocate::new(&file, 0, 0))?.result, libc::EINVAL);
    // SAFETY: the file lives to the end of this function, and each completion is waited for.
    let raw = unsafe { RawTarget::descriptor(file.as_raw_fd()) };
    call(&mut ring, Fallocate::new(raw, 0, 3 * MIB), 1)?.result()?;
    assert_eq!(file.metadata()?.len(), 3 * MIB);
    sync_file_range(&mut ring, &file)
}

fn sync_file_range(ring: &mut Ring<Any>, file: &File) -> TestResult {
    let token = ring.push(SyncFileRange::new(file.try_clone()?, 0, 4096).write())?;
    ring.wait(token)?.result?;
    let all = SyncFileRange::new(file, 4096, 0)
        .wait_before()
        .write()
        .wait_after();
    ring.call(all)?.result?;
    let (reader, _writer) = pipe()?;
    let refused = ring.call(SyncFileRange::new(reader, 0, 0).write())?;
    assert_errno(refused.result, libc::ESPIPE);
    let outside = SyncFileRange::new(file, u64::MAX, 1).write();
    assert_errno(ring.call(outside)?.result, libc::EINVAL);
    // SAFETY: the file lives to the end of this function, and the completion is waited for.
    let raw = unsafe { RawTarget::descriptor(file.as_raw_fd()) };
    call(ring, SyncFileRange::new(raw, 0, 0).wait_after(), 2)?.result()?;
    Ok(())
}

/// Of the same kernel.
pub(crate) const FTRUNCATE: Feature = Feature::opcode(uring_sys::IORING_OP_FTRUNCATE);

pub(crate) fn ftruncate(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir)?;
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Ftruncate::new(file.try_clone()?, 5))?;
    let cut = ring.wait(token)?;
    cut.result?;
    assert_eq!(cut.target.metadata()?.len(), 5);
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(Ftruncate::new(&file, 5 << 32))?;
        scope.wait(token)?.result
    })?;
    assert_eq!(file.metadata()?.len(), 5 << 32);
    // SAFETY: the file lives to the end of this function, and the completion is waited for.
    let raw = unsafe { RawTarget::descriptor(file.as_raw_fd()) };
    call(&mut ring, Ftruncate::new(raw, 1), 1)?.result()?;
    assert_eq!(fs::read(dir.path().join("file"))?, [1]);
    let read_only = File::open(dir.path().join("file"))?;
    let refused = ring.call(Ftruncate::new(read_only, 0))?;
    assert_errno(refused.result, libc::EINVAL);
    assert_eq!(refused.target.metadata()?.len(), 1);
    Ok(())
}

pub(crate) fn ftruncate_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(FTRUNCATE, context, 8)? else {
        return Ok(());
    };
    let refused = ring.call(Ftruncate::new(File::open("/proc/version")?, 0))?;
    assert_errno(refused.result, libc::EINVAL);
    Ok(())
}

/// A page of memory of its own.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

pub(crate) fn fadvise_and_madvise(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let file = file(&dir)?;
    let mut ring = common::ring(context, 8)?;
    for advice in [
        FileAdvice::Normal,
        FileAdvice::Random,
        FileAdvice::Sequential,
        FileAdvice::WillNeed,
        FileAdvice::DontNeed,
        FileAdvice::NoReuse,
    ] {
        let token = ring.push(Fadvise::new(file.try_clone()?, 0, 4096, advice))?;
        ring.wait(token)?.result?;
    }
    // Longer than 32 bits, since Linux 6.11.
    let has_long = context.has(Feature::opcode(uring_sys::IORING_OP_BIND));
    let expect = |advised: std::io::Result<()>| match advised {
        Ok(()) => assert!(has_long, "an older kernel took it"),
        error => {
            assert!(!has_long, "{error:?}");
            assert_errno(error, libc::EINVAL);
        }
    };
    let long = ring.call(Fadvise::new(&file, 0, 5 << 32, FileAdvice::WillNeed))?;
    expect(long.result);
    let (reader, _writer) = pipe()?;
    let refused = ring.call(Fadvise::new(reader, 0, 0, FileAdvice::Normal))?;
    assert_errno(refused.result, libc::ESPIPE);

    let mut page = Page([7; 4096]);
    for advice in [
        MemoryAdvice::WillNeed,
        MemoryAdvice::Normal,
        MemoryAdvice::Cold,
    ] {
        let Advised { result, target } = ring.call(Madvise::new(&page.0, advice))?;
        result?;
        assert_eq!(*target, [7; 4096]);
    }
    assert_errno(
        ring.call(Madvise::new(&page.0[1..], MemoryAdvice::WillNeed))?
            .result,
        libc::EINVAL,
    );
    let owned = Madvise::new(vec![3; 10], MemoryAdvice::WillNeed);
    let token = ring.push(owned)?;
    assert_eq!(ring.wait(token)?.target, [3; 10]);

    let memory = NonNull::from(&mut page.0).cast();
    // SAFETY: the page is nobody else's, and may become zeros.
    let gone = unsafe { Madvise::destructive(RawBuf::new(memory, 4096), libc::MADV_DONTNEED) };
    ring.call(gone)?.result?;
    assert_eq!(page.0, [0; 4096]);
    // SAFETY: advice changes nothing; most of the range is not even there, which is an error of its own.
    let beyond = unsafe { RawBuf::new(memory, 5 << 32) };
    let far = ring
        .call(Madvise::new(beyond, MemoryAdvice::Normal))?
        .result;
    assert_errno(far, if has_long { libc::ENOMEM } else { libc::EINVAL });
    // SAFETY: as above, of one page; the file lives to the end of this function.
    let (memory, raw) = unsafe {
        let raw = RawTarget::descriptor(file.as_raw_fd());
        (RawBuf::new(memory, 4096), raw)
    };
    call(&mut ring, Madvise::new(memory, MemoryAdvice::WillNeed), 1)?.result()?;
    call(&mut ring, Fadvise::new(raw, 0, 0, FileAdvice::Normal), 2)?.result()?;
    Ok(())
}
