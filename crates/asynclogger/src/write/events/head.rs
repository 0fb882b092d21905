//! The shape of an event's block, and the times of its records while they are gathered.
//!
//! The times stand where the head of the block will be in the file, and grow away from the records: at first in the room in
//! front of these, and in pieces of their own once that room is too short for the head. So the head is made around them.

use crate::{
    format::{
        block,
        column::{SCALE_LEN, column_len},
    },
    mem::{Piece, Run},
    write::common::{Grid, When},
};

/// What the lengths of an event's blocks follow from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The alignment of the file, which is the room for a head in front of the records.
    pub(super) align: usize,
    /// The length of a piece.
    pub(super) piece: usize,
    /// The most records of a block, if records have times; else 0.
    pub(super) most_times: u32,
}

impl Shape {
    pub(super) fn is_timed(&self) -> bool {
        self.most_times > 0
    }

    /// The number of pieces for a block with `valid` bytes of so many records: for a head that is too long for the room in
    /// front, and for the rest.
    pub(super) fn pieces_of(&self, valid: usize, records: usize) -> (usize, usize) {
        let Shape { align, piece, .. } = *self;
        let data_len = block::data_len(valid);
        let bodies = |tail_len: usize| (align + data_len + tail_len).div_ceil(piece);
        let (head_len, bodies) = if self.is_timed() {
            let bodies = bodies(block::timed_tail_len(data_len, align));
            // The pieces are used up to their end, and the table of chunks grows meanwhile.
            (block::timed_head_len(bodies * piece, records, align), bodies)
        } else {
            (block::head_len(data_len, align), bodies(block::tail_len(data_len, align)))
        };
        let heads = if head_len > align { head_len.div_ceil(piece) } else { 0 };
        (heads, bodies)
    }

    /// The least length of the tail of a block of so many pieces.
    pub(super) fn least_tail(&self, bodies: usize) -> usize {
        let data_len = bodies * self.piece;
        if self.is_timed() {
            block::timed_head_len(data_len, 0, 1)
        } else {
            block::head_len(data_len, 1)
        }
    }

    /// The number of records that a block of so many pieces has times for.
    pub(super) fn times_in(&self, heads: usize, bodies: usize) -> u32 {
        if !self.is_timed() {
            return u32::MAX;
        }
        let room = if heads == 0 { self.align } else { heads * self.piece };
        let around = block::timed_head_len(bodies * self.piece, 0, 1);
        let times = room.saturating_sub(around) / Grid::ENTRY;
        u32::try_from(times).unwrap_or(u32::MAX).min(self.most_times)
    }
}

/// The head of a block that is not made yet.
#[derive(Default)]
pub(super) struct Head {
    /// The piece in front of the records first.
    pieces: Vec<Piece>,
    grid: Grid,
}

impl Head {
    pub(super) fn count(&self) -> usize {
        self.pieces.len()
    }

    /// What the entries of the times mean.
    pub(super) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Adds a piece. `first` is the piece of the first records, with `align` bytes of room in front of them, and the times
    /// of so many records there; `None`: there are no times.
    pub(super) fn push(&mut self, mut piece: Piece, first: Option<(&Piece, usize, usize)>) {
        if self.pieces.is_empty()
            && let Some((first, align, records)) = first
        {
            let len = SCALE_LEN + column_len(records);
            let end = piece.len();
            piece[end - len..].copy_from_slice(&first[align - len..align]);
        }
        self.pieces.push(piece);
    }

    /// Begins the times of a block with that of the first record.
    pub(super) fn begin(&mut self, first: &mut Piece, align: usize, when: When) {
        self.grid = Grid::around(when);
        let scale = self.grid.scale();
        if let Some(room) = self.room(first, align, SCALE_LEN) {
            scale.encode(&mut room[..SCALE_LEN]);
        }
    }

    /// Notes the entry of the time of the record with this index. The head has room for it.
    #[inline]
    pub(super) fn put(&mut self, first: &mut Piece, align: usize, index: usize, entry: u32) {
        if let Some(room) = self.room(first, align, SCALE_LEN + column_len(index + 1)) {
            room[..Grid::ENTRY].copy_from_slice(&entry.to_le_bytes());
        }
    }

    /// The bytes of a piece from `back` bytes in front of the records on.
    #[inline]
    fn room<'a>(
        &'a mut self,
        first: &'a mut Piece,
        align: usize,
        back: usize,
    ) -> Option<&'a mut [u8]> {
        if self.pieces.is_empty() {
            return first.get_mut(align.checked_sub(back)?..align);
        }
        let len = first.len();
        let piece = self.pieces.get_mut((back - 1) / len)?;
        piece.get_mut(len - 1 - (back - 1) % len..)
    }

    /// The pieces, as they go to the file.
    pub(super) fn into_run(self) -> Run {
        let mut run = Run::default();
        self.pieces.into_iter().rev().for_each(|piece| run.push(piece));
        run
    }
}
