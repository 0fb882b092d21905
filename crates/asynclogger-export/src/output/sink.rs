//! One file that is written, whatever its format.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{arrow::ArrowSink, destination::Begun, json_lines::JsonSink, parquet::ParquetSink};
use crate::{Error, Format};

/// How files are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) format: Format,
    /// The level of zstd, for Parquet.
    pub(crate) level: i32,
}

/// Names and values that a file carries beside its records.
pub(crate) type Facts = Vec<(String, String)>;

/// A file that is written.
pub(crate) struct Sink {
    name: String,
    format: Kind,
}

enum Kind {
    Parquet(Box<ParquetSink>),
    Arrow(Box<ArrowSink>),
    JsonLines(JsonSink),
}

impl Sink {
    /// Begins a file. `facts` are what is known before the records.
    pub(crate) fn begin(
        name: &str,
        file: Box<dyn Begun>,
        schema: &SchemaRef,
        style: Style,
        facts: Facts,
    ) -> Result<Sink, Error> {
        let begun = match style.format {
            Format::Parquet => ParquetSink::begin(file, schema, style.level)
                .map(|it| Kind::Parquet(Box::new(it)))
                .map_err(|error| Error::output(name, error)),
            Format::Arrow => ArrowSink::begin(file, schema, facts)
                .map(|it| Kind::Arrow(Box::new(it)))
                .map_err(|error| Error::output(name, error)),
            Format::JsonLines => Ok(Kind::JsonLines(JsonSink::begin(file))),
        };
        Ok(Sink { name: name.to_owned(), format: begun? })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match &mut self.format {
            Kind::Parquet(sink) => {
                sink.write(batch).map_err(|error| Error::output(&self.name, error))
            }
            Kind::Arrow(sink) => {
                sink.write(batch).map_err(|error| Error::output(&self.name, error))
            }
            Kind::JsonLines(sink) => {
                sink.write(batch).map_err(|error| Error::output(&self.name, error))
            }
        }
    }

    /// Ends a group of rows that are in the order of their times.
    pub(crate) fn end_group(&mut self) -> Result<(), Error> {
        match &mut self.format {
            Kind::Parquet(sink) => {
                sink.end_group().map_err(|error| Error::output(&self.name, error))
            }
            Kind::Arrow(_) | Kind::JsonLines(_) => Ok(()),
        }
    }

    /// Completes the file; `facts` are what is known after the records.
    pub(crate) fn finish(self, facts: Facts) -> Result<(), Error> {
        let name = self.name;
        let file = match self.format {
            Kind::Parquet(sink) => sink.finish(facts).map_err(|error| Error::output(&name, error)),
            Kind::Arrow(sink) => sink.finish().map_err(|error| Error::output(&name, error)),
            Kind::JsonLines(sink) => Ok(sink.finish()),
        };
        let mut file = file?;
        file.flush().and_then(|()| file.finish()).map_err(|error| Error::output(&name, error))
    }
}
