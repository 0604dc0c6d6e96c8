//! The table of versions covers what a program asks a kernel for.

mod common;

use common::constants;
use uring_sys::since;

#[test]
fn everything_that_a_kernel_has_or_has_not_has_a_version() {
    let prefixes = [
        "IORING_OP_",
        "IORING_SETUP_",
        "IORING_FEAT_",
        "IORING_ENTER_",
        "IOSQE_",
        "IORING_CQE_F_",
    ];
    let mut looked_up = 0;
    for name in constants().into_keys() {
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && !name.ends_with("_BIT")
            && !name.ends_with("_LAST")
        {
            let version = since(name).unwrap_or_else(|| panic!("no version for {name}"));
            assert!(((5, 1)..=(7, 3)).contains(&version), "{name}: {version:?}");
            looked_up += 1;
        }
    }
    assert_eq!(looked_up, 65 + 21 + 18 + 8 + 7 + 8);
}

#[test]
fn opcodes_were_added_in_order() {
    let mut opcodes: Vec<_> = constants()
        .into_iter()
        .filter(|(name, _)| name.starts_with("IORING_OP_") && *name != "IORING_OP_LAST")
        .map(|(name, value)| (value, since(name).expect("covered by the test above"), name))
        .collect();
    opcodes.sort_unstable();
    for pair in opcodes.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "{pair:?}");
    }
}

#[test]
fn the_life_of_a_ring_descriptor_is_dated() {
    assert_eq!(since("IORING_REGISTER_RING_FDS"), Some((5, 18)));
    assert_eq!(since("IORING_ENTER_REGISTERED_RING"), Some((5, 18)));
    assert_eq!(since("IORING_FEAT_REG_REG_RING"), Some((6, 3)));
    assert_eq!(since("IORING_REGISTER_USE_REGISTERED_RING"), Some((6, 3)));
    assert_eq!(since("IORING_SETUP_NO_MMAP"), Some((6, 5)));
    assert_eq!(since("IORING_SETUP_REGISTERED_FD_ONLY"), Some((6, 5)));
}

#[test]
fn names_without_a_version_have_none() {
    assert_eq!(since("IORING_OP_LAST"), None);
    assert_eq!(since("IORING_OP_NO_SUCH_THING"), None);
    assert_eq!(since(""), None);
}
