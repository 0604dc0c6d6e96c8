//! Changing a ring's file table by call: files go in, are replaced and leave, one or many at a time.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use uring_sys::{
    IORING_REGISTER_FILES, IORING_REGISTER_FILES_SKIP, IORING_REGISTER_FILES_UPDATE,
    IORING_REGISTER_FILES_UPDATE2, IORING_REGISTER_FILES2, IORING_UNREGISTER_FILES,
    io_uring_rsrc_register, io_uring_rsrc_update, io_uring_rsrc_update2,
};

use super::{Direct, DirectSlot, DirectTable, HoldsFile, TOO_MANY, indices};
use crate::engine::{Core, size};
use crate::entry::{TRACKED, address};
use crate::error::{Call, Error, Hint};

/// What an update does to a slot instead of putting a file there.
const EMPTY: RawFd = -1;

/// Refuses tags that would be no tag, or taken for an operation of the ring's own (M15).
pub(crate) fn check_tag(opcode: u32, tag: u64) -> Result<(), Error> {
    let hint = match tag {
        0 => Hint::contradiction(&"a tag of zero is none"),
        _ if tag & TRACKED != 0 => {
            Hint::contradiction(&"the top bit of a tag, as of user_data, is the ring's own")
        }
        _ => return Ok(()),
    };
    Err(Error::refused(Call::register(opcode), hint))
}

impl Core {
    /// Gives the ring a table with these files in its first slots.
    pub(crate) fn register_files(
        &mut self,
        mut files: Vec<RawFd>,
        tags: Option<Vec<u64>>,
        empty: u32,
    ) -> Result<Vec<Direct>, Error> {
        let opcode = match tags {
            None => IORING_REGISTER_FILES,
            Some(_) => IORING_REGISTER_FILES2,
        };
        self.check_no_table(opcode)?;
        for tag in tags.iter().flatten() {
            check_tag(opcode, *tag)?;
        }
        // What does not fit is more than the kernel takes.
        let filled = u32::try_from(files.len()).unwrap_or(TOO_MANY);
        let len = filled.saturating_add(empty).min(TOO_MANY);
        let all = usize::try_from(len).unwrap_or(usize::MAX);
        files.resize(all, EMPTY);
        match tags {
            None => {
                let arg = files.as_ptr().cast_mut().cast();
                // SAFETY: `len` descriptors, which the kernel only reads, and only during the call.
                unsafe { self.register(opcode, arg, len) }?;
            }
            Some(mut tags) => {
                tags.resize(all, 0);
                let mut table = io_uring_rsrc_register {
                    nr: len,
                    data: address(files.as_ptr()),
                    tags: address(tags.as_ptr()),
                    ..io_uring_rsrc_register::default()
                };
                let arg = (&raw mut table).cast();
                // SAFETY: one structure that names `len` descriptors and tags, all read during the call only.
                unsafe { self.register(opcode, arg, size::<io_uring_rsrc_register>()) }?;
            }
        }
        let mut table = DirectTable::new(self.id(), len, false);
        table.free.retain(|index| *index >= filled);
        let shared = Arc::clone(&table.shared);
        self.set_direct(Some(table));
        let direct = |index| Direct {
            place: shared.reserved(index, true),
        };
        Ok((0..filled).map(direct).collect())
    }

    /// Puts files into slots that are free.
    pub(crate) fn adopt_files(
        &mut self,
        files: &[RawFd],
        tag: Option<u64>,
    ) -> Result<Vec<Direct>, Error> {
        if let Some(tag) = tag {
            check_tag(IORING_REGISTER_FILES_UPDATE2, tag)?;
        }
        let reserved: Result<Vec<_>, _> = files.iter().map(|_| self.direct_slot()).collect();
        let mut slots: Vec<DirectSlot> = reserved?;
        slots.sort_unstable_by_key(DirectSlot::index);
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else {
            return Ok(Vec::new());
        };
        let (first, span) = (first.index(), last.index() - first.index() + 1);
        let place = |slot: &DirectSlot| usize::try_from(slot.index() - first).unwrap_or(usize::MAX);
        let mut update =
            vec![IORING_REGISTER_FILES_SKIP; usize::try_from(span).unwrap_or(usize::MAX)];
        for (slot, file) in slots.iter().zip(files) {
            update[place(slot)] = *file;
        }
        let (done, failure) = self.update_files(first, &update, tag);
        let (filled, left): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| place(slot) < done);
        let adopted = filled.into_iter().map(DirectSlot::filled).collect();
        drop(left);
        match failure {
            None => Ok(adopted),
            // What was adopted is dropped with the slots that were left over.
            Some(error) => Err(error),
        }
    }

    /// Puts a file into the slot of another, which goes.
    pub(crate) fn replace_file(
        &mut self,
        direct: &Direct,
        file: RawFd,
        tag: Option<u64>,
    ) -> Result<(), Error> {
        let opcode = update_opcode(tag);
        self.check_process(Call::register(opcode))?;
        if direct.ring() != self.id() {
            return Err(Error::refused(Call::register(opcode), Hint::WrongRing));
        }
        if let Some(tag) = tag {
            check_tag(opcode, tag)?;
        }
        match self.update_files(direct.index(), &[file], tag) {
            (_, None) => Ok(()),
            (_, Some(error)) => Err(error),
        }
    }

    /// Changes slots from `first` on, and says how many it has come to, and what has ended it before the last.
    fn update_files(
        &self,
        first: u32,
        files: &[RawFd],
        tag: Option<u64>,
    ) -> (usize, Option<Error>) {
        let mut done = 0;
        while done < files.len() {
            let offset = first + u32::try_from(done).unwrap_or(u32::MAX);
            match self.update_some_files(offset, &files[done..], tag) {
                Ok(0) => {
                    let call = Call::register(update_opcode(tag));
                    return (done, Some(Error::sys(call, uring_sys::Errno::EBADF)));
                }
                Ok(more) => done += usize::try_from(more).unwrap_or(usize::MAX),
                Err(error) => return (done, Some(error)),
            }
        }
        (done, None)
    }

    /// One call, which tells the cause only if it changes nothing.
    fn update_some_files(
        &self,
        offset: u32,
        files: &[RawFd],
        tag: Option<u64>,
    ) -> Result<u32, Error> {
        let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
        let data = address(files.as_ptr());
        let Some(tag) = tag else {
            let mut update = io_uring_rsrc_update {
                offset,
                data,
                ..io_uring_rsrc_update::default()
            };
            let arg = (&raw mut update).cast();
            // SAFETY: one update that names `count` descriptors, all read during the call only.
            return unsafe { self.register(IORING_REGISTER_FILES_UPDATE, arg, count) };
        };
        let tag_of = |file: &RawFd| match *file {
            IORING_REGISTER_FILES_SKIP => 0,
            _ => tag,
        };
        let tags: Vec<u64> = files.iter().map(tag_of).collect();
        let mut update = io_uring_rsrc_update2 {
            offset,
            data,
            tags: address(tags.as_ptr()),
            nr: count,
            ..io_uring_rsrc_update2::default()
        };
        let arg = (&raw mut update).cast();
        let size = size::<io_uring_rsrc_update2>();
        // SAFETY: one update that names `count` descriptors and tags, all read during the call only.
        unsafe { self.register(IORING_REGISTER_FILES_UPDATE2, arg, size) }
    }

    /// Takes the table away, which nobody has a part of.
    pub(crate) fn unregister_direct(&mut self) -> Result<(), Error> {
        let call = Call::register(IORING_UNREGISTER_FILES);
        self.check_process(call)?;
        let Some(table) = self.direct_mut() else {
            let hint = Hint::contradiction(&"the ring has no table of direct descriptors");
            return Err(Error::refused(call, hint));
        };
        if Arc::get_mut(&mut table.shared).is_none() {
            return Err(Error::refused(call, Hint::StillInUse));
        }
        // Before Linux 6.13 what goes with the table goes without its tag.
        self.close_dropped();
        // SAFETY: the opcode takes no argument.
        unsafe { self.register(IORING_UNREGISTER_FILES, std::ptr::null_mut(), 0) }?;
        self.set_direct(None);
        Ok(())
    }

    /// Closes the files of direct descriptors that were dropped, as many as possible in one call, and makes their slots free.
    #[cold]
    pub(crate) fn close_dropped(&mut self) {
        let Some(shared) = self.direct().map(|table| Arc::clone(&table.shared)) else {
            return;
        };
        shared.take_each(|first, dropped, HoldsFile(holds_file)| {
            let emptied = if holds_file {
                self.empty_files(first, dropped)
            } else {
                dropped
            };
            // A slot that the kernel would not empty is not used again: a file may still be in it.
            shared
                .taken
                .fetch_sub(emptied.count_ones(), Ordering::Relaxed);
            if let Some(table) = self.direct_mut().filter(|table| !table.allocated) {
                table.free.extend(indices(first, emptied));
            }
        });
    }

    /// Empties the slots of 64 that begin with `first` whose bit is set, and gives the bits of those that are empty then.
    fn empty_files(&self, first: u32, slots: u64) -> u64 {
        let (lowest, highest) = (slots.trailing_zeros(), 63 - slots.leading_zeros());
        let mut files = [IORING_REGISTER_FILES_SKIP; 64];
        for (file, bit) in files.iter_mut().zip(0..) {
            if slots & (1_u64 << bit) != 0 {
                *file = EMPTY;
            }
        }
        let span = usize::try_from(lowest).unwrap_or(0)..=usize::try_from(highest).unwrap_or(0);
        let together = self.update_some_files(first + lowest, &files[span], None);
        if together.is_ok_and(|done| done > highest - lowest) {
            return slots;
        }
        let is_emptied = |index: &u32| self.update_some_files(*index, &[EMPTY], None).is_ok();
        let emptied = indices(first, slots).filter(is_emptied);
        emptied.fold(0, |bits, index| bits | 1 << (index - first))
    }
}

fn update_opcode(tag: Option<u64>) -> u32 {
    match tag {
        None => IORING_REGISTER_FILES_UPDATE,
        Some(_) => IORING_REGISTER_FILES_UPDATE2,
    }
}
