//! Leaving the active segment: by schedule, by call, because the file was moved, or to go home.

use std::time::Instant;

use super::LogWriter;
use crate::{
    Error, ErrorKind,
    format::BlockInfo,
    write::{common::Degraded, segments::Standing},
};

impl LogWriter {
    /// Begins to leave the active segment if a block with `valid` bytes of records is due in the next one. Returns
    /// whether
    /// the block has to wait.
    pub(super) fn is_left_before(&mut self, mut info: BlockInfo) -> bool {
        let now = Instant::now();
        // Before every block, so that no record goes to a file that was deleted before the record was logged.
        self.look_at_file(now);
        let align = self.active.segment().align();
        info.set_lengths(info.valid, align);
        self.rotate_if_due(info.block_len() + align as u64, now);
        !self.has_room()
    }

    /// Begins to leave the active segment if `next` more bytes are too much for it.
    pub(super) fn rotate_if_due(&mut self, next: u64, now: Instant) -> bool {
        if !self.has_room() || self.closing.ended().is_some() {
            return false;
        }
        let size = self.active.segment().layout().offset();
        if !self.rotator.is_due(size, next, now) {
            return false;
        }
        if let Err(error) = self.rotate() {
            self.could_not_rotate(&error, now);
        }
        true
    }

    /// Begins to leave the active segment for the next one.
    pub(super) fn rotate(&mut self) -> Result<(), Error> {
        // First, because without a next file the log continues in this one.
        self.active.prepare()?;
        self.begin_turn();
        Ok(())
    }

    fn begin_turn(&mut self) {
        self.outbox.want_durable(self.outbox.next());
        self.active.begin_turn();
    }

    /// Gives the next segment its place once all of this one is durable, and then puts in the end of this one. In this
    /// order, so that a log that cannot rotate has not ended its file.
    pub(super) fn change_names_if_drained(&mut self, now: Instant) -> bool {
        if !self.active.is_draining() || !self.outbox.is_drained() || self.outbox.is_troubled() {
            return false;
        }
        match self.active.change_names(self.outbox.next_sequence()) {
            Ok(remark) => {
                // Without memory for an end the segment gets none, like a segment after a crash.
                self.put_end(false);
                self.session.progress().restore(Degraded::Stays);
                if let Some(remark) = remark {
                    self.reporter.keep(None, &remark, self.active.segment().lineage());
                    self.reporter.tell(&remark);
                }
            }
            Err(error) => self.could_not_rotate(&error, now),
        }
        true
    }

    /// Reports that the log could not rotate. The log continues in its segment, and tries again after a while.
    pub(super) fn could_not_rotate(&mut self, error: &Error, now: Instant) {
        self.rotator.hold(now);
        self.session.progress().degrade(Degraded::Stays);
        if self.pass.as_ref().is_some_and(|pass| pass.is_rotating) {
            self.failed(error);
        } else {
            self.reporter.keep(None, error, self.active.segment().lineage());
            self.reporter.tell(error);
        }
    }

    /// Looks after the lock of the log. With each look at the file, so that no flush of an idle log is answered before
    /// the loss of its lock is known.
    fn keep_lock(&mut self) {
        match self.active.keep_lock() {
            Ok(()) => self.session.progress().restore(Degraded::Unlocked),
            Err(error) => {
                // Told once: the look comes with each flush.
                if !self.session.progress().is_degraded(Degraded::Unlocked) {
                    self.session.progress().degrade(Degraded::Unlocked);
                    self.reporter.remark(&error);
                }
            }
        }
    }

    /// Makes the next file ready before it is needed.
    pub(super) fn prepare_ahead(&mut self, now: Instant) {
        let segment = self.active.segment();
        if !self.active.is_prepared()
            && self.has_room()
            && self.closing.ended().is_none()
            && segment.has_records()
            && self.rotator.wants_prepared(segment.layout().offset(), self.outbox.is_quiet(), now)
            && self.active.prepare().is_err()
        {
            // The error is reported when the file is needed.
            self.rotator.hold(now);
        }
    }

    /// Checks that the active file is still at its path, and leaves the file if it is not. `false` if the file could
    /// not be left now, and so was not checked.
    pub(super) fn look_at_file(&mut self, now: Instant) -> bool {
        if !self.has_room() || self.closing.ended().is_some() {
            return false;
        }
        self.keep_lock();
        let standing = self.active.look(self.outbox.written_end());
        if standing == Standing::Renamed && self.rotator.is_held(now) {
            // The move was reported before, and the file could not be left.
            return true;
        }
        let what = match standing {
            Standing::Here => return true,
            Standing::Renamed => "the log was renamed or replaced; it continues in a new file",
            Standing::Deleted => "the log was deleted; it continues in a new file",
            Standing::Truncated => "the log was truncated; it continues in a new file",
        };
        let error = Error::new(ErrorKind::Moved, what).at_path(self.active.segment().path());
        self.reporter.remark(&error);
        match standing {
            // The file is whole under its other name, so it gets its end.
            Standing::Renamed => self.begin_turn(),
            _ => self.outbox.abandon_segment(now),
        }
        true
    }

    /// Tries to leave the fail-over directory.
    pub(super) fn go_home(&mut self, now: Instant) {
        let next = self.outbox.next_sequence();
        if self.hand.is_none() && self.active.begin_turn_home(next, now) {
            self.put_end(false);
        }
    }
}
