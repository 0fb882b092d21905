//! How safe the parts are: what barriers cover, and what a failed one means.

use std::time::Instant;

use super::parts::Parts;
use crate::{
    Durability, Error,
    write::common::{Degraded, Progress},
};

/// How far all is as safe as the durability level asks for, and what cannot become so any more.
pub(super) struct Safety {
    durability: Durability,
    /// All parts before this one are durable, unless they are in doubt.
    durable: u64,
    /// Up to which part a barrier is wanted.
    wanted: u64,
    barrier: Option<Barrier>,
    doubt: Option<Doubt>,
}

/// A barrier in flight, and what it covers.
struct Barrier {
    /// All parts before this one.
    before: u64,
    /// Records in them, by shard.
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

    /// Why not all that was accepted is durable, if so.
    pub(super) fn doubt(&self) -> Option<&Error> {
        self.doubt.as_ref().map(|doubt| &doubt.error)
    }

    /// Since when a barrier is in flight.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.barrier.as_ref().map(|barrier| barrier.submitted)
    }

    /// Whether a part stays here until a barrier covers it.
    pub(super) fn keeps_parts(&self) -> bool {
        self.durability == Durability::OnFlush
    }

    /// Wants all parts before this one to be durable, by a barrier if that is what it takes.
    pub(super) fn want(&mut self, before: u64) {
        if self.durability != Durability::Dsync {
            self.wanted = self.wanted.max(before);
        }
    }

    /// Whether parts that are written wait for nothing but a barrier, with none on its way.
    pub(super) fn awaits_barrier(&self, written: u64) -> bool {
        written > self.durable && self.wanted <= self.durable && self.barrier.is_none()
    }

    /// Whether a barrier is wanted, all that it is to cover is written, and none is in flight.
    pub(super) fn is_barrier_due(&self, written: u64) -> bool {
        self.wanted > self.durable && written >= self.wanted && self.barrier.is_none()
    }

    /// A barrier that covers all that is written is in flight from now on.
    pub(super) fn begin_barrier(&mut self, parts: &Parts, now: Instant) {
        let (before, records) = (parts.written(), parts.records().to_vec());
        self.barrier = Some(Barrier { before, records, submitted: now });
    }

    /// The barrier is over, whatever came of it: the part before which all is covered.
    pub(super) fn end_barrier(&mut self) -> Option<(u64, Vec<u64>)> {
        self.barrier.take().map(|Barrier { before, records, .. }| (before, records))
    }

    /// All parts before this one are durable, with these records.
    pub(super) fn reached(&mut self, before: u64, records: &[u64], progress: &Progress) {
        self.durable = self.durable.max(before);
        let doubtful = self.doubt.as_ref().map_or(0, |doubt| doubt.records);
        if doubtful == 0 {
            progress.set_durable(records);
        }
        progress.durable.set(records.iter().sum::<u64>() - doubtful);
    }

    /// With synced writes: what is written is durable.
    pub(super) fn follow_writes(&mut self, parts: &Parts, progress: &Progress) {
        if self.durability == Durability::Dsync && self.durable < parts.written() {
            self.reached(parts.written(), parts.records(), progress);
        }
    }

    /// Nobody can vouch for what has left and is not durable.
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
