//! The case that sorting waits for memory.

use std::time::{Duration, Instant};

use super::{flushes::Flushes, passes::Passes};
use crate::{
    Error,
    sync::Arc,
    write::events::{event::Event, shared::Shared, sorter::Sorter, staged::Staged},
};

/// How long sorting waits for memory once the last handle is gone.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Since when a record waits for memory, and the attempt that answers the flushes meanwhile.
///
/// A pass over the shared buffers is not over before the record has found memory, which can take long on a full disk.
/// So flushes that wait for the pass get the result of an attempt instead: the events in trouble try once more, and the
/// first error is the answer.
#[derive(Default)]
pub(super) struct Stuck {
    since: Option<Instant>,
    attempt: Option<Attempt>,
}

/// Events in trouble that were asked to try once more, whatever their backoff says.
struct Attempt {
    /// The attempt answers flushes up to this one.
    flush: Option<u64>,
    waits: Vec<(Arc<Event>, u64)>,
}

/// The flushes that an attempt can have to answer.
pub(super) struct Waiting<'a> {
    pub(super) shared: &'a Shared,
    pub(super) flushes: &'a mut Flushes,
    pub(super) passes: &'a mut Passes,
    /// Whether the last handle is gone.
    pub(super) is_abandoned: bool,
}

impl Stuck {
    /// Takes over that sorting continues, or has nothing to sort. Later requests concern only the events.
    pub(super) fn is_over(&mut self) {
        *self = Stuck::default();
    }

    /// Takes over that a record waits for memory. `moved` says that other records before it found some.
    pub(super) fn waits(&mut self, moved: bool) {
        if moved || self.since.is_none() {
            *self = Stuck { since: Some(Instant::now()), attempt: None };
        }
    }

    /// Answers the flushes that wait for sorting with the error of the attempt. After the last handle, records that
    /// then find no memory are given up. Returns whether anything was done.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        sorter: &mut Sorter,
        waiting: Waiting<'_>,
    ) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let Waiting { shared, flushes, passes, is_abandoned } = waiting;
        if self.gives_up_at(is_abandoned).is_some_and(|at| now >= at.max(since)) {
            sorter.give_up();
            return true;
        }
        let Some(attempt) = &mut self.attempt else {
            let flush = flushes.request(shared).map(|request| request.ticket);
            if flush.is_none() && !passes.has_flush_of_event() && !is_abandoned {
                return false;
            }
            self.attempt = Attempt::begin(flush, sorter);
            return self.attempt.is_some();
        };
        let Some(answer) = attempt.answer() else {
            return false;
        };
        let flush = attempt.flush;
        self.attempt = None;
        if let Some(error) = answer {
            passes.fail_flushes(flush, &error);
            if let Some(ticket) = flush {
                // After the answers to the flushes before it.
                flushes.fail(ticket, error);
            }
            if is_abandoned {
                // After the last handle each operation is tried once.
                sorter.give_up();
            }
        }
        true
    }

    /// The time after which records without memory are given up, whatever the devices answer.
    pub(super) fn gives_up_at(&self, is_abandoned: bool) -> Option<Instant> {
        self.since.filter(|_| is_abandoned)?.checked_add(GIVE_UP_AFTER)
    }
}

impl Attempt {
    /// Asks the events in trouble to try once more; `None` if no event is in trouble. The blocks of the other events
    /// are
    /// on their way.
    fn begin(flush: Option<u64>, sorter: &Sorter) -> Option<Attempt> {
        let hot = sorter.hot.iter().filter_map(|number| sorter.get(*number));
        let ask = |staged: &Staged| {
            let event = staged.event().clone();
            let ticket = event.session().gate().request();
            (event, ticket)
        };
        let waits: Vec<_> = hot.filter(|staged| staged.is_troubled()).map(ask).collect();
        (!waits.is_empty()).then_some(Attempt { flush, waits })
    }

    /// The first error among the answers; `None` if answers are missing. After a good answer memory comes back.
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
