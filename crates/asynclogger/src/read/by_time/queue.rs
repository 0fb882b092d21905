//! The blocks that were read and not delivered, by the times of their next records.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    files::Files,
    record::LogRecord,
    waiting::{Turn, Waiting},
    walk::Walk,
};
use crate::Error;

/// The place of a block in the order: by the time of its next record, and then as it stands in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    log: usize,
    /// The number of the block in its log.
    block: u64,
    slot: usize,
}

#[derive(Debug)]
enum Slot {
    Free,
    Waiting(Waiting),
    Turn(Box<Turn>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: BinaryHeap<Reverse<Place>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The memory for heads.
    buffer: Vec<u8>,
}

/// The result of moving on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The next record is in memory, or it was the last one of its block.
    Done,
    /// The next record has to be read.
    Unread,
}

impl Queue {
    pub(super) fn push(&mut self, log: usize, block: u64, waiting: Waiting) {
        let time = waiting.first;
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(free) => *free = Slot::Waiting(waiting),
            None => self.slots.push(Slot::Waiting(waiting)),
        }
        self.places.push(Reverse(Place { time, log, block, slot }));
    }

    /// The time of the next record.
    #[inline]
    pub(super) fn time(&self) -> Option<i64> {
        self.places.peek().map(|first| first.0.time)
    }

    /// Whether the block of the next record was read at least this long ago.
    pub(super) fn has_waited(&self, time: Duration) -> bool {
        let slot = self.places.peek().and_then(|first| self.slots.get(first.0.slot));
        match slot {
            Some(Slot::Waiting(waiting)) => waiting.since.elapsed() >= time,
            Some(Slot::Turn(turn)) => turn.since().elapsed() >= time,
            Some(Slot::Free) | None => true,
        }
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
        match self.slots.get(first.slot)? {
            Slot::Turn(turn) => {
                Some(LogRecord { record: turn.record()?, log: first.log, segment: turn.segment() })
            }
            Slot::Free | Slot::Waiting(_) => None,
        }
    }

    /// Moves on behind the next record.
    #[inline]
    pub(super) fn step(&mut self) -> Moved {
        let Some(mut first) = self.places.peek_mut() else { return Moved::Done };
        let Some(Slot::Turn(turn)) = self.slots.get_mut(first.0.slot) else {
            return Moved::Unread;
        };
        match turn.step() {
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

    /// Moves on behind the next record, or to the first one of a waiting block, and reads what is not in memory. A
    /// block that cannot be read any more is given up, which its log reports.
    #[cold]
    pub(super) fn read_and_step(&mut self, files: &mut Files, walks: &mut [Walk]) {
        while self.step() == Moved::Unread {
            if let Err(error) = self.read(files, walks) {
                let log = self.places.peek().map(|first| first.0.log);
                if let Some(walk) = log.and_then(|log| walks.get_mut(log)) {
                    walk.log.note_undelivered(error);
                }
                self.drop_first();
                return;
            }
        }
    }

    fn read(&mut self, files: &mut Files, walks: &mut [Walk]) -> Result<(), Error> {
        let Some(Reverse(first)) = self.places.peek() else { return Ok(()) };
        let Some(slot) = self.slots.get_mut(first.slot) else { return Ok(()) };
        match slot {
            Slot::Turn(turn) => turn.read_on(files.of(walks, (first.log, turn.segment()))?),
            Slot::Waiting(waiting) => {
                let source = files.of(walks, (first.log, waiting.segment()))?;
                let turn = Turn::new(waiting, source, &mut self.buffer)?;
                *slot = Slot::Turn(Box::new(turn));
                Ok(())
            }
            Slot::Free => Ok(()),
        }
    }

    fn drop_first(&mut self) {
        let Some(Reverse(first)) = self.places.pop() else { return };
        if let Some(slot) = self.slots.get_mut(first.slot) {
            *slot = Slot::Free;
            self.free.push(first.slot);
        }
    }
}
