//! Records become the rows of Arrow batches.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
};

use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, types::Int32Type,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use asynclogger::read::{Block, Record};

use crate::{part::Names, times::to_ns, walk::Sink};

/// After so many payload bytes a batch is full, whatever its number of rows: offsets have 31 bits, and a reader of batches
/// has several of them in memory.
const FULL_BYTES: usize = 64 << 20;

/// The columns. They have the names of those that `asynclogger export` writes; there `session` is text, and here the same
/// bits are a signed number.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let name = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("event", name(), false),
        Field::new("ts", micros, true),
        Field::new("ts_ns", DataType::Int64, true),
        Field::new("session", DataType::Int64, false),
        Field::new("shard", DataType::Int32, false),
        Field::new("seq", DataType::Int64, false),
        Field::new("host", name(), true),
        Field::new("file", name(), false),
        Field::new("block", DataType::Int64, true),
        Field::new("payload", DataType::Binary, false),
    ]))
});

pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The rows of the batch that is being made.
#[derive(Debug)]
pub(crate) struct Rows {
    full_rows: usize,
    times: Vec<i64>,
    has_time: Vec<bool>,
    sessions: Vec<i64>,
    shards: Vec<i32>,
    numbers: Vec<i64>,
    blocks: Vec<i64>,
    has_block: Vec<bool>,
    events: Words,
    files: Words,
    offsets: Vec<i32>,
    payload: Vec<u8>,
    /// Full batches.
    ready: VecDeque<RecordBatch>,
    failed: Option<ArrowError>,
}

/// A column with few different words.
#[derive(Debug, Default)]
struct Words {
    words: Vec<String>,
    keys: Vec<i32>,
}

impl Words {
    /// The key of a word, which is mostly the last one.
    fn key(&mut self, word: &str) -> i32 {
        let found = self.words.iter().rposition(|known| known == word);
        let index = found.unwrap_or_else(|| {
            self.words.push(word.to_owned());
            self.words.len() - 1
        });
        i32::try_from(index).unwrap_or(i32::MAX)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let words = StringArray::from_iter_values(std::mem::take(&mut self.words));
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(words))?))
    }
}

impl Rows {
    pub(crate) fn new(full_rows: usize) -> Rows {
        Rows {
            full_rows: full_rows.min(i32::MAX as usize - 1),
            times: Vec::new(),
            has_time: Vec::new(),
            sessions: Vec::new(),
            shards: Vec::new(),
            numbers: Vec::new(),
            blocks: Vec::new(),
            has_block: Vec::new(),
            events: Words::default(),
            files: Words::default(),
            offsets: vec![0],
            payload: Vec::new(),
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
        if self.times.is_empty() {
            return;
        }
        match self.batch() {
            Ok(batch) => self.ready.push_back(batch),
            Err(error) => self.failed = Some(error),
        }
    }

    fn push(&mut self, (event, file): (i32, i32), block: Option<u64>, record: Record<'_>) {
        let time = record.time().map(to_ns);
        let position = record.position();
        self.times.push(time.unwrap_or(0));
        self.has_time.push(time.is_some());
        self.sessions.push(position.session().cast_signed());
        self.shards.push(position.shard().cast_signed());
        self.numbers.push(position.number().cast_signed());
        self.blocks.push(block.unwrap_or(0).cast_signed());
        self.has_block.push(block.is_some());
        self.events.keys.push(event);
        self.files.keys.push(file);
        self.payload.extend_from_slice(record.bytes());
        self.offsets.push(i32::try_from(self.payload.len()).unwrap_or(i32::MAX));
    }

    /// Whether a record of `more` bytes has to go to the next batch.
    fn has_no_room(&self, more: usize) -> bool {
        let rows = self.times.len();
        rows >= self.full_rows || (rows > 0 && self.payload.len() + more > FULL_BYTES)
    }

    fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = self.times.len();
        let nanoseconds = ScalarBuffer::from(std::mem::take(&mut self.times));
        // Towards the past, as the standard library rounds times before 1970.
        let micros: ScalarBuffer<i64> = nanoseconds.iter().map(|ns| ns.div_euclid(1000)).collect();
        let has_time = NullBuffer::from(std::mem::take(&mut self.has_time));
        let has_block = NullBuffer::from(std::mem::take(&mut self.has_block));
        let ts = TimestampMicrosecondArray::try_new(micros, Some(has_time.clone()))?;
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows + 1));
        self.offsets.push(0);
        let (len, payload) = (self.payload.len(), std::mem::take(&mut self.payload));
        // The next batch is as long, mostly.
        self.payload.reserve(len);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let blocks = ScalarBuffer::from(std::mem::take(&mut self.blocks));
        let hosts = StringArray::from_iter_values(std::iter::empty::<&str>());
        let hosts =
            DictionaryArray::<Int32Type>::try_new(Int32Array::new_null(rows), Arc::new(hosts))?;
        let columns: Vec<ArrayRef> = vec![
            self.events.finish()?,
            Arc::new(ts.with_timezone("UTC")),
            Arc::new(Int64Array::try_new(nanoseconds, Some(has_time))?),
            Arc::new(Int64Array::from(std::mem::take(&mut self.sessions))),
            Arc::new(Int32Array::from(std::mem::take(&mut self.shards))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.numbers))),
            Arc::new(hosts),
            self.files.finish()?,
            Arc::new(Int64Array::try_new(blocks, Some(has_block))?),
            Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(payload), None)?),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}

impl Sink for Rows {
    fn take_block(&mut self, names: &Names, block: &Block<'_>) {
        let keys = |rows: &mut Rows| {
            (rows.events.key(&names.event), rows.files.key(names.file(block.segment())))
        };
        let mut own = keys(self);
        for record in block.records() {
            if self.has_no_room(record.bytes().len()) {
                self.end_batch();
                own = keys(self);
            }
            self.push(own, Some(block.offset()), record);
        }
    }

    fn take_record(&mut self, names: &Names, segment: u64, record: Record<'_>) {
        if self.has_no_room(record.bytes().len()) {
            self.end_batch();
        }
        let own = (self.events.key(&names.event), self.files.key(names.file(segment)));
        self.push(own, None, record);
    }

    fn is_full(&self) -> bool {
        !self.ready.is_empty() || self.failed.is_some()
    }
}
