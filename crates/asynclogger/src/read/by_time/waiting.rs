//! Blocks that were read, in pieces that wait for their turn.

use std::time::Instant;

use super::window::changed;
use crate::{
    Error,
    format::{
        CHUNK, ChunkEntry, RECORD_HEADER,
        time::{saturated, to_nanoseconds},
    },
    probe::{Body, Place, Source, look},
    read::{
        block::{BlockMeta, Run},
        loaded::{Cursor, Loaded},
        times::Times,
    },
};

/// The number of chunks from which on a piece ends where the times go back.
const FULL: usize = 4;

/// A block that was read and checked. Its records are read again when it is their turn, so that the block needs no memory
/// until then.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) meta: BlockMeta,
    /// The segment of the block, as its log counts.
    pub(super) segment: u64,
    /// When the block was read.
    pub(super) since: Instant,
    /// The number of its pieces that were not delivered yet, and of those that are being delivered.
    pub(super) left: usize,
    turns: usize,
    /// Whether its log was told that the block cannot be read any more.
    pub(super) is_told: bool,
    /// While pieces are being delivered.
    head: Head,
}

/// What the head of a block has for its records.
#[derive(Debug, Default)]
pub(super) struct Head {
    times: Times,
    pub(super) table: Vec<ChunkEntry>,
    /// The length of the data part; `None` if there are no checksums.
    pub(super) data_len: Option<usize>,
}

/// Records of a block that wait for their turn.
///
/// The times of a logger's block never go back, so such a block is one piece. The block of a manager's event has records of
/// several threads, and its times go back where those of the next shared buffer begin. There each piece is either a stretch
/// without a step back, or several short ones together, which are sorted when it is their turn. So the memory for an
/// event's block is that of a few stretches, and not that of the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) runs: Vec<Run>,
    /// Whether the times of the records never go back.
    pub(super) is_ordered: bool,
    /// The least time of a record.
    pub(super) first: i64,
}

impl Block {
    /// Takes over a block that is loaded.
    pub(super) fn new(loaded: &mut Loaded, segment: u64) -> (Block, Vec<Piece>) {
        let pieces = pieces(loaded);
        let (meta, since, left) = (loaded.meta, Instant::now(), pieces.len());
        let head = Head::default();
        (Block { meta, segment, since, left, turns: 0, is_told: false, head }, pieces)
    }

    /// The time by which a record is ordered. Records of the original have none, and come first.
    #[inline]
    pub(super) fn time_of(&self, number: u64) -> i64 {
        time_of(&self.meta, &self.head.times, number)
    }

    pub(super) fn times(&self) -> &Times {
        &self.head.times
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Begins the delivery of a piece. The first piece needs the times and checksums of the block: they are read from the
    /// same head or tail as before.
    pub(super) fn begin(&mut self, source: &mut Source, buffer: &mut Vec<u8>) -> Result<(), Error> {
        // The file can have grown since it was opened.
        source.refresh()?;
        let meta = &self.meta;
        if self.turns == 0 && meta.time.is_some() {
            let place = look(source, meta.part_offset, buffer)?;
            let changed = || changed().at_path(source.path()).at_offset(meta.part_offset);
            let Place::Valid(part) = place else { return Err(changed()) };
            let Body::Block { info, ref table, .. } = part.body else { return Err(changed()) };
            let is_same = (part.prefix.session, info.sequence) == (meta.session, meta.sequence);
            if !is_same {
                return Err(changed());
            }
            self.head.times.set(&part, &info);
            self.head.table.clone_from(table);
            self.head.data_len = Some(info.data_len as usize);
        }
        self.turns += 1;
        Ok(())
    }

    /// Ends a piece; `has_begun` says whether its delivery had begun.
    pub(super) fn end(&mut self, has_begun: bool) {
        self.left -= 1;
        self.turns -= usize::from(has_begun);
        if self.turns == 0 {
            self.head = Head::default();
        }
    }
}

fn time_of(meta: &BlockMeta, times: &Times, number: u64) -> i64 {
    match times.of(number) {
        Some(time) => time,
        None => meta.time.map_or(i64::MIN, |time| saturated(to_nanoseconds(time))),
    }
}

/// Cuts a block where its times go back.
fn pieces(loaded: &mut Loaded) -> Vec<Piece> {
    let Loaded { meta, data, runs, times } = loaded;
    if times.is_ordered() {
        let first = runs.first().map_or(i64::MIN, |run| time_of(meta, times, run.number));
        return vec![Piece { runs: std::mem::take(runs), is_ordered: true, first }];
    }
    let mut pieces = Vec::new();
    for run in std::mem::take(runs) {
        let mut cursor = Cursor::default();
        cursor.next_run(&[run]);
        // The piece so far, the chunk in which it begins, and the last time.
        let mut piece: Option<(Piece, i64)> = None;
        while let Some(record) = cursor.next(data) {
            let (time, end) =
                (time_of(meta, times, record.number), record.at + RECORD_HEADER + record.len);
            if let Some((piece, last)) = &mut piece
                && let Some(whole) = piece.runs.first_mut()
            {
                let is_full = record.at / CHUNK >= whole.start / CHUNK + FULL;
                let goes_back = time < *last;
                if !is_full || piece.is_ordered && !goes_back {
                    whole.end = end;
                    piece.is_ordered &= !goes_back;
                    (piece.first, *last) = (piece.first.min(time), time);
                    continue;
                }
            }
            let runs = vec![Run { start: record.at, end, number: record.number }];
            let next = (Piece { runs, is_ordered: true, first: time }, time);
            pieces.extend(piece.replace(next).map(|(piece, _)| piece));
        }
        pieces.extend(piece.map(|(piece, _)| piece));
    }
    pieces
}
