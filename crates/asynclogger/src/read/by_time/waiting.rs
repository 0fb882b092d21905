//! Blocks that were read, in pieces that wait for their turn.

use std::time::Instant;

use super::{sums::Sums, window::changed};
use crate::{
    Error,
    format::{
        RECORD_HEADER,
        time::{saturated, to_nanoseconds},
    },
    probe::{Body, Place, Source, look},
    read::{
        block::{BlockMeta, Run},
        loaded::{Cursor, Loaded},
        times::Times,
    },
};

/// The length from which on a piece ends where the times go back. Below, a piece would cost more than its bytes.
const PLAIN_FULL: usize = 4096;
/// The same for a compressed file, of which a whole frame is decompressed for each piece.
const COMPRESSED_FULL: usize = 256 << 10;

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
    /// Whether its log was told that the block cannot be read any more.
    pub(super) is_told: bool,
    /// From the first piece on.
    times: Option<Times>,
    sums: Sums,
}

/// Records of a block that wait for their turn.
///
/// The times of a logger's block never go back, so such a block is one piece. The block of a manager's event has records of
/// several threads, and its times go back where those of the next shared buffer begin. There each piece is either a stretch
/// without a step back, or several ones of less than 4 KiB together, which are sorted when it is their turn. So the memory
/// for an event's block is that of the stretches around the present moment, and not that of the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) runs: Vec<Run>,
    /// Whether the times of the records never go back.
    pub(super) is_ordered: bool,
    /// The least time of a record.
    pub(super) first: i64,
}

impl Block {
    /// Takes over a block that is loaded. `full` is the length of a piece, where the times go back.
    pub(super) fn new(loaded: &mut Loaded, segment: u64, full: usize) -> (Block, Vec<Piece>) {
        let is_ordered = loaded.times.is_ordered();
        let sums = if is_ordered { Sums::default() } else { Sums::of_data(&loaded.data) };
        let pieces = pieces(loaded, full);
        let (meta, since, left) = (loaded.meta, Instant::now(), pieces.len());
        (Block { meta, segment, since, left, is_told: false, times: None, sums }, pieces)
    }

    /// The time by which a record is ordered. Records of the original have none, and come first.
    #[inline]
    pub(super) fn time_of(&self, number: u64) -> i64 {
        time_of(&self.meta, self.times.as_ref(), number)
    }

    pub(super) fn times(&self) -> Option<&Times> {
        self.times.as_ref()
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Begins the delivery of a piece. The first piece needs the times and checksums of the block: they are read from the
    /// same head or tail as before, and stay in memory until the last piece is delivered.
    pub(super) fn begin(&mut self, source: &mut Source, buffer: &mut Vec<u8>) -> Result<(), Error> {
        if self.times.is_some() {
            return Ok(());
        }
        let mut times = Times::default();
        let meta = &self.meta;
        if meta.time.is_some() {
            let place = source.at_present(|source| look(source, meta.part_offset, buffer))?;
            let changed = || changed().at_path(source.path()).at_offset(meta.part_offset);
            let Place::Valid(part) = place else { return Err(changed()) };
            let Body::Block { info, ref table, .. } = part.body else { return Err(changed()) };
            let is_same = (part.prefix.session, info.sequence) == (meta.session, meta.sequence);
            if !is_same {
                return Err(changed());
            }
            times.set(&part, &info);
            if self.sums.is_empty() {
                self.sums = Sums::of_table(table, info.data_len as usize);
            }
        }
        self.times = Some(times);
        Ok(())
    }
}

/// The length of a piece of an event's block, where the times go back.
pub(super) fn full(is_compressed: bool) -> usize {
    if is_compressed { COMPRESSED_FULL } else { PLAIN_FULL }
}

fn time_of(meta: &BlockMeta, times: Option<&Times>, number: u64) -> i64 {
    match times.and_then(|times| times.of(number)) {
        Some(time) => time,
        None => meta.time.map_or(i64::MIN, |time| saturated(to_nanoseconds(time))),
    }
}

/// Cuts a block where its times go back.
fn pieces(loaded: &mut Loaded, full: usize) -> Vec<Piece> {
    let Loaded { meta, data, runs, times } = loaded;
    if times.is_ordered() {
        let first = runs.first().map_or(i64::MIN, |run| time_of(meta, Some(times), run.number));
        return vec![Piece { runs: std::mem::take(runs), is_ordered: true, first }];
    }
    let mut pieces = Vec::new();
    for run in std::mem::take(runs) {
        let mut cursor = Cursor::default();
        cursor.next_run(&[run]);
        // The piece so far, and the last time.
        let mut piece: Option<(Piece, i64)> = None;
        while let Some(record) = cursor.next(data) {
            let (time, end) =
                (time_of(meta, Some(times), record.number), record.at + RECORD_HEADER + record.len);
            if let Some((piece, last)) = &mut piece
                && let Some(whole) = piece.runs.first_mut()
            {
                let is_full = record.at - whole.start >= full;
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
