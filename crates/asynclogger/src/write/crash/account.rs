//! The account of one log in a map.

use super::{
    map::CrashMap,
    track::Track,
    words::{self, Damaged, LogPlaces},
};
use crate::{
    mem::SharedMemory,
    sync::{Arc, Ordering},
    write::common::Reason,
};

/// The words of one log: its journal, its tracks, its drops. Each function notes one step of the log's writer.
#[derive(Clone, Debug)]
pub(in crate::write) struct LogAccount {
    map: Arc<CrashMap>,
    places: LogPlaces,
}

impl LogAccount {
    /// The account of a logger, or of a manager's event with this number.
    pub(in crate::write) fn of(map: &Arc<CrashMap>, log: usize) -> LogAccount {
        LogAccount { map: map.clone(), places: map.places().log(log) }
    }

    pub(super) fn memory(&self) -> &SharedMemory {
        self.map.memory()
    }

    pub(super) fn places(&self) -> &LogPlaces {
        &self.places
    }

    /// Counts a refused record.
    pub(in crate::write) fn count_drop(&self, shard: usize, reason: Reason) {
        let at = self.places.drops(shard).start + reason as usize;
        if let Some(word) = words::word(self.memory(), at) {
            // Relaxed: a count.
            word.fetch_add(words::DROP, Ordering::Relaxed);
        }
    }

    /// Notes the numbers of a shard behind a block that has its place in the journal: the last of the words is the
    /// generation, so until it is stored the journal's entry counts.
    pub(in crate::write) fn track(&self, shard: u32, track: &Track) {
        let at = self.places.track(shard as usize);
        words::store(self.memory(), at.start + 1..at.end, &track.encode()[1..]);
        words::store_one(self.memory(), at.start, track.next_generation);
    }

    /// The generation of a shard that has no place yet.
    pub(super) fn next_generation(&self, shard: usize) -> u64 {
        words::load_one(self.memory(), self.places.track(shard).start)
    }

    /// The numbers of the journal's first entry, and of the next one.
    ///
    /// # Errors
    /// The word is damaged.
    pub(super) fn bounds(&self) -> Result<(u32, u32), Damaged> {
        let at = self.places.bounds();
        words::bounds_of(words::load_one(self.memory(), at), at)
    }

    /// Which record of whereabouts is the current one.
    ///
    /// # Errors
    /// The word is damaged.
    pub(super) fn current(&self) -> Result<usize, Damaged> {
        words::current_of(words::load_one(self.memory(), self.places.current()))
    }

    /// Whether the log's file was noted: before that, no record of the log was accepted.
    pub(in crate::write) fn has_file(&self) -> bool {
        let (memory, places) = (self.memory(), &self.places);
        // The first file's whereabouts go to record 1: its writer can have died within their stores.
        words::load_one(memory, places.current()) != 0
            || words::load(memory, places.whereabouts(0)).iter().any(|word| *word != 0)
    }

    /// Forgets an earlier log: all words become zero.
    pub(super) fn clear(&self) {
        self.places.all().for_each(|at| words::store_one(self.memory(), at, 0));
    }
}
