//! The committed bindings hold the whole interface of the release that they name.

mod common;

use common::{Constants, constants};

fn assert_bits(constants: &Constants, prefix: &str, expected: &[u32]) {
    let mut bits: Vec<_> = constants
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && !name.ends_with("_BIT"))
        .map(|(name, value)| {
            assert_eq!(value.count_ones(), 1, "{name} = {value} is not one bit");
            value.trailing_zeros()
        })
        .collect();
    bits.sort_unstable();
    assert_eq!(bits, expected, "{prefix}*");
}

#[test]
fn every_opcode_is_there_once() {
    let constants = constants();
    let mut values: Vec<_> = constants
        .iter()
        .filter(|(name, _)| name.starts_with("IORING_OP_") && **name != "IORING_OP_LAST")
        .map(|(_, &value)| value)
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..65).collect::<Vec<_>>());
    assert_eq!(uring_sys::IORING_OP_LAST, 65);
}

#[test]
fn every_register_opcode_is_there_once() {
    // These share the prefix and are arguments of register opcodes, a counter, and the flag.
    const OTHERS: [&str; 5] = [
        "IORING_REGISTER_DST_REPLACE",
        "IORING_REGISTER_FILES_SKIP",
        "IORING_REGISTER_LAST",
        "IORING_REGISTER_SRC_REGISTERED",
        "IORING_REGISTER_USE_REGISTERED_RING",
    ];
    let constants = constants();
    for other in OTHERS {
        assert!(constants.contains_key(other), "{other}");
    }
    let mut values: Vec<_> = constants
        .iter()
        .filter(|(name, _)| {
            name.starts_with("IORING_REGISTER_") || name.starts_with("IORING_UNREGISTER_")
        })
        .filter(|(name, _)| !OTHERS.contains(name))
        .map(|(_, &value)| value)
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..38).collect::<Vec<_>>());
    assert_eq!(uring_sys::IORING_REGISTER_LAST, 38);
    assert_eq!(uring_sys::IORING_REGISTER_USE_REGISTERED_RING, 1 << 31);
}

#[test]
fn flags_are_the_bits_that_the_kernel_counts() {
    let constants = constants();
    let first = |count| (0..count).collect::<Vec<u32>>();
    assert_bits(&constants, "IORING_SETUP_", &first(21));
    assert_bits(&constants, "IORING_FEAT_", &first(18));
    assert_bits(&constants, "IORING_ENTER_", &first(8));
    assert_bits(&constants, "IOSQE_", &first(7));
    assert_bits(&constants, "IORING_CQE_F_", &[0, 1, 2, 3, 4, 5, 15, 16]);
    assert_bits(&constants, "IORING_SQ_", &first(3));
    assert_bits(&constants, "IORING_CQ_", &first(1));
}

#[test]
fn flags_and_their_bit_numbers_agree() {
    let constants = constants();
    let numbers: Vec<_> = constants
        .iter()
        .filter(|(name, _)| name.ends_with("_BIT"))
        .collect();
    assert_eq!(numbers.len(), 7);
    for (name, number) in numbers {
        let flag = name.trim_end_matches("_BIT");
        assert_eq!(constants[flag], 1 << number, "{flag}");
    }
}

#[test]
fn every_header_and_struct_is_there() {
    let structs: Vec<_> = common::BINDINGS
        .lines()
        .filter_map(|line| line.strip_prefix("pub struct ")?.split(' ').next())
        .filter(|name| !name.contains("_anon_"))
        .collect();
    // 51 of the io_uring headers, and the timespec that they use.
    assert_eq!(structs.len(), 52, "{structs:?}");
    for one_of_each_header in [
        "io_uring_sqe",
        "io_uring_query_hdr",
        "io_uring_zcrx_ifq_reg",
        "io_uring_bpf_filter",
        "io_uring_mock_probe",
    ] {
        assert!(
            structs.contains(&one_of_each_header),
            "{one_of_each_header}"
        );
    }
}

#[test]
fn the_preamble_says_where_the_bindings_are_from() {
    let preamble: Vec<_> = common::BINDINGS
        .lines()
        .take_while(|line| line.starts_with("//"))
        .collect();
    for part in [
        "cargo xtask bindgen",
        "headers: Linux 7.",
        "linux-libc-dev",
        "sha256:",
        "bindgen:",
    ] {
        assert!(
            preamble.iter().any(|line| line.contains(part)),
            "no {part:?} in {preamble:#?}"
        );
    }
}
