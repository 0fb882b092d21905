//! From one segment to the next: at a turn, and out of trouble.

use std::time::Instant;

use super::{HOME_EVERY, Outbox, Told, reaction::Reaction};
use crate::{
    Error,
    write::{
        common::Degraded,
        segments::{Changed, Standing},
    },
};

impl Outbox {
    /// Whether the way back to the log's own directory is to be tried now.
    pub(in crate::write) fn may_go_home(&self, now: Instant) -> bool {
        self.home_at.is_some_and(|at| now >= at)
            && !self.trouble.is_there()
            && !self.active.is_turning()
    }

    /// Opens a segment in the log's own directory again. If that succeeds, put this one's end in: the
    /// log goes on there once that is durable.
    pub(in crate::write) fn go_home(&mut self, now: Instant) -> bool {
        self.home_at = now.checked_add(HOME_EVERY);
        let begun = self.active.begin_turn_home(self.next_sequence).is_ok();
        if begun {
            self.home_at = None;
        }
        begun
    }

    /// Whether the next file is ready.
    pub(in crate::write) fn is_prepared(&self) -> bool {
        self.active.is_prepared()
    }

    /// Makes the next file ready.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::write) fn prepare(&mut self) -> Result<(), Error> {
        self.active.prepare()
    }

    /// The end of this segment was put in: the log goes on in the next one once that is durable.
    pub(in crate::write) fn begin_turn(&mut self) {
        self.active.begin_turn();
    }

    /// Whether a change of segments is going on.
    pub(in crate::write) fn is_turning(&self) -> bool {
        self.active.is_turning()
    }

    /// Whether nothing is here, and nothing is to come.
    pub(in crate::write) fn is_at_rest(&self) -> bool {
        self.parts.is_empty()
            && self.is_quiet()
            && self.durable >= self.next()
            && self.home_at.is_none()
            && !self.trims
            && !self.is_troubled()
            && !self.is_turning()
    }

    /// Closes the active file for now; only [at rest](Outbox::is_at_rest).
    pub(in crate::write) fn suspend(&mut self) {
        self.active.suspend();
    }

    /// Goes on with the file that was closed for a while, or without it in the next segment.
    ///
    /// # Errors
    /// Those of the system; it can be tried again.
    pub(in crate::write) fn resume(&mut self, now: Instant) -> Result<Standing, Error> {
        if self.active.resume()? {
            return Ok(Standing::Here);
        }
        self.trouble.force(Reaction::NextSegment, now);
        Ok(Standing::Renamed)
    }

    /// What has become of the active file.
    pub(in crate::write) fn standing(&self) -> Standing {
        self.active.standing(self.written_end)
    }

    /// Leaves this segment as it is, with all that is not as safe as it has to be.
    pub(in crate::write) fn abandon_segment(&mut self, now: Instant) {
        self.trouble.force(Reaction::NextSegment, now);
    }

    /// Goes on in the next segment, once all of this one is durable.
    pub(super) fn take_turn(&mut self, now: Instant, told: &mut Told<'_>) -> bool {
        let over = self.parts.is_empty() && self.is_quiet() && self.durable == self.next();
        if !over || !self.active.is_turning() {
            return false;
        }
        match self.active.take_turn(self.next_sequence, now) {
            Ok(None) => false,
            Ok(Some(changed)) => {
                self.changed(changed, told);
                true
            }
            Err(error) => {
                told.error(error);
                true
            }
        }
    }

    /// The log goes on in another segment.
    pub(super) fn changed(&mut self, changed: Changed, told: &mut Told<'_>) {
        let Changed { mut old, over, home } = changed;
        old.trim();
        self.written_end = 0;
        told.over.extend(over);
        if home {
            told.progress.restore(Degraded::Away);
        }
        // No later barrier covers what has left into the old file.
        if self.durable < self.parts.first()
            && let Err(error) = old.sync_now()
        {
            told.error(error.clone());
            self.begin_to_doubt(told.progress, error);
        }
    }

    /// Moves all that is here to a new segment: same records, same numbers, other places.
    pub(super) fn relocate(&mut self, elsewhere: bool, told: &mut Told<'_>) -> Result<(), Error> {
        let first_sequence = self.parts.first_sequence().unwrap_or(self.next_sequence);
        if self.active.is_turning() {
            // The end of this segment is of no use any more.
            self.parts.withdraw_end();
        }
        let changed = self.active.leave(first_sequence, elsewhere)?;
        self.parts.move_to(self.active.segment_mut(), &mut self.table);
        self.changed(changed, told);
        Ok(())
    }
}
