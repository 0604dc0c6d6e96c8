//! Reading the records that a suite's plan and report are made of.

use anyhow::{Context as _, Result};
use uring_testkit::records::Record;

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
    line.parse()
        .with_context(|| format!("line {} is no record: {line}", index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

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
