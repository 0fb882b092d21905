//! The end of a log: all records are written, or given up.

use std::time::Instant;

use super::{GIVE_UP_AFTER, Hand, LogWriter};
use crate::{Error, ErrorKind};

impl LogWriter {
    /// Ends the file once every shard is closed and all buffers are on their way.
    pub(super) fn try_to_end(&mut self) -> bool {
        if let Some(goal) = self.closing.ended() {
            if self.outbox.durable() < goal || !self.outbox.is_quiet() {
                return false;
            }
            self.active.tidy_up();
            self.closing.set_closed();
            self.session.gate().set_closed(self.outbox.doubt().cloned());
            return true;
        }
        let drained = self.hand.is_none()
            && self.has_room()
            && self.closing.is_drained(self.session.intake(), &self.account);
        if !drained {
            return false;
        }
        // 0, unless foreign code wrote over the lengths in a buffer's memory.
        let lost = self.session.accepted().saturating_sub(self.account.records());
        self.session.progress().lost.set(lost);
        if self.put_end(true) {
            self.closing.set_ended(self.outbox.next());
        }
        true
    }

    /// Ends the log after the last drop. No call borrows a handle any more, so a claim that is still held belongs to
    /// a thread that will not return: its published records are copied and written. Each operation is tried once, and
    /// the records that the device does not take are counted as lost.
    pub(super) fn abandon(&mut self) -> bool {
        let mut busy = false;
        if self.closing.copy_held(self.session.intake()) {
            self.outbox.hurry(Instant::now());
            busy = true;
        }
        if self.hand.is_none()
            && self.has_room()
            && let Some((memory, shard, generation)) = self.closing.next_copy(&self.account)
        {
            self.hand = Some(Hand { memory, shard, generation, taken: Instant::now() });
            self.write_hand();
            busy = true;
        }
        busy |= self.try_to_end();
        if !self.is_closed() && self.session.progress().waiting() > GIVE_UP_AFTER {
            self.give_up();
            busy = true;
        }
        busy
    }

    /// Ends the log although some records are not written: these are lost.
    pub(super) fn give_up(&mut self) {
        if self.is_closed() {
            return;
        }
        let lost = self.session.accepted().saturating_sub(self.session.progress().written.get());
        self.session.progress().lost.set(lost);
        let what = format!("the logger was dropped; {lost} records could not be written");
        let error = Error::new(ErrorKind::Io, what).at_path(self.active.segment().path());
        self.reporter.tell(&error);
        self.closing.set_closed();
        self.session.gate().set_closed(None);
    }
}
