//! A record written.

use std::fmt;

use super::{Case, Record};
use crate::{Observation, json::Object};

/// The line without its newline.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.object().line().trim_end())
    }
}

impl Record {
    fn object(&self) -> Object {
        match self {
            Self::Start {
                suite,
                kernel,
                expected,
                lane,
                planned,
            } => Object::new("start")
                .text("suite", suite)
                .text("kernel", kernel)
                .text("expected", expected)
                .text("lane", lane)
                .count("planned", *planned),
            Self::Plan {
                case,
                decision,
                reason,
            } => case
                .object("plan")
                .text("decision", decision.word())
                .optional("reason", reason.as_deref()),
            Self::Test {
                case,
                verdict,
                reason,
                time,
                completed,
            } => case
                .object("test")
                .text("verdict", verdict.word())
                .optional("reason", reason.as_deref())
                .seconds("seconds", *time)
                .texts("completed", completed.iter().map(String::as_str)),
            Self::Refused { suite, reason } => Object::new("refused")
                .text("suite", suite)
                .text("reason", reason),
            Self::End { suite, counts } => {
                let end = Object::new("end").text("suite", suite);
                match counts {
                    None => end,
                    Some(counts) => end
                        .count("passed", counts.passed)
                        .count("failed", counts.failed)
                        .count("skipped", counts.skipped)
                        .count("refused", counts.refused),
                }
            }
            Self::Boot { release } => Object::new("boot").text("release", release),
            Self::Handle { name, seen } => observed("handle", name, seen),
            Self::Feature { name, seen } => observed("feature", name, seen),
            Self::Begin { program } => Object::new("begin").text("program", program),
            Self::Exit {
                program,
                status,
                time,
            } => Object::new("exit")
                .text("program", program)
                .text("status", status)
                .seconds("seconds", *time),
            Self::Broken { reason } => Object::new("broken").text("reason", reason),
            Self::Done { records, taint } => Object::new("done")
                .count("records", *records)
                .text("taint", taint),
        }
    }
}

impl Case {
    fn object(&self, record: &str) -> Object {
        Object::new(record)
            .text("suite", &self.suite)
            .text("name", &self.name)
            .text("test", &self.test)
            .optional("handle", self.handle.as_deref())
            .texts("features", self.features.iter().map(String::as_str))
            .texts("facilities", self.facilities.iter().map(String::as_str))
    }
}

fn observed(record: &str, name: &str, seen: &Observation) -> Object {
    let (word, evidence) = match seen {
        Observation::Present => ("present", None),
        Observation::Absent => ("absent", None),
        Observation::Inconclusive(evidence) => ("inconclusive", Some(evidence.as_str())),
    };
    Object::new(record)
        .text("name", name)
        .text("seen", word)
        .optional("evidence", evidence)
}
