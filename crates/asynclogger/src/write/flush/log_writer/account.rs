//! What a session has put into its files.

use crate::{
    Dropped,
    format::{BlockInfo, Totals},
};

/// What blocks, notes and ends have said so far, and so what the next one has to say: numbers go on without a gap,
/// and each drop is told of once.
pub(super) struct Account {
    tracks: Vec<Track>,
    next_sequence: u64,
    records: u64,
    payload: u64,
    /// Drops that a note or an end has told of.
    noted: Dropped,
}

/// What is known of a shard, by its buffers that are on their way.
#[derive(Clone, Default)]
struct Track {
    /// Its buffers are written strictly by this.
    next_generation: u64,
    next_record: u64,
    /// Drops that its blocks have told of.
    declared: Dropped,
}

impl Account {
    pub(super) fn new(shards: usize) -> Account {
        Account {
            tracks: vec![Track::default(); shards],
            next_sequence: 0,
            records: 0,
            payload: 0,
            noted: Dropped::default(),
        }
    }

    /// Records in the blocks that were put in.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The generation of each shard's buffer that comes next.
    pub(super) fn next_generations(&self) -> impl Iterator<Item = u64> + '_ {
        self.tracks.iter().map(|track| track.next_generation)
    }

    /// Whether this is the buffer of the shard that comes next.
    pub(super) fn is_next(&self, shard: u32, generation: u64) -> bool {
        let track = self.tracks.get(shard as usize);
        track.is_some_and(|track| track.next_generation == generation)
    }

    /// The buffer had nothing in it.
    pub(super) fn pass(&mut self, shard: u32, generation: u64) {
        self.tracks[shard as usize].next_generation = generation + 1;
    }

    /// What the block of a buffer says of its place among the others.
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

    /// The block was put in.
    pub(super) fn add(&mut self, info: &BlockInfo) {
        let track = &mut self.tracks[info.shard as usize];
        track.next_generation = info.generation + 1;
        track.next_record += u64::from(info.records);
        track.declared = info.dropped;
        self.next_sequence += 1;
        self.records += u64::from(info.records);
        self.payload += info.payload();
    }

    /// What a note or an end says of the session.
    pub(super) fn totals(&self, dropped: Dropped, session_over: bool) -> Totals {
        Totals {
            next_sequence: self.next_sequence,
            records: self.records,
            payload: self.payload,
            dropped,
            session_over,
            ..Totals::default()
        }
    }

    /// A note or an end that tells of these drops was put in.
    pub(super) fn note(&mut self, dropped: Dropped) {
        self.noted = dropped;
    }

    /// Whether there are drops, of these, that no block and no note has told of.
    pub(super) fn owes_note(&self, dropped: Dropped) -> bool {
        let declared = self
            .tracks
            .iter()
            .fold(Dropped::default(), |sum, track| sum.zip(track.declared, u64::wrapping_add));
        dropped != declared.zip(self.noted, u64::max)
    }
}
