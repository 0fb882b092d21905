//! Where the objects of segments go: a pattern, filled from what a segment says of itself.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, tz::TimeZone};

use crate::{Error, facts::Facts};

/// Names of objects, relative to the destination: text with placeholders.
///
/// | placeholder | value |
/// |---|---|
/// | `{event}` | the name of the log, percent-encoded |
/// | `{date}`, `{hour}` | `2026-07-01` and `09`: when the segment began, in UTC |
/// | `{start}` | the same moment: `20260701T091500.123456789Z` |
/// | `{host}` | the name of the host, percent-encoded |
/// | `{log}` | the id of the log, 32 hex digits |
/// | `{segment}` | the number of the segment, at least six digits |
/// | `{ext}` | `log` or `log.zst` |
///
/// In percent-encoded values stand only letters, digits, `-`, `.` and `_`, the last two not at the beginning; all other bytes
/// are `%` and two hex digits, and an empty name is `%`. Two names are never encoded alike, and none leaves its place in the
/// pattern, whatever a log is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pieces: Vec<Piece>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Event,
    Date,
    Hour,
    Start,
    Host,
    Log,
    Segment,
    Ext,
}

impl Field {
    fn named(name: &str) -> Option<Field> {
        Some(match name {
            "event" => Field::Event,
            "date" => Field::Date,
            "hour" => Field::Hour,
            "start" => Field::Start,
            "host" => Field::Host,
            "log" => Field::Log,
            "segment" => Field::Segment,
            "ext" => Field::Ext,
            _ => return None,
        })
    }
}

/// The form of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Zstd,
}

impl Form {
    pub(crate) fn other(self) -> Form {
        match self {
            Form::Plain => Form::Zstd,
            Form::Zstd => Form::Plain,
        }
    }

    fn ext(self) -> &'static str {
        match self {
            Form::Plain => "log",
            Form::Zstd => "log.zst",
        }
    }
}

impl Layout {
    /// The pattern that stands unless another one is given.
    pub const DEFAULT: &str = "{event}/{date}/{hour}/{host}_{start}_{segment}.{ext}";

    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// A placeholder is not known or not closed; the pattern does not tell segments apart (it needs `{segment}`, and
    /// `{start}` or `{log}`), does not end with `.{ext}`, has an empty segment, `.` or `..` between slashes, begins
    /// with `_manifest`, or has a control character.
    pub fn parse(text: &str) -> Result<Layout, Error> {
        let refused = |cause: &str| Error::settings(format!("the layout {text:?}: {cause}"));
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| refused("a { has no }"))?;
            let unknown = || refused(&format!("{{{name}}} is not known"));
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Field(Field::named(name).ok_or_else(unknown)?));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(refused("it has to end with .{ext}"));
        }
        let layout = Layout { pieces, text: text.to_owned() };
        let has = |field| layout.pieces.contains(&Piece::Field(field));
        if !has(Field::Segment) || !(has(Field::Start) || has(Field::Log)) {
            return Err(refused(
                "two segments could get one name; use {segment}, and {start} or {log}",
            ));
        }
        if !text.ends_with(".{ext}") {
            return Err(refused("it has to end with .{ext}"));
        }
        if text.starts_with("_manifest") {
            return Err(refused("_manifest is the place of the manifests"));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused("a part between slashes is empty, . or .."));
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(refused("control characters and backslashes have no place in it"));
        }
        Ok(layout)
    }

    /// The name of the object of a segment.
    pub(crate) fn key(&self, facts: &Facts, host: &str, form: Form) -> String {
        let mut key = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Field(field) => key.push_str(&value(*field, facts, host, form)),
            }
        }
        key
    }
}

fn value(field: Field, facts: &Facts, host: &str, form: Form) -> String {
    match field {
        Field::Event => encode(&facts.name),
        Field::Host => encode(host.as_bytes()),
        Field::Log => facts.log.clone(),
        Field::Segment => format!("{:06}", facts.segment),
        Field::Ext => form.ext().to_owned(),
        Field::Date => utc(facts.start_ns, "%Y-%m-%d"),
        Field::Hour => utc(facts.start_ns, "%H"),
        Field::Start => utc(facts.start_ns, "%Y%m%dT%H%M%S.%9fZ"),
    }
}

/// A moment in UTC, in a form of `strftime`.
pub(crate) fn utc(nanoseconds: u64, form: &str) -> String {
    // The last moment that `jiff` knows stands for later ones, which no clock shows.
    let moment = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX);
    moment.to_zoned(TimeZone::UTC).strftime(form).to_string()
}

/// The percent-encoding that [`Layout`] describes.
pub(crate) fn encode(name: &[u8]) -> String {
    use fmt::Write;
    let mut encoded = String::new();
    for (at, byte) in name.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => encoded.push(char::from(*byte)),
            b'.' | b'_' if at > 0 => encoded.push(char::from(*byte)),
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    if encoded.is_empty() {
        encoded.push('%');
    }
    encoded
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Layout, Error> {
        Layout::parse(text)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn facts(name: &[u8]) -> Facts {
        Facts {
            name: name.to_vec(),
            log: "00112233445566778899aabbccddeeff".to_owned(),
            segment: 42,
            start_ns: 1_782_899_700_123_456_789,
            ..Facts::default()
        }
    }

    #[test]
    fn a_key_comes_from_what_the_segment_says() {
        let layout = Layout::parse(Layout::DEFAULT).unwrap();
        let key = layout.key(&facts(b"a/b"), "host.1", Form::Zstd);
        let expected = "a%2Fb/2026-07-01/09/host.1_20260701T095500.123456789Z_000042.log.zst";
        assert_eq!(key, expected);
        let layout = Layout::parse("x/{log}/{segment}.{ext}").unwrap();
        let key = layout.key(&facts(b""), "h", Form::Plain);
        assert_eq!(key, "x/00112233445566778899aabbccddeeff/000042.log");
    }

    #[test]
    fn layouts_that_lose_or_leave_something_are_refused() {
        for text in [
            "",
            "{event}.{ext}",
            "{segment}.{ext}",
            "{start}.{ext}",
            "{log}_{segment}",
            "{log}_{segment}.{ext}x",
            "{log}_{segment}_{what}.{ext}",
            "{log}_{segment.{ext",
            "/{log}_{segment}.{ext}",
            "a//{log}_{segment}.{ext}",
            "../{log}_{segment}.{ext}",
            "a/./{log}_{segment}.{ext}",
            "_manifest/{log}_{segment}.{ext}",
            "a\n{log}_{segment}.{ext}",
            "a\\{log}_{segment}.{ext}",
        ] {
            assert!(Layout::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_name_leaves_its_place_and_no_two_are_encoded_alike() {
        let names: [&[u8]; 18] = [
            b"",
            b".",
            b"..",
            b"../x",
            b"/",
            b"//",
            b"%",
            b"%2F",
            b"a",
            b"A",
            b"a/b",
            b"a%2Fb",
            b"_manifest",
            b".hidden",
            b"\0",
            b"\n",
            b"\xff\xfe",
            "ü".as_bytes(),
        ];
        let encoded: BTreeSet<String> = names.iter().map(|name| encode(name)).collect();
        assert_eq!(encoded.len(), names.len());
        for name in encoded {
            assert!(
                !name.is_empty() && !name.starts_with(['.', '_']) && !name.contains('/'),
                "{name}"
            );
            assert!(name.is_ascii() && !name.contains(char::is_control), "{name}");
        }
    }
}
