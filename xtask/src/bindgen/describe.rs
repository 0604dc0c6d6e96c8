//! Documents the generated types. Those without a name in C are told by where they are and what is in them.

use std::collections::BTreeMap;

use quote::quote;
use syn::{
    Field, Fields, Item, ItemStruct, ItemUnion, Token, Type, parse_quote, punctuated::Punctuated,
};

use super::{docs::Docs, interface::Interface};

/// bindgen's `io_uring_sqe__bindgen_ty_1`, the type of a member without a name, is `io_uring_sqe_anon_1` here.
pub(crate) const ANONYMOUS_TYPE: &str = "_anon_";
/// The member itself is `anon_1`.
pub(crate) const ANONYMOUS_FIELD: &str = "anon_";

/// The name and the type's name of each field of each type.
type Members = BTreeMap<String, Vec<(String, String)>>;

/// Adds a line to every struct and union, and to the fields without a name in C.
pub(crate) fn describe(types: &mut [Item], interface: &Interface, docs: &Docs) {
    let members: Members = types
        .iter_mut()
        .filter_map(|item| {
            let (name, fields) = named_fields(item)?;
            Some((
                name,
                fields
                    .iter()
                    .map(|field| (field_name(field), type_name(&field.ty)))
                    .collect(),
            ))
        })
        .collect();
    for item in types {
        let Some((name, fields)) = named_fields(item) else {
            continue;
        };
        for field in fields {
            if field_name(field).starts_with(ANONYMOUS_FIELD) {
                let doc = docs.anonymous_field(&flatten(&type_name(&field.ty), &members));
                field.attrs.push(parse_quote!(#[doc = #doc]));
            }
        }
        let doc = match user(&name, &members) {
            Some((outer, field)) if name.contains(ANONYMOUS_TYPE) => {
                docs.anonymous_type(outer, field)
            }
            _ => docs.structure(&name, interface),
        };
        if let Item::Struct(ItemStruct { attrs, .. }) | Item::Union(ItemUnion { attrs, .. }) = item
        {
            attrs.insert(0, parse_quote!(#[doc = #doc]));
        }
    }
}

/// The type and field that a type is used in.
fn user<'a>(name: &str, members: &'a Members) -> Option<(&'a str, &'a str)> {
    members.iter().find_map(|(outer, fields)| {
        let (field, _) = fields.iter().find(|(_, ty)| ty == name)?;
        Some((outer.as_str(), field.as_str()))
    })
}

/// The members that C reaches through a member without a name, without reserved ones.
fn flatten(ty: &str, members: &Members) -> Vec<String> {
    let fields = members.get(ty).map(Vec::as_slice).unwrap_or_default();
    let names = |(field, ty): &(String, String)| {
        if field.starts_with(ANONYMOUS_FIELD) {
            flatten(ty, members)
        } else {
            vec![field.clone()]
        }
    };
    fields
        .iter()
        .flat_map(names)
        .filter(|name| !name.starts_with("__"))
        .collect()
}

fn named_fields(item: &mut Item) -> Option<(String, &mut Punctuated<Field, Token![,]>)> {
    match item {
        Item::Union(ItemUnion { ident, fields, .. }) => {
            Some((ident.to_string(), &mut fields.named))
        }
        Item::Struct(ItemStruct {
            ident,
            fields: Fields::Named(fields),
            ..
        }) => Some((ident.to_string(), &mut fields.named)),
        _ => None,
    }
}

fn field_name(field: &Field) -> String {
    field
        .ident
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn type_name(ty: &Type) -> String {
    quote!(#ty).to_string()
}
