//! Who is told of errors, and what is done about a full disk.

use super::{Archiving, LogWriter, cause_of};
use crate::{Error, ErrorKind, config::tell, io::Cause, write::common::Ending};

impl LogWriter {
    /// Has the oldest archived segment deleted if the disk is full and that is wanted; the next attempt
    /// is made as soon as that is done.
    pub(super) fn make_room(&self, error: &Error) {
        if self.makes_room
            && cause_of(error) == Cause::Space
            && let Some(Archiving { archivist, settings }) = &self.archiving
        {
            let log = self.log.clone();
            let made = move |_| log.tell_of_room();
            archivist.make_room(settings.clone(), self.lineage, Box::new(made));
        }
    }

    /// Keeps an error, answers the flush that it belongs to, and tells the callback.
    #[cold]
    pub(super) fn failed(&mut self, error: &Error) {
        let ticket = self.pass.take().and_then(|pass| pass.ticket);
        let ticket = ticket.max(std::mem::take(&mut self.asked));
        self.keep(ticket, error);
        self.tell(error);
        if self.ending == Ending::Abandoned {
            // Each thing is tried once.
            self.give_up();
        }
    }

    /// Keeps and counts an error, and has room made if that is what it is about. In this order: who sees it
    /// counted finds it as the last one.
    pub(super) fn keep(&self, ticket: Option<u64>, error: &Error) {
        self.log.gate().fail(ticket, error);
        if error.kind() != ErrorKind::Panic {
            self.log.progress().count_error(cause_of(error));
        }
        self.make_room(error);
    }

    /// Counts a panic of the flusher, which goes on.
    pub(crate) fn panicked(&mut self, error: &Error) {
        self.log.progress().count_panic();
        self.failed(error);
    }

    /// Tells the user's callback, whose panics are its own.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }
}
