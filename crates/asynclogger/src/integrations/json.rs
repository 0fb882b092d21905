//! Members of JSON objects, written to bytes.

use std::{
    fmt::{self, Write},
    io,
};

/// Writes the name of a member, after a comma unless the member is the first one.
pub(super) fn name(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), None | Some(b'{' | b'[')) {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

/// Writes a member with a string.
pub(super) fn member(out: &mut Vec<u8>, of: &str, text: &str) {
    name(out, of);
    string(out, text);
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Writes a number; one that JSON has no form for (`NaN`, infinities) becomes `null`.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    let _ = serde_json::to_writer(out, &value);
}

/// Writes a value as JSON that has the same form when it is displayed: an integer, `true`, `false`.
pub(super) fn plain(out: &mut Vec<u8>, value: impl fmt::Display) {
    let _ = io::Write::write_fmt(out, format_args!("{value}"));
}

/// Writes a string with what a value displays.
pub(super) fn displayed(out: &mut Vec<u8>, value: impl fmt::Display) {
    out.push(b'"');
    let _ = write!(Inner(out), "{value}");
    out.push(b'"');
}

/// The inside of a string, written piece by piece.
struct Inner<'a>(&'a mut Vec<u8>);

impl Write for Inner<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        // A string in quotes, whose first quote goes, and then the last one.
        let begin = self.0.len();
        string(self.0, piece);
        self.0.remove(begin);
        self.0.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = b"{".to_vec();
        member(&mut out, "text", "a \"b\"\n\u{1}\u{e9}");
        name(&mut out, "shown");
        displayed(&mut out, format_args!("{:?} {}", "q\"", "\t"));
        name(&mut out, "number");
        plain(&mut out, -7_i128);
        name(&mut out, "float");
        float(&mut out, 0.5);
        name(&mut out, "none");
        float(&mut out, f64::NAN);
        out.push(b'}');
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let expected = serde_json::json!({
            "text": "a \"b\"\n\u{1}\u{e9}", "shown": "\"q\\\"\" \t", "number": -7, "float": 0.5, "none": null
        });
        assert_eq!(value, expected);
    }
}
