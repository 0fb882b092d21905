//! The way of a record from its caller into the shared buffers.

use std::time::Instant;

use super::{
    event::{Event, Unplaced},
    memory::TAG,
};
use crate::{
    LogError, Overflow,
    sync::Arc,
    write::{
        common::{Local, Reason},
        swap::{Ingest, RecordWriter},
    },
};

/// What it takes to log a record of an event.
#[derive(Clone)]
pub(crate) struct EventHandle {
    ingest: Arc<Ingest>,
    event: Arc<Event>,
    unplaced: Arc<Unplaced>,
    overflow: Overflow,
}

impl EventHandle {
    pub(super) fn new(
        ingest: Arc<Ingest>,
        event: Arc<Event>,
        unplaced: Arc<Unplaced>,
        overflow: Overflow,
    ) -> EventHandle {
        EventHandle { ingest, event, unplaced, overflow }
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Appends a record of `len` bytes, filled in place by `fill`, with the number of its event in front.
    ///
    /// # Errors
    /// Refused, and counted.
    #[inline]
    pub(crate) fn append(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), LogError> {
        // One comparison for all: an empty record wraps around, a closed event takes no length.
        if len.wrapping_sub(1) >= self.event.limit() {
            self.wait_to_append(len)?;
        }
        let number = self.event.number();
        let appended = self.ingest.append(TAG + len, |room| {
            let (tag, bytes) = room.split_at_mut(TAG);
            tag.copy_from_slice(&number.to_le_bytes());
            fill(bytes);
        });
        match appended {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Appends a record of at most `max` bytes, which `encode` writes.
    ///
    /// # Errors
    /// Refused, and counted; `encode` was called if it wrote too much, or nothing.
    pub(crate) fn append_with(
        &self,
        max: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<(), LogError> {
        if max.wrapping_sub(1) >= self.event.limit() {
            self.wait_to_append(max)?;
        }
        let appended = self.ingest.append_with(self.event.number().to_le_bytes(), max, encode);
        appended.map(|_| ()).map_err(|error| self.refused(error))
    }

    /// Of no length that is taken now: perhaps later, and then this returns.
    #[cold]
    fn wait_to_append(&self, len: usize) -> Result<(), LogError> {
        let max = self.event.max_record();
        let error = match len {
            _ if !self.event.is_open() => LogError::Closed,
            0 => LogError::Empty,
            len if len > max => LogError::TooLarge { len, max },
            _ if !self.wait_while_held() => LogError::Full,
            _ if self.event.is_open() => return Ok(()),
            _ => LogError::Closed,
        };
        Err(self.refused(error))
    }

    /// Waits as the policy says until the event takes records again, or never will; whether it came to that.
    fn wait_while_held(&self) -> bool {
        Local::with(|local| {
            let inside = local.enter();
            let deadline = match self.overflow {
                _ if !self.event.is_held() => return true,
                Overflow::Drop => return false,
                _ if inside.is_nested() => return false,
                Overflow::Block => None,
                Overflow::BlockFor(timeout) => Instant::now().checked_add(timeout),
            };
            self.event.wait_while_held(deadline)
        })
    }

    /// Counts a refusal: for the event's file, as long as that can tell of it.
    #[cold]
    pub(super) fn refused(&self, error: LogError) -> LogError {
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
