//! A handle to one event of a manager.

use std::{fmt, io::IoSlice};

use crate::{LogError, Opened, write::EventHandle};

/// Logs the records of one event: its name was looked up once. Clones are handles to the same event; they
/// may outlive the manager, and what they log then is refused and counted.
#[derive(Clone)]
pub struct EventLogger {
    handle: EventHandle,
}

impl EventLogger {
    pub(super) fn new(handle: EventHandle) -> EventLogger {
        EventLogger { handle }
    }

    /// Logs a string. See [`log_bytes`](EventLogger::log_bytes).
    #[inline]
    pub fn log(&self, record: &str) {
        self.log_bytes(record.as_bytes());
    }

    /// Logs a record. What cannot be accepted is dropped and counted, by the overflow policy; the call costs
    /// what [`Logger::log_bytes`](crate::Logger::log_bytes) costs, and four bytes more.
    #[inline]
    pub fn log_bytes(&self, record: &[u8]) {
        // Refusals are counted.
        let _ = self.try_log_bytes(record);
    }

    /// Logs a record, or says why not. A record that was taken may still be dropped, and counted, if its event
    /// has used up its quota while its device is behind ([`Config::event_quota`](crate::Config::event_quota)),
    /// or is being closed at this moment.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    #[inline]
    pub fn try_log_bytes(&self, record: &[u8]) -> Result<(), LogError> {
        self.handle.append(record.len(), |room| room.copy_from_slice(record))
    }

    /// Logs the pieces as one record.
    ///
    /// # Errors
    /// As [`try_log_bytes`](EventLogger::try_log_bytes).
    pub fn try_log_vectored(&self, pieces: &[IoSlice<'_>]) -> Result<(), LogError> {
        let len = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        self.handle.append(len, |mut room| {
            for piece in pieces {
                let (place, rest) = room.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                room = rest;
            }
        })
    }

    /// Logs a record of `len` bytes that `encode` writes in place, as
    /// [`Logger::try_log_with`](crate::Logger::try_log_with) does.
    ///
    /// # Errors
    /// As [`try_log_bytes`](EventLogger::try_log_bytes); `encode` was not called.
    pub fn try_log_with(&self, len: usize, encode: impl FnOnce(&mut [u8])) -> Result<(), LogError> {
        self.handle.append_encoded(len, encode)
    }

    /// The name of the event, as it was given.
    pub fn name(&self) -> &str {
        self.handle.event().name()
    }

    /// What was found where the event's file is, when it was opened.
    pub fn opened(&self) -> &Opened {
        self.handle.event().opened()
    }

    /// Whether the event is open: not closed by
    /// [`close_event_logger`](crate::LoggerManager::close_event_logger).
    pub fn is_open(&self) -> bool {
        self.handle.event().is_open()
    }
}

impl fmt::Debug for EventLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLogger").field("name", &self.name()).finish_non_exhaustive()
    }
}
