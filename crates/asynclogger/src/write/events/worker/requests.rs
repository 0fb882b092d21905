//! What somebody, or the interval, waits for: first that all is sorted, then that it is written.

use std::time::Instant;

use super::{After, Worker};
use crate::{
    Error,
    sync::Arc,
    write::{common::Request, events::event::Event, flush::Sealing},
};

/// A flush that waits for those of the events.
pub(super) struct Flush {
    ticket: u64,
    /// Who was asked, and what. While they are here, no other event gets their numbers.
    waits: Vec<(Arc<Event>, u64)>,
    failure: Option<Error>,
}

impl Flush {
    /// One that is answered as soon as those before it are.
    pub(super) fn failed(ticket: u64, error: Error) -> Flush {
        Flush { ticket, waits: Vec::new(), failure: Some(error) }
    }
}

impl Worker {
    /// Whether there is a request that no pass covers yet.
    pub(super) fn has_requests(&self) -> bool {
        self.pass.is_none()
            && (self.flush_request().is_some()
                || !self.closes.is_empty()
                || self.shared.sorted.open_request().is_some())
    }

    /// The last flush that was asked for, if it is not being worked on.
    pub(super) fn flush_request(&self) -> Option<Request> {
        let worked_on = self.flushes.last().map_or(0, |flush| flush.ticket);
        self.shared.gate.open_request_after(worked_on)
    }

    /// Seals all shared buffers for whoever asks, or at the end of the interval.
    pub(super) fn begin_pass(&mut self, now: Instant) -> bool {
        if self.pass.is_some() {
            return false;
        }
        let close = std::mem::take(&mut self.closes);
        let flush = self.flush_request();
        let sorted = self.shared.sorted.open_request().map(|request| request.ticket);
        let interval = self.deadline.is_some_and(|deadline| now >= deadline);
        let is_asked = flush.is_some() || sorted.is_some() || !close.is_empty();
        if !is_asked && !interval {
            return false;
        }
        if interval {
            self.deadline = None;
        }
        // A claimed shard is waited for if anybody waits for us.
        let pass = Sealing::begin(&self.shared.shards, is_asked);
        self.pass = Some((pass, After { interval, flush, sorted, close }));
        true
    }

    /// Once all that was logged before the pass is sorted: goes on with what was asked for.
    pub(super) fn advance_pass(&mut self, now: Instant) -> bool {
        let Some((pass, _)) = &mut self.pass else {
            return false;
        };
        if !pass.look(self.generations.iter().copied()) {
            return false;
        }
        let Some((_, After { interval, flush, sorted, close })) = self.pass.take() else {
            return false;
        };
        if interval {
            self.write_all_staged(now);
        }
        if let Some(request) = flush {
            self.begin_flush(request);
        }
        if let Some(ticket) = sorted {
            self.sorter.count();
            self.shared.sorted.complete(ticket);
        }
        for number in close {
            self.begin_end(number);
        }
        self.shared.recycle();
        true
    }

    /// The interval is over for what is staged.
    fn write_all_staged(&mut self, now: Instant) {
        for number in 0..self.sorter.numbers() {
            if self.sorter.has_gathered(number)
                && let Some(staged) = self.sorter.get_mut(number)
            {
                staged.writer.expire(now);
                self.sorter.seal(number);
            }
        }
    }

    /// Asks each event that owes something; for a rotation each that has records in its file.
    fn begin_flush(&mut self, request: Request) {
        let Request { ticket, rotate } = request;
        let mut waits = Vec::new();
        for number in 0..self.sorter.numbers() {
            self.sorter.seal(number);
            let Some(staged) = self.sorter.get(number) else { continue };
            let leaves = rotate && staged.writer.has_records();
            if leaves || !staged.is_at_rest() || staged.writer.owes() {
                let event = staged.event().clone();
                let gate = event.session().gate();
                let asked = if rotate { gate.request_rotation() } else { gate.request() };
                waits.push((event, asked));
                self.sorter.heat(number);
            }
        }
        self.flushes.push(Flush { ticket, waits, failure: None });
    }

    /// Answers flushes, in their order, that all events have answered.
    pub(super) fn answer_flushes(&mut self) -> bool {
        let mut busy = false;
        while let Some(flush) = self.flushes.first_mut() {
            let failure = &mut flush.failure;
            flush.waits.retain(|(event, ticket)| match event.session().gate().answer(*ticket) {
                None => true,
                Some(Ok(())) => false,
                Some(Err(error)) => {
                    failure.get_or_insert(error);
                    false
                }
            });
            // Events whose files are closed, and that get none, wait for those that fail.
            let sorter = &self.sorter;
            let gets_no_file = |(event, _): &(Arc<Event>, u64)| {
                sorter.get(event.number()).is_some_and(|staged| staged.writer.is_suspended())
            };
            let is_hopeless = failure.is_some() && flush.waits.iter().all(gets_no_file);
            if !flush.waits.is_empty() && !is_hopeless {
                break;
            }
            let flush = self.flushes.remove(0);
            let gate = &self.shared.gate;
            match flush.failure {
                None => gate.complete(flush.ticket),
                Some(error) => gate.fail(Some(flush.ticket), &error),
            }
            busy = true;
        }
        busy
    }
}
