//! The way of a record from its caller into the shared buffers.

use super::{
    event::{Event, Unplaced},
    memory::TAG,
};
use crate::{
    LogError,
    sync::Arc,
    write::{log::Log, shard::Reason},
};

/// What it takes to log a record of an event.
#[derive(Clone)]
pub(crate) struct EventHandle {
    ingest: Arc<Log>,
    event: Arc<Event>,
    unplaced: Arc<Unplaced>,
}

impl EventHandle {
    pub(super) fn new(ingest: Arc<Log>, event: Arc<Event>, unplaced: Arc<Unplaced>) -> EventHandle {
        EventHandle { ingest, event, unplaced }
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Appends a record, with the number of its event in front.
    ///
    /// # Errors
    /// Refused, and counted.
    #[inline]
    pub(crate) fn append(&self, record: &[u8]) -> Result<(), LogError> {
        let len = record.len();
        // One comparison for all: an empty record wraps around, a closed event takes no length.
        if len.wrapping_sub(1) >= self.event.limit() {
            return Err(self.refuse_length(len));
        }
        let number = self.event.number();
        let appended = self.ingest.append(TAG + len, |room| {
            let (tag, bytes) = room.split_at_mut(TAG);
            tag.copy_from_slice(&number.to_le_bytes());
            bytes.copy_from_slice(record);
        });
        match appended {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(error)),
        }
    }

    #[cold]
    fn refuse_length(&self, len: usize) -> LogError {
        match (self.event.limit(), len) {
            (0, _) => self.refused(LogError::Closed),
            (_, 0) => self.refused(LogError::Empty),
            (max, _) => self.refused(LogError::TooLarge { len, max }),
        }
    }

    /// Counts a refusal: for the event's file, as long as that can tell of it.
    #[cold]
    fn refused(&self, error: LogError) -> LogError {
        let reason = match error {
            LogError::Full => Reason::Full,
            LogError::Busy => Reason::Busy,
            LogError::TooLarge { .. } => Reason::TooLarge,
            LogError::Empty => Reason::Empty,
            LogError::Closed => {
                Unplaced::count(&self.unplaced.closed);
                return error;
            }
        };
        self.event.count_drop(reason);
        error
    }
}
