//! What callers of a manager use, and its flusher does not.

use super::{
    event::{Event, Unplaced},
    memory::TAG,
    names::Names,
};
use crate::{
    LogError, Overflow,
    sync::Arc,
    write::{
        common::{Local, Reason},
        swap::Ingest,
    },
};

/// What callers of a manager use, by handle and by name.
///
/// Each handle of the manager and of its events has a share in this, and nothing else has: not the flusher, and
/// no table that the flusher can reach. When the last handle goes, so does this, and the
/// [`Ingest`] in here: that is how the flusher knows that nobody is inside a log call any more who could come
/// back.
pub(crate) struct Callers {
    ingest: Ingest,
    names: Names<Event>,
    unplaced: Arc<Unplaced>,
    overflow: Overflow,
}

impl Callers {
    pub(super) fn new(ingest: Ingest, unplaced: Arc<Unplaced>, overflow: Overflow) -> Callers {
        Callers { ingest, names: Names::new(), unplaced, overflow }
    }

    #[inline]
    pub(super) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    pub(super) fn names(&self) -> &Names<Event> {
        &self.names
    }

    pub(crate) fn unplaced(&self) -> &Unplaced {
        &self.unplaced
    }

    pub(super) fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Logs a record by name; whether that is done, or refused and counted. If not, its event is not open, or
    /// does not take it now.
    #[inline]
    pub(crate) fn log(&self, name: &str, record: &[u8]) -> bool {
        let len = record.len();
        let Some(entry) = self.names.find(name) else {
            return false;
        };
        let (number, limit) = entry.takes();
        // One comparison for all: an empty record wraps around, a closed event takes no length.
        if len.wrapping_sub(1) >= limit {
            return false;
        }
        let appended = self.ingest.append(TAG + len, |room| {
            let (tag, bytes) = room.split_at_mut(TAG);
            tag.copy_from_slice(&number.to_le_bytes());
            bytes.copy_from_slice(record);
        });
        appended.map_or_else(|error| self.refused(name, error), |_| true)
    }

    /// The shared buffers did not take a record; whether it was counted.
    #[cold]
    fn refused(&self, name: &str, error: LogError) -> bool {
        self.with(name, |event| self.count_refusal(event, error)).is_some()
    }

    /// Counts a refused record: for the event's file, as long as that can tell of it.
    #[cold]
    pub(super) fn count_refusal(&self, event: &Event, error: LogError) {
        match error {
            LogError::Full => event.count_drop(Reason::Full),
            LogError::Busy => event.count_drop(Reason::Busy),
            LogError::TooLarge { .. } => event.count_drop(Reason::TooLarge),
            LogError::Empty => event.count_drop(Reason::Empty),
            LogError::Closed => self.unplaced.count_closed(),
        }
    }

    /// Does something with an open event; `None`: it is not open.
    pub(crate) fn with<T>(&self, name: &str, use_it: impl FnOnce(&Arc<Event>) -> T) -> Option<T> {
        let entry = self.names.find(name)?;
        if self.ingest.shards().is_forked() {
            return entry.with_in_child(use_it);
        }
        let may_wait = Local::with(|local| self.ingest.may_wait(&local.enter()));
        entry.with(may_wait, use_it)
    }
}
