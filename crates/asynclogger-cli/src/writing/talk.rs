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

use crate::{
    output::{self, line, print},
    units::show_number_of,
};

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
    /// The number of lines that the line in print stands for; 0 while none is in print.
    in_print: u64,
    /// Whether the last line could not be written. The count then waits for the next line.
    is_deaf: bool,
}

/// Starts the thread; from now on it prints what is said. `around` is called with the printing of each line.
pub(crate) fn begin(around: impl Fn(&mut dyn FnMut()) + Send + 'static) {
    let talk = TALK.get_or_init(Talk::default);
    let thread = thread::Builder::new().name("talk".into());
    // Without the thread no line is printed, and each one is counted.
    let _ = thread.spawn(move || talk.print_all(&around));
    output::divert(|line| talk.take(line), || talk.finish(Instant::now() + LAST_WORDS));
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

    fn print_all(&self, around: &dyn Fn(&mut dyn FnMut())) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.next() {
                drop(state);
                let mut is_printed = false;
                around(&mut || is_printed = print(&line));
                state = self.lock();
                state.printed(is_printed);
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
        if let Some(line) = self.lines.pop_front() {
            self.in_print = 1;
            return Some(line);
        }
        if self.is_deaf || self.unsaid == 0 {
            return None;
        }
        self.in_print = std::mem::take(&mut self.unsaid);
        let what = show_number_of(self.in_print, "line");
        let what = format_args!("{what} more could not be printed: nobody read standard error");
        Some(line("asynclogger:", what))
    }

    /// The line in print was written, or failed like one that nobody reads.
    fn printed(&mut self, well: bool) {
        let lines = std::mem::take(&mut self.in_print);
        self.unsaid += if well { 0 } else { lines };
        self.is_deaf = !well;
    }

    fn has_more(&self) -> bool {
        self.in_print > 0 || !self.lines.is_empty() || self.unsaid > 0 && !self.is_deaf
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
        assert!(last.contains(" 5 lines more could not be printed"), "{last}");
        state.printed(true);
        assert!(state.next().is_none() && !state.has_more());
    }

    #[test]
    fn what_could_not_be_written_is_told_behind_the_next_line() {
        let mut state = State { unsaid: 2, ..State::default() };
        assert!(state.next().expect("the count").contains(" 2 lines"));
        state.printed(false);
        // Not again and again.
        assert!(state.next().is_none() && !state.has_more());
        state.lines.push_back("next".into());
        assert_eq!(state.next().as_deref(), Some("next"));
        state.printed(true);
        assert!(state.has_more() && state.next().expect("the count").contains(" 2 lines"));
        state.printed(true);
        assert!(!state.has_more());
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let talk = Talk::default();
        talk.take("nobody prints this".into());
        talk.finish(Instant::now() + Duration::from_millis(1));
        assert!(talk.lock().has_more());
    }
}
