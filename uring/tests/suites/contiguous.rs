//! H19: kernels that want the memory of a ring's queues physically contiguous, with huge pages and without.

use crate::common;

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use uring::op::Nop;
use uring::{Builder, CompletionSize, Handle, HandleKind as Reached, Hint, PerThread, Ring};
use uring_testkit::{Context, Facility, FdTable, Feature, Observation, Suite, TestResult};

use common::contiguous::with_contiguous_memory_wanted;

const HUGE_PAGES: Facility = Facility::new(
    "huge-pages",
    "reserve some: `sysctl vm.nr_hugepages=16`",
    || match free_huge_pages() {
        Ok(0..8) => Observation::Absent,
        Ok(_) => Observation::Present,
        Err(error) => Observation::Inconclusive(format!("/proc/meminfo: {error}")),
    },
);

fn free_huge_pages() -> io::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let mut lines = meminfo.lines();
    let free = lines.find_map(|line| line.strip_prefix("HugePages_Free:"));
    // A kernel that has none does not say so.
    free.map_or(Ok(0), |free| free.trim().parse().map_err(io::Error::other))
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("contiguous");
    let born = [Feature::NO_MMAP, Feature::REGISTERED_FD_ONLY];
    let mut test = |name: &str, body: fn(&Context) -> TestResult, huge: bool| {
        let test = suite.test(name, body).needs(born).alone();
        test.no_refusal("only a ring with memory of its own can be refused for it");
        if huge {
            test.requires([HUGE_PAGES]);
        }
    };
    test("h19_small_rings_fit_in_pages", small_rings_fit, false);
    test("h19_without_huge_pages", without_huge_pages, false);
    test("h19_in_huge_pages", in_huge_pages, true);
    test("h19_beside_huge_pages", beside_huge_pages, true);
    test("h19_pages_are_given_back", given_back, true);
    test("h19_pages_that_run_out", run_out, true);
    test("h6_a_forked_child_has_none", forked, true);
    suite
}

/// Larger queues than a page, and than a huge page.
const LARGE: [u32; 4] = [128, 512, 4096, 32768];

fn large(entries: u32) -> Builder<'static> {
    Builder::new(entries).in_flight(1)
}

fn works<H: Handle>(ring: &mut Ring<H>) -> TestResult {
    for _ in 0..3 {
        ring.push_raw(Nop::new(), 7)?;
        assert_eq!(ring.submit_and_wait(1)?, 1);
        assert_eq!(
            ring.for_each(|completion| assert_eq!(completion.user_data(), 7))?,
            1
        );
    }
    Ok(())
}

fn rings() -> io::Result<usize> {
    Ok(FdTable::now()?.rings().count())
}

fn small_rings_fit(_: &Context) -> TestResult {
    with_contiguous_memory_wanted(|| -> TestResult {
        works(&mut Ring::fdless(8)?)?;
        works(&mut Builder::new(8).own_memory(true).build()?)
    })?
}

/// With none to be had, the ring has a descriptor for a moment, as on Linux 6.3, and says why if that is not wanted.
fn without_huge_pages(_: &Context) -> TestResult {
    let none = take_huge_pages()?;
    with_contiguous_memory_wanted(|| -> TestResult {
        for entries in LARGE {
            let error = large(entries).own_memory(true).build().unwrap_err();
            assert_eq!(error.hint(), Some(Hint::ContiguousMemory), "{error}");
            assert!(error.is_limited() && !error.is_unsupported() && !error.is_invalid_request());
            assert!(
                error
                    .to_string()
                    .contains("; ask for queues that fit in one page"),
                "{error}"
            );

            works(&mut large(entries).build_fdless()?)?;
            let mut best = large(entries).build_best()?;
            assert_eq!(best.handle_kind(), Reached::Fdless);
            assert_eq!(rings()?, 0);
            works(&mut best)?;
        }
        static RINGS: PerThread = PerThread::from_builder(Builder::new(4096).in_flight(1));
        RINGS.with(works)?
    })??;
    drop(none);
    Ok(())
}

fn in_huge_pages(_: &Context) -> TestResult {
    with_contiguous_memory_wanted(|| -> TestResult {
        for entries in LARGE {
            let before = settled()?;
            let mut born = large(entries).build_fdless()?;
            assert!(
                free_huge_pages()? < before,
                "{entries} entries are elsewhere"
            );
            assert_eq!(rings()?, 0);
            works(&mut born)?;
            drop(born);
            settled()?;
            let mut with_descriptor = large(entries).own_memory(true).build()?;
            assert!(free_huge_pages()? < before);
            assert_eq!(rings()?, 1);
            works(&mut with_descriptor)?;
        }
        Ok(())
    })?
}

/// The largest queues are longer than a huge page. Those have a descriptor first, and say why if that is not wanted.
fn beside_huge_pages(_: &Context) -> TestResult {
    with_contiguous_memory_wanted(|| -> TestResult {
        let largest = large(32768).completion_size(CompletionSize::Large);
        let error = largest.clone().own_memory(true).build().unwrap_err();
        assert_eq!(error.hint(), Some(Hint::ContiguousMemory), "{error}");
        works(&mut largest.build_fdless()?)?;
        // Two parts that fit in a huge page each, but not both in the same.
        let mut ring = large(16384)
            .completion_entries(65536)
            .own_memory(true)
            .build()?;
        works(&mut ring)
    })?
}

/// The number of free huge pages once it has not changed for a moment: dead rings give theirs back late.
fn settled() -> io::Result<u64> {
    let start = Instant::now();
    let mut free = free_huge_pages()?;
    let mut since = start;
    while since.elapsed() < Duration::from_millis(100) && start.elapsed() < Duration::from_secs(20)
    {
        thread::sleep(Duration::from_millis(5));
        let now = free_huge_pages()?;
        if now != free {
            (free, since) = (now, Instant::now());
        }
    }
    Ok(free)
}

/// M13: whatever becomes of the ring, its pages are free in the end.
fn given_back(_: &Context) -> TestResult {
    let before = settled()?;
    with_contiguous_memory_wanted(|| -> TestResult {
        for _ in 0..50 {
            // The pages of those before may still be on their way, and without any the ring has a descriptor first.
            drop(large(4096).build_fdless()?);
        }
        Ok(())
    })??;
    assert_eq!(settled()?, before);
    Ok(())
}

fn run_out(_: &Context) -> TestResult {
    let before = settled()?;
    with_contiguous_memory_wanted(|| -> TestResult {
        let mut rings = Vec::new();
        let error = loop {
            match large(4096).own_memory(true).build() {
                Ok(ring) => rings.push(ring),
                Err(error) => break error,
            }
            assert!(
                rings.len() <= usize::try_from(before)?,
                "more rings than pages"
            );
        };
        assert_eq!(error.hint(), Some(Hint::ContiguousMemory), "{error}");
        assert!(!rings.is_empty());
        for ring in &mut rings {
            works(ring)?;
        }
        // Without a descriptor it goes the other way.
        works(&mut large(4096).build_fdless()?)
    })??;
    assert_eq!(settled()?, before);
    Ok(())
}

/// H6: the copy in a child is inert, whatever its queues lie in.
fn forked(_: &Context) -> TestResult {
    with_contiguous_memory_wanted(|| -> TestResult {
        let mut ring = large(4096).build_fdless()?;
        let mut other = Some(large(4096).own_memory(true).build()?);
        let child = uring_testkit::process::fork_and(|| {
            // With a copy of the pages, the first store of either process would part them from what the kernel has.
            assert!(!fs::read_to_string("/proc/self/maps")?.contains("anon_hugepage"));
            assert!(ring.submit().unwrap_err().is_forked());
            let refused = ring.push(Nop::new()).unwrap_err();
            assert!(refused.error().is_forked(), "{refused}");
            drop(other.take());
            Ok(())
        })?;
        child.check()?;
        works(&mut ring)?;
        works(other.as_mut().ok_or("it was dropped in the child only")?)
    })?
}

/// Maps every huge page that is free, so that there is none.
fn take_huge_pages() -> io::Result<Vec<Pages>> {
    let mut taken = Vec::new();
    for _ in 0..settled()? {
        taken.push(Pages::new()?);
    }
    Ok(taken)
}

const HUGE_PAGE: usize = 2 << 20;

/// A huge page that is taken.
struct Pages(*mut libc::c_void);

impl Pages {
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_POPULATE
            | libc::MAP_HUGETLB
            | libc::MAP_HUGE_2MB;
        // SAFETY: a new mapping at an address of the kernel's choosing touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                HUGE_PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(start))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it.
        unsafe { libc::munmap(self.0, HUGE_PAGE) };
    }
}
