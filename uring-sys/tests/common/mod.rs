//! The committed bindings as text, for what the compiled constants cannot tell: which there are.

use std::collections::BTreeMap;

pub(crate) const BINDINGS: &str = include_str!("../../src/bindings.rs");

/// Name and value, as unsigned.
pub(crate) type Constants = BTreeMap<&'static str, u64>;

/// Every constant of the bindings.
pub(crate) fn constants() -> Constants {
    BINDINGS
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .map(|line| {
            let (name, rest) = line.split_once(": ").expect("a constant has a type");
            let (_, value) = rest
                .trim_end_matches(';')
                .split_once(" = ")
                .expect("a constant has a value");
            (name, evaluate(value))
        })
        .collect()
}

fn evaluate(expression: &str) -> u64 {
    if let Some((one, shift)) = expression.split_once(" << ") {
        assert_eq!(one, "1", "{expression}");
        return 1 << shift.parse::<u32>().expect("a shift is a number");
    }
    if let Some(digits) = expression.strip_prefix("0x") {
        return u64::from_str_radix(&digits.replace('_', ""), 16).expect("hexadecimal digits");
    }
    match expression {
        "u32::MAX" => u64::from(u32::MAX),
        "-2" => u64::MAX - 1,
        number => number
            .parse()
            .unwrap_or_else(|error| panic!("{expression}: {error}")),
    }
}
