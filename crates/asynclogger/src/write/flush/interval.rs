//! The flush interval.

use std::time::{Duration, Instant};

/// How long records may stay in memory: begun by the first buffer that is taken, and over a fixed time later.
///
/// Whether the interval has begun is a fact of its own. The thread may have other reasons to wake at a time, such as
/// a rotation or the way back from the fail-over directory, and none of them says that the interval runs.
pub(in crate::write) struct Interval {
    length: Duration,
    ends: Option<Instant>,
}

impl Interval {
    pub(in crate::write) fn new(length: Duration) -> Interval {
        Interval { length, ends: None }
    }

    /// Begins, unless it has begun.
    pub(in crate::write) fn arm(&mut self, now: Instant) {
        if self.ends.is_none() {
            // The config bounds the length, so this does not overflow.
            self.ends = Some(now.checked_add(self.length).unwrap_or(now));
        }
    }

    /// Whether it has begun, and what it is for was not done yet.
    pub(in crate::write) fn is_armed(&self) -> bool {
        self.ends.is_some()
    }

    /// When it is over, if it has begun.
    pub(in crate::write) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Whether it is over.
    pub(in crate::write) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }

    /// Over now, whether it has begun or not.
    pub(in crate::write) fn expire(&mut self, now: Instant) {
        self.ends = Some(now);
    }

    /// What it is for is being done.
    pub(in crate::write) fn disarm(&mut self) {
        self.ends = None;
    }
}
