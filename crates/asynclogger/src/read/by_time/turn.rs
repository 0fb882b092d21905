//! The pieces whose records are being delivered.

use std::vec::IntoIter;

use super::{
    waiting::{Block, Piece},
    window::Window,
};
use crate::{
    Error,
    format::RECORD_HEADER,
    probe::Source,
    read::{block::Run, records::Record},
};

/// A piece whose records are delivered now, with a part of its data in memory.
#[derive(Debug)]
pub(super) struct Turn {
    runs: Vec<Run>,
    is_ordered: bool,
    window: Window,
    /// The current record: from its length to its end, and its number.
    record: (usize, usize),
    number: u64,
    /// The end of the current run, and the index of the next one. The end is 0 if the records have to be sorted.
    end: usize,
    next_run: usize,
    /// The records that were sorted: times, numbers and places.
    sorted: Option<IntoIter<(i64, u64, usize)>>,
    /// The time of the current record.
    pub(super) time: i64,
}

impl Turn {
    pub(super) fn new(piece: &mut Piece) -> Turn {
        Turn {
            runs: std::mem::take(&mut piece.runs),
            is_ordered: piece.is_ordered,
            window: Window::default(),
            record: (0, 0),
            number: 0,
            end: 0,
            next_run: 0,
            sorted: None,
            time: piece.first,
        }
    }

    /// Moves to the next record if its bytes are in memory; `Some(false)` at the end of the piece.
    #[inline]
    pub(super) fn step(&mut self, block: &Block) -> Option<bool> {
        let at = self.record.1;
        if at >= self.end {
            return if self.is_ordered { self.next_run(block) } else { self.next_sorted(block) };
        }
        let end = self.end_of(at)?;
        self.window.get(at, end)?;
        (self.record, self.number) = ((at, end), self.number.wrapping_add(1));
        self.time = block.time_of(self.number);
        Some(true)
    }

    /// The end of the record at a place.
    #[inline]
    fn end_of(&self, at: usize) -> Option<usize> {
        let prefix = self.window.get(at, at + RECORD_HEADER)?.first_chunk()?;
        Some((at + RECORD_HEADER).saturating_add(u32::from_le_bytes(*prefix) as usize))
    }

    #[cold]
    fn next_run(&mut self, block: &Block) -> Option<bool> {
        let Some(run) = self.begin_run(block) else { return Some(false) };
        self.end = run.end;
        None
    }

    fn begin_run(&mut self, block: &Block) -> Option<Run> {
        let run = *self.runs.get(self.next_run)?;
        self.next_run += 1;
        self.window.begin((run.start, run.end), block.sums());
        (self.record, self.number) = ((run.start, run.start), run.number.wrapping_sub(1));
        Some(run)
    }

    /// [`step`](Turn::step) for a piece whose records have to be sorted: all of them have to be in memory first.
    fn next_sorted(&mut self, block: &Block) -> Option<bool> {
        if self.sorted.is_none() {
            self.sorted = Some(self.sort(block)?.into_iter());
        }
        let Some((time, number, at)) = self.sorted.as_mut().and_then(IntoIter::next) else {
            return Some(false);
        };
        (self.record, self.number, self.time) = ((at, self.end_of(at)?), number, time);
        Some(true)
    }

    /// The records of the piece by their times, those of equal times as they stand in the block.
    #[cold]
    fn sort(&mut self, block: &Block) -> Option<Vec<(i64, u64, usize)>> {
        // Such a piece has one run.
        if self.next_run == 0 {
            self.begin_run(block);
        }
        let mut sorted = Vec::new();
        if let Some(run) = self.runs.first() {
            self.window.get(run.start, run.end)?;
            let (mut at, mut number) = (run.start, run.number);
            while at < run.end {
                sorted.push((block.time_of(number), number, at));
                (at, number) = (self.end_of(at)?, number.wrapping_add(1));
            }
        }
        sorted.sort_unstable();
        Some(sorted)
    }

    /// Reads more of the piece. `turns` is the number of pieces that are delivered now.
    #[cold]
    pub(super) fn read_on(
        &mut self,
        block: &Block,
        source: &mut Source,
        turns: usize,
    ) -> Result<(), Error> {
        let data_at = block.meta.data_offset;
        self.window.extend(source, data_at, self.record.1, (block.sums(), turns))
    }

    /// The current record.
    #[inline]
    pub(super) fn record(&self, block: &Block) -> Option<Record<'_>> {
        let (from, to) = self.record;
        let bytes = self.window.get(from + RECORD_HEADER, to)?;
        let place = (self.number, from as u64);
        Some(Record::of(&block.meta, block.times()?, bytes, place))
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.window.in_memory()
    }
}
