//! What is done by name.

use std::sync::Arc;

use uring::op::{
    FGetXattr, FSetXattr, GetXattr, LinkAt, MkdirAt, OpenAt, RenameAt, Resolve, SetXattr, Statx,
    SymlinkAt, UnlinkAt,
};
use uring_testkit::TestResult;

use crate::random::flying::{Pushed, push};
use crate::random::world::World;

pub(crate) fn open(world: &mut World) -> TestResult<Pushed> {
    let mut open = OpenAt::new(world.path()?);
    if world.random.one_in(2) {
        open = open.read_write().create(0o600);
    }
    Ok(push(world, open))
}

pub(crate) fn open2(world: &mut World) -> TestResult<Pushed> {
    let open = OpenAt::new(world.path()?).resolve(Resolve::NO_SYMLINKS);
    Ok(push(world, open))
}

pub(crate) fn status(world: &mut World) -> TestResult<Pushed> {
    let status = Statx::new(world.path()?);
    Ok(push(world, status))
}

pub(crate) fn rename(world: &mut World) -> TestResult<Pushed> {
    let rename = RenameAt::new(world.path()?, world.path()?);
    Ok(push(world, rename))
}

pub(crate) fn unlink(world: &mut World) -> TestResult<Pushed> {
    let mut unlink = UnlinkAt::new(world.path()?);
    if world.random.one_in(2) {
        unlink = unlink.directory();
    }
    Ok(push(world, unlink))
}

pub(crate) fn make_directory(world: &mut World) -> TestResult<Pushed> {
    let make = MkdirAt::new(world.path()?, 0o700);
    Ok(push(world, make))
}

pub(crate) fn link(world: &mut World) -> TestResult<Pushed> {
    let link = LinkAt::new(world.path()?, world.path()?);
    Ok(push(world, link))
}

pub(crate) fn symlink(world: &mut World) -> TestResult<Pushed> {
    let link = SymlinkAt::new(world.path()?, world.path()?);
    Ok(push(world, link))
}

pub(crate) fn get_attribute(world: &mut World) -> TestResult<Pushed> {
    let value = world.buffer()?;
    let get = FGetXattr::new(Arc::clone(&world.file), c"user.random", value);
    Ok(push(world, get))
}

pub(crate) fn set_attribute(world: &mut World) -> TestResult<Pushed> {
    let value = world.buffer()?;
    let set = FSetXattr::new(Arc::clone(&world.file), c"user.random", value);
    Ok(push(world, set))
}

pub(crate) fn get_attribute_by_name(world: &mut World) -> TestResult<Pushed> {
    let (path, value) = (world.path()?, world.buffer()?);
    let get = GetXattr::new(path, c"user.random", value);
    Ok(push(world, get))
}

pub(crate) fn set_attribute_by_name(world: &mut World) -> TestResult<Pushed> {
    let (path, value) = (world.path()?, world.buffer()?);
    let set = SetXattr::new(path, c"user.random", value);
    Ok(push(world, set))
}
