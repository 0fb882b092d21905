//! The way of a record from its caller into the shared buffers.

use std::time::Instant;

use super::{
    event::{Event, Unplaced},
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

    /// Appends a record of `len` bytes, filled in place by `fill`, with the number of its event in front.
    ///
    /// # Errors
    /// Refused, and counted.
    #[inline]
    pub(crate) fn append(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), LogError> {
        // One comparison for all: an empty record wraps around, a closed event takes no length.
        if len.wrapping_sub(1) >= self.event.limit() {
            self.wait_for_later(len)?;
        }
        let appended = self.ingest.append(TAG + len, self.tagged(fill));
        match appended {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// The same for an encoder that is not ours, as [`Log::append_encoded`].
    ///
    /// # Errors
    /// As [`append`](EventHandle::append).
    pub(crate) fn append_encoded(
        &self,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<(), LogError> {
        if len.wrapping_sub(1) >= self.event.limit() {
            self.wait_for_later(len)?;
        }
        let appended = self.ingest.append_encoded(TAG + len, self.tagged(encode));
        appended.map(drop).map_err(|error| self.refused(error))
    }

    /// Puts the number of the event in front of what `fill` writes.
    #[inline]
    fn tagged(&self, fill: impl FnOnce(&mut [u8])) -> impl FnOnce(&mut [u8]) {
        let number = self.event.number();
        move |room| {
            let (tag, bytes) = room.split_at_mut(TAG);
            tag.copy_from_slice(&number.to_le_bytes());
            fill(bytes);
        }
    }

    /// A length that is not taken now: perhaps later.
    ///
    /// # Errors
    /// It is not, and that was counted.
    #[cold]
    fn wait_for_later(&self, len: usize) -> Result<(), LogError> {
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
