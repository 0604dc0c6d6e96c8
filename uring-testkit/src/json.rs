//! Writes the flat JSON objects of a report.

use std::fmt::Write as _;

/// One JSON object under construction, written on one line.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new(record: &str) -> Self {
        Self("{".to_owned()).text("record", record)
    }

    fn key(mut self, key: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, key);
        self.0.push(':');
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        let mut object = self.key(key);
        push_text(&mut object.0, value);
        object
    }

    pub(crate) fn optional(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.literal(key, "null"),
        }
    }

    pub(crate) fn count(self, key: &str, value: usize) -> Self {
        self.literal(key, &value.to_string())
    }

    pub(crate) fn seconds(self, key: &str, value: std::time::Duration) -> Self {
        self.literal(key, &format!("{:.6}", value.as_secs_f64()))
    }

    pub(crate) fn texts<'a>(self, key: &str, values: impl Iterator<Item = &'a str>) -> Self {
        let mut object = self.key(key);
        object.0.push('[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                object.0.push(',');
            }
            push_text(&mut object.0, value);
        }
        object.0.push(']');
        object
    }

    fn literal(self, key: &str, value: &str) -> Self {
        let mut object = self.key(key);
        object.0.push_str(value);
        object
    }

    /// The finished object with its newline.
    pub(crate) fn line(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes every write");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_kind_of_field() {
        let line = Object::new("test")
            .text("name", "a::b[fd]")
            .optional("reason", None)
            .optional("handle", Some("fd"))
            .count("planned", 3)
            .seconds("seconds", Duration::from_millis(1500))
            .texts("features", ["X", "Y"].into_iter())
            .texts("none", std::iter::empty())
            .line();
        assert_eq!(
            line,
            concat!(
                r#"{"record":"test","name":"a::b[fd]","reason":null,"handle":"fd","planned":3,"#,
                r#""seconds":1.500000,"features":["X","Y"],"none":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn everything_that_json_must_escape() {
        let line = Object::new("t").text("m", "\"\\\n\r\t\u{0}\u{1f}é/").line();
        assert_eq!(
            line,
            "{\"record\":\"t\",\"m\":\"\\\"\\\\\\n\\r\\t\\u0000\\u001fé/\"}\n"
        );
    }

    #[test]
    fn a_line_stays_one_line() {
        let line = Object::new("t").text("m", "a\nb\r\nc").line();
        assert_eq!(line.matches('\n').count(), 1);
    }
}
