//! Messages of Protocol Buffers become columns, by a description that is read at run time.

mod column;
mod wire;

use std::path::Path;

use arrow_array::{Array, ArrayRef, BinaryArray};
use arrow_schema::{ArrowError, DataType};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use self::{column::Column, wire::Value};
use crate::{Error, ErrorKind};

/// A type of message, out of a set of descriptors as `protoc --include_imports --descriptor_set_out=FILE` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageType(MessageDescriptor);

impl MessageType {
    /// The type of this full name, `package.Message`.
    ///
    /// # Errors
    ///
    /// `Descriptor`, if the bytes are no set of descriptors, the set has no such message, or the message has groups.
    pub fn new(descriptors: &[u8], name: &str) -> Result<MessageType, Error> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| {
            Error::because(ErrorKind::Descriptor, "not a set of descriptors", error)
        })?;
        let message = pool.get_message_by_name(name.trim_start_matches('.'));
        let missing = || {
            let text = format!("there is no message {name:?} in the set of descriptors");
            Error::new(ErrorKind::Descriptor, text)
        };
        let message = message.ok_or_else(missing)?;
        match pool.all_messages().any(|message| message.fields().any(|field| field.is_group())) {
            true => {
                Err(Error::new(ErrorKind::Descriptor, "messages with groups cannot be decoded"))
            }
            false => Ok(MessageType(message)),
        }
    }

    /// The same, out of a file.
    ///
    /// # Errors
    ///
    /// `Descriptor`, also if the file cannot be read.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<MessageType, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            Error::because(ErrorKind::Descriptor, format!("{}", path.display()), error)
        })?;
        MessageType::new(&bytes, name)
    }
}

/// The column `message`.
#[derive(Debug)]
pub(super) struct Messages {
    column: Column,
}

impl Messages {
    /// A column of structures, or of texts in JSON.
    pub(super) fn new(message: &MessageType, as_text: bool) -> Messages {
        let MessageType(message) = message;
        let column = match as_text {
            true => Column::text_of(message),
            false => Column::of_message(message, &mut Vec::new()),
        };
        Messages { column }
    }

    pub(super) fn data_type(&self) -> DataType {
        self.column.data_type()
    }

    /// The decoded messages, and which ones could be decoded.
    pub(super) fn decode(
        &mut self,
        payload: &BinaryArray,
    ) -> Result<(ArrayRef, Vec<bool>), ArrowError> {
        let mut good = Vec::with_capacity(payload.len());
        for bytes in payload {
            let value = bytes.map(Value::Bytes).filter(|value| self.column.accepts(*value));
            good.push(value.is_some());
            match value {
                Some(value) => self.column.push(value),
                None => self.column.push_null(),
            }
        }
        Ok((self.column.finish()?, good))
    }
}

#[cfg(test)]
mod tests;
