//! A log with nothing to do: its file may be closed for a while.

use std::time::Instant;

use super::LogWriter;
use crate::{Error, ErrorKind, write::segments::Standing};

impl LogWriter {
    /// Whether nothing is to be done until something is sealed or asked for.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.hand.is_none()
            && self.pass.is_none()
            && self.deadline.is_none()
            && self.outbox.is_at_rest()
            && self.ended.is_none()
            && !self.has_news()
    }

    /// Whether a flush has something to do: records that are not durable, or drops that no block has told of.
    pub(crate) fn owes(&self) -> bool {
        !self.is_at_rest()
            || self.log.accepted() > self.log.written().durable
            || self.has_undeclared_drops()
    }

    /// Whether the active segment has records.
    pub(crate) fn has_records(&self) -> bool {
        self.outbox.segment().has_records()
    }

    /// Begins a pass at the next look, as if the interval were over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.deadline = Some(now);
    }

    /// Has what only waits for a barrier made durable: its memory is needed.
    pub(crate) fn want_memory(&mut self) {
        if self.outbox.awaits_barrier() {
            self.outbox.want_durable(self.outbox.written());
        }
    }

    /// Whether the file is closed for now.
    pub(crate) fn is_suspended(&self) -> bool {
        self.outbox.segment().is_suspended()
    }

    /// Whether something failed and was not made good yet.
    pub(crate) fn is_troubled(&self) -> bool {
        self.outbox.is_troubled()
    }

    /// Closes the file, if the log [is at rest](LogWriter::is_at_rest): before anything else is done
    /// [`resume`](LogWriter::resume) has to open it again.
    pub(crate) fn suspend(&mut self) {
        if self.is_at_rest() {
            self.outbox.suspend();
        }
    }

    /// Opens the file again, if it is closed. If another file is in its place by then, the log goes on in a
    /// new one.
    ///
    /// # Errors
    /// Those of the system, which were told; nothing has changed.
    pub(crate) fn resume(&mut self, now: Instant) -> Result<(), Error> {
        if !self.is_suspended() {
            return Ok(());
        }
        match self.outbox.resume(now) {
            Ok(Standing::Here) => Ok(()),
            Ok(_) => {
                let what = "the log was moved or deleted; it goes on in a new file";
                let error =
                    Error::new(ErrorKind::Moved, what).at_path(self.outbox.segment().path());
                self.log.gate().fail(None, &error);
                self.tell(&error);
                Ok(())
            }
            Err(error) => {
                self.ending = self.ending.max(self.log.gate().ending());
                // That was the attempt of whoever asks.
                let request = self.log.gate().open_request().map(|request| request.ticket);
                self.asked = self.asked.max(request);
                self.failed(&error);
                Err(error)
            }
        }
    }
}
