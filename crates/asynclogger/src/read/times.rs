//! The times of the records of one block.

use super::block::{Run, without_numbered};
use crate::{
    format::{BlockInfo, Scale},
    probe::{Body, Part},
    read::selection::Selection,
};

/// The times of the records of one block. A block without times, or whose column is damaged, has no entries: then the
/// time of the block stands for the times of its records.
#[derive(Debug, Default)]
pub(super) struct Times {
    scale: Scale,
    /// The number of the first record.
    first: u64,
    entries: Vec<u32>,
}

impl Times {
    /// Takes over the times of another block.
    pub(super) fn set(&mut self, part: &Part, info: &BlockInfo) {
        self.entries.clear();
        if let (Some(scale), Body::Block { times, .. }) = (info.scale, &part.body) {
            (self.scale, self.first) = (scale, info.first_record);
            self.entries.extend_from_slice(times);
        }
    }

    /// Forgets the times, for a block that has none.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The entries of all records of the block.
    pub(super) fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// The time of a record, in nanoseconds since the epoch.
    #[inline]
    pub(super) fn of(&self, number: u64) -> Option<i64> {
        let index = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        self.entries.get(index).map(|entry| self.scale.time(*entry))
    }

    /// Whether the times never go back.
    pub(super) fn is_ordered(&self) -> bool {
        self.entries.is_sorted()
    }

    /// Removes the records that are not selected from `runs`; returns the other runs, and the number of the removed
    /// records and of their bytes.
    pub(super) fn select(
        &self,
        selection: &Selection,
        data: &[u8],
        runs: &[Run],
    ) -> (Vec<Run>, u64, u64) {
        let is_out = |number| self.of(number).is_some_and(|time| !selection.admits(time));
        without_numbered(data, runs, is_out)
    }
}

/// The records of a block that a selection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) count: u64,
    /// Whether these are all records of the block.
    pub(super) is_all: bool,
}

impl Selected {
    /// What a selection takes of a block, by its head or tail alone.
    pub(super) fn of(selection: &Selection, part: &Part, info: &BlockInfo) -> Selected {
        let records = u64::from(info.records);
        let all = Selected { count: records, is_all: true };
        let none = Selected { count: 0, is_all: records == 0 };
        if selection.is_all() {
            return all;
        }
        match (info.scale, &part.body) {
            (Some(scale), Body::Block { times, .. }) if !times.is_empty() => {
                let admits = |entry: &u32| selection.admits(scale.time(*entry));
                let count = times.iter().filter(|entry| admits(entry)).count() as u64;
                Selected { count, is_all: count == records }
            }
            _ if selection.admits(part.prefix.time) => all,
            _ => none,
        }
    }

    /// How many records from the first one of a block on have to be passed over, so that `count` selected ones are.
    pub(super) fn reach(count: u64, selection: &Selection, times: &Times, info: &BlockInfo) -> u64 {
        let numbers = info.first_record..info.first_record.saturating_add(u64::from(info.records));
        let mut left = count;
        let is_passed = |number: &u64| {
            let is_selected = times.of(*number).is_none_or(|time| selection.admits(time));
            let goes_on = left > 0 || !is_selected;
            left = left.saturating_sub(u64::from(is_selected));
            goes_on
        };
        numbers.take_while(is_passed).count() as u64
    }
}
