//! Sorting waits for memory. A pass over the shared buffers is not over before that ends, which on a full
//! disk is not soon: whoever waits for the pass is told of an attempt instead.

use std::time::{Duration, Instant};

use super::{Worker, requests::Flush};
use crate::{
    Error,
    sync::Arc,
    write::events::{event::Event, staged::Staged},
};

/// Once the last handle is gone: memory that does not come back for so long is not waited for.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Since when, and what is done about it.
#[derive(Default)]
pub(super) struct Stuck {
    since: Option<Instant>,
    attempt: Option<Attempt>,
}

/// Events in trouble that were asked to try once more, whatever their backoff says.
struct Attempt {
    /// For flushes up to this one.
    flush: Option<u64>,
    waits: Vec<(Arc<Event>, u64)>,
}

impl Stuck {
    /// Sorting goes on, or there is nothing to sort. What was asked for concerns the events alone then.
    pub(super) fn is_over(&mut self) {
        *self = Stuck::default();
    }

    /// A record waits for memory; `moved`: others before it found some.
    pub(super) fn waits(&mut self, moved: bool) {
        if moved || self.since.is_none() {
            *self = Stuck { since: Some(Instant::now()), attempt: None };
        }
    }
}

impl Attempt {
    /// The first answer that is an error; `None`: some are missing. Good ones are memory that comes back.
    fn answer(&mut self) -> Option<Option<Error>> {
        let mut failure = None;
        self.waits.retain(|(event, ticket)| match event.session().gate().answer(*ticket) {
            None => true,
            Some(answer) => {
                failure = failure.take().or(answer.err());
                false
            }
        });
        if failure.is_none() && !self.waits.is_empty() {
            return None;
        }
        Some(failure)
    }
}

impl Worker {
    /// Has flushes that sorting holds up fail with what it waits for. At the end what finds no memory then
    /// is given up. Whether anything was done.
    pub(super) fn advance_stuck(&mut self, now: Instant) -> bool {
        let Some(since) = self.stuck.since else {
            return false;
        };
        if self.gives_up_at().is_some_and(|at| now >= at.max(since)) {
            self.sorter.give_up();
            return true;
        }
        let Some(attempt) = &mut self.stuck.attempt else {
            return self.begin_attempt();
        };
        let Some(answer) = attempt.answer() else {
            return false;
        };
        let flush = attempt.flush;
        self.stuck.attempt = None;
        if let Some(error) = answer {
            if let Some(ticket) = flush {
                self.fail_flush(ticket, error);
            }
            if self.is_abandoned {
                // Each thing is tried once.
                self.sorter.give_up();
            }
        }
        true
    }

    /// When what finds no memory is given up whatever the devices say.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.stuck.since.filter(|_| self.is_abandoned)?.checked_add(GIVE_UP_AFTER)
    }

    /// Asks the events in trouble to try once more, if anybody waits. Those without are on their way.
    fn begin_attempt(&mut self) -> bool {
        let flush = self.flush_request().map(|request| request.ticket);
        if flush.is_none() && !self.is_abandoned {
            return false;
        }
        let hot = self.sorter.hot.iter().filter_map(|number| self.sorter.get(*number));
        let ask = |staged: &Staged| {
            let event = staged.event().clone();
            let ticket = event.session().gate().request();
            (event, ticket)
        };
        let waits: Vec<_> = hot.filter(|staged| staged.is_troubled()).map(ask).collect();
        let any = !waits.is_empty();
        self.stuck.attempt = any.then_some(Attempt { flush, waits });
        any
    }

    /// Answers flushes up to this one, behind those before; the pass goes on without them.
    fn fail_flush(&mut self, ticket: u64, error: Error) {
        if let Some((_, after)) = &mut self.pass {
            after.flush = after.flush.filter(|of_pass| of_pass.ticket > ticket);
        }
        self.flushes.push(Flush::failed(ticket, error));
    }
}
