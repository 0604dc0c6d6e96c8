//! The memory of a ring's queues, found and discarded from outside.

use std::collections::BTreeSet;
use std::fs;
use std::io;

const PAGE: usize = 4096;

/// The pages of the process that are wiped in a forked child, as queues in the process's own memory are.
pub(crate) fn wiped_pages() -> io::Result<BTreeSet<usize>> {
    let mut pages = BTreeSet::new();
    let mut range = 0..0;
    for line in fs::read_to_string("/proc/self/smaps")?.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if flags.split_whitespace().any(|flag| flag == "wf") {
                pages.extend(range.clone().step_by(PAGE));
            }
        } else if let Some(found) = address_range(line) {
            range = found;
        }
    }
    Ok(pages)
}

/// The mappings of ring memory of the kernel's.
pub(crate) fn kernel_mappings() -> io::Result<Vec<std::ops::Range<usize>>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let rings = maps.lines().filter(|line| line.ends_with("[io_uring]"));
    Ok(rings.filter_map(address_range).collect())
}

fn address_range(line: &str) -> Option<std::ops::Range<usize>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

/// Discards a page's contents, as a host with ideas of its own about memory may do.
pub(crate) fn discard(page: usize) -> io::Result<()> {
    let address = std::ptr::with_exposed_provenance_mut(page);
    // SAFETY: the page belongs to a ring, which has to cope with it.
    match unsafe { libc::madvise(address, PAGE, libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
