//! The flush interval.

use std::time::{Duration, Instant};

/// How long records can stay in memory: the first buffer that is taken begins the interval, which has a fixed length.
///
/// A time to wake does not show that the interval runs: the thread can have other reasons to wake, such as a rotation
/// or the way back from the fail-over directory. So the interval keeps its own state.
pub(in crate::write) struct Interval {
    length: Duration,
    ends: Option<Instant>,
}

impl Interval {
    pub(in crate::write) fn new(length: Duration) -> Interval {
        Interval { length, ends: None }
    }

    /// Begins the interval, unless it has begun.
    pub(in crate::write) fn arm(&mut self, now: Instant) {
        if self.ends.is_none() {
            // The config bounds the length, so this does not overflow.
            self.ends = Some(now.checked_add(self.length).unwrap_or(now));
        }
    }

    /// Whether the interval has begun, and its pass has not.
    pub(in crate::write) fn is_armed(&self) -> bool {
        self.ends.is_some()
    }

    /// The end of the interval, if it has begun.
    pub(in crate::write) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Whether the interval is over.
    pub(in crate::write) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }

    /// Ends the interval now, whether it has begun or not.
    pub(in crate::write) fn expire(&mut self, now: Instant) {
        self.ends = Some(now);
    }

    /// Takes over that the pass of the interval begins.
    pub(in crate::write) fn disarm(&mut self) {
        self.ends = None;
    }
}
