//! The account of a session: the numbers of the records, blocks and drops that it has put into its files.

use crate::{
    Dropped,
    format::{BlockInfo, Totals},
    write::crash::{Before, LogAccount, Track},
};

/// The numbers in the blocks, notes and ends so far, and so the numbers for the next one: they continue without a gap,
/// and each drop is reported once.
pub(super) struct Account {
    tracks: Vec<Track>,
    /// For each shard the last time in its last block.
    reached: Vec<i64>,
    next_sequence: u64,
    records: u64,
    payload: u64,
    /// Drops that a note or an end has reported.
    noted: Dropped,
    /// Where a crash-safe logger keeps the tracks, too.
    kept: Option<LogAccount>,
    /// The number of records that were safe when their process died; `None`: this process took the records.
    safe_at_death: Option<u64>,
}

impl Account {
    pub(super) fn new(shards: usize, kept: Option<LogAccount>) -> Account {
        Account {
            tracks: vec![Track::default(); shards],
            reached: vec![i64::MIN; shards],
            next_sequence: 0,
            records: 0,
            payload: 0,
            noted: Dropped::default(),
            kept,
            safe_at_death: None,
        }
    }

    /// Continues the account of a dead process: behind all parts that have a place. `safe`: the records that were as
    /// safe as the durability level asks for.
    pub(super) fn resume(
        &mut self,
        tracks: &[Track],
        next_sequence: u64,
        behind: &Before,
        noted: Dropped,
        safe: u64,
    ) {
        self.tracks.copy_from_slice(tracks);
        // While the entries are in: the dead process can have died within a store, and then an entry alone has the
        // numbers. Once it has left, they must be here.
        if let Some(kept) = &self.kept {
            tracks.iter().zip(0..).for_each(|(track, shard)| kept.track(shard, track));
        }
        (self.next_sequence, self.noted) = (next_sequence, noted);
        (self.records, self.payload) = (behind.records, behind.payload);
        self.safe_at_death = Some(safe);
    }

    /// The number of records in the blocks that were put in.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// For each shard the generation of the buffer that comes next.
    pub(super) fn next_generations(&self) -> impl Iterator<Item = u64> + '_ {
        self.tracks.iter().map(|track| track.next_generation)
    }

    /// Whether the buffer of this generation comes next in its shard.
    pub(super) fn is_next(&self, shard: u32, generation: u64) -> bool {
        let track = self.tracks.get(shard as usize);
        track.is_some_and(|track| track.next_generation == generation)
    }

    /// Passes over a buffer without records.
    pub(super) fn pass(&mut self, shard: u32, generation: u64) {
        let track = &mut self.tracks[shard as usize];
        track.next_generation = generation + 1;
        if let Some(kept) = &self.kept {
            kept.track(shard, track);
        }
    }

    /// The numbers that place the block of a buffer among the others.
    pub(super) fn block(&self, shard: u32, generation: u64, dropped: Dropped) -> BlockInfo {
        BlockInfo {
            sequence: self.next_sequence,
            generation,
            first_record: self.tracks[shard as usize].next_record,
            shard,
            dropped,
            ..BlockInfo::default()
        }
    }

    /// The last time in a shard's last block.
    pub(super) fn reached(&self, shard: u32) -> i64 {
        self.reached.get(shard as usize).copied().unwrap_or(i64::MIN)
    }

    /// Counts a block that was put in.
    pub(super) fn add(&mut self, info: &BlockInfo) {
        if let (Some(scale), Some(reached)) =
            (info.scale, self.reached.get_mut(info.shard as usize))
        {
            *reached = scale.time(scale.last);
        }
        let track = &mut self.tracks[info.shard as usize];
        track.next_generation = info.generation + 1;
        track.next_record += u64::from(info.records);
        track.declared = info.dropped;
        if let Some(kept) = &self.kept {
            kept.track(info.shard, track);
        }
        self.next_sequence += 1;
        self.records += u64::from(info.records);
        self.payload += info.payload();
    }

    /// The numbers of the session for a note or an end.
    pub(super) fn totals(&self, dropped: Dropped, session_over: bool) -> Totals {
        Totals {
            next_sequence: self.next_sequence,
            records: self.records,
            payload: self.payload,
            dropped,
            session_over,
            salvaged: self.safe_at_death.map_or(0, |safe| self.records - safe),
            ..Totals::default()
        }
    }

    /// Counts a note or an end that was put in, and that reports these drops.
    pub(super) fn note(&mut self, dropped: Dropped) {
        self.noted = dropped;
    }

    /// Whether some of these drops were reported by no block and no note.
    pub(super) fn owes_note(&self, dropped: Dropped) -> bool {
        let declared = self
            .tracks
            .iter()
            .fold(Dropped::default(), |sum, track| sum.zip(track.declared, u64::wrapping_add));
        dropped != declared.zip(self.noted, u64::max)
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::format::Scale;

    #[test]
    fn a_shard_has_reached_the_last_time_of_its_last_block() {
        let mut account = Account::new(2, None);
        let scale = Scale { base: 1_000, unit: 1 << 32, last: 500, ..Scale::default() };
        account.add(&BlockInfo { scale: Some(scale), shard: 1, ..BlockInfo::default() });
        assert_eq!([0, 1, 2].map(|shard| account.reached(shard)), [i64::MIN, 1_500, i64::MIN]);
    }
}
