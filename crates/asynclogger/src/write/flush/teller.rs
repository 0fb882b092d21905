//! Reports errors to the user's callback, on a thread that no other thread waits for.
//!
//! The thread exists while errors wait to be reported. A callback that does not return blocks only this thread.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Config, Error, ErrorKind,
    config::Callback,
    sync::{Arc, Condvar, Mutex, is_over, lock, wait_until},
    write::common::{Local, own_thread},
};

/// The most errors that can wait for the callback.
const MOST: usize = 64;

/// How long a closing logger waits for the reports that are left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Stands between a logger and the callback of its user, so that a slow callback does not stop the flusher.
#[derive(Clone)]
pub(crate) struct Teller(Option<Arc<Inner>>);

struct Inner {
    callback: Callback<Error>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Error>,
    /// The number of errors for which there was no room.
    untold: u64,
    /// Whether a thread is reporting.
    is_telling: bool,
}

impl Teller {
    /// Takes the place of the callback in `config`.
    pub(crate) fn stand_in(config: &mut Config) -> Teller {
        let inner = config.on_error.take().map(|callback| {
            Arc::new(Inner { callback, state: Mutex::default(), changed: Condvar::new() })
        });
        if let Some(inner) = inner.clone() {
            config.on_error = Some(Callback::new(move |error| inner.take(error)));
        }
        Teller(inner)
    }

    /// Waits until all errors are reported, but at most for [`LAST_WORDS`].
    pub(crate) fn finish(&self) {
        if let Some(inner) = &self.0 {
            inner.finish(Instant::now().checked_add(LAST_WORDS));
        }
    }
}

impl Inner {
    fn take(self: &Arc<Inner>, error: &Error) {
        let mut state = lock(&self.state);
        if state.waiting.len() < MOST {
            state.waiting.push_back(error.clone());
        } else {
            state.untold += 1;
        }
        if std::mem::replace(&mut state.is_telling, true) {
            return;
        }
        drop(state);
        let inner = self.clone();
        if own_thread::start("asynclogger-err", "a thread for errors", move || inner.tell())
            .is_err()
        {
            // The next error tries to start the thread again.
            lock(&self.state).is_telling = false;
        }
    }

    /// Reports errors, on the teller's thread, until none is left.
    fn tell(&self) {
        Local::with(|local| {
            // A log call in the callback never waits: the error that would end its wait could be next in this queue.
            local.become_flusher();
            let _inside = local.enter();
            while let Some(error) = self.next() {
                let _ = self.callback.call(&error);
            }
        });
    }

    /// The next error to report; with `None` the thread ends.
    fn next(&self) -> Option<Error> {
        let mut state = lock(&self.state);
        let next = state.waiting.pop_front().or_else(|| {
            let untold = std::mem::take(&mut state.untold);
            let what = || format!("{untold} more errors were not told: the callback was busy");
            (untold > 0).then(|| Error::new(ErrorKind::Untold, what()))
        });
        state.is_telling = next.is_some();
        drop(state);
        if next.is_none() {
            self.changed.notify_all();
        }
        next
    }

    fn finish(&self, deadline: Option<Instant>) {
        let mut state = lock(&self.state);
        while state.is_telling && !is_over(deadline) {
            state = wait_until(&self.changed, state, deadline);
        }
    }
}
