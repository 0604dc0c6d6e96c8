//! What this kernel has, told before any suite runs.

use super::channel::Channel;
use crate::{Feature, HandleKind, Observation, json::Object};

pub(super) fn send(channel: &Channel) {
    for handle in HandleKind::ALL {
        channel.send(record("handle", handle.word(), &handle.observe()));
    }
    for (feature, seen) in Feature::observe_all() {
        channel.send(record("feature", feature.name(), &seen));
    }
}

fn record(kind: &str, name: &str, seen: &Observation) -> Object {
    Object::new(kind)
        .text("name", name)
        .text("seen", seen.word())
        .optional("evidence", seen.evidence())
}
