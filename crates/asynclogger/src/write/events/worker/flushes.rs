//! Flushes of all events or of one, and rotations of all: they wait for the flushes of the events' logs.

use crate::{
    Error,
    sync::Arc,
    write::{
        common::Request,
        events::{event::Event, shared::Shared, sorter::Sorter},
    },
};

/// A flush that waits for the flushes of the logs.
struct Flush {
    of: Of,
    ticket: u64,
    /// The events that were asked, with the ticket of the request.
    waits: Vec<(Arc<Event>, u64)>,
    failure: Option<Error>,
    /// For each shared shard the number of records that were sorted when the flush began. These are durable when the
    /// flush succeeds.
    sorted: Vec<u64>,
}

enum Of {
    All,
    One(Arc<Event>),
}

/// Flushes that are not answered yet, in their order.
#[derive(Default)]
pub(super) struct Flushes(Vec<Flush>);

impl Flushes {
    /// The latest request for a flush of all, if no flush here covers it.
    pub(super) fn request(&self, shared: &Shared) -> Option<Request> {
        let mut of_all = self.0.iter().filter(|flush| matches!(flush.of, Of::All));
        let worked_on = of_all.next_back().map_or(0, |flush| flush.ticket);
        shared.gate.open_request_after(worked_on)
    }

    /// Asks each event whose log owes a flush something, and for a rotation each event with records in its file. All
    /// earlier records are sorted.
    pub(super) fn begin(&mut self, request: Request, sorter: &mut Sorter) {
        let Request { ticket, rotate } = request;
        let mut waits = Vec::new();
        for number in sorter.numbers() {
            waits.extend(ask(number, rotate, sorter));
        }
        let sorted = sorter.sorted().to_vec();
        self.0.push(Flush { of: Of::All, ticket, waits, failure: None, sorted });
    }

    /// Asks one event, if its log owes a flush something. All earlier records are sorted.
    pub(super) fn begin_one(&mut self, event: Arc<Event>, ticket: u64, sorter: &mut Sorter) {
        let waits = ask(event.number(), false, sorter).into_iter().collect();
        let sorted = sorter.sorted().to_vec();
        self.0.push(Flush { of: Of::One(event), ticket, waits, failure: None, sorted });
    }

    /// Adds a flush of all that is answered with an error, as soon as the flushes before it are answered.
    pub(super) fn fail(&mut self, ticket: u64, error: Error) {
        let (waits, sorted) = (Vec::new(), Vec::new());
        self.0.push(Flush { of: Of::All, ticket, waits, failure: Some(error), sorted });
    }

    /// Answers flushes whose events have all answered; flushes of all in their order. Returns whether any was answered.
    pub(super) fn answer(&mut self, shared: &Shared, sorter: &Sorter) -> bool {
        let before = self.0.len();
        let mut is_behind_another = false;
        self.0.retain_mut(|flush| {
            let is_of_all = matches!(flush.of, Of::All);
            if is_of_all && is_behind_another {
                return true;
            }
            let is_answered = flush.is_answered(sorter);
            if is_answered {
                flush.answer(shared);
            }
            is_behind_another |= is_of_all && !is_answered;
            !is_answered
        });
        self.0.len() < before
    }
}

/// Seals the gathered records of an event, and asks the event for a flush if it owes one, or to continue in a new file
/// if it has records in this one.
fn ask(number: u32, rotate: bool, sorter: &mut Sorter) -> Option<(Arc<Event>, u64)> {
    sorter.seal(number);
    let staged = sorter.get(number)?;
    let leaves = rotate && staged.writer.has_records();
    if !leaves && staged.is_at_rest() && !staged.writer.owes() {
        return None;
    }
    let event = staged.event().clone();
    let gate = event.session().gate();
    let asked = if rotate { gate.request_rotation() } else { gate.request() };
    sorter.heat(number);
    Some((event, asked))
}

impl Flush {
    /// Whether all logs have answered, except logs that never will.
    fn is_answered(&mut self, sorter: &Sorter) -> bool {
        let Flush { waits, failure, .. } = self;
        waits.retain(|(event, ticket)| match event.session().gate().answer(*ticket) {
            None => true,
            Some(Ok(())) => false,
            Some(Err(error)) => {
                failure.get_or_insert(error);
                false
            }
        });
        // An event whose file is suspended, and that gets none opened, waits for the events that fail.
        let gets_no_file = |(event, _): &(Arc<Event>, u64)| {
            sorter.get(event.number()).is_some_and(|staged| staged.writer.is_suspended())
        };
        waits.is_empty() || (failure.is_some() && waits.iter().all(gets_no_file))
    }

    fn answer(&mut self, shared: &Shared) {
        let (gate, durable) = match &self.of {
            Of::All => (&shared.gate, &shared.durable),
            Of::One(event) => (event.flushes(), event.durable()),
        };
        match self.failure.take() {
            None => {
                // First, so that a caller whose wait ends finds the records durable.
                durable.raise(&self.sorted);
                gate.complete(self.ticket);
            }
            Some(error) => gate.fail(Some(self.ticket), &error),
        }
    }
}
