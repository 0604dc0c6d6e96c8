//! What this kernel has, told before any suite runs.

use super::channel::Channel;
use crate::{Feature, HandleKind, records::Record};

pub(super) fn send(channel: &Channel) {
    for handle in HandleKind::ALL {
        channel.send(&Record::Handle {
            name: handle.word().to_owned(),
            seen: handle.observe(),
        });
    }
    for (feature, seen) in Feature::observe_all() {
        channel.send(&Record::Feature {
            name: feature.name().to_owned(),
            seen,
        });
    }
}
