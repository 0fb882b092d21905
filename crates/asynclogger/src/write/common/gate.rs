//! The meeting point of callers of `flush` and `close` with the flusher: tickets, results, and the last error.

#[cfg(feature = "async")]
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::{
    Error, ErrorKind,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, is_over, lock},
};

/// One log's requests to the flusher.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last ticket given out.
    requested: u64,
    /// The last ticket that also wants the next segment.
    rotation: u64,
    /// Everything up to this ticket is durable.
    completed: u64,
    /// The last attempt for the tickets up to this one failed.
    failed: u64,
    /// The error of that attempt.
    failure: Option<Error>,
    ending: Ending,
    /// Set if the log is closed and not everything accepted is durable: the reason.
    doubt: Option<Error>,
    last_error: Option<Error>,
    /// The tasks that wait for a change.
    #[cfg(feature = "async")]
    wakers: Vec<Waker>,
}

impl State {
    /// The result for a ticket; `None` if it is not known yet.
    fn answer(&self, ticket: u64) -> Option<Result<(), Error>> {
        if self.completed >= ticket {
            return Some(Ok(()));
        }
        if self.failed >= ticket {
            let unknown = || Error::new(ErrorKind::Io, "a flush failed");
            return Some(Err(self.failure.clone().unwrap_or_else(unknown)));
        }
        (self.ending == Ending::Closed).then(|| self.doubt.clone().map_or(Ok(()), Err))
    }
}

/// A request for which a caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) ticket: u64,
    /// Whether the log shall continue in the next segment.
    pub(crate) rotate: bool,
}

/// The state of a log on its way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    #[default]
    Open,
    /// Write everything, then end the file.
    Closing,
    /// The last handle is gone: try once more, then give up what cannot be written.
    Abandoned,
    /// The file is ended; nothing happens after that.
    Closed,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { state: Mutex::default(), changed: Condvar::new() }
    }

    /// Gives out a ticket for everything accepted before this call. The caller rings the flusher's bell afterwards.
    pub(crate) fn request(&self) -> u64 {
        let mut state = lock(&self.state);
        state.requested += 1;
        state.requested
    }

    /// Gives out a ticket like [`request`](Gate::request), and asks that the log continue in the next segment behind
    /// it.
    pub(crate) fn request_rotation(&self) -> u64 {
        let mut state = lock(&self.state);
        state.requested += 1;
        state.rotation = state.requested;
        state.requested
    }

    /// Waits for the attempt that covers `ticket`.
    ///
    /// # Errors
    /// The attempt's error, or [`ErrorKind::Timeout`].
    pub(crate) fn wait(&self, ticket: u64, deadline: Option<Instant>) -> Result<(), Error> {
        let mut state = lock(&self.state);
        loop {
            if let Some(answer) = state.answer(ticket) {
                return answer;
            }
            if is_over(deadline) {
                return Err(Error::new(ErrorKind::Timeout, "the flush took longer than allowed"));
            }
            state = self.wait_for_change(state, deadline);
        }
    }

    /// The result for a ticket; `None` if it is not known yet. Never waits.
    pub(crate) fn answer(&self, ticket: u64) -> Option<Result<(), Error>> {
        lock(&self.state).answer(ticket)
    }

    /// The result for a ticket, or a promise to wake the task.
    #[cfg(feature = "async")]
    pub(crate) fn poll(&self, ticket: u64, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = lock(&self.state);
        if let Some(answer) = state.answer(ticket) {
            return Poll::Ready(answer);
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// The last ticket, if it is not answered yet.
    pub(crate) fn open_request(&self) -> Option<Request> {
        self.open_request_after(0)
    }

    /// The last ticket, if it is not answered yet and greater than `known`.
    pub(crate) fn open_request_after(&self, known: u64) -> Option<Request> {
        let state = lock(&self.state);
        let answered = state.completed.max(state.failed).max(known);
        let (ticket, rotate) = (state.requested, state.rotation > answered);
        (ticket > answered).then_some(Request { ticket, rotate })
    }

    /// Reports everything up to `ticket` as durable.
    pub(crate) fn complete(&self, ticket: u64) {
        let mut state = lock(&self.state);
        state.completed = ticket;
        self.tell(state);
    }

    /// Reports a failed attempt, which covered all tickets up to `ticket`, if any.
    pub(crate) fn fail(&self, ticket: Option<u64>, error: &Error) {
        let mut state = lock(&self.state);
        if let Some(ticket) = ticket {
            state.failed = ticket;
            state.failure = Some(error.clone());
        }
        state.last_error = Some(error.clone());
        self.tell(state);
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        lock(&self.state).last_error.clone()
    }

    pub(crate) fn ending(&self) -> Ending {
        lock(&self.state).ending
    }

    pub(crate) fn set_ending(&self, ending: Ending) {
        let mut state = lock(&self.state);
        state.ending = ending;
        self.tell(state);
    }

    /// Tells all that wait that the state has changed.
    fn tell(&self, state: MutexGuard<'_, State>) {
        #[cfg(feature = "async")]
        let (wakers, state) = {
            let mut state = state;
            (std::mem::take(&mut state.wakers), state)
        };
        drop(state);
        self.changed.notify_all();
        #[cfg(feature = "async")]
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Reports that the file is ended. `doubt`: not everything is durable, for this reason.
    pub(crate) fn set_closed(&self, doubt: Option<Error>) {
        lock(&self.state).doubt = doubt;
        self.set_ending(Ending::Closed);
    }

    /// Waits until the log is closed, something changes, or `deadline` is over. Returns whether the log is closed.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        let state = lock(&self.state);
        if state.ending == Ending::Closed {
            return true;
        }
        self.wait_for_change(state, Some(deadline)).ending == Ending::Closed
    }

    fn wait_for_change<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        #[cfg(not(loom))]
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let waited = self.changed.wait_timeout(state, left);
            return waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let _ = deadline;
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}
