//! What a ring says that the kernel knows.

use std::collections::BTreeSet;

use uring_testkit::{Context, Feature, FeatureKind, TestResult};

use crate::common;

pub(crate) fn probe_tells_what_the_kernel_has(context: &Context) -> TestResult {
    let probe = common::ring(context, 4)?.probe()?;
    let told: BTreeSet<_> = probe.iter().filter_map(uring::opcode_name).collect();
    let opcodes = Feature::all()
        .iter()
        .filter(|feature| feature.kind() == FeatureKind::Opcode);
    let had: BTreeSet<_> = opcodes
        .filter(|feature| context.has(**feature))
        .map(Feature::name)
        .collect();
    let differ: Vec<_> = told.symmetric_difference(&had).collect();
    assert!(
        differ.is_empty(),
        "the ring and the testkit's own probe disagree about {differ:?}"
    );
    Ok(())
}
