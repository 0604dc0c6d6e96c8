//! The records that a suite's plan and report are made of.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::outcome::Verdict;

/// What a planned test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Run,
    Skip,
    Refuse,
    Fail,
}

/// One line. Fields that the runner does not use are not listed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(super) enum Record {
    Start {
        suite: String,
        planned: usize,
    },
    Plan {
        suite: String,
        name: String,
        decision: Decision,
    },
    Test {
        suite: String,
        name: String,
        handle: Option<String>,
        verdict: Verdict,
        reason: Option<String>,
        seconds: f64,
        /// What was completed and no record before has named: handle and opcode.
        #[serde(default)]
        completed: Vec<String>,
    },
    /// The suite could not start.
    Refused {
        suite: String,
        reason: String,
    },
    End {
        suite: String,
        #[serde(flatten)]
        counts: Option<Counts>,
    },
}

/// How many tests ended in which way; a plan's end has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) refused: usize,
}

/// Reads a plan or a report.
pub(super) fn parse(text: &str) -> Result<Vec<Record>> {
    text.lines().enumerate().map(parse_line).collect()
}

/// Reads a report of which a part may be damaged: its records, and one sentence for each line that is none.
pub(super) fn parse_what_can_be(text: &str) -> (Vec<Record>, Vec<String>) {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for line in text.lines().enumerate() {
        match parse_line(line) {
            Ok(record) => records.push(record),
            Err(error) => unreadable.push(format!("{error:#}")),
        }
    }
    (records, unreadable)
}

fn parse_line((index, line): (usize, &str)) -> Result<Record> {
    serde_json::from_str(line).with_context(|| format!("line {} is no record: {line}", index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_parses() {
        let plan = concat!(
            r#"{"record":"start","suite":"s","kernel":"6.18.44","expected":"6.18","lane":"host","planned":1}"#,
            "\n",
            r#"{"record":"plan","suite":"s","name":"s::t[born]","test":"t","handle":"born","features":["X"],"decision":"refuse","reason":"needs"}"#,
            "\n",
            r#"{"record":"end","suite":"s"}"#,
            "\n",
        );
        let plan = parse(plan).unwrap();
        assert!(matches!(plan[0], Record::Start { planned: 1, .. }));
        assert!(matches!(
            plan[1],
            Record::Plan {
                decision: Decision::Refuse,
                ..
            }
        ));
        assert!(matches!(plan[2], Record::End { counts: None, .. }));
    }

    #[test]
    fn a_report_parses() {
        let report = concat!(
            r#"{"record":"test","suite":"s","name":"s::t","test":"t","handle":null,"features":[],"verdict":"failed","reason":"a\nb","seconds":0.5,"completed":["fd X"]}"#,
            "\n",
            r#"{"record":"refused","suite":"s","reason":"blocked"}"#,
            "\n",
            r#"{"record":"end","suite":"s","passed":1,"failed":2,"skipped":3,"refused":4}"#,
        );
        let report = parse(report).unwrap();
        let Record::Test {
            verdict: Verdict::Failed,
            reason: Some(reason),
            completed,
            ..
        } = &report[0]
        else {
            panic!("{report:?}");
        };
        assert_eq!(reason, "a\nb");
        assert_eq!(completed, &["fd X"]);
        let counts = Counts {
            passed: 1,
            failed: 2,
            skipped: 3,
            refused: 4,
        };
        let end = Record::End {
            suite: "s".to_owned(),
            counts: Some(counts),
        };
        assert_eq!(report[2], end);
    }

    #[test]
    fn what_is_whole_of_a_damaged_report_is_read() {
        let text = concat!(
            r#"{"record":"refused","suite":"s","reason":"blocked"}"#,
            "\n",
            r#"{"record":"refused","suite":"s","rea"#,
        );
        let (records, unreadable) = parse_what_can_be(text);
        assert_eq!(records.len(), 1);
        assert_eq!(unreadable.len(), 1);
        assert!(unreadable[0].starts_with("line 2 is no record: "));
    }

    #[test]
    fn half_a_line_is_an_error() {
        assert!(parse(r#"{"record":"test","suite":"s","na"#).is_err());
        assert!(parse("error: no such file").is_err());
        assert!(parse(r#"{"record":"unheard of"}"#).is_err());
    }
}
