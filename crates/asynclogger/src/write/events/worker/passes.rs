//! Passes over the shared buffers: whoever wants something of all that was logged until now waits for one.

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

/// What is done when a pass over the shared buffers is over: all that was logged before is sorted then.
#[derive(Default)]
pub(super) struct After {
    /// The interval is over.
    pub(super) interval: bool,
    pub(super) flush: Option<Request>,
    /// Events whose own flushes are asked for.
    pub(super) events: Vec<(Arc<Event>, u64)>,
    pub(super) sorted: Option<u64>,
    pub(super) close: Vec<u32>,
}

/// The pass that is under way, and what waits for the next one.
#[derive(Default)]
pub(super) struct Passes {
    pass: Option<(Sealing, After)>,
    /// Events to be closed, and to be flushed, for the next pass.
    closes: Vec<u32>,
    events: Vec<Arc<Event>>,
    /// When what is in memory has been there for an interval.
    deadline: Option<Instant>,
}

impl Passes {
    /// Takes over what was ordered of single events.
    pub(super) fn take_orders(&mut self, shared: &Shared) {
        self.closes.append(&mut shared.orders.take_closes());
        self.events.append(&mut shared.orders.take_flushes());
    }

    /// Begins the interval, if it has not begun and `is_needed` says that there is something in memory.
    pub(super) fn arm(&mut self, now: Instant, interval: Duration, is_needed: impl Fn() -> bool) {
        if self.deadline.is_none() && is_needed() {
            self.deadline = Some(now.checked_add(interval).unwrap_or(now));
        }
    }

    /// Whether the interval has begun.
    pub(super) fn is_armed(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether there is a request that no pass covers yet; `flush`: the last one that is not worked on.
    pub(super) fn has_requests(&self, shared: &Shared, flush: Option<Request>) -> bool {
        let is_asked = || flush.is_some() || shared.sorted.open_request().is_some();
        self.pass.is_none() && (is_asked() || !self.closes.is_empty() || !self.events.is_empty())
    }

    /// Seals all shared buffers for whoever asks, or at the end of the interval; whether there is anybody.
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
        // A claimed shard is waited for if anybody waits for us.
        let pass = Sealing::begin(&shared.shards, is_asked);
        self.pass = Some((pass, After { interval, flush, events, sorted, close }));
        true
    }

    /// What is to be done, once all that was logged before the pass is sorted.
    pub(super) fn advance(&mut self, generations: impl Iterator<Item = u64>) -> Option<After> {
        let (pass, _) = self.pass.as_mut()?;
        if !pass.look(generations) {
            return None;
        }
        self.pass.take().map(|(_, after)| after)
    }

    /// Whether anybody waits for a flush of one event, and not of all.
    pub(super) fn has_flush_of_event(&self) -> bool {
        let under_way = self.pass.as_ref().is_some_and(|(_, after)| !after.events.is_empty());
        under_way || !self.events.is_empty()
    }

    /// Flushes up to this one are answered, with an error, and so are those of single events; the pass goes on
    /// without them.
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

    /// When to look again though nothing happens.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match &self.pass {
            Some((pass, _)) => pass.look_again().map(|look| now + look),
            None => self.deadline,
        }
    }
}
