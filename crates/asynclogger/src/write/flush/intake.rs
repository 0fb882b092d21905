//! The source of a session's records: the shards of a logger, or the records that a manager gathers for an event.

use crate::{
    Dropped,
    sync::Arc,
    write::{
        common::{Counter, Drops, Reason},
        crash::LogAccount,
        swap::Shards,
    },
};

/// The source of a session's records, as the flusher's side sees it.
pub(crate) enum Intake {
    /// Shards of its own, which the callers write to.
    Shards(Arc<Shards>),
    /// One sequence of blocks that the manager makes: the events of a manager share the shards.
    Gathered(Arc<Counts>),
}

/// The counts of an event's records.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Records that were gathered. Only the flusher changes this count and the next one.
    accepted: Counter,
    /// Blocks that were made of them.
    sealed: Counter,
    drops: Drops,
    /// The account of a crash-safe log, which has the drops, too.
    account: Option<LogAccount>,
}

impl Counts {
    pub(in crate::write) fn new(account: Option<LogAccount>) -> Counts {
        let (accepted, sealed) = (Counter::new(), Counter::new());
        Counts { accepted, sealed, drops: Drops::new(), account }
    }

    /// Counts gathered records. Only for the flusher.
    pub(in crate::write) fn accept(&self, records: u64) {
        self.accepted.add(records);
    }

    /// Counts a block that is made of the gathered records, and returns its generation. Only for the flusher.
    pub(in crate::write) fn seal(&self) -> u64 {
        let generation = self.sealed.get();
        self.sealed.add(1);
        generation
    }

    /// The number of blocks that were made.
    pub(in crate::write) fn sealed(&self) -> u64 {
        self.sealed.get()
    }

    /// Counts a refused record.
    pub(in crate::write) fn drop_one(&self, reason: Reason) {
        self.drops.count(reason);
        if let Some(account) = &self.account {
            account.count_drop(0, reason);
        }
    }
}

impl Intake {
    /// The number of sequences of blocks.
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

    /// The account of a crash-safe log.
    pub(super) fn account(&self) -> Option<LogAccount> {
        match self {
            Intake::Shards(shards) => shards.account().cloned(),
            Intake::Gathered(counts) => counts.account.clone(),
        }
    }

    /// Records refused at one shard.
    pub(super) fn dropped_at(&self, shard: usize) -> Dropped {
        match self {
            Intake::Shards(shards) => shards.dropped_at(shard),
            Intake::Gathered(counts) => counts.drops.get(),
        }
    }

    /// The number of buffers, or blocks, that were sealed.
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

    /// The generation at which a shard ends, once it takes no more records: all generations before it were sealed.
    /// Call this only when the log is ending, when the manager gathers no more records for it.
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
