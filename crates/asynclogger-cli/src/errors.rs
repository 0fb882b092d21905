//! What a logger's own thread reports while it works.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use asynclogger::Error;

use crate::progress::Progress;

/// A full disk is reported at each attempt; nobody wants to read that many times a second.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The most in that time: a thousand events on a full disk have as many errors, each with a path of its own.
const AT_ONCE: usize = 10;

/// Says each error, the same one again only after some seconds, and no more than some in that time.
pub(crate) fn reporter(progress: Progress) -> impl Fn(&Error) + Send + Sync + 'static {
    let said = Mutex::new(Vec::new());
    move |error| {
        let text = format!("{error:#}");
        let Ok(mut said) = said.lock() else { return };
        if is_new(&mut said, &text, Instant::now()) {
            progress.say(text);
        }
    }
}

/// Whether `text` is to be said at `now`; `said` is what was, and when.
fn is_new(said: &mut Vec<(String, Instant)>, text: &str, now: Instant) -> bool {
    said.retain(|(_, at)| now.duration_since(*at) < AGAIN_AFTER);
    let is_new = said.len() < AT_ONCE && said.iter().all(|(earlier, _)| earlier != text);
    if is_new {
        said.push((text.to_owned(), now));
    }
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_said_once_in_a_while_and_not_a_thousand_of_them() {
        let (mut said, begin) = (Vec::new(), Instant::now());
        assert!(is_new(&mut said, "full", begin));
        assert!(is_new(&mut said, "gone", begin));
        assert!(!is_new(&mut said, "full", begin + AGAIN_AFTER / 2));
        assert!(is_new(&mut said, "full", begin + AGAIN_AFTER));
        let later = begin + 3 * AGAIN_AFTER;
        let many = (0..1000).filter(|n| is_new(&mut said, &format!("{n}"), later)).count();
        assert_eq!(many, AT_ONCE);
    }
}
