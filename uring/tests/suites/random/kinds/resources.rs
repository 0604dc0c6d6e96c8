//! What is registered, changed by call while operations are in flight. What is in use is refused.

use std::sync::Arc;

use uring::op::ReadFixed;
use uring_testkit::TestResult;

use crate::random::world::World;

pub(crate) fn adopt_all(world: &mut World) -> TestResult {
    let count = world.changes.index(4);
    if let Ok(directs) = world.ring.adopt_all(&vec![&*world.file; count]) {
        world.directs.extend(directs);
    }
    Ok(())
}

pub(crate) fn replace(world: &mut World) -> TestResult {
    if let Some(direct) = world.directs.last() {
        let _ = world.ring.replace_direct(direct, &world.pipe.0);
    }
    Ok(())
}

/// Before Linux 6.13 it waits for all operations on registered buffers too.
pub(crate) fn take_table_away(world: &mut World) -> TestResult {
    if world.ring.in_flight() == 0 && world.ring.unregister_direct().is_ok() {
        world.ring.register_direct(6)?;
    }
    Ok(())
}

/// Another buffer in place of one, whose memory lives on where somebody has it.
pub(crate) fn swap_buffer(world: &mut World) -> TestResult {
    let index = world.changes.index(2);
    if let Ok(taken) = world.ring.unregister_buf(index) {
        world.keep(taken);
        let buffer = world.buffer()?;
        world
            .ring
            .register_buf(index, buffer)
            .map_err(|refused| refused.into_parts().1)?;
    }
    Ok(())
}

pub(crate) fn share_buffer(world: &mut World) -> TestResult {
    let (index, at) = (world.changes.index(2), world.changes.index(3));
    let cloned = world
        .other
        .clone_some_buffers(&world.ring, index..index + 1, at);
    if let Ok(displaced) = cloned {
        world.keep(displaced);
    }
    let here = world.ring.registered_buf(index);
    if let Some(Ok(there)) = here.map(|buf| world.other.registered_buf_here(buf)) {
        let read = ReadFixed::new(Arc::clone(&world.file), there).at(0);
        world.other.call(read)?.result?;
    }
    Ok(())
}

pub(crate) fn replace_group(world: &mut World) -> TestResult {
    if let Some(group) = &world.chosen {
        if world.ring.unregister_buffer_ring(group).is_ok() {
            world.chosen = Some(world.ring.buffer_ring(4, 128)?);
        }
    }
    Ok(())
}
