//! How safe the parts are: which parts a barrier covers, and which are in doubt after a failed one.

use std::time::Instant;

use super::parts::Parts;
use crate::{
    Durability, Error,
    write::common::{Degraded, Progress},
};

/// Up to which part all are as safe as the durability level asks for, and which records cannot become so any more.
pub(super) struct Safety {
    durability: Durability,
    /// All parts before this one are durable, unless they are in doubt.
    durable: u64,
    /// All parts before this one are wanted durable.
    wanted: u64,
    barrier: Option<Barrier>,
    doubt: Option<Doubt>,
}

/// A barrier in flight, and the parts that it covers.
struct Barrier {
    /// The barrier covers all parts before this one.
    before: u64,
    /// Records in the covered parts, by shard.
    records: Vec<u64>,
    submitted: Instant,
}

/// Records that left before a barrier that failed, and whose buffers are in use again
/// ([`Durability::None`]): no later barrier can vouch for them.
struct Doubt {
    records: u64,
    error: Error,
}

impl Safety {
    pub(super) fn new(durability: Durability) -> Safety {
        Safety { durability, durable: 0, wanted: 0, barrier: None, doubt: None }
    }

    /// All parts before this one are durable, or in doubt.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The error because of which some accepted records are not known to be durable, if any.
    pub(super) fn doubt(&self) -> Option<&Error> {
        self.doubt.as_ref().map(|doubt| &doubt.error)
    }

    /// The start of the barrier that is in flight.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.barrier.as_ref().map(|barrier| barrier.submitted)
    }

    /// Whether a part stays here until a barrier covers it.
    pub(super) fn keeps_parts(&self) -> bool {
        self.durability == Durability::OnFlush
    }

    /// Asks for all parts before this one to become durable, by a barrier if they need one.
    pub(super) fn want(&mut self, before: u64) {
        if self.durability != Durability::Dsync {
            self.wanted = self.wanted.max(before);
        }
    }

    /// Whether written parts only wait for a barrier, and no barrier is in flight or wanted.
    pub(super) fn awaits_barrier(&self, written: u64) -> bool {
        written > self.durable && self.wanted <= self.durable && self.barrier.is_none()
    }

    /// Whether a barrier is wanted, all parts that it is to cover are written, and no barrier is in flight.
    pub(super) fn is_barrier_due(&self, written: u64) -> bool {
        self.wanted > self.durable && written >= self.wanted && self.barrier.is_none()
    }

    /// Begins a barrier that covers all written parts.
    pub(super) fn begin_barrier(&mut self, parts: &Parts, now: Instant) {
        let (before, records) = (parts.written(), parts.records().to_vec());
        self.barrier = Some(Barrier { before, records, submitted: now });
    }

    /// Ends the barrier, whatever its result. Returns the part before which it covers all, and the records in those
    /// parts.
    pub(super) fn end_barrier(&mut self) -> Option<(u64, Vec<u64>)> {
        self.barrier.take().map(|Barrier { before, records, .. }| (before, records))
    }

    /// Takes over that all parts before this one are durable, with these records.
    pub(super) fn reached(&mut self, before: u64, records: &[u64], progress: &Progress) {
        self.durable = self.durable.max(before);
        let doubtful = self.doubt.as_ref().map_or(0, |doubt| doubt.records);
        if doubtful == 0 {
            progress.set_durable(records);
        }
        progress.durable.set(records.iter().sum::<u64>() - doubtful);
    }

    /// With synced writes, takes over that all written parts are durable.
    pub(super) fn follow_writes(&mut self, parts: &Parts, progress: &Progress) {
        if self.durability == Durability::Dsync && self.durable < parts.written() {
            self.reached(parts.written(), parts.records(), progress);
        }
    }

    /// Takes over that a barrier failed: the records that have left and are not durable are in doubt from now on.
    pub(super) fn begin_to_doubt(&mut self, parts: &Parts, progress: &Progress, error: Error) {
        let left: u64 = parts.records().iter().sum();
        let records = left - progress.durable.get();
        if records > 0 {
            self.doubt = Some(Doubt { records, error });
            progress.degrade(Degraded::Doubt);
        }
        self.durable = self.durable.max(parts.first());
    }
}
