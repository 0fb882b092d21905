//! The way of a record from its caller into the shared buffers.

use std::time::Instant;

use super::{
    event::{Event, Standing, Unplaced},
    memory::TAG,
};
use crate::{
    LogError, Overflow,
    sync::Arc,
    write::{home::Local, log::Log, shard::Reason},
};

/// What it takes to log a record of an event.
#[derive(Clone)]
pub(crate) struct EventHandle {
    ingest: Arc<Log>,
    event: Arc<Event>,
    unplaced: Arc<Unplaced>,
    overflow: Overflow,
}

impl EventHandle {
    pub(super) fn new(
        ingest: Arc<Log>,
        event: Arc<Event>,
        unplaced: Arc<Unplaced>,
        overflow: Overflow,
    ) -> EventHandle {
        EventHandle { ingest, event, unplaced, overflow }
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
            return self.append_later(record);
        }
        self.append_now(record)
    }

    #[inline]
    fn append_now(&self, record: &[u8]) -> Result<(), LogError> {
        let len = record.len();
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

    /// Of no length that is taken now: perhaps later.
    #[cold]
    fn append_later(&self, record: &[u8]) -> Result<(), LogError> {
        let len = record.len();
        if let Some(error) = self.wait_while_held() {
            return Err(self.refused(error));
        }
        let error = match (self.event.standing(), len) {
            (Standing::Closed, _) => LogError::Closed,
            (_, 0) => LogError::Empty,
            (_, len) if len <= self.event.max_record() => return self.append_now(record),
            (_, len) => LogError::TooLarge { len, max: self.event.max_record() },
        };
        Err(self.refused(error))
    }

    /// Waits as the policy says while the event has as much memory as it may have; why that is over without
    /// success.
    fn wait_while_held(&self) -> Option<LogError> {
        Local::with(|local| {
            let inside = local.enter();
            if self.event.standing() != Standing::Held {
                return None;
            }
            let deadline = match self.overflow {
                _ if inside.is_nested() => return Some(LogError::Full),
                Overflow::Drop => return Some(LogError::Full),
                Overflow::Block => None,
                Overflow::BlockFor(timeout) => Instant::now().checked_add(timeout),
            };
            (!self.event.wait_while_held(deadline)).then_some(LogError::Full)
        })
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
