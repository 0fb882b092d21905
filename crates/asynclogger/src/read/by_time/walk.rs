//! The way through one log, block after block in the order of its files, as far as the merge needs it.

use std::collections::VecDeque;

use super::waiting::{Block, Piece, full};
use crate::{
    Error,
    read::{ahead::Ahead, log_dir::LogDir, selection::Selection},
};

/// One log on the way.
///
/// `ahead` has the blocks that were there at the first look and were not read yet, each with the least time of its own
/// records and those of all blocks behind it: no record that is still to be read is earlier.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) log: LogDir,
    ahead: VecDeque<Ahead>,
    /// The selection that was asked for, while a smaller one is in its place.
    selection: Option<Selection>,
}

impl Walk {
    pub(super) fn new(log: LogDir) -> Walk {
        Walk { log, ahead: VecDeque::new(), selection: None }
    }

    /// Reads the heads of all blocks.
    pub(super) fn look_ahead(&mut self) {
        self.ahead = self.log.look_ahead().into();
        let mut least = i64::MAX;
        for ahead in self.ahead.iter_mut().rev() {
            least = least.min(ahead.first);
            ahead.first = least;
        }
    }

    /// How many records were there at the first look, and were not read yet.
    pub(super) fn records_ahead(&self) -> u64 {
        self.ahead.iter().fold(0, |records, ahead| records.saturating_add(ahead.records))
    }

    /// No record that was there at the first look, and was not read yet, is earlier; `None` if there is none.
    pub(super) fn bound(&self) -> Option<i64> {
        self.ahead.front().map(|ahead| ahead.first)
    }

    /// Reads the next block; `None` at the current end of the log.
    pub(super) fn next(
        &mut self,
        memory: &mut Vec<u8>,
    ) -> Result<Option<(Block, Vec<Piece>)>, Error> {
        self.log.lend_memory(memory);
        let found = self.log.next_loaded().map(|found| {
            found.map(|(segment, is_compressed, loaded)| {
                let place = (segment, loaded.meta.offset);
                (place, Block::new(loaded, segment, full(is_compressed)))
            })
        });
        self.log.take_memory(memory);
        let Ok(Some((place, block))) = found else {
            // Nothing more can be read for now. The other logs do not wait for that.
            self.reset();
            return found.map(|_| None);
        };
        while self.ahead.front().is_some_and(|ahead| ahead.place <= place) {
            self.ahead.pop_front();
        }
        Ok(Some(block))
    }

    /// Forgets what was read, for a log that moves to another place.
    pub(super) fn reset(&mut self) {
        self.ahead.clear();
        if let Some(selection) = self.selection.take() {
            self.log.set_selection(selection);
        }
    }

    /// Leaves out the blocks that are there and have no record at `first` or later.
    pub(super) fn begin_at(&mut self, first: i128) {
        let selection = self.log.selection();
        let since = selection.since.map_or(first, |since| since.max(first));
        self.log.set_selection(Selection { since: Some(since), ..selection });
        self.selection = Some(selection);
    }
}
