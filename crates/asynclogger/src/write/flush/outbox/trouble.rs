//! Trouble: an operation failed and was not repeated with success yet. This has the time of the next attempt, and the
//! step before it.

use std::time::{Duration, Instant};

use super::reaction::{Failed, Reaction, Situation, react};
use crate::write::common::backoff;

/// The first wait before a segment that could not be opened is tried again.
const BACKOFF_OPEN: Duration = Duration::from_millis(20);

/// The trouble of an outbox, if it has any.
#[derive(Default)]
pub(super) struct Trouble {
    now: Option<Ongoing>,
    /// Barriers that failed since the last good one.
    failed_barriers: u32,
}

struct Ongoing {
    reaction: Reaction,
    failures: u32,
    /// The earliest time of the next attempt.
    at: Instant,
    /// Whether an attempt is being made.
    trying: bool,
    /// Whether the file is gone, so that the log cannot return to it.
    is_file_gone: bool,
}

impl Trouble {
    pub(super) fn is_there(&self) -> bool {
        self.now.is_some()
    }

    /// Whether operations have to wait, because of trouble without a current attempt.
    pub(super) fn holds(&self) -> bool {
        self.now.as_ref().is_some_and(|now| !now.trying)
    }

    /// The earliest time of the next attempt, if one has to be made.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.now.as_ref().filter(|now| !now.trying).map(|now| now.at)
    }

    /// Takes over a failure. `situation` gets the number of attempts that have failed.
    #[cold]
    pub(super) fn failed(
        &mut self,
        failed: Failed,
        now: Instant,
        situation: impl FnOnce(u32) -> Situation,
    ) {
        if failed == Failed::Barrier {
            self.failed_barriers += 1;
        }
        if self.holds() {
            // If several operations in flight fail together, only the first failure counts.
            return;
        }
        let tried = self.now.as_ref().map_or(0, |now| now.failures);
        let failures = match failed {
            Failed::Barrier => self.failed_barriers,
            Failed::Write | Failed::Open => tried + 1,
        };
        let (reaction, wait) = react(situation(failures));
        let at = now.checked_add(wait).unwrap_or(now);
        let is_file_gone = self.now.as_ref().is_some_and(|now| now.is_file_gone);
        self.now = Some(Ongoing { reaction, failures, at, trying: false, is_file_gone });
    }

    /// Takes over that the file is gone: all parts move to the next segment before any other operation.
    pub(super) fn abandon_file(&mut self, now: Instant) {
        let (reaction, is_file_gone) = (Reaction::NextSegment, true);
        self.now = Some(Ongoing { reaction, failures: 0, at: now, trying: false, is_file_gone });
    }

    /// Takes over that all parts have moved to another segment.
    pub(super) fn moved(&mut self) {
        if let Some(ongoing) = &mut self.now {
            ongoing.is_file_gone = false;
        }
    }

    /// Takes over that the move to another segment failed: the log is where it was. If its file is gone, records
    /// written to it would be lost, so the move is tried again.
    pub(super) fn could_not_move(&mut self, tried: Reaction, now: Instant) {
        let Some(ongoing) = &mut self.now else {
            return;
        };
        if ongoing.reaction == tried || ongoing.reaction == Reaction::Again {
            let is_gone = ongoing.is_file_gone;
            ongoing.reaction = if is_gone { Reaction::NextSegment } else { Reaction::Again };
            ongoing.at = now + backoff(BACKOFF_OPEN, ongoing.failures);
        }
    }

    /// Begins the next attempt, if its time has come, and returns the step before it. `has_parts`: whether another
    /// segment would get any; they may have been written since the failure, the log's end among them.
    pub(super) fn begin_attempt(&mut self, now: Instant, has_parts: bool) -> Option<Reaction> {
        let ongoing = self.now.as_mut().filter(|ongoing| !ongoing.trying && now >= ongoing.at)?;
        ongoing.trying = true;
        let moves = matches!(ongoing.reaction, Reaction::NextSegment | Reaction::Elsewhere);
        let stays = moves && !has_parts && !ongoing.is_file_gone;
        Some(if stays { Reaction::Again } else { ongoing.reaction })
    }

    /// Makes the next attempt now, whatever the backoff says.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(ongoing) = &mut self.now {
            ongoing.at = ongoing.at.min(now);
        }
    }

    /// Takes over that the attempt succeeded: the trouble is over, and all other operations continue.
    pub(super) fn tried_well(&mut self) {
        if !self.holds() {
            self.now = None;
        }
    }

    /// Takes over that a barrier succeeded.
    pub(super) fn synced(&mut self) {
        self.failed_barriers = 0;
        self.tried_well();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Cause;

    /// A barrier fails for the second time while the log's end is in flight, and the end is written before the next
    /// attempt. With nothing to move, the log must not go on in a segment that gets no end. A file that is gone is left.
    #[test]
    fn a_log_without_parts_moves_only_if_its_file_is_gone() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let failed_twice = || {
            let mut trouble = Trouble::default();
            for _ in 0..2 {
                trouble.failed(Failed::Barrier, now, |failures| Situation {
                    failed: Failed::Barrier,
                    cause: Cause::Device,
                    failures,
                    proven: true,
                    elsewhere: false,
                });
                trouble.now.as_mut().expect("trouble").trying = true;
            }
            trouble.now.as_mut().expect("trouble").trying = false;
            trouble
        };
        assert_eq!(failed_twice().begin_attempt(later, true), Some(Reaction::NextSegment));
        assert_eq!(failed_twice().begin_attempt(later, false), Some(Reaction::Again));
        let mut trouble = failed_twice();
        trouble.abandon_file(now);
        assert_eq!(trouble.begin_attempt(later, false), Some(Reaction::NextSegment));
    }
}
