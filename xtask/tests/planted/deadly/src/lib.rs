//! The faults' names, which the suite before them has too.

/// Each is a test that passes in the suite `before`, and a fault in the suite `during`.
pub const FAULTS: [&str; 5] = [
    "panics",
    "powers_off",
    "waits_to_be_killed",
    "writes_a_warning",
    "taints",
];
