//! What a ring says that the kernel knows.

use uring_testkit::{Context, Feature, FeatureKind, TestResult};

use crate::common;

pub(crate) fn probe_tells_what_the_kernel_has(context: &Context) -> TestResult {
    let probe = common::ring(context, 4)?.probe()?;
    let told: Vec<_> = probe.iter().filter_map(uring::opcode_name).collect();
    let opcodes = Feature::all()
        .iter()
        .filter(|feature| feature.kind() == FeatureKind::Opcode);
    let had: Vec<_> = opcodes
        .filter(|feature| context.has(**feature))
        .map(Feature::name)
        .collect();
    assert_eq!(told, had);
    Ok(())
}
