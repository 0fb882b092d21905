//! The way of a record from its caller into the shared buffers.

use std::time::Instant;

use super::{
    callers::{Callers, tag},
    event::Event,
    memory::TAG,
};
use crate::{
    LogError, Overflow, Position,
    sync::Arc,
    write::{
        common::Local,
        swap::{NOTHING, RecordWriter, STAMPS, Source},
    },
};

/// Logs the records of one event. A call costs two comparisons and four copied bytes more than one of a plain logger.
///
/// A log call looks at two values in the event: its number, which goes in front of the record, and the longest
/// record that the event takes now. That length is 0 while the event takes no records, because it is closed or held.
/// So the one comparison that every call needs anyway checks that, too.
#[derive(Clone)]
pub(crate) struct EventHandle {
    callers: Arc<Callers>,
    event: Arc<Event>,
}

impl EventHandle {
    pub(crate) fn new(callers: &Arc<Callers>, event: &Arc<Event>) -> EventHandle {
        EventHandle { callers: callers.clone(), event: event.clone() }
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Appends these bytes as a record, with the number of the event in front.
    ///
    /// # Errors
    /// The record was refused, and counted.
    #[inline]
    pub(crate) fn append_bytes(&self, record: &[u8]) -> Result<Position, LogError> {
        if self.callers.ingest().takes_stamps() {
            self.append_by::<STAMPS>(record)
        } else {
            self.append_by::<NOTHING>(record)
        }
    }

    /// [`append_bytes`](EventHandle::append_bytes), with times from this source.
    #[inline(never)]
    fn append_by<const SOURCE: Source>(&self, record: &[u8]) -> Result<Position, LogError> {
        let (len, ingest) = (record.len(), self.callers.ingest());
        // One comparison checks all: the length of an empty record wraps around, and a closed event takes no length.
        if len.wrapping_sub(1) >= self.event.limit() {
            self.wait_to_append(len)?;
        }
        if !ingest.is_usual::<SOURCE>(TAG + len) {
            return self.append_unusually(record);
        }
        let number = self.event.number();
        let appended =
            ingest.append_usually::<SOURCE>(TAG + len, move |room| tag(room, number, record));
        match appended {
            Ok(position) => Ok(self.event.position(position)),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// [`append_bytes`](EventHandle::append_bytes) with times of a clock, or with a length that is refused.
    #[cold]
    #[inline(never)]
    fn append_unusually(&self, record: &[u8]) -> Result<Position, LogError> {
        self.append(record.len(), |room| room.copy_from_slice(record))
    }

    /// Appends a record of `len` bytes, which `fill` writes in place, with the number of the event in front.
    ///
    /// # Errors
    /// The record was refused, and counted.
    pub(crate) fn append(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        if len.wrapping_sub(1) >= self.event.limit() {
            self.wait_to_append(len)?;
        }
        let number = self.event.number();
        let appended = self.callers.ingest().append(TAG + len, move |room| {
            let (front, bytes) = room.split_at_mut(TAG);
            front.copy_from_slice(&number.to_le_bytes());
            fill(bytes);
        });
        match appended {
            Ok(position) => Ok(self.event.position(position)),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Appends a record of at most `max` bytes, which `encode` writes.
    ///
    /// # Errors
    /// The record was refused, and counted. `encode` was called only if it wrote too much, or nothing.
    pub(crate) fn append_with(
        &self,
        max: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<Position, LogError> {
        if max.wrapping_sub(1) >= self.event.limit() {
            self.wait_to_append(max)?;
        }
        let appended =
            self.callers.ingest().append_with(self.event.number().to_le_bytes(), max, encode);
        let appended = appended.map(|position| self.event.position(position));
        appended.map_err(|error| self.refused(error))
    }

    /// Handles a record whose length the event does not take now. Returns if the event can take it after a wait.
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

    /// Waits, as the policy says, until the event takes records again, or never will. Returns whether that came true.
    fn wait_while_held(&self) -> bool {
        Local::with(|local| {
            let inside = local.enter();
            let ingest = self.callers.ingest();
            let deadline = match self.callers.overflow() {
                // In a forked child no flusher releases the event, and the shards are closed.
                _ if !self.event.is_held() || ingest.shards().is_forked() => return true,
                Overflow::Drop => return false,
                _ if !ingest.may_wait(&inside) => return false,
                Overflow::Block => None,
                Overflow::BlockFor(timeout) => Instant::now().checked_add(timeout),
            };
            self.event.wait_while_held(deadline)
        })
    }

    #[cold]
    fn refused(&self, error: LogError) -> LogError {
        self.callers.count_refusal(&self.event, error);
        error
    }
}
