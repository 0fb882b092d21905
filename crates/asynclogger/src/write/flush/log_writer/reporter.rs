//! Who is told of errors and of segments that are over, and what is done about a full disk.

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

/// Who looks after archived segments, and what has to be known of the log for that.
#[derive(Clone)]
pub(crate) struct Archiving {
    pub(crate) archivist: Arc<Archivist>,
    pub(crate) settings: Arc<ArchiveSettings>,
}

/// Tells the outside: whoever waits for a flush, the counts, the user's callback, the archivist.
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

    /// Keeps and counts an error, and has room made if a full disk is the cause. In this order: who sees the
    /// error counted finds it as the last one.
    pub(super) fn keep(&self, ticket: Option<u64>, error: &Error, active: Lineage) {
        self.session.gate().fail(ticket, error);
        if error.kind() != ErrorKind::Panic {
            self.session.progress().count_error(cause_of(error));
        }
        self.make_room(error, active);
    }

    /// Has the oldest archived segment deleted if the disk is full and that is wanted; the next attempt
    /// is made as soon as that is done.
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

    /// Tells the user's callback, whose panics are its own.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }

    /// Keeps an error that no flush is answered with, and tells the callback.
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
