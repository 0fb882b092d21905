//! Streams of Arrow.

use std::{collections::HashMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::{destination::Begun, sink::Facts};

/// A stream in the format of Arrow's IPC. The schema carries what is known before the records.
pub(super) struct ArrowSink {
    schema: SchemaRef,
    writer: StreamWriter<Box<dyn Begun>>,
}

impl ArrowSink {
    pub(super) fn begin(
        file: Box<dyn Begun>,
        schema: &SchemaRef,
        facts: Facts,
    ) -> Result<ArrowSink, ArrowError> {
        let metadata: HashMap<String, String> = facts.into_iter().collect();
        let schema = Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata));
        let writer = StreamWriter::try_new(file, &schema)?;
        Ok(ArrowSink { schema, writer })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        self.writer.write(&batch)
    }

    pub(super) fn finish(self) -> Result<Box<dyn Begun>, ArrowError> {
        self.writer.into_inner()
    }
}
