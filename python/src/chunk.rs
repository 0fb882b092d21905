//! Records on their way to Python: read without the interpreter's lock, handed out one by one with it.

use asynclogger::read::{Block, Record};
use asynclogger_export::batches::to_nanoseconds;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyTuple},
};

use crate::{part::Names, position::Position, walk::Sink};

/// After so many bytes or records a chunk is full. Enough that the lock of the interpreter is given back and taken
/// rarely, and little enough for the processor's cache.
const FULL_BYTES: usize = 256 << 10;
const FULL_RECORDS: usize = 4096;

/// Records in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    records: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    time: Option<i64>,
    position: asynclogger::Position,
    /// Where the bytes end. They begin where those of the record before end.
    end: usize,
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// A record as Python gets it: its time, its position and its bytes.
    pub(crate) fn record<'py>(
        &self,
        py: Python<'py>,
        index: usize,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some(place) = self.records.get(index) else { return Ok(None) };
        let before = index.checked_sub(1).and_then(|before| self.records.get(before));
        let begin = before.map_or(0, |before| before.end);
        let bytes = self.bytes.get(begin..place.end).unwrap_or_default();
        let record = (place.time, Position::from(place.position), PyBytes::new(py, bytes));
        record.into_pyobject(py).map(Some)
    }

    fn push(&mut self, record: Record<'_>) {
        self.bytes.extend_from_slice(record.bytes());
        self.records.push(Place {
            time: record.time().map(to_nanoseconds),
            position: record.position(),
            end: self.bytes.len(),
        });
    }
}

impl Sink for Chunk {
    fn take_block(&mut self, _log: usize, _names: &Names, block: &Block<'_>) {
        block.records().for_each(|record| self.push(record));
    }

    fn take_record(&mut self, _log: usize, _names: &Names, _segment: u64, record: Record<'_>) {
        self.push(record);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.records.len() >= FULL_RECORDS
    }
}
