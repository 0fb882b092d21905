//! Where the records of a session come from: the shards of a logger, or what a manager gathers for an event.

use crate::{
    Dropped,
    sync::Arc,
    write::{
        common::{Counter, Drops, Reason},
        swap::Shards,
    },
};

/// What the flusher's side knows of the records that a session takes in.
pub(crate) enum Intake {
    /// Its own shards, which its callers write to.
    Shards(Arc<Shards>),
    /// One sequence of blocks, made elsewhere: the events of a manager share the shards.
    Gathered(Arc<Counts>),
}

/// What is counted of an event's records.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Records that were gathered. The flusher alone counts them, and the blocks.
    accepted: Counter,
    /// Blocks that were made of them.
    sealed: Counter,
    drops: Drops,
}

impl Counts {
    pub(in crate::write) fn new() -> Counts {
        Counts { accepted: Counter::new(), sealed: Counter::new(), drops: Drops::new() }
    }

    /// Records were gathered. For the flusher alone.
    pub(in crate::write) fn accept(&self, records: u64) {
        self.accepted.add(records);
    }

    /// A block is made of what was gathered; its generation. For the flusher alone.
    pub(in crate::write) fn seal(&self) -> u64 {
        let generation = self.sealed.get();
        self.sealed.add(1);
        generation
    }

    /// How many blocks were made.
    pub(in crate::write) fn sealed(&self) -> u64 {
        self.sealed.get()
    }

    /// A record is refused.
    pub(in crate::write) fn drop_one(&self, reason: Reason) {
        self.drops.count(reason);
    }
}

impl Intake {
    /// How many sequences of blocks there are.
    pub(super) fn shards(&self) -> usize {
        match self {
            Intake::Shards(shards) => shards.len(),
            Intake::Gathered(_) => 1,
        }
    }

    pub(super) fn accepted(&self) -> u64 {
        match self {
            Intake::Shards(shards) => shards.accepted(),
            Intake::Gathered(counts) => counts.accepted.get(),
        }
    }

    pub(super) fn dropped(&self) -> Dropped {
        match self {
            Intake::Shards(shards) => shards.dropped(),
            Intake::Gathered(counts) => counts.drops.get(),
        }
    }

    /// Records refused at one shard.
    pub(super) fn dropped_at(&self, shard: usize) -> Dropped {
        match self {
            Intake::Shards(shards) => shards.dropped_at(shard),
            Intake::Gathered(counts) => counts.drops.get(),
        }
    }

    /// How many buffers, or blocks, were sealed.
    pub(super) fn swaps(&self) -> u64 {
        match self {
            Intake::Shards(shards) => shards.swaps(),
            Intake::Gathered(counts) => counts.sealed(),
        }
    }

    /// How often a writer needed a buffer and none was free.
    pub(super) fn blocked_swaps(&self) -> u64 {
        match self {
            Intake::Shards(shards) => shards.blocked_swaps(),
            Intake::Gathered(_) => 0,
        }
    }

    /// The generation at which a shard ends, once nothing can be added to it: all before it were sealed.
    /// Asked only when the log is ending: then nothing more is gathered.
    pub(super) fn end_of(&self, shard: usize) -> Option<u64> {
        match self {
            Intake::Shards(shards) => shards.is_closed(shard).then(|| shards.generation(shard)),
            Intake::Gathered(counts) => Some(counts.sealed()),
        }
    }

    /// Whether writers will soon need buffers that only a barrier gives back.
    pub(super) fn is_short(&self) -> bool {
        match self {
            Intake::Shards(shards) => shards.pool().is_short(),
            // The manager asks for memory itself.
            Intake::Gathered(_) => false,
        }
    }
}
