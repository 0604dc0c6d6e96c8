//! From what bindgen says to what is committed: Rust's integer types, plain data that can be copied, constants of the
//! type that they are used with, documentation.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use quote::{format_ident, quote};
use syn::{
    Expr, Item, ItemConst, ItemStruct, ItemUnion, Stmt, Type, parse_quote,
    visit_mut::{self, VisitMut},
};

use super::{constant, describe, docs::Docs, interface::Interface};

/// The committed text, without its preamble.
pub(crate) fn polish(raw: &str, interface: &Interface, docs: &Docs) -> Result<String> {
    // The layout assertions name types within macros, so before parsing.
    let raw = raw.replace("__bindgen_ty_", describe::ANONYMOUS_TYPE);
    let mut file = syn::parse_file(&raw).context("parsing what bindgen generated")?;
    PlainTypes.visit_file_mut(&mut file);

    let mut output = Output::default();
    for item in file.items {
        output.add(item, interface, docs)?;
    }
    describe::describe(&mut output.types, interface, docs);
    let aliases = output.aliases(interface, docs);
    let file = syn::File {
        shebang: None,
        frontmatter: None,
        attrs: Vec::new(),
        items: [
            vec![parse_quote!(
                use core::mem::offset_of;
            )],
            aliases,
            output.constants,
            output.types,
            output.layout,
        ]
        .concat(),
    };
    // prettyplease leaves items without blank lines between them; one after each end of an item reads better.
    Ok(prettyplease::unparse(&file)
        .replace(";\n/// ", ";\n\n/// ")
        .replace("}\n/// ", "}\n\n/// ")
        .replace("\nconst _:", "\n\nconst _:"))
}

#[derive(Default)]
struct Output {
    constants: Vec<Item>,
    types: Vec<Item>,
    layout: Vec<Item>,
    /// The types that the constants of each enumeration have.
    groups: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Output {
    fn add(&mut self, item: Item, interface: &Interface, docs: &Docs) -> Result<()> {
        match item {
            // The layout assertions are the only constants without a name.
            Item::Const(item) if item.ident == "_" => self.layout.push(assertions(&item)?),
            Item::Const(item) => self.add_constant(&item, interface, docs)?,
            // Enumerations are made again from their constants; the other aliases were resolved to Rust's types.
            Item::Type(_) => {}
            Item::Struct(item) if item.ident == "__IncompleteArrayField" => {}
            Item::Impl(item) if mentions_incomplete_array(&item.self_ty) => {}
            Item::Struct(item) => self.types.push(plain_struct(item)),
            Item::Union(item) => self.types.extend(plain_union(item)),
            other => bail!(
                "bindgen generated something new, which needs a rule: {}",
                quote!(#other)
            ),
        }
        Ok(())
    }

    fn add_constant(&mut self, item: &ItemConst, interface: &Interface, docs: &Docs) -> Result<()> {
        let name = item.ident.to_string();
        let defined = interface
            .constants
            .get(&name)
            .with_context(|| format!("no header defines {name}, which bindgen found"))?;
        let value = constant::literal(&item.expr)
            .with_context(|| format!("{name} is not a plain number"))?;
        let (ty, field) = constant::rust_type(&name, defined, value);
        let expr = constant::rust_value(&name, defined, ty, value)?;
        if let Some(group) = &defined.group {
            self.groups.entry(group.clone()).or_default().insert(ty);
        }
        let doc = docs.constant(&name, defined, field);
        let ident = &item.ident;
        let ty = format_ident!("{ty}");
        self.constants.push(parse_quote! {
            #(#[doc = #doc])*
            pub const #ident: #ty = #expr;
        });
        Ok(())
    }

    /// `pub type io_uring_op = u8;`: the named enumerations, as wide as their constants.
    fn aliases(&self, interface: &Interface, docs: &Docs) -> Vec<Item> {
        self.groups
            .iter()
            .map(|(group, types)| {
                let ty = match types.iter().collect::<Vec<_>>()[..] {
                    [one] => format_ident!("{one}"),
                    _ => format_ident!("u32"),
                };
                let ident = format_ident!("{group}");
                let doc = docs.enumeration(group, interface);
                parse_quote! {
                    #[doc = #doc]
                    pub type #ident = #ty;
                }
            })
            .collect()
    }
}

/// Maps the C types to Rust's, and flexible arrays to arrays of no elements.
struct PlainTypes;

impl VisitMut for PlainTypes {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        let Type::Path(path) = &*ty else { return };
        let Some(last) = path.path.segments.last() else {
            return;
        };
        let plain: Type = match last.ident.to_string().as_str() {
            "__u8" => parse_quote!(u8),
            "__u16" | "__be16" | "__le16" => parse_quote!(u16),
            "__u32" | "__be32" | "__le32" | "c_uint" => parse_quote!(u32),
            "__u64" | "__be64" | "__le64" | "c_ulonglong" => parse_quote!(u64),
            "__s8" => parse_quote!(i8),
            "__s16" => parse_quote!(i16),
            "__s32" | "c_int" => parse_quote!(i32),
            "__s64" | "c_longlong" | "__kernel_time64_t" => parse_quote!(i64),
            "ManuallyDrop" | "__IncompleteArrayField" => {
                let syn::PathArguments::AngleBracketed(args) = &last.arguments else {
                    return;
                };
                let Some(syn::GenericArgument::Type(inner)) = args.args.first() else {
                    return;
                };
                if last.ident == "ManuallyDrop" {
                    inner.clone()
                } else {
                    parse_quote!([#inner; 0])
                }
            }
            _ => return,
        };
        *ty = plain;
    }

    /// `2usize` as an array's length is `2`.
    fn visit_lit_int_mut(&mut self, int: &mut syn::LitInt) {
        if int.suffix() == "usize" {
            *int = syn::LitInt::new(int.base10_digits(), int.span());
        }
    }
}

fn plain_struct(mut item: ItemStruct) -> Item {
    keep_repr(&mut item.attrs);
    item.attrs
        .insert(0, parse_quote!(#[derive(Debug, Default, Clone, Copy)]));
    Item::Struct(item)
}

fn plain_union(mut item: ItemUnion) -> Vec<Item> {
    keep_repr(&mut item.attrs);
    item.attrs.insert(0, parse_quote!(#[derive(Clone, Copy)]));
    let ident = item.ident.clone();
    let name = ident.to_string();
    let default = parse_quote! {
        impl Default for #ident {
            fn default() -> Self {
                unsafe { core::mem::zeroed() }
            }
        }
    };
    // Which member is meant is known to the code around it only.
    let debug = parse_quote! {
        impl core::fmt::Debug for #ident {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(#name).finish_non_exhaustive()
            }
        }
    };
    vec![Item::Union(item), default, debug]
}

fn keep_repr(attrs: &mut Vec<syn::Attribute>) {
    attrs.retain(|attr| attr.path().is_ident("repr"));
}

fn mentions_incomplete_array(ty: &Type) -> bool {
    // The type itself has been mapped to an array of no elements.
    matches!(ty, Type::Array(_))
}

/// `["Size of X"][size_of::<X>() - 8]` is how bindgen fails to compile on an unexpected layout; the same as assertions.
fn assertions(item: &ItemConst) -> Result<Item> {
    let Expr::Block(block) = &*item.expr else {
        bail!("bindgen's layout tests have a new form: {}", quote!(#item));
    };
    let mut asserts = Vec::new();
    for stmt in &block.block.stmts {
        let Stmt::Expr(Expr::Index(index), _) = stmt else {
            bail!("bindgen's layout tests have a new form: {}", quote!(#stmt));
        };
        let Expr::Binary(syn::ExprBinary {
            left,
            op: syn::BinOp::Sub(_),
            right,
            ..
        }) = &*index.index
        else {
            bail!("bindgen's layout tests have a new form: {}", quote!(#stmt));
        };
        let left = quote!(#left).to_string().replace(":: core :: mem :: ", "");
        let left: Expr = syn::parse_str(&left)?;
        let mut right = (**right).clone();
        PlainTypes.visit_expr_mut(&mut right);
        asserts.push(quote!(assert!(#left == #right);));
    }
    Ok(parse_quote!(const _: () = { #(#asserts)* };))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct with each thing that needs a rule, as bindgen gives it.
    const RAW: &str = r#"
        pub type __kernel_time64_t = ::core::ffi::c_longlong;
        pub type kind = ::core::ffi::c_uint;
        #[repr(C)] #[derive(Default)]
        pub struct __IncompleteArrayField<T>(::core::marker::PhantomData<T>, [T; 0]);
        impl<T> __IncompleteArrayField<T> { pub const fn new() -> Self { loop {} } }
        #[repr(C)]
        pub struct entry {
            pub time: __kernel_time64_t,
            pub anon_1: entry__bindgen_ty_1,
            pub pad: [__u8; 3usize],
        }
        #[repr(C)]
        pub union entry__bindgen_ty_1 {
            pub off: __u64,
            pub cmd: ::core::mem::ManuallyDrop<__IncompleteArrayField<__u8>>,
        }
        pub const KIND_A: kind = 0;
        #[allow(clippy::identity_op)]
        const _: () = {
            ["Size of entry"][::core::mem::size_of::<entry>() - 24usize];
            ["Offset of field: entry::pad"][::core::mem::offset_of!(entry, pad) - 16usize];
        };
    "#;
    const HEADER: &str = "enum kind { KIND_A };\nstruct entry { int x; };\n";

    fn polished(raw: &str) -> Result<String> {
        let headers = BTreeMap::from([("linux/x.h".to_owned(), HEADER.to_owned())]);
        polish(raw, &Interface::parse(&headers), &Docs::default())
    }

    #[test]
    fn c_becomes_plain_rust() {
        let text = polished(RAW).unwrap();
        for expected in [
            "pub type kind = u32;",
            "pub const KIND_A: u32 = 0;",
            "/// `struct entry` of `linux/x.h`.\n#[derive(Debug, Default, Clone, Copy)]\n#[repr(C)]\npub struct entry {",
            "pub time: i64,",
            "/// Without a name in C: `off`, `cmd`.\n    pub anon_1: entry_anon_1,",
            "pub pad: [u8; 3],",
            "/// The type of [`entry::anon_1`].\n#[derive(Clone, Copy)]\n#[repr(C)]\npub union entry_anon_1 {",
            "pub cmd: [u8; 0],",
            "impl Default for entry_anon_1",
            "impl core::fmt::Debug for entry_anon_1",
            "assert!(size_of::<entry>() == 24);",
            "assert!(offset_of!(entry, pad) == 16);",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        for unexpected in [
            "bindgen_ty",
            "IncompleteArray",
            "ManuallyDrop",
            "usize",
            "c_uint",
        ] {
            assert!(!text.contains(unexpected), "{unexpected} in\n{text}");
        }
    }

    #[test]
    fn what_has_no_rule_is_an_error() {
        for (raw, complaint) in [
            ("pub static X: u32 = 1;", "something new"),
            ("pub const X: u32 = 1;", "no header defines X"),
            (
                "pub const KIND_A: u32 = f();",
                "KIND_A is not a plain number",
            ),
            ("const _: () = { assert!(true); };", "a new form"),
        ] {
            let error = format!("{:#}", polished(raw).unwrap_err());
            assert!(error.contains(complaint), "{error}");
        }
    }
}
