//! One run of bindgen over the io_uring headers, for one target.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path, rc::Rc};

use anyhow::{Context, Result, bail};
use bindgen::callbacks::{ImplementsTrait, ParseCallbacks};

use super::{describe::ANONYMOUS_FIELD, headers::Headers};

/// A target that the bindings are generated for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// clang's name for it.
    pub(crate) triple: &'static str,
    /// The directory with its `asm` headers.
    pub(crate) multiarch: &'static str,
    /// The first major version of clang that has it.
    pub(crate) oldest_clang: u32,
}

impl Target {
    const fn new(triple: &'static str, multiarch: &'static str, oldest_clang: u32) -> Self {
        Self {
            triple,
            multiarch,
            oldest_clang,
        }
    }
}

/// The 64-bit targets, which must all give the same bindings. The first is the one whose output is committed.
pub(crate) const TARGETS: &[Target] = &[
    Target::new("x86_64-unknown-linux-gnu", "x86_64-linux-gnu", 9),
    Target::new("aarch64-unknown-linux-gnu", "aarch64-linux-gnu", 9),
    Target::new("riscv64-unknown-linux-gnu", "riscv64-linux-gnu", 9),
    Target::new("s390x-unknown-linux-gnu", "s390x-linux-gnu", 9),
    Target::new("powerpc64-unknown-linux-gnu", "powerpc64-linux-gnu", 9),
    Target::new("powerpc64le-unknown-linux-gnu", "powerpc64le-linux-gnu", 9),
    Target::new("sparc64-unknown-linux-gnu", "sparc64-linux-gnu", 9),
    Target::new("mips64-unknown-linux-gnuabi64", "mips64-linux-gnuabi64", 9),
    Target::new(
        "mips64el-unknown-linux-gnuabi64",
        "mips64el-linux-gnuabi64",
        9,
    ),
    Target::new("loongarch64-unknown-linux-gnu", "loongarch64-linux-gnu", 16),
];

/// What bindgen says before `polish` makes it readable.
///
/// # Errors
///
/// clang does not know the target or rejects the headers, or a header was read from outside of the tree.
pub(crate) fn generate(headers: &Headers, target: Target, scratch: &Path) -> Result<String> {
    // The macro fallback compiles fragments here; it needs the directory and a real file to include.
    fs::create_dir_all(scratch).with_context(|| format!("creating {}", scratch.display()))?;
    let wrapper = scratch.join("wrapper.h");
    fs::write(&wrapper, wrapper_text(headers)).context("writing the wrapper header")?;

    let asm = headers.include.join(target.multiarch);
    let asm = if asm.is_dir() {
        asm
    } else {
        headers.include.clone()
    };
    let read = Rc::new(RefCell::new(BTreeSet::new()));
    let bindings = bindgen::Builder::default()
        .header(path_str(&wrapper)?)
        .clang_args(["-nostdinc", "-isystem", path_str(&headers.include)?])
        .clang_args(["-isystem", path_str(&asm)?])
        .clang_arg(format!("--target={}", target.triple))
        .detect_include_paths(false)
        .allowlist_file(r".*/linux/io_uring(\.h|/.*\.h)")
        .blocklist_type("__([us](8|16|32|64)|be(16|32|64)|le(16|32|64))")
        .rust_target(bindgen::RustTarget::stable(85, 0).map_err(|e| anyhow::anyhow!("{e}"))?)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .anon_fields_prefix(ANONYMOUS_FIELD)
        .default_non_copy_union_style(bindgen::NonCopyUnionStyle::ManuallyDrop)
        .derive_copy(false)
        .derive_debug(false)
        .derive_default(false)
        .sort_semantically(true)
        .merge_extern_blocks(true)
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(scratch)
        .disable_header_comment()
        .formatter(bindgen::Formatter::None)
        .parse_callbacks(Box::new(Callbacks {
            read: Rc::clone(&read),
        }))
        .generate()
        .with_context(|| format!("bindgen for {}", target.triple))?;

    for file in read.borrow().iter() {
        require_inside(file, headers, &wrapper)?;
    }
    Ok(bindings.to_string())
}

/// Whether this libclang has a back end for the target.
pub(crate) fn clang_knows(target: Target) -> bool {
    // Asking for a target that it does not know makes bindgen panic.
    bindgen::clang_version()
        .parsed
        .is_none_or(|(major, _)| major >= target.oldest_clang)
}

/// Every io_uring header, after a plain form of the kernel's flexible-array macro: inside a union the C form
/// wraps the array in two anonymous structs, the C++ form (this one) does not.
fn wrapper_text(headers: &Headers) -> String {
    let mut text = String::from(
        "#include <linux/types.h>\n\
         #include <linux/stddef.h>\n\
         #undef __DECLARE_FLEX_ARRAY\n\
         #define __DECLARE_FLEX_ARRAY(T, member) T member[0]\n",
    );
    for name in headers.interface.keys() {
        text.push_str(&format!("#include <{name}>\n"));
    }
    text
}

fn require_inside(file: &str, headers: &Headers, wrapper: &Path) -> Result<()> {
    let path =
        fs::canonicalize(file).with_context(|| format!("resolving the included file {file}"))?;
    if path.starts_with(&headers.root) || path == fs::canonicalize(wrapper)? {
        return Ok(());
    }
    bail!(
        "{} was included from outside of {}: the bindings would not be those of one release",
        path.display(),
        headers.root.display()
    )
}

fn path_str(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8, which libclang needs", path.display()))
}

#[derive(Debug)]
struct Callbacks {
    read: Rc<RefCell<BTreeSet<String>>>,
}

impl ParseCallbacks for Callbacks {
    fn include_file(&self, filename: &str) {
        self.read.borrow_mut().insert(filename.to_owned());
    }

    /// The fixed-width types are mapped to Rust's by `polish`, so they are all plain data.
    fn blocklisted_type_implements_trait(
        &self,
        _name: &str,
        _derive_trait: bindgen::callbacks::DeriveTrait,
    ) -> Option<ImplementsTrait> {
        Some(ImplementsTrait::Yes)
    }
}
