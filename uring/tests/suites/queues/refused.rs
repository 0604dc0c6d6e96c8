//! Entries that the kernel refuses in the middle of others.

use uring::op::{Nop, Write};
use uring::{Any, Builder, Chain, Push, Ring};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    for (stop, name) in [(false, "past"), (true, "up_to")] {
        suite
            .test(
                format!("q07_entries_are_submitted_{name}_a_refused_one"),
                move |context| entries_beside_refused_ones_run(context, stop),
            )
            .on(HandleKind::ALL);
        suite
            .test(
                format!("q07_owned_operations_run_{name}_a_refused_one"),
                move |context| owned_operations_beside_refused_ones_run(context, stop),
            )
            .on(HandleKind::ALL);
    }
    for (stop, name) in [(false, "past"), (true, "up_to")] {
        suite
            .test(
                format!("q07_a_refused_member_ends_its_chain_submitted_{name}_it"),
                move |context| a_refused_member_ends_its_chain(context, stop),
            )
            .on(HandleKind::ALL)
            .needs([Feature::NOP_INJECT_RESULT])
            .no_refusal("a NOP that is refused needs a kernel that looks at its flags");
    }
}

/// Nobody registers a personality here.
const UNREGISTERED: Push = Push::new().personality_id(65000);

fn ring(context: &Context, stop: bool) -> Result<Ring<Any>, uring::Error> {
    common::build(context, &Builder::new(16).stop_at_refused(stop))
}

fn entries_beside_refused_ones_run(context: &Context, stop: bool) -> TestResult {
    let mut ring = ring(context, stop)?;
    let count = 6;
    // Each set of refused entries that six can have: at the beginning, in the middle, at the end, none, all.
    for refused in 0..1_u64 << count {
        let is_refused = |number: u64| refused & 1 << number != 0;
        for number in 0..count {
            let push = if is_refused(number) {
                UNREGISTERED
            } else {
                Push::new()
            };
            ring.push_raw_with(Nop::new(), number, push)?;
        }
        assert_eq!(ring.submit_and_wait(6)?, 6, "{refused:b}");
        assert_eq!(ring.pending(), 0);
        let mut seen = Vec::new();
        ring.for_each(|completion| seen.push((completion.user_data(), completion.raw_result())))?;
        seen.sort_unstable();
        let expected = (0..count).map(|number| {
            let result = if is_refused(number) { -libc::EINVAL } else { 0 };
            (number, result)
        });
        assert_eq!(seen, expected.collect::<Vec<_>>(), "{refused:b}");
    }
    Ok(())
}

fn owned_operations_beside_refused_ones_run(context: &Context, stop: bool) -> TestResult {
    let mut ring = ring(context, stop)?;
    let (reader, writer) = files::pipe()?;
    let writer = std::sync::Arc::new(writer);
    let mut tokens = Vec::new();
    for number in 0..10_u8 {
        let push = if number % 3 == 1 {
            UNREGISTERED
        } else {
            Push::new()
        };
        tokens.push(ring.push_with(Write::new(writer.clone(), vec![number]), push)?);
    }
    assert_eq!(ring.submit()?, 10);
    for (number, token) in tokens.into_iter().enumerate() {
        let done = ring.wait(token)?;
        assert_eq!(done.buf, [u8::try_from(number)?]);
        match done.result {
            Ok(written) => assert!(number % 3 != 1 && written == 1),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                assert_eq!(number % 3, 1);
            }
        }
    }
    let mut bytes = [0; 16];
    let count = std::io::Read::read(&mut std::fs::File::from(reader), &mut bytes)?;
    // Operations that are not linked may run in any order, and on Linux 6.1 writes to a pipe do.
    bytes[..count].sort_unstable();
    assert_eq!(bytes[..count], [0, 2, 3, 5, 6, 8, 9]);
    Ok(())
}

fn a_refused_member_ends_its_chain(context: &Context, stop: bool) -> TestResult {
    let mut ring = ring(context, stop)?;
    let (reader, writer) = files::pipe()?;
    let writer = std::sync::Arc::new(writer);
    let write = |text| Write::new(writer.clone(), text);
    // Large completions do not fit this ring, so the kernel refuses the second member before it starts the first.
    let refused = Nop::new().large_completion([0; 2]);
    let before = ring.push(write("a"))?;
    let chain = Chain::new(Nop::new())
        .then(refused)
        .then(write("b"))
        .then(write("c"));
    let (((first, second), third), fourth) = ring.push_chain(chain)?;
    let after = ring.push(write("d"))?;
    assert_eq!(ring.submit()?, 6);
    assert_eq!(ring.pending(), 0);
    let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    assert_eq!(errno(ring.wait(first)?), Some(libc::ECANCELED));
    assert_eq!(errno(ring.wait(second)?), Some(libc::EINVAL));
    for member in [third, fourth] {
        let member = ring.wait(member)?;
        assert_eq!(errno(member.result.map(drop)), Some(libc::ECANCELED));
    }
    for other in [before, after] {
        assert_eq!(ring.wait(other)?.result?, 1);
    }
    assert_eq!(files::bytes_waiting(&reader)?, 2);
    Ok(())
}
