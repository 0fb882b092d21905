//! Errors that come again and again while a log is written.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use asynclogger::Error;

use crate::{output::say, units::show_number_of};

/// The time within which the same error is printed once. A full disk is reported at each attempt, many times
/// a second.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The most errors that are printed in that time: a thousand events on a full disk have a thousand errors,
/// each with its own path.
const AT_ONCE: usize = 10;

/// Prints errors: the same one again only after some seconds, and a limited number in that time. What was not printed
/// is summed up with a later error, or at the end.
#[derive(Clone, Default)]
pub(crate) struct Reporter(Arc<Mutex<Said>>);

impl Reporter {
    /// The callback for a log.
    pub(crate) fn callback(&self) -> impl Fn(&Error) + Send + Sync + 'static {
        let Reporter(said) = self.clone();
        move |error| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.take(format!("{error:#}"), Instant::now()).into_iter().for_each(say);
        }
    }

    /// Prints how many errors were not printed.
    pub(crate) fn sum_up(&self) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.sums(|_| true).into_iter().for_each(say);
    }
}

/// The texts of the last seconds.
#[derive(Default)]
struct Said {
    texts: Vec<Text>,
    /// The number of errors that were not printed because there were too many texts.
    others: u64,
}

struct Text {
    text: String,
    /// The time at which the text was printed.
    at: Instant,
    /// How often the error came again since then.
    more: u64,
}

impl Said {
    /// The lines to print for an error at `now`.
    fn take(&mut self, text: String, now: Instant) -> Vec<String> {
        let mut lines = self.sums(|said| now.duration_since(said.at) >= AGAIN_AFTER);
        if let Some(said) = self.texts.iter_mut().find(|said| said.text == text) {
            said.more += 1;
        } else if self.texts.len() >= AT_ONCE {
            self.others += 1;
        } else {
            lines.push(text.clone());
            self.texts.push(Text { text, at: now, more: 0 });
        }
        lines
    }

    /// Forgets the texts that are over, and sums up their repetitions. Other errors are summed up when there is room
    /// for them again.
    fn sums(&mut self, is_over: impl Fn(&Text) -> bool) -> Vec<String> {
        let over: Vec<_> = self.texts.extract_if(.., |said| is_over(said)).collect();
        let again = over.iter().filter(|said| said.more > 0);
        let mut sums: Vec<_> = again
            .map(|said| format!("{} more: {}", show_number_of(said.more, "time"), said.text))
            .collect();
        if self.others > 0 && self.texts.len() < AT_ONCE {
            let others = show_number_of(std::mem::take(&mut self.others), "further error");
            sums.push(format!("{others}, with other texts, were not printed"));
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_said_once_in_a_while_and_summed_up() {
        let (mut said, begin) = (Said::default(), Instant::now());
        let none: [&str; 0] = [];
        assert_eq!(said.take("full".into(), begin), ["full"]);
        assert_eq!(said.take("gone".into(), begin), ["gone"]);
        for _ in 0..3 {
            assert_eq!(said.take("full".into(), begin + AGAIN_AFTER / 2), none);
        }
        assert_eq!(said.take("full".into(), begin + AGAIN_AFTER), ["3 times more: full", "full"]);
        assert_eq!(said.take("full".into(), begin + AGAIN_AFTER), none);
        assert_eq!(said.sums(|_| true), ["1 time more: full"]);
        assert_eq!(said.sums(|_| true), none);
    }

    #[test]
    fn not_a_thousand_errors_are_said_and_the_others_are_counted() {
        let (mut said, begin) = (Said::default(), Instant::now());
        let many: usize = (0..1000).map(|n| said.take(n.to_string(), begin).len()).sum();
        assert_eq!(many, AT_ONCE);
        let lines = said.take("next".into(), begin + AGAIN_AFTER);
        assert_eq!(lines, ["990 further errors, with other texts, were not printed", "next"]);
    }
}
