//! Where callers of `flush` and `close` meet the flusher: tickets, results, and the last error.

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
    /// The last one that wants the next segment, too.
    rotation: u64,
    /// All up to this one are durable.
    completed: u64,
    /// The last attempt that covered these failed.
    failed: u64,
    /// With this.
    failure: Option<Error>,
    ending: Ending,
    /// Why not all that was accepted is durable although the log is closed, if so.
    doubt: Option<Error>,
    last_error: Option<Error>,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) ticket: u64,
    /// Whether the log is to go on in the next segment.
    pub(crate) rotate: bool,
}

/// How far a log is on its way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    #[default]
    Open,
    /// Write everything, then end the file.
    Closing,
    /// The last handle is gone: try once more, then give up what cannot be written.
    Abandoned,
    /// The file is ended; nothing happens any more.
    Closed,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { state: Mutex::default(), changed: Condvar::new() }
    }

    /// A ticket for everything accepted before this call. Ring the bell after it.
    pub(crate) fn request(&self) -> u64 {
        let mut state = lock(&self.state);
        state.requested += 1;
        state.requested
    }

    /// The same, and the log is to go on in the next segment behind it.
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
            if state.completed >= ticket {
                return Ok(());
            }
            if state.failed < ticket && state.ending == Ending::Closed {
                return state.doubt.clone().map_or(Ok(()), Err);
            }
            if state.failed >= ticket {
                let unknown = || Error::new(ErrorKind::Io, "a flush failed");
                return Err(state.failure.clone().unwrap_or_else(unknown));
            }
            if is_over(deadline) {
                return Err(Error::new(ErrorKind::Timeout, "the flush took longer than allowed"));
            }
            state = self.wait_for_change(state, deadline);
        }
    }

    /// What became of a ticket, if that is known; never waits.
    pub(crate) fn answer(&self, ticket: u64) -> Option<Result<(), Error>> {
        let state = lock(&self.state);
        if state.completed < ticket && state.failed < ticket && state.ending != Ending::Closed {
            return None;
        }
        drop(state);
        Some(self.wait(ticket, Some(Instant::now())))
    }

    /// The last ticket, if it is not answered yet.
    pub(crate) fn open_request(&self) -> Option<Request> {
        self.open_request_after(0)
    }

    /// The last ticket, if it is neither answered yet nor one of those up to `known`.
    pub(crate) fn open_request_after(&self, known: u64) -> Option<Request> {
        let state = lock(&self.state);
        let answered = state.completed.max(state.failed).max(known);
        let (ticket, rotate) = (state.requested, state.rotation > answered);
        (ticket > answered).then_some(Request { ticket, rotate })
    }

    /// Everything up to `ticket` is durable.
    pub(crate) fn complete(&self, ticket: u64) {
        lock(&self.state).completed = ticket;
        self.changed.notify_all();
    }

    /// An attempt failed, for all up to `ticket` if it covered any.
    pub(crate) fn fail(&self, ticket: Option<u64>, error: &Error) {
        let mut state = lock(&self.state);
        if let Some(ticket) = ticket {
            state.failed = ticket;
            state.failure = Some(error.clone());
        }
        state.last_error = Some(error.clone());
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        lock(&self.state).last_error.clone()
    }

    pub(crate) fn ending(&self) -> Ending {
        lock(&self.state).ending
    }

    pub(crate) fn set_ending(&self, ending: Ending) {
        lock(&self.state).ending = ending;
        self.changed.notify_all();
    }

    /// The file is ended; `doubt` is why not all of it is durable, if so.
    pub(crate) fn set_closed(&self, doubt: Option<Error>) {
        lock(&self.state).doubt = doubt;
        self.set_ending(Ending::Closed);
    }

    /// Waits until the log is closed, something changes, or `deadline`; whether it is closed.
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
