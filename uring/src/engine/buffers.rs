//! The buffers that are registered with a ring.

use std::ops::Range;
use std::ptr::NonNull;

use uring_sys::{
    IORING_REGISTER_BUFFERS, IORING_REGISTER_BUFFERS_UPDATE, IORING_REGISTER_BUFFERS2,
    IORING_REGISTER_CLONE_BUFFERS, IORING_REGISTER_DST_REPLACE, IORING_REGISTER_SRC_REGISTERED,
    IORING_UNREGISTER_BUFFERS, io_uring_clone_buffers, io_uring_rsrc_register,
    io_uring_rsrc_update2,
};

use crate::direct::check_tag;
use crate::engine::Core;
use crate::engine::register::size;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::resource::{BufferMemory, BufferTable, RegisteredBuf, UnregisteredBuf, Vector};
use crate::token::Refused;

/// One slot more than the kernel has in a table of buffers, which it refuses as it does any larger number.
const TOO_MANY: usize = (1 << 14) + 1;

const NO_TABLE: Hint = Hint::contradiction(&"the ring has no table of registered buffers");
const NO_SLOT: Hint =
    Hint::contradiction(&"the table of registered buffers has no slot of that index");

/// What the kernel takes in of memory that stays where it is.
fn vector(bytes: NonNull<[u8]>) -> Vector {
    Vector::new(bytes.cast().as_ptr(), bytes.len())
}

impl Core {
    /// Registers buffers, which the ring owns from then on.
    pub(crate) fn register_buffers<M: BufferMemory>(
        &mut self,
        mut bufs: Vec<M>,
    ) -> Result<(), Refused<Vec<M>>> {
        if let Err(error) = self.check_no_buffers(IORING_REGISTER_BUFFERS) {
            return Err(Refused::new(bufs, error));
        }
        let vectors: Vec<_> = bufs.iter_mut().map(|buf| vector(buf.bytes())).collect();
        // A count that does not fit is more than the kernel takes, as is the largest that does.
        let count = u32::try_from(vectors.len()).unwrap_or(u32::MAX);
        let arg = vectors.as_ptr().cast_mut().cast();
        // SAFETY: `count` vectors, which the kernel only reads, and only during the call. What they name is kept until the ring has
        // ended, and longer by whoever uses it.
        match unsafe { self.register(IORING_REGISTER_BUFFERS, arg, count) } {
            Ok(_) => {
                let mut table = BufferTable::new(self.id(), self.process(), bufs.len());
                for (index, buf) in bufs.into_iter().enumerate() {
                    table.fill(index, buf);
                }
                self.registered = Some(table);
                Ok(())
            }
            Err(error) => Err(Refused::new(bufs, error)),
        }
    }

    fn check_no_buffers(&self, opcode: u32) -> Result<(), Error> {
        let call = Call::register(opcode);
        self.check_process(call)?;
        if self.registered.is_some() {
            let hint = Hint::contradiction(&"the ring has registered buffers already");
            return Err(Error::refused(call, hint));
        }
        Ok(())
    }

    /// Registers a table of empty slots.
    pub(crate) fn register_buffers_sparse(&mut self, slots: usize) -> Result<(), Error> {
        self.check_no_buffers(IORING_REGISTER_BUFFERS2)?;
        let slots = slots.min(TOO_MANY);
        let empty: Vec<_> = (0..slots)
            .map(|_| Vector::new(std::ptr::null_mut(), 0))
            .collect();
        let tags = vec![0_u64; slots];
        let mut table = io_uring_rsrc_register {
            nr: u32::try_from(slots).unwrap_or(u32::MAX),
            data: address(empty.as_ptr()),
            tags: address(tags.as_ptr()),
            ..io_uring_rsrc_register::default()
        };
        let arg = (&raw mut table).cast();
        let size = size::<io_uring_rsrc_register>();
        // SAFETY: one structure that names `slots` vectors and tags, all read during the call only; the vectors name no memory.
        unsafe { self.register(IORING_REGISTER_BUFFERS2, arg, size) }?;
        self.registered = Some(BufferTable::new(self.id(), self.process(), slots));
        Ok(())
    }

    /// Registers a buffer in an empty slot.
    pub(crate) fn register_buf<M: BufferMemory>(
        &mut self,
        index: usize,
        mut memory: M,
        tag: Option<u64>,
    ) -> Result<(), Refused<M>> {
        let checked = self.check_buffer(index, false).and_then(|()| match tag {
            Some(tag) => check_tag(IORING_REGISTER_BUFFERS_UPDATE, tag),
            None => Ok(()),
        });
        let updated =
            checked.and_then(|()| self.update_buffer(index, &vector(memory.bytes()), tag));
        match (updated, &mut self.registered) {
            (Ok(()), Some(table)) => {
                table.fill(index, memory);
                Ok(())
            }
            (Err(error), _) => Err(Refused::new(memory, error)),
            (Ok(()), None) => unreachable!("it was looked at"),
        }
    }

    /// Takes a buffer out of its slot.
    pub(crate) fn unregister_buf(&mut self, index: usize) -> Result<UnregisteredBuf, Error> {
        self.check_buffer(index, true)?;
        let call = Call::register(IORING_REGISTER_BUFFERS_UPDATE);
        if let Some(true) = self.registered.as_ref().map(|table| table.is_used(index)) {
            return Err(Error::refused(call, Hint::StillInUse));
        }
        self.update_buffer(index, &Vector::new(std::ptr::null_mut(), 0), None)?;
        let taken = self.registered.as_mut().and_then(|table| table.take(index));
        taken.ok_or_else(|| Error::refused(call, NO_SLOT))
    }

    /// Refuses slots that are not there, and those with or without a buffer.
    fn check_buffer(&self, index: usize, wanted: bool) -> Result<(), Error> {
        let call = Call::register(IORING_REGISTER_BUFFERS_UPDATE);
        self.check_process(call)?;
        let refused = |hint| Err(Error::refused(call, hint));
        let Some(table) = &self.registered else {
            return refused(NO_TABLE);
        };
        match table.holds(index) {
            None => refused(NO_SLOT),
            Some(holds) if holds == wanted => Ok(()),
            Some(true) => refused(Hint::contradiction(&"the slot has a buffer already")),
            Some(false) => refused(Hint::contradiction(&"the slot has no buffer")),
        }
    }

    fn update_buffer(&self, index: usize, vector: &Vector, tag: Option<u64>) -> Result<(), Error> {
        let tag = tag.unwrap_or(0);
        let mut update = io_uring_rsrc_update2 {
            offset: u32::try_from(index).unwrap_or(u32::MAX),
            data: address(&raw const *vector),
            tags: address(&raw const tag),
            nr: 1,
            ..io_uring_rsrc_update2::default()
        };
        let arg = (&raw mut update).cast();
        let size = size::<io_uring_rsrc_update2>();
        // SAFETY: one update that names one vector and one tag, all read during the call only. The memory that the vector names is kept
        // as long as the slot has it, and longer by whoever uses it.
        unsafe { self.register(IORING_REGISTER_BUFFERS_UPDATE, arg, size) }.map(drop)
    }

    /// Takes the table away.
    pub(crate) fn unregister_buffers(&mut self) -> Result<Vec<Option<UnregisteredBuf>>, Error> {
        let call = Call::register(IORING_UNREGISTER_BUFFERS);
        self.check_process(call)?;
        let Some(table) = &self.registered else {
            return Err(Error::refused(call, NO_TABLE));
        };
        if (0..table.len()).any(|index| table.is_used(index)) {
            return Err(Error::refused(call, Hint::StillInUse));
        }
        // SAFETY: the opcode takes no argument.
        unsafe { self.register(IORING_UNREGISTER_BUFFERS, std::ptr::null_mut(), 0) }?;
        let table = self.registered.take();
        Ok(table.map_or_else(Vec::new, BufferTable::into_buffers))
    }

    /// Has all buffers of another ring too.
    pub(crate) fn clone_buffers(&mut self, source: &Core) -> Result<(), Error> {
        self.check_no_buffers(IORING_REGISTER_CLONE_BUFFERS)?;
        let buffers = source.buffers_to_clone()?;
        self.clone_call(source, io_uring_clone_buffers::default())?;
        let mut table = BufferTable::new(self.id(), self.process(), 0);
        table.copy(buffers, 0..buffers.len(), 0);
        self.registered = Some(table);
        Ok(())
    }

    /// Has some of the buffers of another ring too, in place of what it has there.
    pub(crate) fn clone_some_buffers(
        &mut self,
        source: &Core,
        range: Range<usize>,
        at: usize,
    ) -> Result<Vec<UnregisteredBuf>, Error> {
        let call = Call::register(IORING_REGISTER_CLONE_BUFFERS);
        self.check_process(call)?;
        let buffers = source.buffers_to_clone()?;
        let end = at.checked_add(range.len());
        let Some(end) = end.filter(|end| *end < TOO_MANY) else {
            return Err(Error::refused(call, NO_SLOT));
        };
        if range.is_empty() || range.end > buffers.len() {
            let hint =
                Hint::contradiction(&"the other ring has no such range of registered buffers");
            return Err(Error::refused(call, hint));
        }
        let is_used = |table: &BufferTable| (at..end).any(|index| table.is_used(index));
        if self.registered.as_ref().is_some_and(is_used) {
            return Err(Error::refused(call, Hint::StillInUse));
        }
        // All are below the number of slots that a table can have.
        let number = |at| u32::try_from(at).unwrap_or(u32::MAX);
        let clone = io_uring_clone_buffers {
            flags: IORING_REGISTER_DST_REPLACE,
            src_off: number(range.start),
            dst_off: number(at),
            nr: number(range.len()),
            ..io_uring_clone_buffers::default()
        };
        let cloned = self.clone_call(source, clone);
        cloned.map_err(|error| self.explain_range(error))?;
        let (id, process) = (self.id(), self.process());
        let table = self
            .registered
            .get_or_insert_with(|| BufferTable::new(id, process, 0));
        Ok(table.copy(buffers, range, at))
    }

    fn buffers_to_clone(&self) -> Result<&BufferTable, Error> {
        let call = Call::register(IORING_REGISTER_CLONE_BUFFERS);
        self.check_process(call)?;
        let none = Hint::contradiction(&"the other ring has no registered buffers");
        let table = self.registered.as_ref();
        table.ok_or_else(|| Error::refused(call, none))
    }

    fn clone_call(&self, source: &Core, mut clone: io_uring_clone_buffers) -> Result<(), Error> {
        let name = source.name;
        clone.src_fd = name.register_number();
        if name.registers_by_index() {
            clone.flags |= IORING_REGISTER_SRC_REGISTERED;
        } else if let Some(descriptor) = source.descriptor {
            descriptor.check(Call::register(IORING_REGISTER_CLONE_BUFFERS))?;
        }
        let arg = (&raw mut clone).cast();
        // SAFETY: one structure, read during the call only. The memory of the buffers is kept by both rings, and by whoever uses it.
        unsafe { self.register(IORING_REGISTER_CLONE_BUFFERS, arg, 1) }.map(drop)
    }

    /// Kernels that clone whole tables only look at the flag, or at the table that is there, before they look for the ring.
    fn explain_range(&self, error: Error) -> Error {
        let is_doubtful = matches!(error.errno(), Some(libc::EINVAL | libc::EBUSY));
        if !is_doubtful || error.hint().is_some() {
            return error;
        }
        let mut clone = io_uring_clone_buffers {
            src_fd: u32::MAX,
            flags: IORING_REGISTER_DST_REPLACE,
            ..io_uring_clone_buffers::default()
        };
        let arg = (&raw mut clone).cast();
        // SAFETY: one structure, read during the call only; it names no ring, so nothing is cloned.
        let trial = unsafe { self.register(IORING_REGISTER_CLONE_BUFFERS, arg, 1) };
        match trial {
            Err(trial) if trial.errno() == error.errno() => error.with_hint(Hint::needs_linux(
                6,
                13,
                &"IORING_REGISTER_DST_REPLACE is refused",
            )),
            _ => error,
        }
    }

    pub(crate) fn registered_bufs(&self) -> usize {
        self.registered.as_ref().map_or(0, BufferTable::len)
    }

    pub(crate) fn registered_buf(&mut self, index: usize) -> Option<RegisteredBuf> {
        self.registered.as_mut()?.give_out(index)
    }

    /// A buffer of another ring's, under the name that it has in this one.
    pub(crate) fn registered_buf_here(
        &self,
        buf: RegisteredBuf,
    ) -> Result<RegisteredBuf, Refused<RegisteredBuf>> {
        let table = self.registered.as_ref();
        buf.moved(|lease| table?.find(lease)).map_err(|buf| {
            let call = Call::register(IORING_REGISTER_CLONE_BUFFERS);
            Refused::new(buf, Error::refused(call, Hint::WrongRing))
        })
    }
}
