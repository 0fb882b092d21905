//! Barriers: what they cover, and what a failed one means.

use std::time::Instant;

use super::{BARRIER, Barrier, Doubt, Outbox, Told, reaction::Failed};
use crate::{
    Durability, Error,
    io::Operation,
    write::common::{Degraded, Progress, fault},
};

impl Outbox {
    /// Wants all parts before this one to be durable, by a barrier if that is what it takes.
    pub(in crate::write) fn want_durable(&mut self, before: u64) {
        if self.durability == Durability::Dsync {
            return;
        }
        self.wanted = self.wanted.max(before);
    }

    /// Parts that wait for nothing but a barrier, with none on its way.
    pub(in crate::write) fn awaits_barrier(&self) -> bool {
        self.written() > self.durable && self.wanted <= self.durable && self.barrier.is_none()
    }

    /// Submits a barrier if one is wanted and all that it is to cover is written.
    pub(super) fn submit_barrier(&mut self, progress: &Progress) -> bool {
        if self.wanted <= self.durable
            || self.written() < self.wanted
            || self.barrier.is_some()
            || self.trouble.holds()
        {
            return false;
        }
        fault::step("barrier");
        let (before, records) = (self.written(), self.parts.records().to_vec());
        let submitted = Instant::now();
        self.barrier = Some(Barrier { before, records, submitted });
        self.begin_wait(progress, submitted);
        self.active.segment_mut().submit(BARRIER, Operation::Barrier);
        true
    }

    pub(super) fn barrier_over(
        &mut self,
        result: std::io::Result<()>,
        now: Instant,
        told: &mut Told<'_>,
    ) {
        let Some(Barrier { before, records, .. }) = self.barrier.take() else {
            return;
        };
        let progress = told.progress;
        match result {
            Ok(()) => {
                self.trouble.synced();
                self.active.segment_mut().prove();
                self.durable = self.durable.max(before);
                self.tell_durable(progress, &records);
                while self.parts.first() < before {
                    self.leave(progress);
                }
            }
            Err(error) => {
                let error = Error::io("cannot sync", error).at_path(self.segment().path());
                // What is still here is written again; of what is not, nobody can vouch.
                self.parts.take_back();
                self.begin_to_doubt(progress, error.clone());
                let cause = told.error(error);
                self.failed(Failed::Barrier, cause, now);
            }
        }
    }

    pub(super) fn tell_durable(&self, progress: &Progress, records: &[u64]) {
        let doubtful = self.doubt.as_ref().map_or(0, |doubt| doubt.records);
        if doubtful == 0 {
            progress.set_durable(records);
        }
        progress.durable.set(records.iter().sum::<u64>() - doubtful);
    }

    /// Nobody can vouch for what has left and is not durable.
    pub(super) fn begin_to_doubt(&mut self, progress: &Progress, error: Error) {
        let left: u64 = self.parts.records().iter().sum();
        let records = left - progress.durable.get();
        if records > 0 {
            self.doubt = Some(Doubt { records, error });
            progress.degrade(Degraded::Doubt);
        }
        self.durable = self.durable.max(self.parts.first());
    }
}
