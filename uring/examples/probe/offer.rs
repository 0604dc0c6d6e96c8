//! What the kernel has, name by name.

use serde::Serialize;
use uring::{
    Builder, Capabilities, Features, Query, SetupFlags, opcode_name, register_opcode_name,
};

/// The four kinds of things that come and go with kernels.
#[derive(Debug, Serialize)]
pub(crate) struct Offer {
    pub(crate) features: Section,
    pub(crate) setup_flags: Section,
    pub(crate) opcodes: Section,
    pub(crate) register_opcodes: Section,
}

/// Things of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Who says what is there; nobody does if it cannot be known.
    pub(crate) says: Option<&'static str>,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// The first mainline kernel that has it.
    pub(crate) since: Option<String>,
    pub(crate) present: Option<bool>,
}

impl Offer {
    pub(crate) fn of_kernel() -> Offer {
        let ring = Builder::new(1).build_best().ok();
        let query = Query::get().ok();
        let features = ring.as_ref().map(|ring| ring.setup().features());
        let setup_flags = Capabilities::get().ok().map(Capabilities::setup_flags);
        let probe = ring.and_then(|ring| ring.probe().ok());
        Offer {
            features: Section::of(
                [
                    features.map(|features| ("the ring", features)),
                    query.map(|kernel| (QUERY, kernel.features())),
                ],
                |found| names("IORING_FEAT_", Features::all().iter_names(), found),
            ),
            setup_flags: Section::of(
                [
                    setup_flags.map(|flags| ("io_uring_setup", flags)),
                    query.map(|kernel| (QUERY, kernel.setup_flags())),
                ],
                |found| names("IORING_SETUP_", SetupFlags::all().iter_names(), found),
            ),
            opcodes: Section::of(
                [
                    probe.map(|probe| ("IORING_REGISTER_PROBE", Known::Probed(probe))),
                    query.map(|kernel| (QUERY, Known::Below(kernel.request_opcodes()))),
                ],
                |known| {
                    numbered(known, |number| {
                        u8::try_from(number).ok().and_then(opcode_name)
                    })
                },
            ),
            register_opcodes: Section::of(
                [query.map(|kernel| (QUERY, Known::Below(kernel.register_opcodes())))],
                |known| numbered(known, register_opcode_name),
            ),
        }
    }
}

const QUERY: &str = "IORING_REGISTER_QUERY";

impl Section {
    /// The first of the `sources` that has an answer tells.
    fn of<T>(
        sources: impl IntoIterator<Item = Option<(&'static str, T)>>,
        items: impl FnOnce(Option<&T>) -> Vec<Item>,
    ) -> Section {
        let source = sources.into_iter().flatten().next();
        Section {
            says: source.as_ref().map(|(says, _)| *says),
            items: items(source.as_ref().map(|(_, found)| found)),
        }
    }
}

/// Which numbers the kernel knows.
enum Known {
    Probed(uring::Probe),
    Below(u32),
}

impl Known {
    fn has(&self, number: u32) -> bool {
        match self {
            Known::Probed(probe) => u8::try_from(number).is_ok_and(|opcode| probe.supports(opcode)),
            Known::Below(end) => number < *end,
        }
    }
}

/// Every number that has a name here or is known to the kernel.
fn numbered(known: Option<&Known>, name: impl Fn(u32) -> Option<&'static str>) -> Vec<Item> {
    let item = |number| {
        let present = known.map(|known| known.has(number));
        match name(number) {
            Some(name) => Some(Item::named(name.to_owned(), present)),
            None if present == Some(true) => Some(Item::named(number.to_string(), present)),
            None => None,
        }
    };
    (0..=u32::from(u8::MAX)).filter_map(item).collect()
}

/// Every flag that has a name here.
fn names<F: bitflags::Flags + Copy>(
    prefix: &str,
    all: bitflags::iter::IterNames<F>,
    found: Option<&F>,
) -> Vec<Item> {
    all.map(|(name, flag)| {
        let present = found.map(|found| found.contains(flag));
        Item::named(format!("{prefix}{name}"), present)
    })
    .collect()
}

impl Item {
    fn named(name: String, present: Option<bool>) -> Item {
        Item {
            since: since(&name),
            name,
            present,
        }
    }
}

/// The first mainline kernel with the constant of that name.
pub(crate) fn since(name: &str) -> Option<String> {
    uring_sys::since(name).map(|(major, minor)| format!("{major}.{minor}"))
}
