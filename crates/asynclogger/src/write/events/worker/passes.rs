//! Passes over the shared buffers: each request that concerns all records up to now waits for one.

use std::time::{Duration, Instant};

use crate::{
    Error,
    sync::Arc,
    write::{
        common::Request,
        events::{event::Event, shared::Shared},
        flush::Sealing,
    },
};

/// The work after a pass over the shared buffers, when all records that were logged before it are sorted.
#[derive(Default)]
pub(super) struct After {
    /// The interval is over.
    pub(super) interval: bool,
    pub(super) flush: Option<Request>,
    /// Events with requests for flushes of their own.
    pub(super) events: Vec<(Arc<Event>, u64)>,
    pub(super) sorted: Option<u64>,
    pub(super) close: Vec<u32>,
}

/// The pass that is under way, and the orders that wait for the next one.
#[derive(Default)]
pub(super) struct Passes {
    pass: Option<(Sealing, After)>,
    /// Events to be closed, and to be flushed, for the next pass.
    closes: Vec<u32>,
    events: Vec<Arc<Event>>,
    /// The end of the interval.
    deadline: Option<Instant>,
}

impl Passes {
    /// Takes over the orders for single events.
    pub(super) fn take_orders(&mut self, shared: &Shared) {
        self.closes.append(&mut shared.orders.take_closes());
        self.events.append(&mut shared.orders.take_flushes());
    }

    /// Begins the interval, if it has not begun and `is_needed` says that records are in memory.
    pub(super) fn arm(&mut self, now: Instant, interval: Duration, is_needed: impl Fn() -> bool) {
        if self.deadline.is_none() && is_needed() {
            self.deadline = Some(now.checked_add(interval).unwrap_or(now));
        }
    }

    /// Whether the interval has begun.
    pub(super) fn is_armed(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether a request waits that no pass covers yet. `flush` is the latest flush that no pass covers.
    pub(super) fn has_requests(&self, shared: &Shared, flush: Option<Request>) -> bool {
        let is_asked = || flush.is_some() || shared.sorted.open_request().is_some();
        self.pass.is_none() && (is_asked() || !self.closes.is_empty() || !self.events.is_empty())
    }

    /// Begins a pass, which seals all shared buffers, if a request waits or the interval is over. Returns whether one
    /// began.
    pub(super) fn begin(&mut self, now: Instant, shared: &Shared, flush: Option<Request>) -> bool {
        if self.pass.is_some() {
            return false;
        }
        let is_asked = self.has_requests(shared, flush);
        let interval = self.deadline.is_some_and(|deadline| now >= deadline);
        if !is_asked && !interval {
            return false;
        }
        let sorted = shared.sorted.open_request().map(|request| request.ticket);
        let close = std::mem::take(&mut self.closes);
        let asked = self.events.drain(..).filter_map(|event| {
            let ticket = event.flushes().open_request()?.ticket;
            Some((event, ticket))
        });
        let events = asked.collect();
        if interval {
            self.deadline = None;
        }
        // The pass waits for claimed shards if a caller waits for the pass.
        let pass = Sealing::begin(&shared.shards, is_asked);
        self.pass = Some((pass, After { interval, flush, events, sorted, close }));
        true
    }

    /// Returns the work after the pass, once all records that were logged before it are sorted.
    pub(super) fn advance(&mut self, generations: impl Iterator<Item = u64>) -> Option<After> {
        let (pass, _) = self.pass.as_mut()?;
        if !pass.look(generations) {
            return None;
        }
        self.pass.take().map(|(_, after)| after)
    }

    /// Whether a caller waits for a flush of a single event.
    pub(super) fn has_flush_of_event(&self) -> bool {
        let under_way = self.pass.as_ref().is_some_and(|(_, after)| !after.events.is_empty());
        under_way || !self.events.is_empty()
    }

    /// Takes out flushes up to this one, which are answered with an error, and fails the flushes of single events. The
    /// pass continues without them.
    pub(super) fn fail_flushes(&mut self, flush: Option<u64>, error: &Error) {
        for event in self.events.drain(..) {
            let ticket = event.flushes().open_request().map(|request| request.ticket);
            event.flushes().fail(ticket, error);
        }
        if let Some((_, after)) = &mut self.pass {
            after.flush = after.flush.filter(|of_pass| Some(of_pass.ticket) > flush);
            for (event, ticket) in after.events.drain(..) {
                event.flushes().fail(Some(ticket), error);
            }
        }
    }

    /// The time of the next look, if nothing else wakes the flusher.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match &self.pass {
            Some((pass, _)) => pass.look_again().map(|look| now + look),
            None => self.deadline,
        }
    }
}
