//! One file that is written, whatever its format.

use std::error::Error as StdError;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{arrow::ArrowForm, destination::Begun, json_lines::JsonForm, parquet::ParquetForm};
use crate::{Error, Format};

/// How files are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) format: Format,
    /// The level of zstd, for Parquet.
    pub(crate) level: i32,
}

impl Style {
    fn form(
        self,
        file: Box<dyn Begun>,
        schema: &SchemaRef,
        facts: Facts,
    ) -> Result<Box<dyn Form>, Cause> {
        Ok(match self.format {
            Format::Parquet => Box::new(ParquetForm::begin(file, schema, self.level)?),
            Format::Arrow => Box::new(ArrowForm::begin(file, schema, facts)?),
            Format::JsonLines => Box::new(JsonForm::begin(file)),
        })
    }
}

/// Names and values that a file carries beside its records.
pub(crate) type Facts = Vec<(String, String)>;

/// Why a format could not write.
pub(super) type Cause = Box<dyn StdError + Send + Sync>;

/// What a format makes of rows.
pub(super) trait Form {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Cause>;

    /// Ends a group of rows that are in the order of their times, if the format has groups.
    fn end_group(&mut self) -> Result<(), Cause> {
        Ok(())
    }

    /// Writes what comes behind the rows; `facts` are what is known then.
    fn finish(self: Box<Self>, facts: Facts) -> Result<Box<dyn Begun>, Cause>;
}

/// A file that is written.
pub(crate) struct Sink {
    name: String,
    form: Box<dyn Form>,
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
        let form = style.form(file, schema, facts).map_err(|cause| Error::output(name, cause))?;
        Ok(Sink { name: name.to_owned(), form })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.form.write(batch).map_err(|cause| Error::output(&self.name, cause))
    }

    /// Ends a group of rows that are in the order of their times.
    pub(crate) fn end_group(&mut self) -> Result<(), Error> {
        self.form.end_group().map_err(|cause| Error::output(&self.name, cause))
    }

    /// Completes the file; `facts` are what is known after the records.
    pub(crate) fn finish(self, facts: Facts) -> Result<(), Error> {
        let Sink { name, form } = self;
        let mut file = form.finish(facts).map_err(|cause| Error::output(&name, cause))?;
        file.flush().and_then(|()| file.finish()).map_err(|error| Error::output(&name, error))
    }
}
