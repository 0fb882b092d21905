//! The account of one log in a map.

use super::{
    map::CrashMap,
    track::Track,
    words::{self, LogPlaces},
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
            word.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes the numbers of a shard behind a block that has its place in the journal: the last of the words is the
    /// generation, so until it is stored the journal's entry counts.
    pub(in crate::write) fn track(&self, shard: u32, track: &Track) {
        let at = self.places.track(shard as usize);
        words::store(self.memory(), at.start + 1..at.end, &track.numbers());
        words::store_one(self.memory(), at.start, track.next_generation);
    }

    /// Notes that a buffer without records was passed over.
    pub(in crate::write) fn pass(&self, shard: u32, next_generation: u64) {
        words::store_one(self.memory(), self.places.track(shard as usize).start, next_generation);
    }

    /// The generation of a shard that has no place yet.
    pub(super) fn next_generation(&self, shard: usize) -> u64 {
        words::load_one(self.memory(), self.places.track(shard).start)
    }

    /// The numbers of the journal's first entry, and of the next one.
    pub(super) fn bounds(&self) -> (u32, u32) {
        let bounds = words::load_one(self.memory(), self.places.bounds());
        ((bounds >> 32) as u32, bounds as u32)
    }

    /// Which record of whereabouts is the current one.
    pub(super) fn current(&self) -> usize {
        words::load_one(self.memory(), self.places.current()) as usize & 1
    }

    /// Whether the log's file was noted: before that, no record of the log was accepted.
    pub(in crate::write) fn has_file(&self) -> bool {
        let places = &self.places;
        let words = places.whereabouts(0).start..places.whereabouts(1).end;
        words::load(self.memory(), words).iter().any(|word| *word != 0)
    }

    /// Forgets an earlier log: all words become zero.
    pub(super) fn clear(&self) {
        self.places.all().for_each(|at| words::store_one(self.memory(), at, 0));
    }

    /// Whether nothing was ever noted.
    pub(super) fn is_unused(&self) -> bool {
        words::load(self.memory(), self.places.all()).iter().all(|word| *word == 0)
    }
}
