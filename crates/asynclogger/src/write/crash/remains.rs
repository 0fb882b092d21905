//! The account of a map, read after its writer's death.

use super::{
    account::LogAccount,
    journal::{Entry, Placed, Whereabouts},
    track::Track,
    words::{self, wrapped},
};
use crate::format::{DROP_REASONS, Dropped};

/// The account that a dead process has left of one log.
#[derive(Debug)]
pub(in crate::write) struct Remains {
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
    /// Whether the records of a buffer of this shard and generation may be in no file. `Some(true)`: they have a place
    /// in one. `None`: they are safe.
    pub(in crate::write) fn waits(&self, shard: u32, generation: u64) -> Option<bool> {
        let is_of = |part: &Entry| match &part.placed {
            Placed::Block { info, .. } => (info.shard, info.generation) == (shard, generation),
            Placed::Totals { .. } => false,
        };
        if self.parts.iter().any(is_of) {
            return Some(true);
        }
        let next = self.tracks.get(shard as usize).map(|track| track.next_generation);
        // A buffer of an earlier generation was written, and was about to become free.
        next.is_none_or(|next| generation >= next).then_some(false)
    }

    /// Reads the account of a log whose writer is dead.
    ///
    /// # Errors
    /// What is damaged.
    pub(in crate::write) fn read(account: &LogAccount) -> Result<Remains, String> {
        let (memory, places) = (account.memory(), account.places());
        let (first, next) =
            account.bounds().map_err(|_| "the bounds of its journal are damaged")?;
        let count = wrapped(next.wrapping_sub(first));
        if count as usize >= places.slots() {
            return Err(format!("its journal has {count} entries in {} slots", places.slots()));
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

        let current = account.current().map_err(|_| "the place of its whereabouts is damaged")?;
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

        let shards = 0..places.shards();
        let drops = shards.clone().map(|shard| {
            let words = words::load(memory, places.drops(shard)).into_iter().map(words::drops_of);
            let words: Vec<_> = words.collect::<Result<_, _>>().ok()?;
            let words: [u64; DROP_REASONS] = words.try_into().ok()?;
            Some(Dropped::from_array(words))
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
        Ok(Remains { drops, tracks, parts, left, whereabouts })
    }
}
