//! Streams of Arrow.

use std::{collections::HashMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::{
    destination::Begun,
    sink::{Cause, Facts, Form},
};

/// A stream in the format of Arrow's IPC. The schema carries what is known before the records.
pub(super) struct ArrowForm {
    schema: SchemaRef,
    writer: StreamWriter<Box<dyn Begun>>,
}

impl ArrowForm {
    pub(super) fn begin(
        file: Box<dyn Begun>,
        schema: &SchemaRef,
        facts: Facts,
    ) -> Result<ArrowForm, ArrowError> {
        let metadata: HashMap<String, String> = facts.into_iter().collect();
        let schema = Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata));
        let writer = StreamWriter::try_new(file, &schema)?;
        Ok(ArrowForm { schema, writer })
    }
}

impl Form for ArrowForm {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Cause> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(self: Box<Self>, _facts: Facts) -> Result<Box<dyn Begun>, Cause> {
        Ok(self.writer.into_inner()?)
    }
}
