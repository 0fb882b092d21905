//! What a logger's own thread reports while it works.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use asynclogger::Error;

use crate::progress::Progress;

/// A full disk is reported at each attempt; nobody wants to read that many times a second.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Says each error, the same one again only after some seconds.
pub(crate) fn reporter(progress: Progress) -> impl Fn(&Error) + Send + Sync + 'static {
    let last = Mutex::new(None::<(String, Instant)>);
    move |error| {
        let text = error.to_string();
        let Ok(mut last) = last.lock() else { return };
        let repeated =
            last.as_ref().is_some_and(|(said, at)| *said == text && at.elapsed() < AGAIN_AFTER);
        if !repeated {
            progress.say(&text);
            *last = Some((text, Instant::now()));
        }
    }
}
