//! The column of a field, or of a whole message.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ListArray, MapArray, StructArray,
    builder::{
        BinaryBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int32Builder, Int64Builder,
        StringBuilder,
    },
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};

use super::wire::{self, Value, Wrong};

/// Messages in messages up to this depth are structures; deeper ones, and messages that contain themselves, are texts in
/// JSON.
const MAX_DEPTH: usize = 16;

/// Values of one type, in the order of their rows.
#[derive(Debug)]
pub(super) enum Column {
    Bool(BooleanBuilder),
    Int32(Int32Builder, Form),
    /// Unsigned numbers of 32 bits, too. Unsigned ones of 64 bits become negative from 2^63 on.
    Int64(Int64Builder, Form),
    Float(Float32Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Enum(StringBuilder, EnumDescriptor),
    Json(StringBuilder, MessageDescriptor),
    Message(Message),
    List(List),
}

/// How a whole number stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Varint,
    Zigzag,
    Fixed32Signed,
    Fixed32Unsigned,
    Fixed64,
    VarintUnsigned32,
}

/// The columns of a message's fields.
#[derive(Debug)]
pub(super) struct Message {
    fields: Vec<FieldColumn>,
    /// The numbers of the fields, in their order, and the indices of the fields.
    places: Vec<(u32, usize)>,
    nulls: NullBufferBuilder,
}

#[derive(Debug)]
struct FieldColumn {
    number: u32,
    name: String,
    column: Column,
    /// A field that is not there is null, and not the default of its type.
    is_optional: bool,
}

/// What the bytes of a message have for a field.
enum Found<'a> {
    Nothing,
    /// The last value, which counts.
    Value(Value<'a>),
    /// Several occurrences of one message, which are one message in the order of their bytes.
    Joined(Vec<u8>),
}

impl<'a> Found<'a> {
    fn join(&mut self, more: &'a [u8]) {
        match self {
            Found::Value(Value::Bytes(first)) => *self = Found::Joined([*first, more].concat()),
            Found::Joined(bytes) => bytes.extend_from_slice(more),
            _ => *self = Found::Value(Value::Bytes(more)),
        }
    }
}

/// A repeated field or a map.
#[derive(Debug)]
pub(super) struct List {
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
    values: Box<Column>,
    is_map: bool,
}

impl Column {
    /// The column of a message below `above`.
    pub(super) fn of_message(message: &MessageDescriptor, above: &mut Vec<String>) -> Column {
        let name = message.full_name().to_owned();
        let is_text = above.contains(&name) || above.len() >= MAX_DEPTH;
        if is_text || message.fields().len() == 0 {
            return Column::Json(StringBuilder::new(), message.clone());
        }
        above.push(name);
        let fields = message.fields().map(|field| FieldColumn {
            number: field.number(),
            name: field.name().to_owned(),
            is_optional: field.supports_presence(),
            column: Column::of_field(&field, above),
        });
        let fields = fields.collect();
        above.pop();
        Column::Message(Message::new(fields))
    }

    /// The column of messages as texts in JSON.
    pub(super) fn text_of(message: &MessageDescriptor) -> Column {
        Column::Json(StringBuilder::new(), message.clone())
    }

    fn of_field(field: &FieldDescriptor, above: &mut Vec<String>) -> Column {
        let one = match field.kind() {
            Kind::Bool => Column::Bool(BooleanBuilder::new()),
            Kind::Int32 => Column::Int32(Int32Builder::new(), Form::Varint),
            Kind::Sint32 => Column::Int32(Int32Builder::new(), Form::Zigzag),
            Kind::Sfixed32 => Column::Int32(Int32Builder::new(), Form::Fixed32Signed),
            Kind::Uint32 => Column::Int64(Int64Builder::new(), Form::VarintUnsigned32),
            Kind::Fixed32 => Column::Int64(Int64Builder::new(), Form::Fixed32Unsigned),
            Kind::Int64 | Kind::Uint64 => Column::Int64(Int64Builder::new(), Form::Varint),
            Kind::Sint64 => Column::Int64(Int64Builder::new(), Form::Zigzag),
            Kind::Sfixed64 | Kind::Fixed64 => Column::Int64(Int64Builder::new(), Form::Fixed64),
            Kind::Float => Column::Float(Float32Builder::new()),
            Kind::Double => Column::Double(Float64Builder::new()),
            Kind::String => Column::Text(StringBuilder::new()),
            Kind::Bytes => Column::Bytes(BinaryBuilder::new()),
            Kind::Enum(values) => Column::Enum(StringBuilder::new(), values),
            Kind::Message(message) => Column::of_message(&message, above),
        };
        if field.cardinality() != Cardinality::Repeated {
            return one;
        }
        let nulls = NullBufferBuilder::new(0);
        Column::List(List { ends: vec![0], nulls, values: Box::new(one), is_map: field.is_map() })
    }

    /// Whether the bytes of a value are right for the column.
    pub(super) fn accepts(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Column::Bool(_) | Column::Enum(..), Value::Varint(_))
            | (Column::Float(_), Value::Fixed32(_))
            | (Column::Double(_), Value::Fixed64(_))
            | (Column::Bytes(_), Value::Bytes(_)) => true,
            (Column::Int32(_, form) | Column::Int64(_, form), value) => form.fits(value),
            (Column::Text(_), Value::Bytes(bytes)) => std::str::from_utf8(bytes).is_ok(),
            (Column::Json(_, message), Value::Bytes(bytes)) => {
                DynamicMessage::decode(message.clone(), bytes).is_ok()
            }
            (Column::Message(message), Value::Bytes(bytes)) => message.accepts(bytes),
            (Column::List(list), value) if list.values.accepts(value) => true,
            (Column::List(list), Value::Bytes(bytes)) => list.values.unpack(bytes, |_| ()).is_ok(),
            _ => false,
        }
    }

    /// Calls `each` with the numbers of a packed list.
    fn unpack(&self, mut packed: &[u8], mut each: impl FnMut(Value<'_>)) -> Result<(), Wrong> {
        let form = match self {
            Column::Bool(_) | Column::Enum(..) => Form::Varint,
            Column::Float(_) => Form::Fixed32Signed,
            Column::Double(_) => Form::Fixed64,
            Column::Int32(_, form) | Column::Int64(_, form) => *form,
            _ => return Err(Wrong),
        };
        while !packed.is_empty() {
            let len = match form {
                Form::Varint | Form::Zigzag | Form::VarintUnsigned32 => {
                    each(Value::Varint(wire::varint(&mut packed)?));
                    continue;
                }
                Form::Fixed64 => 8,
                Form::Fixed32Signed | Form::Fixed32Unsigned => 4,
            };
            let (value, left) = packed.split_at_checked(len).ok_or(Wrong)?;
            each(match len {
                8 => Value::Fixed64(wire::fixed64(value)?),
                _ => Value::Fixed32(wire::fixed32(value)?),
            });
            packed = left;
        }
        Ok(())
    }

    /// Adds a value that the column [accepts](Column::accepts).
    pub(super) fn push(&mut self, value: Value<'_>) {
        match (&mut *self, value) {
            (Column::Bool(column), Value::Varint(value)) => column.append_value(value != 0),
            (Column::Int32(column, form), value) => column.append_value(form.number(value) as i32),
            (Column::Int64(column, form), value) => column.append_value(form.number(value)),
            (Column::Float(column), Value::Fixed32(value)) => {
                column.append_value(f32::from_bits(value));
            }
            (Column::Double(column), Value::Fixed64(value)) => {
                column.append_value(f64::from_bits(value));
            }
            (Column::Bytes(column), Value::Bytes(value)) => column.append_value(value),
            (Column::Text(column), Value::Bytes(value)) => {
                column.append_option(std::str::from_utf8(value).ok());
            }
            (Column::Enum(column, values), Value::Varint(value)) => {
                // A negative number has ten bytes.
                let number = value as i32;
                match values.get_value(number) {
                    Some(known) => column.append_value(known.name()),
                    None => column.append_value(number.to_string()),
                }
            }
            (Column::Json(column, message), Value::Bytes(bytes)) => {
                column.append_option(json(message, bytes));
            }
            (Column::Message(message), Value::Bytes(bytes)) => message.push(bytes),
            _ => self.push_null(),
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Column::Bool(column) => column.append_null(),
            Column::Int32(column, _) => column.append_null(),
            Column::Int64(column, _) => column.append_null(),
            Column::Float(column) => column.append_null(),
            Column::Double(column) => column.append_null(),
            Column::Text(column) | Column::Enum(column, _) | Column::Json(column, _) => {
                column.append_null();
            }
            Column::Bytes(column) => column.append_null(),
            Column::Message(message) => {
                message.fields.iter_mut().for_each(|field| field.column.push_null());
                message.nulls.append_null();
            }
            Column::List(list) => {
                list.nulls.append_null();
                list.end_row();
            }
        }
    }

    /// Adds the value of a field that is not there.
    fn push_default(&mut self) {
        match self {
            Column::Bool(_) | Column::Enum(..) => self.push(Value::Varint(0)),
            Column::Int32(column, _) => column.append_value(0),
            Column::Int64(column, _) => column.append_value(0),
            Column::Float(column) => column.append_value(0.0),
            Column::Double(column) => column.append_value(0.0),
            Column::Text(_) | Column::Bytes(_) => self.push(Value::Bytes(&[])),
            Column::Json(..) | Column::Message(_) => self.push_null(),
            Column::List(list) => list.end_values(),
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Column::Bool(_) => DataType::Boolean,
            Column::Int32(..) => DataType::Int32,
            Column::Int64(..) => DataType::Int64,
            Column::Float(_) => DataType::Float32,
            Column::Double(_) => DataType::Float64,
            Column::Text(_) | Column::Enum(..) | Column::Json(..) => DataType::Utf8,
            Column::Bytes(_) => DataType::Binary,
            Column::Message(message) => DataType::Struct(message.arrow_fields()),
            Column::List(list) => match list.is_map {
                true => DataType::Map(list.item(), false),
                false => DataType::List(list.item()),
            },
        }
    }

    /// The values so far, as an array. The column is empty then.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Column::Bool(column) => Arc::new(column.finish()),
            Column::Int32(column, _) => Arc::new(column.finish()),
            Column::Int64(column, _) => Arc::new(column.finish()),
            Column::Float(column) => Arc::new(column.finish()),
            Column::Double(column) => Arc::new(column.finish()),
            Column::Text(column) | Column::Enum(column, _) | Column::Json(column, _) => {
                Arc::new(column.finish())
            }
            Column::Bytes(column) => Arc::new(column.finish()),
            Column::Message(message) => Arc::new(message.finish()?),
            Column::List(list) => list.finish()?,
        })
    }
}

impl Form {
    fn fits(self, value: Value<'_>) -> bool {
        match self {
            Form::Varint | Form::Zigzag | Form::VarintUnsigned32 => {
                matches!(value, Value::Varint(_))
            }
            Form::Fixed32Signed | Form::Fixed32Unsigned => matches!(value, Value::Fixed32(_)),
            Form::Fixed64 => matches!(value, Value::Fixed64(_)),
        }
    }

    fn number(self, value: Value<'_>) -> i64 {
        match (self, value) {
            (Form::Zigzag, Value::Varint(value)) => (value >> 1) as i64 ^ -((value & 1) as i64),
            (Form::VarintUnsigned32, Value::Varint(value)) => i64::from(value as u32),
            (_, Value::Varint(value) | Value::Fixed64(value)) => value as i64,
            (Form::Fixed32Signed, Value::Fixed32(value)) => i64::from(value as i32),
            (_, Value::Fixed32(value)) => i64::from(value),
            (_, Value::Bytes(_)) => 0,
        }
    }
}

impl Message {
    fn new(fields: Vec<FieldColumn>) -> Message {
        let mut places: Vec<(u32, usize)> =
            fields.iter().map(|field| field.number).zip(0..).collect();
        places.sort_unstable();
        Message { fields, places, nulls: NullBufferBuilder::new(0) }
    }

    /// The index of the field with this number.
    fn place(&self, number: u32) -> Option<usize> {
        let at = self.places.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.places.get(at).map(|(_, index)| *index)
    }

    fn accepts(&self, bytes: &[u8]) -> bool {
        wire::Fields::of(bytes).all(|field| match field {
            Ok((number, value)) => match self.place(number).and_then(|at| self.fields.get(at)) {
                Some(field) => field.column.accepts(value),
                None => true,
            },
            Err(Wrong) => false,
        })
    }

    /// Adds a message, in one pass over its bytes.
    fn push(&mut self, bytes: &[u8]) {
        self.nulls.append_non_null();
        let mut found: Vec<Found<'_>> = self.fields.iter().map(|_| Found::Nothing).collect();
        for (number, value) in wire::Fields::of(bytes).filter_map(Result::ok) {
            let Some(at) = self.place(number) else { continue };
            let (Some(field), Some(found)) = (self.fields.get_mut(at), found.get_mut(at)) else {
                continue;
            };
            match (&mut field.column, value) {
                (Column::List(list), value) => list.push(value),
                (Column::Message(_) | Column::Json(..), Value::Bytes(bytes)) => found.join(bytes),
                (_, value) => *found = Found::Value(value),
            }
        }
        for (field, found) in self.fields.iter_mut().zip(found) {
            match (&mut field.column, found) {
                (Column::List(list), _) => list.end_values(),
                (column, Found::Value(value)) => column.push(value),
                (column, Found::Joined(bytes)) => column.push(Value::Bytes(&bytes)),
                (column, Found::Nothing) if field.is_optional => column.push_null(),
                (column, Found::Nothing) => column.push_default(),
            }
        }
    }

    fn arrow_fields(&self) -> Fields {
        let field = |it: &FieldColumn| Field::new(&it.name, it.column.data_type(), true);
        self.fields.iter().map(field).collect()
    }

    fn finish(&mut self) -> Result<StructArray, ArrowError> {
        let fields = self.arrow_fields();
        let columns: Result<Vec<_>, _> =
            self.fields.iter_mut().map(|field| field.column.finish()).collect();
        StructArray::try_new(fields, columns?, self.nulls.finish())
    }
}

impl List {
    /// Adds a value to the row, or the values of a packed list.
    fn push(&mut self, value: Value<'_>) {
        if self.values.accepts_whole(value) {
            self.values.push(value);
        } else if let Value::Bytes(packed) = value {
            let mut unpacked = Vec::new();
            // Checked before.
            let _ = self.values.unpack(packed, |value| match value {
                Value::Varint(number) => unpacked.push(Value::Varint(number)),
                Value::Fixed32(number) => unpacked.push(Value::Fixed32(number)),
                Value::Fixed64(number) => unpacked.push(Value::Fixed64(number)),
                Value::Bytes(_) => {}
            });
            unpacked.into_iter().for_each(|value| self.values.push(value));
        }
    }

    /// Ends a row that is not null.
    fn end_values(&mut self) {
        self.nulls.append_non_null();
        self.end_row();
    }

    fn end_row(&mut self) {
        // A record is below 2 GiB, and so are the values of a batch.
        self.ends.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
    }

    fn item(&self) -> Arc<Field> {
        let name = if self.is_map { "entries" } else { "item" };
        if let (true, Column::Message(entry)) = (self.is_map, &*self.values) {
            // The key of a map cannot be null.
            let fields = entry.arrow_fields();
            let fields = fields.iter().enumerate();
            let fields = fields.map(|(at, it)| it.as_ref().clone().with_nullable(at > 0));
            return Arc::new(Field::new(name, DataType::Struct(fields.collect()), false));
        }
        Arc::new(Field::new(name, self.values.data_type(), !self.is_map))
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let (ends, nulls) = (OffsetBuffer::new(ScalarBuffer::from(ends)), self.nulls.finish());
        let (item, is_map) = (self.item(), self.is_map);
        match &mut *self.values {
            Column::Message(entry) if is_map => {
                let (_, columns, _) = entry.finish()?.into_parts();
                let DataType::Struct(fields) = item.data_type() else {
                    return Err(ArrowError::SchemaError("a map without entries".into()));
                };
                let entries = StructArray::try_new(fields.clone(), columns, None)?;
                Ok(Arc::new(MapArray::try_new(item, ends, entries, nulls, false)?))
            }
            values => Ok(Arc::new(ListArray::try_new(item, ends, values.finish()?, nulls)?)),
        }
    }
}

impl Column {
    fn len(&self) -> usize {
        use arrow_array::builder::ArrayBuilder;
        match self {
            Column::Bool(column) => column.len(),
            Column::Int32(column, _) => column.len(),
            Column::Int64(column, _) => column.len(),
            Column::Float(column) => column.len(),
            Column::Double(column) => column.len(),
            Column::Text(column) | Column::Enum(column, _) | Column::Json(column, _) => {
                column.len()
            }
            Column::Bytes(column) => column.len(),
            Column::Message(message) => message.nulls.len(),
            Column::List(list) => list.ends.len() - 1,
        }
    }

    /// Whether a checked value is one of the column, and not a packed list of such.
    fn accepts_whole(&self, value: Value<'_>) -> bool {
        let is_number = !matches!(
            self,
            Column::Text(_) | Column::Bytes(_) | Column::Json(..) | Column::Message(_)
        );
        !(is_number && matches!(value, Value::Bytes(_)))
    }
}

/// A message as a text in JSON.
pub(super) fn json(message: &MessageDescriptor, bytes: &[u8]) -> Option<String> {
    let message = DynamicMessage::decode(message.clone(), bytes).ok()?;
    serde_json::to_string(&message).ok()
}
