//! A line read.

use std::str::FromStr;

use super::{Case, Counts, ParseRecordError, Planned, Record, Verdict};
use crate::{Observation, fields::Fields};

impl FromStr for Record {
    type Err = ParseRecordError;

    /// Reads a line, with or without its newline.
    ///
    /// # Errors
    ///
    /// The line is no JSON object, is no record that is known, or lacks a field or has one of another kind.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        Fields::read(line)
            .and_then(|fields| read(&fields))
            .map_err(ParseRecordError)
    }
}

fn read(fields: &Fields) -> Result<Record, String> {
    let text = |key| fields.text(key);
    let record = text("record")?;
    Ok(match record.as_str() {
        "start" => Record::Start {
            suite: text("suite")?,
            kernel: text("kernel")?,
            expected: text("expected")?,
            lane: text("lane")?,
            planned: fields.count("planned")?,
        },
        "plan" => Record::Plan {
            case: case(fields)?,
            decision: word(fields, "decision", &Planned::ALL, |planned| planned.word())?,
            reason: fields.optional("reason")?,
        },
        "test" => Record::Test {
            case: case(fields)?,
            verdict: word(fields, "verdict", &Verdict::ALL, |verdict| verdict.word())?,
            reason: fields.optional("reason")?,
            time: fields.seconds("seconds")?,
            completed: fields.texts("completed")?,
        },
        "refused" => Record::Refused {
            suite: text("suite")?,
            reason: text("reason")?,
        },
        "end" => Record::End {
            suite: text("suite")?,
            counts: counts(fields)?,
        },
        "boot" => Record::Boot {
            release: text("release")?,
        },
        "handle" => Record::Handle {
            name: text("name")?,
            seen: seen(fields)?,
        },
        "feature" => Record::Feature {
            name: text("name")?,
            seen: seen(fields)?,
        },
        "begin" => Record::Begin {
            program: text("program")?,
        },
        "exit" => Record::Exit {
            program: text("program")?,
            status: text("status")?,
            time: fields.seconds("seconds")?,
        },
        "broken" => Record::Broken {
            reason: text("reason")?,
        },
        "done" => Record::Done {
            records: fields.count("records")?,
            taint: text("taint")?,
        },
        unknown => return Err(format!("there is no record {unknown:?}")),
    })
}

fn case(fields: &Fields) -> Result<Case, String> {
    Ok(Case {
        suite: fields.text("suite")?,
        name: fields.text("name")?,
        test: fields.text("test")?,
        handle: fields.optional("handle")?,
        features: fields.texts("features")?,
        facilities: fields.texts("facilities")?,
    })
}

fn word<T: Copy>(
    fields: &Fields,
    key: &str,
    all: &[T],
    word_of: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let word = fields.text(key)?;
    let mut all = all.iter().copied();
    all.find(|one| word_of(*one) == word)
        .ok_or_else(|| format!("{word:?} is no {key}"))
}

/// A plan's end counts nothing, a report's counts everything.
fn counts(fields: &Fields) -> Result<Option<Counts>, String> {
    let words = Verdict::ALL.map(Verdict::word);
    if !words.iter().any(|word| fields.has(word)) {
        return Ok(None);
    }
    Ok(Some(Counts {
        passed: fields.count("passed")?,
        failed: fields.count("failed")?,
        skipped: fields.count("skipped")?,
        refused: fields.count("refused")?,
    }))
}

fn seen(fields: &Fields) -> Result<Observation, String> {
    match fields.text("seen")?.as_str() {
        "present" => Ok(Observation::Present),
        "absent" => Ok(Observation::Absent),
        "inconclusive" => fields.text("evidence").map(Observation::Inconclusive),
        other => Err(format!("{other:?} is nothing that can be seen")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn case() -> Case {
        Case {
            suite: "s".to_owned(),
            name: "s::t[fd]".to_owned(),
            test: "t".to_owned(),
            handle: Some("fd".to_owned()),
            features: vec!["IORING_OP_PIPE".to_owned()],
            facilities: vec!["loop".to_owned(), "privileges".to_owned()],
        }
    }

    /// One of each kind, and of each choice within.
    fn all() -> Vec<Record> {
        let text = |text: &str| text.to_owned();
        let (suite, name) = (text("s"), text("born"));
        let mut all = vec![
            Record::Start {
                suite: suite.clone(),
                kernel: text("6.1.0-50"),
                expected: text("6.1"),
                lane: text("mainline"),
                planned: 3,
            },
            Record::Refused {
                suite: suite.clone(),
                reason: text("a \"filter\"\nof calls"),
            },
            Record::End {
                suite: suite.clone(),
                counts: None,
            },
            Record::End {
                suite,
                counts: Some(Counts {
                    passed: 1,
                    failed: 2,
                    skipped: 3,
                    refused: 4,
                }),
            },
            Record::Boot {
                release: text("6.1.0-50"),
            },
            Record::Feature {
                name: name.clone(),
                seen: Observation::Present,
            },
            Record::Handle {
                name: name.clone(),
                seen: Observation::Absent,
            },
            Record::Handle {
                name,
                seen: Observation::Inconclusive(text("EIO")),
            },
            Record::Begin {
                program: text("/suites/s"),
            },
            Record::Exit {
                program: text("/suites/s"),
                status: text("exit status: 0"),
                time: Duration::from_micros(1_500_001),
            },
            Record::Broken {
                reason: text("mounting"),
            },
            Record::Done {
                records: 9,
                taint: text("0"),
            },
        ];
        all.extend(Planned::ALL.map(|decision| Record::Plan {
            case: case(),
            decision,
            reason: Some(text("why")),
        }));
        all.extend(Verdict::ALL.map(|verdict| Record::Test {
            case: Case {
                handle: None,
                ..case()
            },
            verdict,
            reason: None,
            time: Duration::ZERO,
            completed: vec![text("IORING_OP_NOP")],
        }));
        all
    }

    #[test]
    fn what_is_written_is_read() {
        for record in all() {
            let line = record.to_string();
            assert_eq!(line.parse(), Ok(record), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn each_part_of_a_record_is_none() {
        for record in all() {
            let line = record.to_string();
            for (end, _) in line.char_indices() {
                assert!(line[..end].parse::<Record>().is_err(), "{}", &line[..end]);
            }
        }
    }

    #[test]
    fn lists_may_be_absent_and_unknown_fields_be_there() {
        let line = r#"{"record":"test","suite":"s","name":"s::t","test":"t","verdict":"passed","seconds":0,"mood":"good"}"#;
        let Ok(Record::Test {
            case, completed, ..
        }) = line.parse()
        else {
            panic!("{line}");
        };
        assert!(case.features.is_empty() && case.facilities.is_empty() && completed.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told() {
        for (line, words) in [
            ("error: no such file", "'e' in the place of '{'"),
            (r#"{"suite":"s"}"#, "there is no record"),
            (r#"{"record":"song"}"#, r#"there is no record "song""#),
            (r#"{"record":"begin"}"#, "there is no program"),
            (
                r#"{"record":"done","records":"1","taint":"0"}"#,
                "records is no number",
            ),
            (
                r#"{"record":"end","suite":"s","passed":1}"#,
                "there is no failed",
            ),
            (
                r#"{"record":"feature","name":"x","seen":"twice"}"#,
                r#""twice" is nothing"#,
            ),
            (
                r#"{"record":"plan","suite":"s","name":"n","test":"t","decision":"sleep"}"#,
                r#""sleep" is no decision"#,
            ),
        ] {
            let error = line.parse::<Record>().unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
