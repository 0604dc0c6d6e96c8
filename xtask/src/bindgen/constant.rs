//! How a constant looks in Rust: its type and the form of its value.

use anyhow::{Context, Result, bail};
use quote::{format_ident, quote};

use super::interface::Constant;

/// Constants that go into a field narrower or wider than 32 bits have that field's type, so that they can be
/// stored in it without a cast. A name ending in `_` stands for all that begin with it; the first match counts.
const FIELDS: &[(&str, &str, &str)] = &[
    ("IORING_OP_", "u8", "io_uring_sqe::opcode"),
    ("IOSQE_", "u8", "io_uring_sqe::flags"),
    (
        "IORING_RW_ATTR_FLAG_",
        "u64",
        "io_uring_sqe::attr_type_mask",
    ),
    ("IORING_MSG_DATA", "u64", "io_uring_sqe::addr"),
    ("IORING_MSG_SEND_FD", "u64", "io_uring_sqe::addr"),
    ("IORING_ACCEPT_", "u16", "io_uring_sqe::ioprio"),
    ("IORING_RECVSEND_", "u16", "io_uring_sqe::ioprio"),
    ("IORING_RECV_MULTISHOT", "u16", "io_uring_sqe::ioprio"),
    ("IORING_SEND_ZC_REPORT_USAGE", "u16", "io_uring_sqe::ioprio"),
    ("IORING_SEND_VECTORIZED", "u16", "io_uring_sqe::ioprio"),
    (
        "IORING_MEM_REGION_REG_WAIT_ARG",
        "u64",
        "io_uring_mem_region_reg::flags",
    ),
    ("IORING_RESTRICTION_", "u16", "io_uring_restriction::opcode"),
    ("IO_URING_OP_SUPPORTED", "u16", "io_uring_probe_op::flags"),
    ("IOU_PBUF_RING_", "u16", "io_uring_buf_reg::flags"),
    ("IO_URING_NAPI_REGISTER_OP", "u8", "io_uring_napi::opcode"),
    ("IO_URING_NAPI_STATIC_", "u8", "io_uring_napi::opcode"),
    ("IO_URING_BPF_CMD_", "u16", "io_uring_bpf::cmd_type"),
];

/// The type of a constant and, for those whose type the C text does not tell, the field that it goes into.
pub(crate) fn rust_type(
    name: &str,
    constant: &Constant,
    value: i128,
) -> (&'static str, Option<&'static str>) {
    let field = FIELDS.iter().find(|(pattern, ..)| {
        if pattern.ends_with('_') {
            name.starts_with(pattern)
        } else {
            name == *pattern
        }
    });
    if let Some((_, ty, field)) = field.filter(|_| !name.ends_with("_BIT")) {
        return (ty, Some(field));
    }
    let text = constant.text.as_deref().unwrap_or_default();
    let ty = if text.contains("ULL") || text.contains("__u64") {
        "u64"
    } else if value < 0 && !text.contains('~') {
        "i32"
    } else {
        "u32"
    };
    (ty, None)
}

/// The value as an expression: a bit as a shift and an address as hexadecimal, as the header writes them.
pub(crate) fn rust_value(
    name: &str,
    constant: &Constant,
    ty: &str,
    value: i128,
) -> Result<syn::Expr> {
    let (bits, signed) = match ty {
        "u8" => (8, false),
        "u16" => (16, false),
        "u32" => (32, false),
        "i32" => (31, true),
        "u64" => (64, false),
        other => bail!("{name}: no rule for values of type {other}"),
    };
    let modulus = 1_i128 << bits;
    let value = if value < 0 && !signed {
        value + modulus
    } else {
        value
    };
    if value >= modulus || value < if signed { -modulus } else { 0 } {
        bail!("{name} = {value} does not fit {ty}: correct its row in the table of fields");
    }

    let text = constant.text.as_deref().unwrap_or_default();
    let tokens = if !signed && value == modulus - 1 && text.contains('~') {
        let ty = format_ident!("{ty}");
        quote!(#ty::MAX)
    } else {
        let literal = if text.contains("<<") && value > 0 && value.count_ones() == 1 {
            format!("1 << {}", value.trailing_zeros())
        } else if ty == "u64" && value > 0xffff {
            hexadecimal(value)
        } else {
            value.to_string()
        };
        literal
            .parse()
            .map_err(|error| anyhow::anyhow!("{name}: {literal}: {error}"))?
    };
    syn::parse2(tokens).with_context(|| format!("the value of {name}"))
}

/// Hexadecimal in groups of four digits.
fn hexadecimal(value: i128) -> String {
    let digits = format!("{value:x}");
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(4)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    format!("0x{}", groups.join("_"))
}

/// Reads an integer literal, possibly negated.
pub(crate) fn literal(expr: &syn::Expr) -> Option<i128> {
    match expr {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Int(int),
            ..
        }) => int.base10_parse().ok(),
        syn::Expr::Unary(syn::ExprUnary {
            op: syn::UnOp::Neg(_),
            expr,
            ..
        }) => literal(expr).map(|value| -value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(name: &str, text: &str, value: i128) -> String {
        let constant = Constant {
            header: "linux/x.h".to_owned(),
            text: Some(text.to_owned()),
            group: None,
        };
        let (ty, _) = rust_type(name, &constant, value);
        let expr = rust_value(name, &constant, ty, value).unwrap();
        format!("{ty} {}", quote!(#expr))
    }

    #[test]
    fn types_and_values_are_those_of_the_header() {
        assert_eq!(rust("IORING_SETUP_X", "(1U << 16)", 1 << 16), "u32 1 << 16");
        assert_eq!(
            rust("IORING_OFF_X", "0x80000000ULL", 0x8000_0000),
            "u64 0x8000_0000"
        );
        assert_eq!(
            rust("X_MASK", "(~(((__u64)1 << X) - 1))", -(1 << 48)),
            "u64 0xffff_0000_0000_0000"
        );
        assert_eq!(rust("X_ALLOC", "(~0U)", -1), "u32 u32 :: MAX");
        assert_eq!(rust("X_SKIP", "(-2)", -2), "i32 - 2");
        assert_eq!(rust("IOSQE_X", "(1U << X_BIT)", 4), "u8 1 << 2");
        assert_eq!(rust("IOSQE_X_BIT", "2", 2), "u32 2");
    }

    #[test]
    fn a_value_too_large_for_its_field_is_refused() {
        let constant = Constant {
            header: String::new(),
            text: None,
            group: None,
        };
        let error = rust_value("IORING_OP_X", &constant, "u8", 256)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("IORING_OP_X = 256 does not fit u8"),
            "{error}"
        );
    }
}
