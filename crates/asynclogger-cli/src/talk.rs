//! Standard error for a service: a thread that prints a line never waits for the reader of standard error.
//!
//! A pipe that nobody reads, or a stopped terminal, blocks the thread that writes to it. So a thread of its
//! own writes the lines, behind a short queue. Lines that do not fit into the queue are counted.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{output::print, units::show_number_of};

/// The most lines in the queue.
const MOST: usize = 256;
/// The longest time for printing the last lines at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

static TALK: OnceLock<Talk> = OnceLock::new();

#[derive(Default)]
struct Talk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// The number of lines that did not fit into the queue.
    unsaid: u64,
    is_printing: bool,
}

/// Starts the thread; from now on [`say`] takes lines. `around` is called with the printing of each line.
pub(crate) fn begin(around: impl Fn(&dyn Fn()) + Send + 'static) {
    let talk = TALK.get_or_init(Talk::default);
    let thread = thread::Builder::new().name("talk".into());
    // Without the thread no line is printed, and each one is counted.
    let _ = thread.spawn(move || talk.print_all(&around));
}

/// Takes a line for printing if the thread was started; otherwise gives the line back.
pub(crate) fn say(line: String) -> Result<(), String> {
    match TALK.get() {
        Some(talk) => {
            talk.take(line);
            Ok(())
        }
        None => Err(line),
    }
}

/// Waits until all lines are printed, for a limited time.
pub(crate) fn finish() {
    if let Some(talk) = TALK.get() {
        talk.finish(Instant::now() + LAST_WORDS);
    }
}

impl Talk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: String) {
        let mut state = self.lock();
        if state.lines.len() < MOST {
            state.lines.push_back(line);
        } else {
            state.unsaid += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    fn print_all(&self, around: &dyn Fn(&dyn Fn())) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.next() {
                state.is_printing = true;
                drop(state);
                around(&|| print(&line));
                state = self.lock();
                state.is_printing = false;
                self.changed.notify_all();
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn finish(&self, deadline: Instant) {
        let mut state = self.lock();
        while state.has_more() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// The next line to print.
    fn next(&mut self) -> Option<String> {
        self.lines.pop_front().or_else(|| {
            let unsaid = std::mem::take(&mut self.unsaid);
            (unsaid > 0).then(|| {
                let what = show_number_of(unsaid, "line");
                format!("{what} more could not be printed: nobody read standard error")
            })
        })
    }

    fn has_more(&self) -> bool {
        self.is_printing || !self.lines.is_empty() || self.unsaid > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_told_last() {
        let talk = Talk::default();
        for n in 0..MOST + 5 {
            talk.take(n.to_string());
        }
        let mut state = talk.lock();
        for n in 0..MOST {
            assert_eq!(state.next(), Some(n.to_string()));
        }
        let last = state.next().expect("the count");
        assert!(last.starts_with("5 lines more could not be printed"), "{last}");
        assert!(state.next().is_none() && !state.has_more());
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let talk = Talk::default();
        talk.take("nobody prints this".into());
        talk.finish(Instant::now() + Duration::from_millis(1));
        assert!(talk.lock().has_more());
    }
}
