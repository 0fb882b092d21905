//! Payloads become columns of their own.

mod proto;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::de::IgnoredAny;

pub use self::proto::MessageType;
use self::proto::Messages;

/// What becomes of the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decode {
    /// It stays as it is.
    #[default]
    Raw,
    /// A column `text`, where the payload is UTF-8.
    Utf8,
    /// A column `json`, a text, where the payload is a value in JSON.
    Json,
    /// A column `message`, a structure, where the payload is such a message: numbers and truth values as they are, unsigned
    /// ones as signed ones of 64 bits, enumerations as texts, repeated fields as lists, maps as maps. A message within
    /// itself, one without fields, and what is deeper than 16 messages is a text in JSON; in JSON Lines all of it.
    ///
    /// A field that is not there is null, unless it is one of those whose default and absence are the same.
    Proto(MessageType),
}

/// How a column is made.
#[derive(Debug)]
enum Way {
    Raw,
    Utf8,
    Json,
    Proto(Messages),
}

impl Way {
    fn field(&self) -> Option<Field> {
        match self {
            Way::Raw => None,
            Way::Utf8 => Some(Field::new("text", DataType::Utf8, true)),
            Way::Json => Some(Field::new("json", DataType::Utf8, true)),
            Way::Proto(messages) => Some(Field::new("message", messages.data_type(), true)),
        }
    }

    /// The decoded column, and which records could be decoded; `None` if nothing is decoded.
    fn decode(
        &mut self,
        payload: &BinaryArray,
    ) -> Result<Option<(ArrayRef, Vec<bool>)>, ArrowError> {
        let is_json = match self {
            Way::Raw => return Ok(None),
            Way::Proto(messages) => return messages.decode(payload).map(Some),
            Way::Utf8 => false,
            Way::Json => true,
        };
        let text = |bytes: Option<&'_ [u8]>| {
            let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let is_value = |text: &&str| serde_json::from_str::<IgnoredAny>(text).is_ok();
            text.filter(|text| !is_json || is_value(text)).map(str::to_owned)
        };
        let texts: StringArray = payload.iter().map(text).collect();
        let good = (0..texts.len()).map(|row| texts.is_valid(row)).collect();
        Ok(Some((Arc::new(texts), good)))
    }
}

/// Adds the decoded column to batches. A record that cannot be decoded keeps its payload and has null in that column;
/// the payload of the others is null, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Decoder {
    way: Way,
    keep_payload: bool,
    schema: SchemaRef,
}

impl Decoder {
    /// A decoder of batches of this schema. With `as_text`, messages become texts in JSON.
    pub(crate) fn new(
        decode: &Decode,
        keep_payload: bool,
        as_text: bool,
        schema: &SchemaRef,
    ) -> Decoder {
        let way = match decode {
            Decode::Raw => Way::Raw,
            Decode::Utf8 => Way::Utf8,
            Decode::Json => Way::Json,
            Decode::Proto(message) => Way::Proto(Messages::new(message, as_text)),
        };
        let fields = schema.fields().iter().cloned().chain(way.field().map(Arc::new));
        let fields: Vec<_> = fields.collect();
        Decoder { way, keep_payload, schema: Arc::new(Schema::new(fields)) }
    }

    /// The schema of the decoded batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch with the decoded column, and the number of records that could not be decoded.
    pub(crate) fn decode(&mut self, batch: RecordBatch) -> Result<(RecordBatch, u64), ArrowError> {
        let payload = batch.column_by_name("payload").and_then(|it| it.as_binary_opt::<i32>());
        let Some(payload) = payload else { return Ok((batch, 0)) };
        let Some((decoded, good)) = self.way.decode(payload)? else { return Ok((batch, 0)) };
        let bad = good.iter().filter(|good| !**good).count();
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
