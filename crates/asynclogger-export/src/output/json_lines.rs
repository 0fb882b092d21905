//! JSON Lines.

use std::io::{self, Write};

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Int32Type, Int64Type},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::destination::Begun;

/// How each line begins.
pub(super) const BEGINNING: &[u8] = b"{\"event\":";

/// One object a line.
pub(super) struct JsonSink {
    file: Box<dyn Begun>,
    line: Vec<u8>,
}

impl JsonSink {
    pub(super) fn begin(file: Box<dyn Begun>) -> JsonSink {
        JsonSink { file, line: Vec::new() }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let Some(rows) = Rows::of(batch) else {
            return Err(io::Error::other("the batch has other columns than a log"));
        };
        for row in 0..batch.num_rows() {
            self.line.clear();
            rows.show(row, &mut self.line)?;
            self.file.write_all(&self.line)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Box<dyn Begun> {
        self.file
    }
}

/// The columns of a batch.
struct Rows<'a> {
    event: &'a arrow_array::StringArray,
    time: &'a arrow_array::Int64Array,
    session: &'a arrow_array::StringArray,
    shard: &'a arrow_array::Int32Array,
    seq: &'a arrow_array::Int64Array,
    payload: &'a arrow_array::BinaryArray,
    text: Option<&'a arrow_array::StringArray>,
    json: Option<&'a arrow_array::StringArray>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Rows<'a>> {
        let column = |name: &str| batch.column_by_name(name);
        let text = |name: &str| column(name)?.as_string_opt::<i32>();
        Some(Rows {
            event: text("event")?,
            time: column("ts_ns")?.as_primitive_opt::<Int64Type>()?,
            session: text("session")?,
            shard: column("shard")?.as_primitive_opt::<Int32Type>()?,
            seq: column("seq")?.as_primitive_opt::<Int64Type>()?,
            payload: column("payload")?.as_binary_opt::<i32>()?,
            text: text("text"),
            json: text("json").or_else(|| text("message")),
        })
    }

    fn show(&self, row: usize, line: &mut Vec<u8>) -> io::Result<()> {
        line.extend_from_slice(BEGINNING);
        serde_json::to_writer(&mut *line, self.event.value(row))?;
        if self.time.is_null(row) {
            line.extend_from_slice(b",\"ts\":null,\"ts_ns\":null");
        } else {
            let time = self.time.value(row);
            let shown = Timestamp::from_nanosecond(i128::from(time)).map_err(io::Error::other)?;
            write!(line, ",\"ts\":\"{shown:.9}\",\"ts_ns\":{time}")?;
        }
        match self.session.is_null(row) {
            true => line.extend_from_slice(b",\"session\":null"),
            // Hexadecimal digits.
            false => write!(line, ",\"session\":\"{}\"", self.session.value(row))?,
        }
        write!(line, ",\"shard\":{},\"seq\":{}", self.shard.value(row), self.seq.value(row))?;
        if !self.payload.is_null(row) {
            let payload = self.payload.value(row);
            write!(line, ",\"len\":{}", payload.len())?;
            match std::str::from_utf8(payload) {
                Ok(text) => {
                    line.extend_from_slice(b",\"data\":");
                    serde_json::to_writer(&mut *line, text)?;
                }
                Err(_) => {
                    write!(line, ",\"data_b64\":\"{}\"", STANDARD.encode(payload))?;
                }
            }
        }
        if let Some(text) = self.text.filter(|text| text.is_valid(row)) {
            line.extend_from_slice(b",\"text\":");
            serde_json::to_writer(&mut *line, text.value(row))?;
        }
        if let Some(json) = self.json.filter(|json| json.is_valid(row)) {
            // One line: JSON has no newline but between its parts.
            line.extend_from_slice(b",\"json\":");
            line.extend(
                json.value(row)
                    .bytes()
                    .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }),
            );
        }
        line.extend_from_slice(b"}\n");
        Ok(())
    }
}
