//! The table of direct descriptors, changed by call.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use uring::op::{Nop, OpenAt, Read};
use uring::{Any, Direct, Ring};
use uring_testkit::files::pipe;
use uring_testkit::process::with_rlimit;
use uring_testkit::{Context, TestResult};

use crate::common::{self, pending};
use crate::operations::files::assert_errno;

fn first_bytes(ring: &mut Ring<Any>, direct: &Direct) -> TestResult<Vec<u8>> {
    let done = ring.call(Read::new(direct, vec![1; 5]).at(0))?;
    done.result?;
    Ok(done.buf)
}

/// The numbers and results of what comes out of the ring, until there are `count`. Kernels before 6.13 take up to a second for a tag.
pub(crate) fn tags(ring: &mut Ring<Any>, count: usize) -> TestResult<Vec<u64>> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut tags = Vec::new();
    while tags.len() < count {
        assert!(Instant::now() < until, "{tags:?} and no more");
        match ring.submit_and_wait_timeout(1, Duration::from_millis(50)) {
            Err(error) if error.is_timed_out() => {}
            waited => drop(waited?),
        }
        while let Some(completion) = ring.next_completion()? {
            assert_eq!(completion.result()?, 0);
            tags.push(completion.user_data());
        }
    }
    tags.sort_unstable();
    Ok(tags)
}

/// What has not come yet.
pub(crate) fn assert_no_tag(ring: &mut Ring<Any>) -> TestResult {
    ring.call(Nop::new())??;
    assert!(ring.next_completion()?.is_none());
    Ok(())
}

pub(crate) fn file_table(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (version, zero) = (File::open("/proc/version")?, File::open("/dev/zero")?);
    assert!(
        ring.unregister_direct()
            .is_err_and(|error| error.is_invalid_request())
    );

    let direct = ring.register_files(&[version.as_fd(), zero.as_fd()], 3)?;
    assert_eq!((ring.direct_slots(), ring.direct_slots_taken()), (5, 2));
    assert_eq!(first_bytes(&mut ring, &direct[0])?, b"Linux");
    assert_eq!(first_bytes(&mut ring, &direct[1])?, [0; 5]);
    let again = ring.register_files(&[zero.as_fd()], 0);
    assert!(again.is_err_and(|error| error.to_string().contains("already")));

    // By call, one and many, around what is taken.
    let middle = ring.direct_slot()?;
    assert_eq!(middle.index(), 2);
    let owned = OwnedFd::from(zero.try_clone()?);
    let one = ring.adopt(&owned)?;
    drop(owned);
    drop(middle);
    let many = ring.adopt_all(&[version.as_fd(), zero.as_fd()])?;
    assert_eq!((one.index(), many[0].index(), many[1].index()), (3, 2, 4));
    assert_eq!(first_bytes(&mut ring, &one)?, [0; 5]);
    assert_eq!(first_bytes(&mut ring, &many[0])?, b"Linux");
    assert_eq!(first_bytes(&mut ring, &many[1])?, [0; 5]);
    let full = ring.adopt(&zero).expect_err("every slot is taken");
    assert!(full.to_string().contains("taken"), "{full}");
    assert!(ring.adopt_all(&Vec::<File>::new())?.is_empty());

    ring.replace_direct(&one, &version)?;
    assert_eq!(first_bytes(&mut ring, &one)?, b"Linux");
    let mut other = common::ring(context, 4)?;
    let wrong = other.replace_direct(&one, &zero).expect_err("another's");
    assert!(wrong.is_wrong_ring(), "{wrong}");
    assert!(
        other
            .adopt(&zero)
            .is_err_and(|error| error.is_invalid_request())
    );

    let in_use = ring.unregister_direct().expect_err("they are alive");
    assert!(in_use.is_in_use(), "{in_use}");
    drop((direct, one, many));
    assert_eq!(ring.direct_slots_taken(), 5);
    ring.call(Nop::new())??;
    assert_eq!(ring.direct_slots_taken(), 0);
    ring.unregister_direct()?;
    assert_eq!(ring.direct_slots(), 0);
    refused_files(context, &mut ring, &zero)?;

    // Another one, which goes with its ring.
    ring.register_direct(2)?;
    let direct = ring.adopt(&zero)?;
    drop(ring);
    drop(direct);
    Ok(())
}

/// What the kernel does not take leaves no trace.
fn refused_files(context: &Context, ring: &mut Ring<Any>, zero: &File) -> TestResult {
    let limited = with_rlimit(libc::RLIMIT_NOFILE, 64, || {
        ring.register_files(&[zero.as_fd()], 64)
    })?;
    let error = limited.expect_err("H28: more slots than descriptors");
    assert!(
        error.is_limited() && error.to_string().contains("64"),
        "{error}"
    );
    let ring_itself = Ring::new(1)?;
    let error = ring.register_files(&[zero.as_fd(), ring_itself.as_fd()], 0);
    assert_eq!(error.expect_err("a ring").errno(), Some(libc::EBADF));
    assert_eq!(ring.direct_slots(), 0);
    ring.register_direct(4)?;
    let error = ring.adopt(&ring_itself).expect_err("a ring");
    assert_eq!(error.errno(), Some(libc::EBADF));
    let error = ring.adopt_all(&[zero.as_fd(), ring_itself.as_fd(), zero.as_fd()]);
    assert_eq!(error.expect_err("one is a ring").errno(), Some(libc::EBADF));
    ring.call(Nop::new())??;
    assert_eq!(ring.direct_slots_taken(), 0);
    let all = ring.adopt_all(&[zero.as_fd(); 4])?;
    for direct in &all {
        assert_eq!(first_bytes(ring, direct)?, [0; 5]);
    }
    drop(all);
    ring.unregister_direct()?;
    if context.has(crate::operations::install::ALLOCATED) {
        ring.register_direct_allocated(2)?;
        let error = ring.adopt(zero).expect_err("the kernel gives them out");
        assert!(error.is_invalid_request(), "{error}");
        ring.unregister_direct()?;
    }
    Ok(())
}

/// A tag says that the kernel has let go of a file: when it has left its slot, and all operations on it are over.
pub(crate) fn file_tags(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    for wrong in [0, 1 << 63, u64::MAX] {
        let error = ring.register_files_tagged(&[(&reader, wrong)], 0);
        let error = error.expect_err("no tag");
        assert!(error.is_invalid_request(), "{error}");
    }
    let direct = ring.register_files_tagged(&[(&reader, 7), (&writer, 8)], 1)?;
    let [read_end, write_end] = <[Direct; 2]>::try_from(direct).expect("two files");
    let adopted = ring.adopt_tagged(&reader, 9)?;
    assert!(
        ring.adopt_tagged(&reader, 0)
            .is_err_and(|error| error.is_invalid_request())
    );
    assert_no_tag(&mut ring)?;

    ring.replace_direct_tagged(&adopted, &reader, 10)?;
    assert_eq!(tags(&mut ring, 1)?, [9]);
    drop(adopted);
    assert_eq!(tags(&mut ring, 1)?, [10]);

    // What is in flight keeps the file.
    let token = ring.push(Read::new(read_end, vec![0; 4]))?;
    ring.submit()?;
    ring.cancel(&token)?;
    let done = ring.wait(token)?;
    assert_errno(done.result, libc::ECANCELED);
    assert_no_tag(&mut ring)?;
    drop((done.target, write_end));
    assert_eq!(tags(&mut ring, 2)?, [7, 8]);
    drop((reader, writer));

    // The end of the table lets go of what is left in it.
    let zero = File::open("/dev/zero")?;
    let direct = ring.adopt_tagged(&zero, 11)?;
    drop(direct);
    ring.unregister_direct()?;
    assert_eq!(tags(&mut ring, 1)?, [11]);
    let many =
        ring.register_files_tagged(&(1..=100).map(|tag| (&zero, tag)).collect::<Vec<_>>(), 0)?;
    drop(many);
    // Q5: more than the queue has room for.
    assert!(ring.setup().completion_entries() < 100);
    assert_eq!(tags(&mut ring, 100)?, (1..=100).collect::<Vec<_>>());
    let last = ring.adopt_tagged(&zero, 12)?;
    drop(ring);
    drop(last);
    Ok(())
}

/// Thousands of files are closed, many in one call, and none is lost when the ring goes first.
pub(crate) fn closed_in_batches(context: &Context) -> TestResult {
    let (reader, writer) = pipe()?;
    let mut ring = common::ring(context, 8)?;
    let slots = 200;
    ring.register_direct(slots)?;
    let mut closed = 0;
    for round in 0..context.rounds(20).max(2) {
        let files = vec![writer.as_fd(); usize::try_from(slots)?];
        let mut all = ring.adopt_all(&files)?;
        assert_eq!(ring.direct_slots_taken(), slots);
        // Other parts of the table each time, from another thread every second time.
        let kept: Vec<_> = all.extract_every(7, usize::try_from(round)?);
        if round % 2 == 0 {
            drop(all);
        } else {
            thread::scope(|scope| scope.spawn(move || drop(all)).join()).expect("it drops");
        }
        ring.call(Nop::new())??;
        assert_eq!(usize::try_from(ring.direct_slots_taken())?, kept.len());
        drop(kept);
        ring.call(Nop::new())??;
        assert_eq!(ring.direct_slots_taken(), 0);
        closed += files.len();
    }
    assert!(closed >= 400);
    drop(writer);
    assert_pipe_ends(&reader)?;

    // With the ring, whatever was dropped before or is after it.
    let (reader, writer) = pipe()?;
    let mut all = ring.adopt_all(&vec![writer.as_fd(); 150])?;
    let opened = ring.direct_slot()?;
    let opened = ring
        .call(OpenAt::new(c"/dev/null").into_direct(opened))?
        .result?;
    drop(writer);
    drop(all.split_off(75));
    drop(ring);
    assert_pipe_ends(&reader)?;
    drop((all, opened));
    Ok(())
}

/// Everybody has closed the other end.
fn assert_pipe_ends(reader: &OwnedFd) -> TestResult {
    assert!(pending::has_no_writer(reader)?, "some file is still open");
    Ok(())
}

/// Every so manieth, from one on.
trait ExtractEvery<T> {
    fn extract_every(&mut self, step: usize, first: usize) -> Vec<T>;
}

impl<T> ExtractEvery<T> for Vec<T> {
    fn extract_every(&mut self, step: usize, first: usize) -> Vec<T> {
        let (taken, left) = self
            .drain(..)
            .enumerate()
            .partition::<Vec<_>, _>(|(index, _)| index % step == first % step);
        self.extend(left.into_iter().map(|(_, value)| value));
        taken.into_iter().map(|(_, value)| value).collect()
    }
}
