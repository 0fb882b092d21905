//! The callers' side of a manager, which its flusher does not use.

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
        swap::{Ingest, NOTHING, STAMPS, Source},
    },
};

/// The callers' side of a manager, for calls by handle and by name.
///
/// Only the handles of the manager and of its events share this: neither the flusher does, nor any table that the
/// flusher can reach. So it is dropped with the last handle, together with its [`Ingest`]. This is how the flusher
/// knows that no thread is inside a log call any more that could still return.
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

    /// The longest record that the shared buffers take.
    pub(crate) fn max_record(&self) -> usize {
        self.ingest.max_record() - TAG
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

    /// Logs a record by name. Returns whether the record was logged, or refused and counted. If not, its event is not
    /// open, or does not take the record now.
    #[inline]
    pub(crate) fn log(&self, name: &str, record: &[u8]) -> bool {
        if self.ingest.takes_stamps() {
            self.log_by::<STAMPS>(name, record)
        } else {
            self.log_by::<NOTHING>(name, record)
        }
    }

    /// [`log`](Callers::log), with times from this source.
    #[inline(never)]
    fn log_by<const SOURCE: Source>(&self, name: &str, record: &[u8]) -> bool {
        let len = record.len();
        let Some(entry) = self.names.find(name) else {
            return false;
        };
        let (number, limit) = entry.takes();
        // One comparison checks all: the length of an empty record wraps around, and a closed event takes no length.
        if len.wrapping_sub(1) >= limit {
            return false;
        }
        if !self.ingest.is_usual::<SOURCE>(TAG + len) {
            return self.log_unusually(name, number, record);
        }
        let appended = self.ingest.append_usually::<SOURCE>(TAG + len, move |room| {
            tag(room, number, record);
        });
        appended.map_or_else(|error| self.refused(name, error), |_| true)
    }

    /// [`log`](Callers::log) with times of a clock, or with a length that is refused.
    #[cold]
    #[inline(never)]
    fn log_unusually(&self, name: &str, number: u32, record: &[u8]) -> bool {
        let appended = self.ingest.append(TAG + record.len(), |room| tag(room, number, record));
        appended.map_or_else(|error| self.refused(name, error), |_| true)
    }

    /// Handles a record that the shared buffers did not take. Returns whether the record was counted.
    #[cold]
    fn refused(&self, name: &str, error: LogError) -> bool {
        self.with(name, |event| self.count_refusal(event, error)).is_some()
    }

    /// Counts a refused record: for the event's file, as long as the file can report it.
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

    /// Calls `use_it` with an open event; `None` if the event is not open.
    pub(crate) fn with<T>(&self, name: &str, use_it: impl FnOnce(&Arc<Event>) -> T) -> Option<T> {
        let entry = self.names.find(name)?;
        if self.ingest.shards().is_forked() {
            return entry.with_in_child(use_it);
        }
        let may_wait = Local::with(|local| self.ingest.may_wait(&local.enter()));
        entry.with(may_wait, use_it)
    }
}

/// Fills the room of a record with the number of its event and its bytes.
#[inline(always)]
pub(super) fn tag(room: &mut [u8], number: u32, record: &[u8]) {
    let (front, bytes) = room.split_at_mut(TAG);
    front.copy_from_slice(&number.to_le_bytes());
    bytes.copy_from_slice(record);
}
