//! Parquet.

use std::{io::Write, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use super::{destination::Begun, sink::Facts};

/// The rows of a page. A page ends at 1 MiB, too.
const PAGE_ROWS: usize = 1 << 20;
/// The values that an encoder takes at a time.
const WRITE_ROWS: usize = 8192;

/// A file of Parquet. The rows of a row group are sorted by `ts_ns`.
pub(super) struct ParquetSink {
    writer: ArrowWriter<Box<dyn Begun>>,
}

impl ParquetSink {
    pub(super) fn begin(
        file: Box<dyn Begun>,
        schema: &SchemaRef,
        level: i32,
    ) -> Result<ParquetSink, ParquetError> {
        let properties = properties(schema, level)?;
        // The types of Parquet alone: a reader takes texts for texts, whatever they were in memory here.
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(schema), options)?;
        Ok(ParquetSink { writer })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(batch)
    }

    pub(super) fn end_group(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()
    }

    pub(super) fn finish(mut self, facts: Facts) -> Result<Box<dyn Begun>, ParquetError> {
        for (name, value) in facts {
            self.writer.append_key_value_metadata(KeyValue::new(name, value));
        }
        let mut file = self.writer.into_inner()?;
        file.flush()?;
        Ok(file)
    }
}

fn properties(schema: &SchemaRef, level: i32) -> Result<WriterProperties, ParquetError> {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("asynclogger-export version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(WRITE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for name in ["ts", "ts_ns", "seq", "block"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    // For the readers that find pages by their times.
    for name in ["ts", "ts_ns"] {
        properties =
            properties.set_column_statistics_enabled(column(name), EnabledStatistics::Page);
    }
    for field in schema.fields() {
        let is_long = field.name() == "payload" || matches!(field.data_type(), DataType::Utf8);
        if is_long {
            properties = properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_encoding(column(field.name()), Encoding::PLAIN)
                .set_column_statistics_enabled(column(field.name()), EnabledStatistics::None);
        }
    }
    // A path without nested columns before it: its place among the fields is that of its leaf.
    let sorted = schema.fields().iter().position(|field| field.name() == "ts_ns");
    let sorted = sorted.and_then(|index| i32::try_from(index).ok());
    let sorted = sorted
        .map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: true }]);
    Ok(properties.set_sorting_columns(sorted).build())
}
