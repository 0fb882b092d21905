//! Which columns a batch has, and of which types.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How the columns are stored that have few different texts: `event`, `session`, `host`, `file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strings {
    /// Utf8: each row has its text. Every reader of Arrow takes these columns.
    #[default]
    Plain,
    /// Dictionary(Int32, Utf8): each row has a number. A batch has all texts of the batches before, too.
    Dictionary,
}

/// Which columns a batch has; see [the module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Columns {
    pub(super) event: bool,
    pub(super) strings: Strings,
}

impl Columns {
    /// All columns, with plain texts.
    pub fn new() -> Columns {
        Columns { event: true, strings: Strings::Plain }
    }

    /// Whether there is a column `event`. Default: true.
    pub fn event(mut self, event: bool) -> Columns {
        self.event = event;
        self
    }

    /// How texts are stored. Default: plain.
    pub fn strings(mut self, strings: Strings) -> Columns {
        self.strings = strings;
        self
    }

    /// The schema of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let text = match self.strings {
            Strings::Plain => DataType::Utf8,
            Strings::Dictionary => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
        };
        let ts = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let event = self.event.then(|| Field::new("event", text.clone(), false));
        let others = [
            Field::new("ts", ts, true),
            Field::new("ts_ns", DataType::Int64, true),
            Field::new("session", text.clone(), true),
            Field::new("shard", DataType::Int32, false),
            Field::new("seq", DataType::Int64, false),
            Field::new("host", text.clone(), true),
            Field::new("file", text, false),
            Field::new("block", DataType::Int64, true),
            Field::new("payload", DataType::Binary, true),
        ];
        Arc::new(Schema::new(event.into_iter().chain(others).collect::<Vec<_>>()))
    }
}

impl Default for Columns {
    fn default() -> Columns {
        Columns::new()
    }
}
