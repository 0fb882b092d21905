//! When the active segment is left: by schedule, by call, because somebody moved the file, or to go home.

use std::time::Instant;

use super::{LOOK_EVERY, LogWriter};
use crate::{Error, ErrorKind, format::BlockInfo, write::segments::Standing};

impl LogWriter {
    /// Whether the active segment is being left before a block with so many bytes of records.
    pub(super) fn is_left_before(&mut self, valid: u32) -> bool {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked) >= LOOK_EVERY {
            self.look_at_file(now);
        }
        let align = self.outbox.segment().align();
        let mut info = BlockInfo::default();
        info.set_lengths(valid, align);
        self.rotate_if_due(info.block_len() + align as u64, now);
        !self.outbox.has_room()
    }

    /// Begins to leave the active segment if `next` more bytes are too much for it.
    pub(super) fn rotate_if_due(&mut self, next: u64, now: Instant) -> bool {
        if !self.outbox.has_room() || self.ended.is_some() {
            return false;
        }
        let size = self.outbox.segment().offset();
        if !self.rotator.is_due(size, next, now) {
            return false;
        }
        if let Err(error) = self.rotate() {
            self.rotator.hold(now);
            self.keep(None, &error);
            self.tell(&error);
        }
        true
    }

    /// Ends the active segment; the log goes on in the next one.
    pub(super) fn rotate(&mut self) -> Result<(), Error> {
        // First: without a next file the log goes on in this one.
        self.outbox.prepare()?;
        if self.put_end(false) {
            self.outbox.begin_turn();
        }
        Ok(())
    }

    /// Makes the next file ready before it is needed.
    pub(super) fn prepare_ahead(&mut self, now: Instant) {
        let segment = self.outbox.segment();
        if !self.outbox.is_prepared()
            && self.outbox.has_room()
            && self.ended.is_none()
            && segment.has_records()
            && self.rotator.wants_prepared(segment.offset(), self.outbox.is_quiet(), now)
            && self.outbox.prepare().is_err()
        {
            // It is said when it is needed.
            self.rotator.hold(now);
        }
    }

    /// Looks whether the active file is still there, and leaves it if it is not; `false`: it cannot be left
    /// now, so it was not looked at.
    pub(super) fn look_at_file(&mut self, now: Instant) -> bool {
        if !self.outbox.has_room() || self.ended.is_some() {
            return false;
        }
        self.looked = now;
        let standing = self.outbox.standing();
        let what = match standing {
            Standing::Here => return true,
            Standing::Renamed => "the log was renamed or replaced; it goes on in a new file",
            Standing::Deleted => "the log was deleted; it goes on in a new file",
            Standing::Truncated => "the log was truncated; it goes on in a new file",
        };
        let error = Error::new(ErrorKind::Moved, what).at_path(self.outbox.segment().path());
        self.log.gate().fail(None, &error);
        self.tell(&error);
        match standing {
            // Whole under its other name: it gets its end.
            Standing::Renamed => {
                if self.put_end(false) {
                    self.outbox.begin_turn();
                }
            }
            _ => self.outbox.abandon_segment(now),
        }
        true
    }

    /// Tries to leave the other directory.
    pub(super) fn go_home(&mut self, now: Instant) {
        if self.hand.is_none() && self.outbox.go_home(now) {
            self.put_end(false);
        }
    }
}
