//! The account of a map, read after its writer's death.

use super::{
    journal::{Entry, Placed, Whereabouts},
    map::CrashMap,
    words::{self, TRACK, checked, wrapped},
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
    pub(super) fn encode(&self) -> [u64; TRACK] {
        let mut words = [0; TRACK];
        (words[0], words[1]) = (self.next_generation, self.next_record);
        words[2..2 + DROP_REASONS].copy_from_slice(&self.declared.to_array());
        words[TRACK - 1] = checked(&words[..TRACK - 1]);
        words
    }

    /// The track of these words. The inner `None`: the words do not belong together. They are stored behind the entry
    /// of a block, and its writer can have died in between.
    fn decode(words: &[u64]) -> Option<Option<Track>> {
        let words: &[u64; TRACK] = words.try_into().ok()?;
        let declared = words[2..2 + DROP_REASONS].try_into().ok()?;
        let declared = Dropped::from_array(declared);
        let found = |next_generation| Track { next_generation, next_record: words[1], declared };
        // The last store, of the generation, can be missing: of a buffer without records, which has no entry.
        let before = found(words[0].wrapping_add(1)).encode()[TRACK - 1] == words[TRACK - 1];
        let is_whole = *words == [0; TRACK] || *words == found(words[0]).encode() || before;
        Some(is_whole.then(|| found(words[0])))
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
        let (first, next) = map.bounds().map_err(|_| "the bounds of its journal are damaged")?;
        let count = wrapped(next.wrapping_sub(first));
        if count >= head.slots {
            return Err(format!("its journal has {count} entries in {} slots", head.slots));
        }
        let entry = |number: u32| Entry::decode(&words::load(memory, places.entry(number)), number);
        let parts = (0..count).map(|at| entry(first.wrapping_add(at)));
        let parts: Option<Vec<_>> = parts.collect();
        let parts = parts.ok_or("an entry of its journal is damaged")?;
        // Before the first part has left, the slot in front of the first entry was never stored.
        let before = first.wrapping_sub(1);
        let left = entry(before);
        let is_new = || words::load(memory, places.entry(before)).iter().all(|word| *word == 0);
        if left.is_none() && !(first == 0 && is_new()) {
            return Err("the entry of the part that has left last is damaged".into());
        }

        let current = map.current().map_err(|_| "the place of its whereabouts is damaged")?;
        let records = [current, 1 - current]
            .map(|which| Whereabouts::decode(&words::load(memory, places.whereabouts(which))));
        let segment = parts.first().map(|part| part.segment);
        let whereabouts = match segment {
            None => records[0],
            Some(wanted) => records.into_iter().flatten().find(|record| record.segment == wanted),
        };
        let whereabouts = whereabouts.ok_or("the whereabouts of its file are damaged")?;
        if parts.iter().any(|part| part.segment != whereabouts.segment) {
            return Err("the parts of its journal are in different files".into());
        }

        let owned = map.owned().map_err(|_| "the owner of a buffer is damaged")?;
        let shards = 0..head.shards as usize;
        let drops = shards.clone().map(|shard| {
            let at = places.drops(shard);
            let words = words::load(memory, at..at + DROP_REASONS).into_iter().map(words::drops_of);
            let words: Vec<_> = words.collect::<Result<_, _>>().ok()?;
            words.try_into().ok().map(Dropped::from_array)
        });
        let drops: Option<Vec<_>> = drops.collect();
        let drops = drops.ok_or("a count of refused records is damaged")?;
        let tracks = shards.map(|shard| Track::decode(&words::load(memory, places.track(shard))));
        let tracks: Option<Vec<_>> = tracks.collect();
        let mut tracks = tracks.ok_or("it has no tracks")?;
        // The track of a shard is stored after the entry of its block: the entry counts, as long as there is one.
        for part in &parts {
            if let Placed::Block { info, .. } = &part.placed {
                let track = tracks.get_mut(info.shard as usize);
                let track = track.ok_or("a part of its journal is of no shard")?;
                let next_generation = track.map_or(0, |track| track.next_generation);
                *track = Some(Track {
                    next_generation: next_generation.max(info.generation + 1),
                    next_record: info.first_record + u64::from(info.records),
                    declared: info.dropped,
                });
            }
        }
        let tracks: Option<Vec<_>> = tracks.into_iter().collect();
        let tracks = tracks.ok_or("the numbers of a shard are damaged")?;
        Ok(Remains { owned, drops, tracks, parts, left, whereabouts })
    }
}
