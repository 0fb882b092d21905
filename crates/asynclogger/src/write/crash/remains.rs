//! The account of a map, read after its writer's death.

use super::{
    journal::{Entry, Placed, Whereabouts},
    map::CrashMap,
    words,
};
use crate::format::{DROP_REASONS, Dropped};

/// The numbers of one shard behind the last of its buffers that has a place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::write) struct Track {
    pub(in crate::write) next_generation: u64,
    pub(in crate::write) next_record: u64,
    /// Drops that the shard's blocks have reported.
    pub(in crate::write) declared: Dropped,
}

impl Track {
    /// All but the generation, as words.
    pub(super) fn numbers(&self) -> [u64; 1 + DROP_REASONS] {
        let mut words = [self.next_record; 1 + DROP_REASONS];
        words[1..].copy_from_slice(&self.declared.to_array());
        words
    }

    fn decode(words: &[u64]) -> Option<Track> {
        let [next_generation, next_record, declared @ ..] = words else {
            return None;
        };
        let declared = Dropped::from_array(declared.try_into().ok()?);
        Some(Track { next_generation: *next_generation, next_record: *next_record, declared })
    }
}

/// A buffer that belongs to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) struct Owned {
    pub(in crate::write) buffer: u32,
    pub(in crate::write) shard: u32,
    pub(in crate::write) generation: u64,
}

/// The account that a dead process has left.
#[derive(Debug)]
pub(in crate::write) struct Remains {
    pub(in crate::write) owned: Vec<Owned>,
    /// Drops of each shard.
    pub(in crate::write) drops: Vec<Dropped>,
    /// The numbers of each shard.
    pub(in crate::write) tracks: Vec<Track>,
    /// The parts with a place that were not yet as safe as the durability level asked for, in the order of the file.
    pub(in crate::write) parts: Vec<Entry>,
    /// The last part that had left, if there was one.
    pub(in crate::write) left: Option<Entry>,
    /// The file of the parts; without parts, the file that was written last.
    pub(in crate::write) whereabouts: Whereabouts,
}

impl Remains {
    /// The buffers with records that may be in no file, and whether each has a place in one.
    pub(in crate::write) fn waiting(&self) -> impl Iterator<Item = (Owned, bool)> + '_ {
        self.owned.iter().filter_map(|owned| {
            let is_of = |part: &Entry| match &part.placed {
                Placed::Block { info, .. } => {
                    (info.shard, info.generation) == (owned.shard, owned.generation)
                }
                Placed::Totals { .. } => false,
            };
            if self.parts.iter().any(is_of) {
                return Some((*owned, true));
            }
            let next = self.tracks.get(owned.shard as usize).map(|track| track.next_generation);
            // A buffer of an earlier generation was written, and was about to become free.
            next.is_none_or(|next| owned.generation >= next).then_some((*owned, false))
        })
    }

    /// Reads the account of a map whose writer is dead.
    ///
    /// # Errors
    /// What is damaged.
    pub(in crate::write) fn read(map: &CrashMap) -> Result<Remains, String> {
        let (memory, places, head) = (map.memory(), map.places(), map.head());
        let (first, next) = map.bounds();
        let count = next.wrapping_sub(first);
        if count >= head.slots {
            return Err(format!("its journal has {count} entries in {} slots", head.slots));
        }
        let entry = |number: u32| Entry::decode(&words::load(memory, places.entry(number)));
        let parts = (0..count).map(|at| entry(first.wrapping_add(at)));
        let parts: Option<Vec<_>> = parts.collect();
        let parts = parts.ok_or("an entry of its journal is damaged")?;
        // Before the first part has left, the slot in front of the first entry was never stored.
        let left = entry(first.wrapping_sub(1));

        let current = map.current();
        let records = [current, 1 - current]
            .map(|which| Whereabouts::decode(&words::load(memory, places.whereabouts(which))));
        let segment = parts.first().map(|part| part.segment);
        let is_wanted =
            |record: &Whereabouts| segment.is_none_or(|wanted| record.segment == wanted);
        let whereabouts = records.into_iter().flatten().find(is_wanted);
        let whereabouts = whereabouts.ok_or("the whereabouts of its file are damaged")?;
        if parts.iter().any(|part| part.segment != whereabouts.segment) {
            return Err("the parts of its journal are in different files".into());
        }

        let owned = map.owned().collect();
        let shards = 0..head.shards as usize;
        let drops = shards.clone().map(|shard| {
            let at = places.drops(shard);
            let words: Result<[u64; DROP_REASONS], _> =
                words::load(memory, at..at + DROP_REASONS).try_into();
            words.map(Dropped::from_array).unwrap_or_default()
        });
        let drops = drops.collect();
        let tracks =
            shards.filter_map(|shard| Track::decode(&words::load(memory, places.track(shard))));
        let mut tracks: Vec<_> = tracks.collect();
        if tracks.len() != head.shards as usize {
            return Err("it has no tracks".into());
        }
        // The track of a shard is stored after the entry of its block: the entry counts, as long as there is one.
        for part in &parts {
            if let Placed::Block { info, .. } = &part.placed {
                let track = tracks.get_mut(info.shard as usize);
                let track = track.ok_or("a part of its journal is of no shard")?;
                track.next_generation = track.next_generation.max(info.generation + 1);
                track.next_record = info.first_record + u64::from(info.records);
                track.declared = info.dropped;
            }
        }
        Ok(Remains { owned, drops, tracks, parts, left, whereabouts })
    }
}
