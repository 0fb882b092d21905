//! The pieces of blocks that were read and not delivered, by the times of their next records.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    files::Files,
    record::LogRecord,
    slab::Slab,
    turn::Turn,
    waiting::{Block, Piece},
    walk::Walk,
};
use crate::Error;

/// The place of a piece in the order: by the time of its next record, and then as it stands in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    log: usize,
    /// How many pieces were there before it.
    number: u64,
    slot: usize,
    block: usize,
}

#[derive(Debug)]
enum Slot {
    Waiting(Piece),
    Turn(Box<Turn>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: BinaryHeap<Reverse<Place>>,
    slots: Slab<Slot>,
    blocks: Slab<Block>,
    /// How many pieces there were, and how many are being delivered.
    pushed: u64,
    turns: usize,
    /// The memory for heads.
    buffer: Vec<u8>,
}

/// The result of moving on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The next record is in memory, or it was the last one of its piece.
    Done,
    /// The next record has to be read.
    Unread,
}

impl Queue {
    /// Adds the next block of a log.
    pub(super) fn push(&mut self, log: usize, (block, pieces): (Block, Vec<Piece>)) {
        let block = self.blocks.insert(block);
        for piece in pieces {
            let time = piece.first;
            let slot = self.slots.insert(Slot::Waiting(piece));
            self.places.push(Reverse(Place { time, log, number: self.pushed, slot, block }));
            self.pushed += 1;
        }
    }

    /// The time of the next record.
    #[inline]
    pub(super) fn time(&self) -> Option<i64> {
        self.places.peek().map(|first| first.0.time)
    }

    /// Whether the block of the next record was read at least this long ago.
    pub(super) fn has_waited(&self, time: Duration) -> bool {
        let block = self.places.peek().and_then(|first| self.blocks.get(first.0.block));
        block.is_none_or(|block| block.since.elapsed() >= time)
    }

    /// Whether the next record is in memory.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        let slot = self.places.peek().and_then(|first| self.slots.get(first.0.slot));
        matches!(slot, Some(Slot::Turn(_)))
    }

    /// The next record, if it is in memory.
    #[inline]
    pub(super) fn record(&self) -> Option<LogRecord<'_>> {
        let first = self.places.peek()?.0;
        let block = self.blocks.get(first.block)?;
        match self.slots.get(first.slot)? {
            Slot::Turn(turn) => {
                let record = turn.record(block)?;
                Some(LogRecord { record, log: first.log, segment: block.segment })
            }
            Slot::Waiting(_) => None,
        }
    }

    /// Moves on behind the next record.
    #[inline]
    pub(super) fn step(&mut self) -> Moved {
        let Some(mut first) = self.places.peek_mut() else { return Moved::Done };
        let slot = self.slots.get_mut(first.0.slot);
        let (Some(Slot::Turn(turn)), Some(block)) = (slot, self.blocks.get(first.0.block)) else {
            return Moved::Unread;
        };
        match turn.step(block) {
            Some(true) => {
                if first.0.time != turn.time {
                    first.0.time = turn.time;
                }
                Moved::Done
            }
            Some(false) => {
                drop(first);
                self.drop_first();
                Moved::Done
            }
            None => Moved::Unread,
        }
    }

    /// Moves on behind the next record, or to the first one of a waiting piece, and reads what is not in memory. A
    /// piece that cannot be read any more is given up, which its log reports, once for each block.
    #[cold]
    pub(super) fn read_and_step(&mut self, files: &mut Files, walks: &mut [Walk]) {
        while self.step() == Moved::Unread {
            if let Err(error) = self.read(files, walks) {
                self.tell(walks, error);
                self.drop_first();
                return;
            }
        }
    }

    fn tell(&mut self, walks: &mut [Walk], error: Error) {
        let Some(Reverse(first)) = self.places.peek() else { return };
        let block = self.blocks.get_mut(first.block);
        let is_told = block.is_some_and(|block| std::mem::replace(&mut block.is_told, true));
        if let Some(walk) = walks.get_mut(first.log).filter(|_| !is_told) {
            walk.log.note_undelivered(error);
        }
    }

    fn read(&mut self, files: &mut Files, walks: &mut [Walk]) -> Result<(), Error> {
        let Some(Reverse(first)) = self.places.peek() else { return Ok(()) };
        let Some(block) = self.blocks.get_mut(first.block) else { return Ok(()) };
        let Some(slot) = self.slots.get_mut(first.slot) else { return Ok(()) };
        let source = files.of(walks, (first.log, block.segment))?;
        match slot {
            Slot::Turn(turn) => turn.read_on(block, source, self.turns),
            Slot::Waiting(piece) => {
                block.begin(source, &mut self.buffer)?;
                *slot = Slot::Turn(Box::new(Turn::new(piece)));
                self.turns += 1;
                Ok(())
            }
        }
    }

    fn drop_first(&mut self) {
        let Some(Reverse(first)) = self.places.pop() else { return };
        let has_begun = matches!(self.slots.remove(first.slot), Some(Slot::Turn(_)));
        self.turns -= usize::from(has_begun);
        if let Some(block) = self.blocks.get_mut(first.block) {
            block.left -= 1;
            if block.left == 0 {
                self.blocks.remove(first.block);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        let turns = self.places.iter().filter_map(|place| match self.slots.get(place.0.slot) {
            Some(Slot::Turn(turn)) => Some(turn.in_memory()),
            _ => None,
        });
        turns.sum()
    }
}
