//! The records and blocks that a reader delivers.

use std::{fmt, time::SystemTime};

use super::{
    block::{BlockMeta, Run},
    loaded::{Cursor, Loaded, Located},
    times::Times,
};
use crate::{
    Position,
    format::{RECORD_HEADER, time::from_nanoseconds},
};

/// A record, in the memory of its block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    bytes: &'a [u8],
    position: Position,
    time: Option<SystemTime>,
    offset: u64,
}

impl<'a> Record<'a> {
    /// The bytes that were logged.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The place of the record in its log. Files of the original have no positions: there the position is
    /// session 0, shard 0 and the number of the record in its file.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The time of the log call, if the block has times for its records. Else, and where damage has taken them, the time when
    /// the block of the record was sealed; the record was logged before. `None` in files of the original, which have no
    /// times.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// The offset of the record's length in the file, in bytes; the bytes of the record follow four bytes
    /// later.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A copy of the record with its own memory.
    #[must_use]
    pub fn into_owned(self) -> OwnedRecord {
        let Record { bytes, position, time, offset } = self;
        OwnedRecord { bytes: bytes.to_vec(), position, time, offset }
    }

    /// A record whose block is not loaded.
    #[inline]
    pub(super) fn of(
        meta: &BlockMeta,
        times: &Times,
        bytes: &'a [u8],
        (number, data_offset): (u64, u64),
    ) -> Record<'a> {
        let position = Position { session: meta.session, shard: meta.shard, number };
        let offset = meta.data_offset + data_offset;
        let time = times.of(number).map(from_nanoseconds).or(meta.time);
        Record { bytes, position, time, offset }
    }

    #[inline]
    pub(super) fn new(
        meta: &BlockMeta,
        times: &Times,
        data: &'a [u8],
        located: Located,
    ) -> Option<Record<'a>> {
        let start = located.at + RECORD_HEADER;
        let bytes = data.get(start..start + located.len)?;
        Some(Record::of(meta, times, bytes, (located.number, located.at as u64)))
    }
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> OwnedRecord {
        record.into_owned()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("bytes", &format_args!("\"{}\"", self.bytes.escape_ascii()))
            .field("position", &self.position)
            .field("time", &self.time)
            .field("offset", &self.offset)
            .finish()
    }
}

/// A record with its own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// The bytes that were logged.
    pub bytes: Vec<u8>,
    /// See [`Record::position`].
    pub position: Position,
    /// See [`Record::time`].
    pub time: Option<SystemTime>,
    /// See [`Record::offset`].
    pub offset: u64,
}

/// A block: one buffer of one shard, as it was written. In a file of the original: a shard with records.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    loaded: &'a Loaded,
}

impl<'a> Block<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Block<'a> {
        Block { loaded }
    }

    /// The records of the block, without damaged ones.
    #[must_use]
    pub fn records(&self) -> BlockRecords<'a> {
        let Loaded { meta, data, runs, times } = self.loaded;
        BlockRecords { meta, times, data, runs, cursor: Cursor::default() }
    }

    /// The number of records in the block, without damaged ones.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.records().count() as u64
    }

    /// Number of the block in its session: 0, 1, 2 ... over all segments, in the order of writing.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.loaded.meta.sequence
    }

    /// The shard whose buffer the block was.
    #[must_use]
    pub fn shard(&self) -> u32 {
        self.loaded.meta.shard
    }

    /// The number of buffers that the shard had sealed before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.loaded.meta.generation
    }

    /// The time when the block was sealed. `None` in files of the original, which have no times.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.loaded.meta.time
    }

    /// Whether the records have times of their own. Else the time of the block stands for theirs.
    #[must_use]
    pub fn has_times(&self) -> bool {
        !self.loaded.times.entries().is_empty()
    }

    /// The session, that is, the run of the logger that wrote the block.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.loaded.meta.session
    }

    /// Number of the segment that the block is in; 0 in files of the original.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.loaded.meta.segment
    }

    /// The offset of the block in the file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.loaded.meta.offset
    }

    /// The length of the block in the file, with head, padding and tail, in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length of a part of a file, not of a list"
    )]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.loaded.meta.len
    }
}

/// The records of one block.
#[derive(Clone, Debug)]
pub struct BlockRecords<'a> {
    meta: &'a BlockMeta,
    times: &'a Times,
    data: &'a [u8],
    runs: &'a [Run],
    cursor: Cursor,
}

impl<'a> Iterator for BlockRecords<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            if let Some(located) = self.cursor.next(self.data) {
                return Record::new(self.meta, self.times, self.data, located);
            }
            if !self.cursor.next_run(self.runs) {
                return None;
            }
        }
    }
}
