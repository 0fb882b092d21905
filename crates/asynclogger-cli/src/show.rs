//! One record as text. The caller adds the terminator.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
    time::SystemTime,
};

use asynclogger::Position;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::units::nanoseconds;

/// A record and its place.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) position: Position,
    pub(crate) segment: u64,
    /// The name of the record's log or event; empty if the name is not known or not asked for.
    pub(crate) event: &'a [u8],
    pub(crate) time: Option<SystemTime>,
}

/// Writes the bytes so that they cannot control a terminal: control characters except newline and tab, and
/// bytes that are not UTF-8, become `\x..`.
pub(crate) fn escaped(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() && char != '\n' && char != '\t' {
                let _ = write!(text, "\\x{:02x}", u32::from(char));
            } else {
                text.push(char);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    out.write_all(text.as_bytes())
}

/// A text of one line, a message or a name, so that the text can neither control a terminal nor begin another line:
/// control characters become `\x..`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if char.is_control() {
            let _ = write!(escaped, "\\x{:02x}", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

/// A record in JSON. `session` is text, because it uses all 64 bits and many readers of JSON have numbers of
/// only 53 bits.
#[derive(Serialize)]
struct Json<'a> {
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Cow<'a, str>>,
    segment: u64,
    shard: u32,
    number: u64,
    time: i64,
    len: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_b64: Option<String>,
}

/// Writes a record as one JSON object.
pub(crate) fn json(out: &mut impl Write, record: &Shown<'_>) -> Result<(), serde_json::Error> {
    let data = std::str::from_utf8(record.bytes).ok();
    let object = Json {
        session: session_name(record.position.session()),
        event: (!record.event.is_empty()).then(|| String::from_utf8_lossy(record.event)),
        segment: record.segment,
        shard: record.position.shard(),
        number: record.position.number(),
        // The key is there even for files of the original, which have no times: scripts have always had the
        // key.
        time: record.time.map_or(0, nanoseconds),
        len: record.bytes.len(),
        data,
        data_b64: if data.is_none() { Some(STANDARD.encode(record.bytes)) } else { None },
    };
    serde_json::to_writer(out, &object)
}

/// Writes position, length and bytes in one line.
pub(crate) fn hex(out: &mut impl Write, record: &Shown<'_>) -> io::Result<()> {
    let position = record.position;
    let mut line = format!(
        "{}/{}/{} {} ",
        session_name(position.session()),
        position.shard(),
        position.number(),
        record.bytes.len()
    );
    line.reserve(record.bytes.len() * 4 + 4);
    for byte in record.bytes {
        for digit in [byte >> 4, byte & 15] {
            line.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
        line.push(' ');
    }
    line.push('|');
    for byte in record.bytes {
        line.push(if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' });
    }
    line.push('|');
    out.write_all(line.as_bytes())
}

/// The id of a session, in the form that is printed everywhere.
pub(crate) fn session_name(session: u64) -> String {
    format!("{session:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_a_terminal_comes_through() {
        let mut out = Vec::new();
        escaped(&mut out, b"a\x1b[2J\tb\r\n\x00\x7f\xff \xc2\x9b31m \xc3\xa9").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\\x1b[2J\tb\\x0d\n\\x00\\x7f\\xff \\x9b31m \u{e9}"
        );
    }
}
