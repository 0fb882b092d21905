//! Reports errors and archived segments, and asks for room on a full disk.

use crate::{
    Config, Error, ErrorKind, WhenFull,
    config::{Callback, tell},
    io::Cause,
    sync::Arc,
    write::{
        archive::{ArchiveSettings, ArchivedSegment, Archivist, Lineage},
        flush::{outbox::cause_of, session::Session},
    },
};

/// The archivist, and the settings of the log that it needs.
#[derive(Clone)]
pub(crate) struct Archiving {
    pub(crate) archivist: Arc<Archivist>,
    pub(crate) settings: Arc<ArchiveSettings>,
}

/// Reports to the outside: to the callers that wait for a flush, the counts, the user's callback, the archivist.
pub(super) struct Reporter {
    session: Arc<Session>,
    on_error: Option<Callback<Error>>,
    /// `None` in models.
    archiving: Option<Archiving>,
    /// Whether the oldest archived segment is deleted when the disk is full.
    makes_room: bool,
}

impl Reporter {
    pub(super) fn new(
        session: Arc<Session>,
        config: &Config,
        archiving: Option<Archiving>,
    ) -> Reporter {
        Reporter {
            session,
            on_error: config.on_error.clone(),
            archiving,
            makes_room: config.retention.when_full == WhenFull::DeleteOldest,
        }
    }

    /// Keeps and counts an error, and asks for room if a full disk is the cause. The error is kept before it is
    /// counted, so that a caller that sees the count finds the error as the last one.
    pub(super) fn keep(&self, ticket: Option<u64>, error: &Error, active: Lineage) {
        self.session.gate().fail(ticket, error);
        if error.kind() != ErrorKind::Panic {
            self.session.progress().count_error(cause_of(error));
        }
        self.make_room(error, active);
    }

    /// Asks the archivist to delete the oldest archived segment, if the disk is full and the config allows it. The next
    /// attempt is made as soon as the segment is deleted.
    pub(super) fn make_room(&self, error: &Error, active: Lineage) {
        if self.makes_room
            && cause_of(error) == Cause::Space
            && let Some(Archiving { archivist, settings }) = &self.archiving
        {
            let session = self.session.clone();
            let made = move |_| session.tell_of_room();
            archivist.make_room(settings.clone(), active, Box::new(made));
        }
    }

    /// Calls the user's callback. A panic of the callback does not reach the flusher.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }

    /// Keeps an error that answers no flush, and calls the callback.
    pub(super) fn remark(&self, error: &Error) {
        self.session.gate().fail(None, error);
        self.tell(error);
    }

    /// Hands a segment over to the archivist.
    pub(super) fn segment_over(&self, segment: ArchivedSegment) {
        if let Some(Archiving { archivist, .. }) = &self.archiving {
            archivist.archived(segment);
        }
    }
}
