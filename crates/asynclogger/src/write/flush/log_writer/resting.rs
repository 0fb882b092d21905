//! A log with nothing to do: its file can be closed for a while.

use std::time::Instant;

use super::LogWriter;
use crate::{Error, ErrorKind};

impl LogWriter {
    /// Whether the log has nothing to do until a buffer is sealed or a request comes.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.hand.is_none()
            && self.pass.is_none()
            && !self.interval.is_armed()
            && self.outbox.is_at_rest()
            && self.active.is_at_rest()
            && self.closing.ended().is_none()
            && !self.has_news()
    }

    /// Whether a flush has something to do: records that are not durable, or drops that no block has reported.
    pub(crate) fn owes(&self) -> bool {
        !self.is_at_rest()
            || self.session.accepted() > self.session.written().durable
            || self.account.owes_note(self.session.dropped())
    }

    /// Whether the active segment has records.
    pub(crate) fn has_records(&self) -> bool {
        self.active.segment().has_records()
    }

    /// Begins a pass at the next look, as if the interval were over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.interval.expire(now);
    }

    /// Asks for a barrier for the parts that only wait for one, because their memory is needed.
    pub(crate) fn want_memory(&mut self) {
        if self.outbox.awaits_barrier() {
            self.outbox.want_durable(self.outbox.written());
        }
    }

    /// Whether the file is closed for now.
    pub(crate) fn is_suspended(&self) -> bool {
        self.active.segment().is_suspended()
    }

    /// Closes the file, if the log [is at rest](LogWriter::is_at_rest). [`resume`](LogWriter::resume) has to open the
    /// file again before any other step.
    pub(crate) fn suspend(&mut self) {
        if self.is_at_rest() {
            self.active.suspend();
        }
    }

    /// Opens the file again, if it is closed. If another file is in its place by then, the log continues in a new file.
    ///
    /// # Errors
    /// Those of the system, which were reported; nothing has changed.
    pub(crate) fn resume(&mut self, now: Instant) -> Result<(), Error> {
        if !self.is_suspended() {
            return Ok(());
        }
        match self.active.resume() {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.outbox.abandon_segment(now);
                let what = "the log was moved or deleted; it continues in a new file";
                let error =
                    Error::new(ErrorKind::Moved, what).at_path(self.active.segment().path());
                self.reporter.remark(&error);
                Ok(())
            }
            Err(error) => {
                self.closing.see(self.session.gate().ending());
                // This was the attempt for the open request, so the request gets the error.
                let request = self.session.gate().open_request().map(|request| request.ticket);
                self.asked = self.asked.max(request);
                self.failed(&error);
                Err(error)
            }
        }
    }
}
