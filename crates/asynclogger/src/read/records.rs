//! What a reader hands out: records and blocks.

use std::{fmt, time::SystemTime};

use super::{
    block::{BlockMeta, Run},
    loaded::{Cursor, Loaded, Located},
};
use crate::{Position, format::RECORD_HEADER};

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

    /// Its place in the log. Files of the original have none: there it is session 0, shard 0, and the
    /// number of the record in its file.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// When its block was sealed: the record was logged before. `None` in files of the original, which have
    /// no times.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Where its length stands in the file, in bytes; its own bytes follow four bytes later.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A copy with its own memory.
    #[must_use]
    pub fn into_owned(self) -> OwnedRecord {
        let Record { bytes, position, time, offset } = self;
        OwnedRecord { bytes: bytes.to_vec(), position, time, offset }
    }

    #[inline]
    pub(super) fn new(meta: &BlockMeta, data: &'a [u8], located: Located) -> Option<Record<'a>> {
        let start = located.at + RECORD_HEADER;
        let bytes = data.get(start..start + located.len)?;
        let position =
            Position { session: meta.session, shard: meta.shard, number: located.number };
        let offset = meta.data_offset + located.at as u64;
        Some(Record { bytes, position, time: meta.time, offset })
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

/// A block: one buffer of one shard, as it was written. In files of the original: a shard with records.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    loaded: &'a Loaded,
}

impl<'a> Block<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Block<'a> {
        Block { loaded }
    }

    /// Its records, without those that are damaged.
    #[must_use]
    pub fn records(&self) -> BlockRecords<'a> {
        let Loaded { meta, data, runs } = self.loaded;
        BlockRecords { meta, data, runs, cursor: Cursor::default() }
    }

    /// How many records it has, without those that are damaged.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.records().count() as u64
    }

    /// Number of the block in its session: 0, 1, 2 ... over all segments, in the order of writing.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.loaded.meta.sequence
    }

    /// The shard it was a buffer of.
    #[must_use]
    pub fn shard(&self) -> u32 {
        self.loaded.meta.shard
    }

    /// How many buffers the shard had sealed before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.loaded.meta.generation
    }

    /// When it was sealed. `None` in files of the original, which have no times.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.loaded.meta.time
    }

    /// The run of the logger that wrote it.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.loaded.meta.session
    }

    /// Number of the segment it is in; 0 in files of the original.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.loaded.meta.segment
    }

    /// Where it begins in the file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.loaded.meta.offset
    }

    /// Its length in the file, with head, padding and tail, in bytes.
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
                return Record::new(self.meta, self.data, located);
            }
            if !self.cursor.next_run(self.runs) {
                return None;
            }
        }
    }
}
