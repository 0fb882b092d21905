//! Records gather in Arrow batches of a limited size.

use std::collections::{HashMap, VecDeque};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use asynclogger::read::{Block, Record};
use asynclogger_export::batches::{
    BatchBuilder, Columns, Origin, SourceId, Strings, to_nanoseconds,
};

use crate::{part::Names, walk::Sink};

/// After so many payload bytes a batch is full, whatever its number of rows: a reader of batches has several of them in
/// memory.
const FULL_BYTES: usize = 64 << 20;

/// The columns of `asynclogger export`; a file name is in a batch once, and not in each row.
fn columns() -> Columns {
    Columns::new().strings(Strings::Dictionary)
}

pub(crate) fn schema() -> SchemaRef {
    columns().schema()
}

/// The rows of the batch that is being made, and full batches.
#[derive(Debug)]
pub(crate) struct Rows {
    full_rows: usize,
    builder: BatchBuilder,
    /// The sources of the builder, by log and segment.
    sources: HashMap<(usize, u64), SourceId>,
    ready: VecDeque<RecordBatch>,
    failed: Option<ArrowError>,
}

impl Rows {
    pub(crate) fn new(full_rows: usize) -> Rows {
        Rows {
            full_rows,
            builder: BatchBuilder::new(columns()),
            sources: HashMap::new(),
            ready: VecDeque::new(),
            failed: None,
        }
    }

    /// The next full batch.
    pub(crate) fn take(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.ready.pop_front().map(Ok).or_else(|| self.failed.take().map(Err))
    }

    /// Makes a batch of the rows that are there.
    pub(crate) fn end_batch(&mut self) {
        if self.builder.rows() == 0 {
            return;
        }
        match self.builder.finish() {
            Ok(batch) => self.ready.push_back(batch),
            Err(error) => self.failed = Some(error),
        }
    }

    fn source(&mut self, log: usize, names: &Names, segment: u64) -> SourceId {
        let builder = &mut self.builder;
        let source = || builder.source(names.event.as_bytes(), None, names.file(segment));
        *self.sources.entry((log, segment)).or_insert_with(source)
    }

    fn push(&mut self, source: SourceId, origin: Origin, record: Record<'_>) {
        let bytes = record.bytes();
        let rows = self.builder.rows();
        let is_full = self.builder.payload_bytes() + bytes.len() > FULL_BYTES;
        if rows >= self.full_rows || (rows > 0 && is_full) {
            self.end_batch();
            self.builder.begin(source, origin);
        }
        let time = record.time().map(to_nanoseconds);
        if let Err(full) = self.builder.append(time, record.position().number(), bytes) {
            self.failed = Some(ArrowError::ExternalError(Box::new(full)));
        }
    }
}

impl Sink for Rows {
    fn take_block(&mut self, log: usize, names: &Names, block: &Block<'_>) {
        let (source, origin) = (self.source(log, names, block.segment()), Origin::of_block(block));
        self.builder.begin(source, origin);
        block.records().for_each(|record| self.push(source, origin, record));
    }

    fn take_record(&mut self, log: usize, names: &Names, segment: u64, record: Record<'_>) {
        let (source, origin) = (self.source(log, names, segment), Origin::of_record(&record));
        self.builder.begin(source, origin);
        self.push(source, origin, record);
    }

    fn is_full(&self) -> bool {
        !self.ready.is_empty() || self.failed.is_some()
    }
}
