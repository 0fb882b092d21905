//! Payloads become columns of their own.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::de::IgnoredAny;

/// What becomes of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decode {
    /// It stays as it is.
    #[default]
    Raw,
    /// A column `text`, where the payload is UTF-8.
    Utf8,
    /// A column `json`, a text, where the payload is a value in JSON.
    Json,
}

impl Decode {
    fn field(self) -> Option<Field> {
        match self {
            Decode::Raw => None,
            Decode::Utf8 => Some(Field::new("text", DataType::Utf8, true)),
            Decode::Json => Some(Field::new("json", DataType::Utf8, true)),
        }
    }

    fn is_good(self, payload: &[u8]) -> bool {
        match self {
            Decode::Raw => false,
            Decode::Utf8 => std::str::from_utf8(payload).is_ok(),
            Decode::Json => {
                std::str::from_utf8(payload).is_ok()
                    && serde_json::from_slice::<IgnoredAny>(payload).is_ok()
            }
        }
    }
}

/// Adds the decoded column to batches. A record that cannot be decoded keeps its payload and has null in that column;
/// the payload of the others is null, unless it is to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    decode: Decode,
    keep_payload: bool,
    schema: SchemaRef,
}

impl Decoder {
    /// A decoder of batches of this schema.
    pub(crate) fn new(decode: Decode, keep_payload: bool, schema: &SchemaRef) -> Decoder {
        let added = decode.field().map(Arc::new);
        let fields: Vec<_> = schema.fields().iter().cloned().chain(added).collect();
        Decoder { decode, keep_payload, schema: Arc::new(Schema::new(fields)) }
    }

    /// The schema of the decoded batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch with the decoded column, and the number of records that could not be decoded.
    pub(crate) fn decode(&self, batch: RecordBatch) -> Result<(RecordBatch, u64), ArrowError> {
        let payload = batch.column_by_name("payload").and_then(|it| it.as_binary_opt::<i32>());
        let Some(payload) = payload.filter(|_| self.decode != Decode::Raw) else {
            return Ok((batch, 0));
        };
        let good: Vec<bool> =
            payload.iter().map(|it| it.is_some_and(|bytes| self.decode.is_good(bytes))).collect();
        let bad = good.iter().filter(|good| !**good).count();
        let text = |(bytes, good): (Option<_>, &bool)| match good {
            true => bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()),
            false => None,
        };
        let decoded: ArrayRef =
            Arc::new(payload.iter().zip(&good).map(text).collect::<StringArray>());
        let left: ArrayRef = match (self.keep_payload, bad) {
            (true, _) => Arc::new(payload.clone()),
            (false, 0) => Arc::new(BinaryArray::new_null(payload.len())),
            (false, _) => {
                let left = payload.iter().zip(&good).map(|(it, good)| it.filter(|_| !good));
                Arc::new(left.collect::<BinaryArray>())
            }
        };
        let mut columns = batch.columns().to_vec();
        columns.pop();
        columns.extend([left, decoded]);
        Ok((RecordBatch::try_new(Arc::clone(&self.schema), columns)?, bad as u64))
    }
}
