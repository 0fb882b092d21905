//! Rows become batches.

use std::{
    collections::HashMap,
    error, fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arrow_array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, SchemaRef};
use asynclogger::read::{Block, Record};

use super::{
    by_time::ByTime,
    columns::Columns,
    words::{NONE, Words},
};

/// The time of a record that has none.
pub(super) const NO_TIME: i64 = i64::MIN;
/// The offset of a block that is not known.
const NO_BLOCK: i64 = -1;

/// The event, host and file of records; made by [`BatchBuilder::source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(u32);

/// The place of records in their log: what records of one block have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The session; `None` in files of the original.
    pub session: Option<u64>,
    /// The shard.
    pub shard: u32,
    /// The offset of the block in the file, in bytes, if it is known.
    pub block: Option<u64>,
}

impl Origin {
    /// The origin of the records of a block.
    #[must_use]
    pub fn of_block(block: &Block<'_>) -> Origin {
        let session = block.time().map(|_| block.session());
        Origin { session, shard: block.shard(), block: Some(block.offset()) }
    }

    /// The origin of a record whose block is not known.
    #[must_use]
    pub fn of_record(record: &Record<'_>) -> Origin {
        let position = record.position();
        let session = record.time().map(|_| position.session());
        Origin { session, shard: position.shard(), block: None }
    }
}

/// A batch has no room for another record: its payloads would be longer than 2 GiB. Finish the batch and append the
/// record again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch cannot have more than 2 GiB of payload")
    }
}

impl error::Error for Full {}

/// The numbers of the texts of a source.
#[derive(Clone, Copy, Debug)]
struct Source {
    event: i32,
    host: i32,
    file: i32,
}

/// Rows with the same source and origin, up to the first row of the next run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    first_row: usize,
    source: SourceId,
    origin: Origin,
    session: i32,
}

/// Rows that become a batch of [these columns](super).
///
/// A record costs one copy of its bytes and two numbers; what a block has in common is kept once until the batch is
/// made.
#[derive(Debug)]
pub struct BatchBuilder {
    columns: Columns,
    schema: SchemaRef,
    events: Words,
    hosts: Words,
    files: Words,
    sessions: Words,
    session_numbers: HashMap<u64, i32>,
    sources: Vec<Source>,
    pub(super) runs: Vec<Run>,
    pub(super) times: Vec<i64>,
    pub(super) numbers: Vec<i64>,
    pub(super) ends: Vec<i32>,
    pub(super) payload: Vec<u8>,
}

impl BatchBuilder {
    /// What a row takes beside its payload: two numbers of 8 bytes and one of 4.
    pub(crate) const ROW_BYTES: usize = 20;

    /// No rows yet.
    #[must_use]
    pub fn new(columns: Columns) -> BatchBuilder {
        BatchBuilder {
            columns,
            schema: columns.schema(),
            events: Words::default(),
            hosts: Words::default(),
            files: Words::default(),
            sessions: Words::default(),
            session_numbers: HashMap::new(),
            sources: Vec::new(),
            runs: Vec::new(),
            times: Vec::new(),
            numbers: Vec::new(),
            ends: vec![0],
            payload: Vec::new(),
        }
    }

    /// The schema of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// What the rows of one file have in common; for this builder alone, and for all its batches. Bytes of `event` that
    /// are not UTF-8 are replaced.
    pub fn source(&mut self, event: &[u8], host: Option<&str>, file: &str) -> SourceId {
        let event = self.events.number(&String::from_utf8_lossy(event));
        let host = host.map_or(NONE, |host| self.hosts.number(host));
        let file = self.files.number(file);
        self.sources.push(Source { event, host, file });
        SourceId(u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX))
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// The bytes of the rows in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.rows() * Self::ROW_BYTES + self.runs.len() * size_of::<Run>()
    }

    /// The bytes of the payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// Adds the records of a block.
    ///
    /// # Errors
    ///
    /// [`Full`]; then no record of the block was added.
    pub fn append_block(&mut self, source: SourceId, block: &Block<'_>) -> Result<(), Full> {
        let (rows, bytes, runs) = (self.rows(), self.payload.len(), self.runs.len());
        self.begin(source, Origin::of_block(block));
        for record in block.records() {
            let time = record.time().map(to_nanoseconds);
            if let Err(full) = self.append(time, record.position().number(), record.bytes()) {
                self.times.truncate(rows);
                self.numbers.truncate(rows);
                self.ends.truncate(rows + 1);
                self.payload.truncate(bytes);
                self.runs.truncate(runs);
                return Err(full);
            }
        }
        Ok(())
    }

    /// The rows that are appended from now on have this source and origin. Call `begin` again after a batch was finished.
    pub fn begin(&mut self, source: SourceId, origin: Origin) {
        let first_row = self.rows();
        if let Some(last) = self.runs.last_mut() {
            if (last.source, last.origin) == (source, origin) {
                return;
            }
            if last.first_row == first_row {
                self.runs.pop();
            }
        }
        let session = origin.session.map_or(NONE, |session| {
            let words = &mut self.sessions;
            let number = || words.number(&format!("{session:016x}"));
            *self.session_numbers.entry(session).or_insert_with(number)
        });
        self.runs.push(Run { first_row, source, origin, session });
    }

    /// Adds a record: its time, in nanoseconds since 1970, its number, and its bytes.
    ///
    /// # Errors
    ///
    /// [`Full`]; then the record was not added.
    #[inline]
    pub fn append(&mut self, time: Option<i64>, number: u64, bytes: &[u8]) -> Result<(), Full> {
        let end = i32::try_from(self.payload.len() + bytes.len()).map_err(|_| Full)?;
        self.payload.extend_from_slice(bytes);
        self.ends.push(end);
        self.times.push(time.unwrap_or(NO_TIME));
        self.numbers.push(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The rows as a batch, in their order. The builder is empty then, and keeps its sources.
    ///
    /// # Errors
    ///
    /// None that rows of [`append`](BatchBuilder::append) after a [`begin`](BatchBuilder::begin) can cause.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let (bytes, rows) = (self.payload.len(), self.rows());
        let runs = std::mem::take(&mut self.runs);
        let columns = Rows {
            times: std::mem::replace(&mut self.times, Vec::with_capacity(rows)),
            numbers: std::mem::replace(&mut self.numbers, Vec::with_capacity(rows)),
            ends: std::mem::replace(&mut self.ends, Vec::with_capacity(rows + 1)),
            payload: std::mem::replace(&mut self.payload, Vec::with_capacity(bytes)),
        };
        self.ends.push(0);
        let counts = runs.iter().enumerate().map(|(index, run)| {
            let end = runs.get(index + 1).map_or(rows, |next| next.first_row);
            (run, end - run.first_row)
        });
        let counts: Vec<(&Run, usize)> = counts.collect();
        self.batch(columns, counts.iter().copied())
    }

    /// The rows as batches of about `bytes` bytes of payload, in the order of their times; rows of equal times stay in their
    /// order. When the last batch was taken, the builder is empty, and keeps its sources and its memory.
    pub fn finish_by_time(&mut self, bytes: usize) -> ByTime<'_> {
        ByTime::new(self, bytes)
    }

    /// Forgets the rows.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.times.clear();
        self.numbers.clear();
        self.ends.truncate(1);
        self.payload.clear();
    }

    /// For each row, the index of its run.
    pub(super) fn run_indices(&self) -> Vec<u32> {
        let mut indices = Vec::with_capacity(self.rows());
        let ends = self.runs.iter().skip(1).map(|run| run.first_row).chain([self.rows()]);
        for (index, end) in (0u32..).zip(ends) {
            indices.resize(end, index);
        }
        indices
    }

    /// A batch of rows and of the runs that they are from.
    pub(super) fn batch<'a>(
        &mut self,
        rows: Rows,
        runs: impl Iterator<Item = (&'a Run, usize)> + Clone,
    ) -> Result<RecordBatch, ArrowError> {
        fn each<'a, T: Clone>(
            runs: &(impl Iterator<Item = (&'a Run, usize)> + Clone),
            of: impl Fn(&Run) -> T,
        ) -> Vec<T> {
            let mut values = Vec::new();
            for (run, count) in runs.clone() {
                values.resize(values.len() + count, of(run));
            }
            values
        }
        let strings = self.columns.strings;
        let source = |run: &Run| {
            let none = Source { event: NONE, host: NONE, file: NONE };
            self.sources.get(run.source.0 as usize).copied().unwrap_or(none)
        };
        let event = self.columns.event.then(|| each(&runs, |run| source(run).event));
        let host = each(&runs, |run| source(run).host);
        let file = each(&runs, |run| source(run).file);
        let session = each(&runs, |run| run.session);
        let shard = each(&runs, |run| i32::try_from(run.origin.shard).unwrap_or(i32::MAX));
        let block = each(&runs, |run| {
            run.origin.block.map_or(NO_BLOCK, |block| i64::try_from(block).unwrap_or(i64::MAX))
        });
        let block_nulls = nulls(&block, NO_BLOCK);
        let time_nulls = nulls(&rows.times, NO_TIME);
        let micros: Vec<i64> = rows.times.iter().map(|time| time.div_euclid(1000)).collect();
        let micros = TimestampMicrosecondArray::try_new(micros.into(), time_nulls.clone())?;
        let ends = OffsetBuffer::new(ScalarBuffer::from(rows.ends));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(10);
        if let Some(event) = event {
            columns.push(self.events.column(event, strings)?);
        }
        columns.push(Arc::new(micros.with_timezone("UTC")));
        columns.push(Arc::new(Int64Array::try_new(rows.times.into(), time_nulls)?));
        columns.push(self.sessions.column(session, strings)?);
        columns.push(Arc::new(Int32Array::from(shard)));
        columns.push(Arc::new(Int64Array::from(rows.numbers)));
        columns.push(self.hosts.column(host, strings)?);
        columns.push(self.files.column(file, strings)?);
        columns.push(Arc::new(Int64Array::try_new(block.into(), block_nulls)?));
        columns.push(Arc::new(BinaryArray::try_new(ends, Buffer::from_vec(rows.payload), None)?));
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// What each row has of its own.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) times: Vec<i64>,
    pub(super) numbers: Vec<i64>,
    pub(super) ends: Vec<i32>,
    pub(super) payload: Vec<u8>,
}

/// Which values are not null, if one is.
fn nulls(values: &[i64], null: i64) -> Option<NullBuffer> {
    let has_null = values.contains(&null);
    has_null.then(|| values.iter().map(|value| *value != null).collect())
}

/// A time in nanoseconds since 1970, which a signed number holds until 2262; the nearest one that it holds
/// and that is not `i64::MIN`.
#[must_use]
pub fn to_nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(NO_TIME + 1, |n| -n),
    }
}
