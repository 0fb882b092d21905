//! The block that is loaded, and the way through its records.

use super::{
    block::{BlockMeta, Run},
    times::Times,
};
use crate::{
    Error,
    format::{
        BlockInfo, CHUNK, ChunkEntry, RECORD_HEADER, checksum::crc32c, time::from_nanoseconds,
    },
    probe::{Part, Source},
};

/// How many bytes are read at a time, so that their checksums are computed while the bytes are in the cache.
const PIECE: usize = 4 * CHUNK;

/// A block in memory. The memory is used again for the next block.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) meta: BlockMeta,
    /// The data part, as far as the file contains it.
    pub(super) data: Vec<u8>,
    /// The records to deliver.
    pub(super) runs: Vec<Run>,
    pub(super) times: Times,
}

impl Loaded {
    /// Reads a data part, and returns which of its chunks have the checksum in `table`. A chunk that the end
    /// of the file cuts counts as bad.
    pub(super) fn fill(
        &mut self,
        source: &mut Source,
        offset: u64,
        len: usize,
        table: &[ChunkEntry],
    ) -> Result<Vec<bool>, Error> {
        self.runs.clear();
        let there = usize::try_from(source.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        self.data.resize(len.min(there), 0);
        let mut good = Vec::with_capacity(table.len());
        let mut filled = 0;
        for (piece, entries) in self.data.chunks_mut(PIECE).zip(table.chunks(PIECE / CHUNK)) {
            let read = source.read_at(offset + filled as u64, piece)?;
            let piece_len = piece.len();
            let mut chunks = piece.get(..read).unwrap_or_default().chunks(CHUNK);
            for (index, entry) in entries.iter().enumerate() {
                let expected = (len - filled).saturating_sub(index * CHUNK).min(CHUNK);
                let chunk = chunks.next().filter(|chunk| chunk.len() == expected);
                good.push(chunk.is_some_and(|chunk| crc32c(chunk) == entry.crc));
            }
            filled += read;
            if read < piece_len {
                break;
            }
        }
        self.data.truncate(filled);
        good.resize(table.len(), false);
        Ok(good)
    }

    pub(super) fn set(
        &mut self,
        part: &Part,
        info: &BlockInfo,
        offset: u64,
        data_offset: u64,
        runs: Vec<Run>,
    ) {
        self.meta = BlockMeta {
            offset,
            data_offset,
            part_offset: part.offset,
            len: info.block_len(),
            segment: part.prefix.segment,
            session: part.prefix.session,
            sequence: info.sequence,
            generation: info.generation,
            time: Some(from_nanoseconds(part.prefix.time)),
            shard: info.shard,
        };
        self.runs = runs;
        self.times.set(part, info);
    }
}

/// A place among the records of the loaded block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// Offset of the next record's length, and the end of its run.
    at: usize,
    end: usize,
    /// Number of the next record.
    number: u64,
    /// Index of the run after this one.
    next_run: usize,
}

/// The place of a record in the data part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    /// Offset of the record's length.
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) number: u64,
}

impl Cursor {
    /// The next record of the run; `None` at its end.
    #[inline]
    pub(super) fn next(&mut self, data: &[u8]) -> Option<Located> {
        let prefix = data.get(self.at..self.end)?.first_chunk::<RECORD_HEADER>()?;
        let located =
            Located { at: self.at, len: u32::from_le_bytes(*prefix) as usize, number: self.number };
        self.at += RECORD_HEADER + located.len;
        self.number = self.number.wrapping_add(1);
        Some(located)
    }

    /// Whether the run has another record.
    #[inline]
    pub(super) fn has_next(&self) -> bool {
        self.at < self.end
    }

    /// Moves behind all runs.
    pub(super) fn pass(&mut self, runs: &[Run]) {
        *self = Cursor { next_run: runs.len(), ..Cursor::default() };
    }

    /// Moves to the next run; `false` if there is none.
    #[cold]
    pub(super) fn next_run(&mut self, runs: &[Run]) -> bool {
        let Some(run) = runs.get(self.next_run) else { return false };
        let next_run = self.next_run + 1;
        *self = Cursor { at: run.start, end: run.end, number: run.number, next_run };
        true
    }
}
