//! Extended attributes.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;

use uring::op::{FGetXattr, FSetXattr, GetXattr, SetXattr};
use uring::{Any, RawBuf, RawPath, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::{assert_errno, c_path};
use crate::operations::raw::call;

/// All four are of one kernel.
pub(crate) const XATTR: Feature = Feature::opcode(uring_sys::IORING_OP_GETXATTR);

/// Root's own, which any file system has that has attributes at all.
const NAME: &std::ffi::CStr = c"trusted.uring";

pub(crate) fn extended_attributes(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fs::write(&path, "")?;
    let name = c_path(&path);
    let file = File::open(&path)?;
    let mut ring = common::ring(context, 8)?;

    let token = ring.push(SetXattr::new(
        name.clone(),
        CString::from(NAME),
        b"one".to_vec(),
    ))?;
    let set = ring.wait(token)?;
    set.result?;
    assert_eq!(
        (set.of, set.name, set.value),
        (name.clone(), NAME.into(), b"one".to_vec())
    );
    let token = ring.push(GetXattr::new(name.clone(), NAME, Vec::with_capacity(16)))?;
    let got = ring.wait(token)?;
    assert_eq!((got.result?, &got.value[..]), (3, &b"one"[..]));
    let again = ring.call(SetXattr::new(&*name, NAME, "two").create())?;
    assert_errno(again.result, libc::EEXIST);
    assert_eq!(again.value, "two");
    ring.call(SetXattr::new(&*name, NAME, "three").replace())?
        .result?;

    let mut value = [0; 8];
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(FGetXattr::new(&file, NAME, &mut value))?;
        assert_eq!(scope.wait(token)?.result?, 5);
        let token = scope.push(FSetXattr::new(&file, c"trusted.other", "").create())?;
        scope.wait(token)?.result
    })?;
    assert_eq!(&value, b"three\0\0\0");
    let other = ring.call(FGetXattr::new(&file, c"trusted.other", vec![7; 8]))?;
    assert_eq!((other.result?, other.value), (0, vec![]));
    // One that fits exactly.
    let room = Vec::with_capacity(64);
    let exact = vec![b'x'; room.capacity()];
    ring.call(FSetXattr::new(&file, c"trusted.other", exact.clone()))?
        .result?;
    let other = ring.call(FGetXattr::new(&file, c"trusted.other", room))?;
    assert_eq!((other.result?, other.value), (exact.len(), exact));
    // What is not there, what is too long, and how long it is.
    let missing = FSetXattr::new(&file, c"trusted.missing", "x").replace();
    assert_errno(ring.call(missing)?.result, libc::ENODATA);
    let missing = ring.call(GetXattr::new(&*name, c"trusted.missing", vec![7; 8]))?;
    assert_errno(missing.result, libc::ENODATA);
    assert_eq!(missing.value, [7; 8]);
    let short = ring.call(GetXattr::new(&*name, NAME, Box::new([7; 2])))?;
    assert_errno(short.result, libc::ERANGE);
    let size = ring.call(FGetXattr::new(&file, NAME, Vec::new()))?;
    assert_eq!((size.result?, size.value), (5, vec![]));
    raw_attributes(&mut ring, &name, &file)
}

fn raw_attributes(ring: &mut Ring<Any>, path: &CString, file: &File) -> TestResult {
    let mut bytes = *b"raw";
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (path, name, whole, part, target) = unsafe {
        let start = NonNull::from(&mut bytes).cast();
        (
            RawPath::new(path.as_ptr()),
            RawPath::new(NAME.as_ptr()),
            RawBuf::new(start, 3),
            RawBuf::new(start, 2),
            RawTarget::descriptor(file.as_raw_fd()),
        )
    };
    call(ring, SetXattr::new(path, name, whole), 1)?.result()?;
    let got = call(ring, FGetXattr::new(target, name, whole), 2)?;
    assert_eq!(got.result()?, 3);
    call(ring, FSetXattr::new(target, name, part), 3)?.result()?;
    bytes = *b"---";
    let got = call(ring, GetXattr::new(path, name, whole), 4)?;
    assert_eq!(got.result()?, 2);
    assert_eq!(bytes, *b"ra-");
    Ok(())
}

pub(crate) fn extended_attributes_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(XATTR, context, 8)? else {
        return Ok(());
    };
    let got = ring.call(GetXattr::new(c"/proc/version", NAME, vec![7; 8]))?;
    assert_errno(got.result, libc::EINVAL);
    assert_eq!((got.of, got.value), (c"/proc/version", vec![7; 8]));
    let set = ring.call(SetXattr::new(c"/proc/version", NAME, "kept"))?;
    assert_errno(set.result, libc::EINVAL);
    assert_eq!(set.value, "kept");
    Ok(())
}
