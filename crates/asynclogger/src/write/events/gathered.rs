//! The records of one event that are gathered for its next block.

use std::{mem, sync::Arc};

use super::{
    block::{self, EventBlock},
    event::Event,
};
use crate::{
    format::{CHUNK, ChunkEntry, RECORD_HEADER, SECTOR, block as shape},
    mem::{Arena, Piece, Run},
    write::buffer::HEADER,
};

/// There are not enough pieces of memory.
#[derive(Debug)]
pub(super) struct NoMemory;

/// What a record touches when it is gathered; the rest is behind a pointer. There is always room for the
/// tail, and the head, of what is here.
pub(super) struct Gathered {
    /// The piece that takes the next record, and where in it.
    piece: Option<Piece>,
    at: u32,
    /// Up to where in it records are put without a further thought.
    end: u32,
    /// Bytes of header and records; 0: nothing is gathered.
    filled: u32,
    /// Where the chunk ends that the last record began in, and how many began in it.
    chunk_end: u32,
    in_chunk: u32,
    records: u32,
    rest: Box<Rest>,
}

#[derive(Default)]
struct Rest {
    /// Pieces before and behind the one that takes the next record, and those of a head that is too long
    /// for the room in front.
    before: Run,
    behind: Vec<Piece>,
    head: Run,
    table: Vec<ChunkEntry>,
    /// When it began, as the memory counts time.
    began: u64,
    /// Of the file: the room for a head in front of the records.
    align: usize,
}

/// Pieces for a head that is too long for the room in front, and for the rest, of a block with so many bytes of
/// records.
pub(super) fn pieces_of(valid: usize, align: usize, piece_len: usize) -> (usize, usize) {
    let data_len = shape::data_len(valid);
    let head_len = shape::head_len(data_len, align);
    let heads = if head_len > align { head_len.div_ceil(piece_len) } else { 0 };
    let body_len = align + data_len + shape::tail_len(data_len, align);
    (heads, body_len.div_ceil(piece_len))
}

impl Gathered {
    /// Nothing yet, for a file of this alignment.
    pub(super) fn new(align: usize) -> Gathered {
        Gathered {
            piece: None,
            at: 0,
            end: 0,
            filled: 0,
            chunk_end: 0,
            in_chunk: 0,
            records: 0,
            rest: Box::new(Rest { align, ..Rest::default() }),
        }
    }

    /// Bytes of records, with their header.
    pub(super) fn filled(&self) -> usize {
        self.filled as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// When it began.
    pub(super) fn began(&self) -> u64 {
        self.rest.began
    }

    /// Pieces of memory that it has.
    pub(super) fn pieces(&self) -> usize {
        let Rest { before, behind, head, .. } = &*self.rest;
        usize::from(self.piece.is_some()) + before.count() + behind.len() + head.count()
    }

    /// Adds a record, if it has room at once.
    #[inline]
    pub(super) fn add(&mut self, record: &[u8]) -> bool {
        let needed = RECORD_HEADER + record.len();
        let at = self.at as usize;
        let Some(piece) = &mut self.piece else {
            return false;
        };
        if at + needed > self.end as usize {
            return false;
        }
        let Some(room) = piece.get_mut(at..at + needed) else {
            return false;
        };
        let (length, bytes) = room.split_at_mut(RECORD_HEADER);
        length.copy_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.copy_from_slice(record);
        self.at += needed as u32;
        self.count(needed);
        true
    }

    /// Adds a record, with more memory for it. `now` is when, if it is the first one. How many pieces it took.
    ///
    /// # Errors
    /// If there are not enough; then nothing has changed.
    pub(super) fn add_with(
        &mut self,
        record: &[u8],
        arena: &Arc<Arena>,
        now: u64,
    ) -> Result<usize, NoMemory> {
        let needed = RECORD_HEADER + record.len();
        let taken = self.grow(needed, arena)?;
        if self.filled == 0 {
            self.rest.began = now;
            self.filled = HEADER as u32;
            self.skip(self.rest.align + HEADER);
        }
        self.put(&(record.len() as u32).to_le_bytes());
        self.put(record);
        self.count(needed);
        self.set_end(arena.piece_len());
        Ok(taken)
    }

    /// Takes the pieces that it needs for so many bytes more, and for what goes round all of it then.
    fn grow(&mut self, needed: usize, arena: &Arc<Arena>) -> Result<usize, NoMemory> {
        let Rest { before, behind, head, align, .. } = &mut *self.rest;
        let valid = self.filled.max(HEADER as u32) as usize - HEADER + needed;
        let (heads, bodies) = pieces_of(valid, *align, arena.piece_len());
        let have = usize::from(self.piece.is_some()) + before.count() + behind.len();
        let bodies = bodies.saturating_sub(have);
        let heads = heads.saturating_sub(head.count());
        let taken: Vec<_> = (0..heads + bodies).map_while(|_| arena.take()).collect();
        if taken.len() < heads + bodies {
            return Err(NoMemory);
        }
        for (number, piece) in taken.into_iter().enumerate() {
            if number < heads {
                head.push(piece);
            } else {
                behind.push(piece);
            }
        }
        Ok(heads + bodies)
    }

    /// Goes on behind so many bytes that are written later.
    fn skip(&mut self, len: usize) {
        self.fill(len, |_| ());
    }

    fn put(&mut self, mut bytes: &[u8]) {
        self.fill(bytes.len(), |room| {
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
        });
    }

    /// Has the next `len` bytes filled in, piece by piece; they were made sure of before.
    fn fill(&mut self, mut len: usize, mut with: impl FnMut(&mut [u8])) {
        while len > 0 {
            if self.piece.is_none() {
                if self.rest.behind.is_empty() {
                    return;
                }
                (self.piece, self.at) = (Some(self.rest.behind.remove(0)), 0);
            }
            let Some(piece) = &mut self.piece else { return };
            let at = self.at as usize;
            let to = piece.len().min(at + len);
            with(&mut piece[at..to]);
            len -= to - at;
            self.at = to as u32;
            if to == piece.len()
                && let Some(full) = self.piece.take()
            {
                self.rest.before.push(full);
            }
        }
    }

    /// Until where in the piece a record may be put so that the tail still has room behind it.
    fn set_end(&mut self, piece_len: usize) {
        let Rest { before, behind, .. } = &*self.rest;
        self.end = if behind.is_empty() {
            let least_tail = shape::head_len((before.count() + 1) * piece_len, 1);
            piece_len.saturating_sub(least_tail + SECTOR) as u32
        } else {
            piece_len as u32
        };
    }

    /// Counts a record of so many bytes, with its prefix, that begins at the end of what is here.
    #[inline]
    fn count(&mut self, len: usize) {
        if self.filled >= self.chunk_end {
            self.next_chunk();
        }
        self.filled += len as u32;
        self.in_chunk += 1;
        self.records += 1;
    }

    /// The next record is the first one of a chunk.
    #[cold]
    fn next_chunk(&mut self) {
        self.close_chunk();
        let table = &mut self.rest.table;
        let first = self.filled;
        table.resize(first as usize / CHUNK, ChunkEntry::default());
        table.push(ChunkEntry { first, ..ChunkEntry::default() });
        self.chunk_end = (table.len() * CHUNK) as u32;
    }

    fn close_chunk(&mut self) {
        if let Some(last) = self.rest.table.last_mut() {
            last.records = self.in_chunk;
        }
        self.in_chunk = 0;
    }

    /// Makes a block of what is here, and begins anew; `None`: nothing is.
    pub(super) fn seal(&mut self, event: &Arc<Event>) -> Option<EventBlock> {
        if self.filled == 0 {
            return None;
        }
        self.close_chunk();
        let Gathered { piece, filled, rest, .. } =
            mem::replace(self, Gathered::new(self.rest.align));
        let Rest { mut before, behind, head, table, align, .. } = *rest;
        piece.into_iter().chain(behind).for_each(|piece| before.push(piece));
        Some(block::seal(event.clone(), head, before, align, filled - HEADER as u32, table))
    }
}
