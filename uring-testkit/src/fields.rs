//! Reads the flat JSON objects that reports consist of.

use std::{str::Chars, time::Duration};

/// The fields of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fields(Vec<(String, Value)>);

/// A field's value. Reports have no objects in objects.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Flag(bool),
    Text(String),
    /// As it is written.
    Number(String),
    Texts(Vec<String>),
}

impl Fields {
    pub(crate) fn read(line: &str) -> Result<Self, String> {
        let mut reader = Reader(line.chars());
        let fields = reader.object()?;
        match reader.next() {
            None => Ok(Self(fields)),
            Some(more) => Err(format!("{more:?} follows the object")),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let mut fields = self.0.iter();
        fields.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn text(&self, key: &str) -> Result<String, String> {
        self.optional(key)?
            .ok_or_else(|| format!("there is no {key}"))
    }

    /// A text; none where the field is absent or null.
    pub(crate) fn optional(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} is no text")),
        }
    }

    /// A list; an empty one where the field is absent.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Texts(texts)) => Ok(texts.clone()),
            Some(_) => Err(format!("{key} is no list of texts")),
        }
    }

    pub(crate) fn count(&self, key: &str) -> Result<usize, String> {
        self.number(key)?
            .parse()
            .map_err(|error| format!("{key}: {error}"))
    }

    pub(crate) fn seconds(&self, key: &str) -> Result<Duration, String> {
        let seconds: f64 = self
            .number(key)?
            .parse()
            .map_err(|error| format!("{key}: {error}"))?;
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("{key}: {error}"))
    }

    fn number(&self, key: &str) -> Result<&str, String> {
        match self.get(key) {
            Some(Value::Number(number)) => Ok(number),
            Some(_) => Err(format!("{key} is no number")),
            None => Err(format!("there is no {key}")),
        }
    }
}

/// What is left to be read.
struct Reader<'a>(Chars<'a>);

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        let blanks = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.0 = self.0.as_str().trim_start_matches(blanks).chars();
        self.0.clone().next()
    }

    /// The next character that is not blank.
    fn next(&mut self) -> Option<char> {
        self.peek()?;
        self.0.next()
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.next() {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(format!("{found:?} in the place of {wanted:?}")),
            None => Err(format!("it ends in the place of {wanted:?}")),
        }
    }

    /// Items with commas between them, up to and with `end`.
    fn items<T>(
        &mut self,
        end: char,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        if self.peek() == Some(end) {
            self.expect(end)?;
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.peek() != Some(',') {
                self.expect(end)?;
                return Ok(items);
            }
            self.expect(',')?;
        }
    }

    fn object(&mut self) -> Result<Vec<(String, Value)>, String> {
        self.expect('{')?;
        self.items('}', |reader| {
            let key = reader.text()?;
            reader.expect(':')?;
            Ok((key, reader.value()?))
        })
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some('"') => self.text().map(Value::Text),
            Some('[') => {
                self.expect('[')?;
                self.items(']', Self::text).map(Value::Texts)
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, String> {
        let rest = self.0.as_str();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest.chars();
        match word {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            // Words like `inf` are numbers elsewhere.
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && word.parse::<f64>().is_ok() =>
            {
                Ok(Value::Number(word.to_owned()))
            }
            _ => Err(format!("{word:?} is no value")),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.0.next() {
                None => return Err("a text has no end".to_owned()),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) if u32::from(c) < 0x20 => {
                    return Err(format!("{c:?} in the middle of a text"));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        match self.0.next() {
            Some(c @ ('"' | '\\' | '/')) => Ok(c),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('u') => self.unicode(),
            other => Err(format!("{other:?} behind a backslash")),
        }
    }

    /// One character from one unit of UTF-16, or from two.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.unit()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.0.as_str().starts_with("\\u") {
            self.0 = self.0.as_str()[2..].chars();
            units.push(self.unit()?);
        }
        match char::decode_utf16(units).collect::<Result<Vec<_>, _>>() {
            Ok(chars) if chars.len() == 1 => Ok(chars[0]),
            _ => Err(format!("\\u{first:04x} is half a character")),
        }
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.0.as_str().get(..4).unwrap_or_default();
        let is_number = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_number {
            return Err("\\u wants four digits".to_owned());
        }
        self.0 = self.0.as_str()[4..].chars();
        u16::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Object;

    #[test]
    fn what_is_written_is_read() {
        let strange = "\"\\\n\r\t\u{0}\u{1f}é/😀";
        let line = Object::new("t")
            .text("strange", strange)
            .optional("absent", None)
            .count("count", 7)
            .seconds("time", Duration::from_micros(1_500_001))
            .texts("list", [strange, ""].into_iter())
            .texts("none", std::iter::empty())
            .line();
        let fields = Fields::read(&line).unwrap();
        assert_eq!(fields.text("record").unwrap(), "t");
        assert_eq!(fields.text("strange").unwrap(), strange);
        assert_eq!(fields.optional("absent").unwrap(), None);
        assert_eq!(fields.optional("unheard of").unwrap(), None);
        assert_eq!(fields.count("count").unwrap(), 7);
        assert_eq!(
            fields.seconds("time").unwrap(),
            Duration::from_micros(1_500_001)
        );
        assert_eq!(fields.texts("list").unwrap(), [strange, ""]);
        assert_eq!(fields.texts("none").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_others_write_is_read() {
        let line =
            r#" { "a" : "\u00e9\ud83d\ude00\/\b\f" , "b":[ "x" ,"y"], "c": 1e-3,"d":true } "#;
        let fields = Fields::read(line).unwrap();
        assert_eq!(fields.text("a").unwrap(), "é😀/\u{8}\u{c}");
        assert_eq!(fields.texts("b").unwrap(), ["x", "y"]);
        assert_eq!(fields.seconds("c").unwrap(), Duration::from_millis(1));
        assert!(fields.text("d").is_err());
    }

    #[test]
    fn each_part_of_an_object_is_none() {
        let whole = r#"{"a":"\u00e9","b":["x"],"c":1,"d":null}"#;
        assert!(Fields::read(whole).is_ok());
        for length in 0..whole.len() {
            let part = &whole[..length];
            assert!(Fields::read(part).is_err(), "{part}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for line in [
            "no record",
            "[]",
            "{} {}",
            r#"{"a":}"#,
            r#"{"a":inf}"#,
            r#"{"a":1 2}"#,
            r#"{"a":[1]}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u+123"}"#,
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ud83dx"}"#,
            r#"{"a":{}}"#,
            r#"{"a":1,}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert!(Fields::read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_field_of_another_kind_is_told_by_its_name() {
        let fields = Fields::read(r#"{"a":"x","n":-1}"#).unwrap();
        assert_eq!(fields.count("a").unwrap_err(), "a is no number");
        assert_eq!(fields.count("b").unwrap_err(), "there is no b");
        assert_eq!(fields.text("n").unwrap_err(), "n is no text");
        assert_eq!(fields.texts("n").unwrap_err(), "n is no list of texts");
        assert!(fields.count("n").unwrap_err().starts_with("n: "));
        assert!(fields.seconds("n").unwrap_err().starts_with("n: "));
    }
}
