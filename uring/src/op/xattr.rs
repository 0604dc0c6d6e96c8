//! Extended attributes, read and written by path or by descriptor.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, count, done, entry_len, sealed};
use crate::resource::{Buf, BufMut, Path, Target, Untracked};

/// Reads an extended attribute of the file at a path, following symbolic links.
///
/// The buffer is filled as by [`Read`](crate::op::Read). A buffer that is too small makes it complete with `ERANGE`; one of no bytes at
/// all with the size of the attribute. There is no such attribute: `ENODATA`.
///
/// Since Linux 5.19.
///
/// ```
/// use uring::op::{GetXattr, SetXattr};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-xattr-{}", std::process::id()));
/// # std::fs::write(&path, "")?;
/// # let path = std::ffi::CString::new(path.to_str().unwrap())?;
/// let set = ring.call(SetXattr::new(path, c"user.colour", "green"))?;
/// if set.result.is_ok() {
///     let got = ring.call(GetXattr::new(&*set.of, c"user.colour", Vec::with_capacity(64)))?;
///     assert_eq!((got.result?, &got.value[..]), (5, &b"green"[..]));
/// } // Not every file system has them.
/// # std::fs::remove_file(set.of.to_str()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_getxattr(3)`, `getxattr(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_getxattr")]
#[doc(alias = "IORING_OP_GETXATTR")]
#[must_use]
pub struct GetXattr<P, N, B> {
    path: P,
    name: N,
    value: B,
}

/// Reads an extended attribute of an open file. See [`GetXattr`].
///
/// Since Linux 5.19.
///
/// ```
/// use uring::op::{FGetXattr, FSetXattr};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-fxattr-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// if ring.call(FSetXattr::new(&file, c"user.shape", "round"))?.result.is_ok() {
///     let size = ring.call(FGetXattr::new(&file, c"user.shape", Vec::new()))?.result?;
///     assert_eq!(size, 5);
/// } // Not every file system has them.
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_fgetxattr(3)`, `fgetxattr(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fgetxattr")]
#[doc(alias = "IORING_OP_FGETXATTR")]
#[must_use]
pub struct FGetXattr<T, N, B> {
    target: T,
    name: N,
    value: B,
}

/// Sets an extended attribute of the file at a path, following symbolic links.
///
/// Since Linux 5.19. [`GetXattr`] has an example.
///
/// Source: `io_uring_prep_setxattr(3)`, `setxattr(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_setxattr")]
#[doc(alias = "IORING_OP_SETXATTR")]
#[must_use]
pub struct SetXattr<P, N, B> {
    path: P,
    name: N,
    value: B,
    flags: i32,
}

/// Sets an extended attribute of an open file.
///
/// Since Linux 5.19. [`FGetXattr`] has an example.
///
/// Source: `io_uring_prep_fsetxattr(3)`, `fsetxattr(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fsetxattr")]
#[doc(alias = "IORING_OP_FSETXATTR")]
#[must_use]
pub struct FSetXattr<T, N, B> {
    target: T,
    name: N,
    value: B,
    flags: i32,
}

impl<P: Path, N: Path, B: BufMut> GetXattr<P, N, B> {
    /// Reads the attribute of that name into `value`.
    pub const fn new(path: P, name: N, value: B) -> GetXattr<P, N, B> {
        GetXattr { path, name, value }
    }
}

impl<T: Target, N: Path, B: BufMut> FGetXattr<T, N, B> {
    /// Reads the attribute of that name into `value`.
    pub const fn new(target: T, name: N, value: B) -> FGetXattr<T, N, B> {
        FGetXattr {
            target,
            name,
            value,
        }
    }
}

impl<P: Path, N: Path, B: Buf> SetXattr<P, N, B> {
    /// Sets the attribute of that name to `value`, whether it exists or not.
    pub const fn new(path: P, name: N, value: B) -> SetXattr<P, N, B> {
        SetXattr {
            path,
            name,
            value,
            flags: 0,
        }
    }

    /// Completes with `EEXIST` if there is such an attribute.
    #[doc(alias = "XATTR_CREATE")]
    pub fn create(self) -> Self {
        SetXattr {
            flags: libc::XATTR_CREATE,
            ..self
        }
    }

    /// Completes with `ENODATA` if there is no such attribute.
    #[doc(alias = "XATTR_REPLACE")]
    pub fn replace(self) -> Self {
        SetXattr {
            flags: libc::XATTR_REPLACE,
            ..self
        }
    }
}

impl<T: Target, N: Path, B: Buf> FSetXattr<T, N, B> {
    /// Sets the attribute of that name to `value`, whether it exists or not.
    pub const fn new(target: T, name: N, value: B) -> FSetXattr<T, N, B> {
        FSetXattr {
            target,
            name,
            value,
            flags: 0,
        }
    }

    /// Completes with `EEXIST` if there is such an attribute.
    #[doc(alias = "XATTR_CREATE")]
    pub fn create(self) -> Self {
        FSetXattr {
            flags: libc::XATTR_CREATE,
            ..self
        }
    }

    /// Completes with `ENODATA` if there is no such attribute.
    #[doc(alias = "XATTR_REPLACE")]
    pub fn replace(self) -> Self {
        FSetXattr {
            flags: libc::XATTR_REPLACE,
            ..self
        }
    }
}

/// What operations on an extended attribute give back.
#[derive(Debug)]
#[must_use]
pub struct XattrDone<R, O, N, B> {
    /// The size of the attribute that was read, or whether it was set.
    pub result: io::Result<R>,
    /// The path, or the open file.
    pub of: O,
    /// The attribute's name.
    pub name: N,
    /// The buffer with its value.
    pub value: B,
}

fn fill_get(name: &impl Path, value: &mut impl BufMut, entry: &mut Entry) {
    entry.set_pointer(name.as_ptr());
    entry.set_off(address(value.as_mut_ptr().cast_const()));
    entry.set_len(entry_len(value.capacity()));
}

fn fill_set(name: &impl Path, value: &impl Buf, flags: i32, entry: &mut Entry) {
    entry.set_pointer(name.as_ptr());
    entry.set_off(address(value.as_ptr()));
    entry.set_len(entry_len(value.len()));
    entry.set_op_flags(flags.unsigned_abs());
}

/// # Safety
///
/// `completion` is of a read of an attribute into `value`.
unsafe fn got(value: &mut impl BufMut, completion: Completion) -> io::Result<usize> {
    let size = count(completion)?;
    // Where there was no room, the size is told and nothing is read.
    if size <= value.capacity() {
        // SAFETY: the kernel has written the attribute to the buffer's beginning.
        unsafe { value.set_filled(size) };
    }
    Ok(size)
}

impl<P, N, B> sealed::Sealed for GetXattr<P, N, B> {}
impl<T, N, B> sealed::Sealed for FGetXattr<T, N, B> {}
impl<P, N, B> sealed::Sealed for SetXattr<P, N, B> {}
impl<T, N, B> sealed::Sealed for FSetXattr<T, N, B> {}

// SAFETY: strings and memory stay where they are as long as the value lives (contracts of `Path` and `BufMut`).
unsafe impl<P: Path, N: Path, B: BufMut> Operation for GetXattr<P, N, B> {
    type Output = XattrDone<usize, P, N, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_GETXATTR;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        fill_get(&this.name, &mut this.value, entry);
        entry.set_addr3(address(this.path.as_ptr()));
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        XattrDone {
            // SAFETY: passed on to the caller.
            result: unsafe { got(&mut self.value, completion) },
            of: self.path,
            name: self.name,
            value: self.value,
        }
    }
}

// SAFETY: as for `GetXattr`.
unsafe impl<T: Target, N: Path, B: BufMut> Operation for FGetXattr<T, N, B> {
    type Output = XattrDone<usize, T, N, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_FGETXATTR;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        fill_get(&this.name, &mut this.value, entry);
        entry.set_target(this.target.target());
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        XattrDone {
            // SAFETY: passed on to the caller.
            result: unsafe { got(&mut self.value, completion) },
            of: self.target,
            name: self.name,
            value: self.value,
        }
    }
}

// SAFETY: strings and memory stay where they are as long as the value lives (contracts of `Path` and `Buf`).
unsafe impl<P: Path, N: Path, B: Buf> Operation for SetXattr<P, N, B> {
    type Output = XattrDone<(), P, N, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_SETXATTR;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        fill_set(&this.name, &this.value, this.flags, entry);
        entry.set_addr3(address(this.path.as_ptr()));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        XattrDone {
            result: done(completion),
            of: self.path,
            name: self.name,
            value: self.value,
        }
    }
}

// SAFETY: as for `SetXattr`.
unsafe impl<T: Target, N: Path, B: Buf> Operation for FSetXattr<T, N, B> {
    type Output = XattrDone<(), T, N, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_FSETXATTR;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        fill_set(&this.name, &this.value, this.flags, entry);
        entry.set_target(this.target.target());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        XattrDone {
            result: done(completion),
            of: self.target,
            name: self.name,
            value: self.value,
        }
    }
}

// SAFETY: all resources are untracked; the pointers lead out of the value.
unsafe impl<P, N, B> RawOperation for GetXattr<P, N, B>
where
    P: Path + Untracked,
    N: Path + Untracked,
    B: BufMut + Untracked,
{
}
// SAFETY: as above.
unsafe impl<T, N, B> RawOperation for FGetXattr<T, N, B>
where
    T: Target + Untracked,
    N: Path + Untracked,
    B: BufMut + Untracked,
{
}
// SAFETY: as above.
unsafe impl<P, N, B> RawOperation for SetXattr<P, N, B>
where
    P: Path + Untracked,
    N: Path + Untracked,
    B: Buf + Untracked,
{
}
// SAFETY: as above.
unsafe impl<T, N, B> RawOperation for FSetXattr<T, N, B>
where
    T: Target + Untracked,
    N: Path + Untracked,
    B: Buf + Untracked,
{
}
