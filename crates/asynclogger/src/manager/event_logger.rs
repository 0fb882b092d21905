//! A handle to one event of a manager.

use std::{
    fmt,
    io::IoSlice,
    time::{Duration, Instant},
};

use super::inner::Inner;
use crate::{
    Error, LogError, Opened, Position, Stats,
    sync::Arc,
    write::{EventHandle, RecordWriter},
};

/// Logs the records of one event, without a look-up of the event's name for each record.
///
/// Clones are handles to the same event, and each of them is a handle to its manager: the last handle of any
/// kind, [`LoggerManager`](crate::LoggerManager) or `EventLogger`, closes the manager when it is dropped.
/// After [`close`](crate::LoggerManager::close) a handle does no harm: its records are refused and counted as
/// closed.
#[derive(Clone)]
#[must_use]
pub struct EventLogger {
    handle: EventHandle,
    /// A log call borrows a handle, so the manager is not dropped during a log call. The end of the manager
    /// (`Worker::sort_held`) relies on that.
    manager: Arc<Inner>,
}

impl EventLogger {
    pub(super) fn new(handle: EventHandle, manager: Arc<Inner>) -> EventLogger {
        EventLogger { handle, manager }
    }

    /// Logs a string. See [`log_bytes`](EventLogger::log_bytes).
    #[doc(alias = "Log")]
    #[inline]
    pub fn log(&self, record: &str) {
        self.log_bytes(record.as_bytes());
    }

    /// Logs a record. The overflow policy decides about a record that finds no room; a record that is not accepted
    /// is dropped and counted. The call costs as much as [`Logger::log_bytes`](crate::Logger::log_bytes), and copies
    /// four bytes more.
    #[doc(alias = "LogBytes")]
    #[inline]
    pub fn log_bytes(&self, record: &[u8]) {
        // Refusals are counted.
        let _ = self.try_log_bytes(record);
    }

    /// Logs a record, and returns its position or the reason for its refusal. All events share the shards, and the
    /// position names a shard and the record's number there. So the position is good for
    /// [`is_durable`](EventLogger::is_durable) and [`wait_durable`](EventLogger::wait_durable), and differs from the
    /// position that a reader of the file finds.
    ///
    /// A record that was taken can still be dropped, and counted, in two cases: the event has used up its quota while
    /// its device is behind ([`Config::event_quota`](crate::Config::event_quota)), or the event is being closed at
    /// this moment.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    #[inline]
    pub fn try_log_bytes(&self, record: &[u8]) -> Result<Position, LogError> {
        self.handle.append_bytes(record)
    }

    /// Logs the pieces as one record.
    ///
    /// # Errors
    /// Those of [`try_log_bytes`](EventLogger::try_log_bytes).
    pub fn try_log_vectored(&self, pieces: &[IoSlice<'_>]) -> Result<Position, LogError> {
        let len = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        self.handle.append(len, |mut room| {
            for piece in pieces {
                let (place, rest) = room.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                room = rest;
            }
        })
    }

    /// Logs a record of at most `max_len` bytes that `encode` writes in place, as
    /// [`Logger::try_log_with`](crate::Logger::try_log_with) does.
    ///
    /// # Errors
    /// Those of [`try_log_bytes`](EventLogger::try_log_bytes). `encode` was called only if it wrote nothing, or more
    /// than `max_len`.
    pub fn try_log_with(
        &self,
        max_len: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<Position, LogError> {
        self.handle.append_with(max_len, encode)
    }

    /// The longest record that is accepted, in bytes.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.handle.event().max_record()
    }

    /// The counters of the event. The call waits until the records that were logged before it are sorted by event, as
    /// [`event_stats`](crate::LoggerManager::event_stats) does.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.manager.stats_of(self.handle.event())
    }

    /// Returns when every record of this event that was accepted before this call is durable. Other events are
    /// not flushed, and their errors are not returned.
    ///
    /// # Errors
    /// The first error of an attempt that covers this call; the records stay in memory, and the manager tries again.
    /// If all memory is used up, this can be an error of another event, because the records of this event wait for
    /// the memory of the other.
    /// [`ErrorKind::Forked`](crate::ErrorKind::Forked);
    /// [`ErrorKind::WouldDeadlock`](crate::ErrorKind::WouldDeadlock) inside a log call, of any logger, and in a
    /// callback.
    pub fn flush(&self) -> Result<(), Error> {
        self.manager.flush_event(self.handle.event(), None)
    }

    /// [`flush`](EventLogger::flush), but waits at most for `timeout`.
    ///
    /// # Errors
    /// Those of `flush`; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and then the flush continues without the
    /// caller.
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.manager.flush_event(self.handle.event(), Instant::now().checked_add(timeout))
    }

    /// Whether a record is known to be durable: whether it survives a power cut. Never waits. The answer is `false`
    /// for a position of another event or of an earlier session.
    ///
    /// The answer is coarse in one direction: `true` is certain, and `false` can mean that the record is durable but
    /// not known to be. A record becomes known to be durable when a flush succeeds that was requested after the record
    /// was logged: a flush of this event, of the manager, or by [`wait_durable`](EventLogger::wait_durable). A record
    /// that was dropped behind the shared buffers is not durable. Where many thousands of records in thousands of
    /// places were dropped, some records between them count as dropped here, too.
    #[must_use]
    pub fn is_durable(&self, position: &Position) -> bool {
        self.manager.is_durable(self.handle.event(), position)
    }

    /// Waits until a record is durable, at most for `timeout`. If the record is not known to be durable, this call asks
    /// for a flush of the event.
    ///
    /// # Errors
    /// Those of [`flush_for`](EventLogger::flush_for); [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a
    /// position that does not belong to this event and session, and for a record that was dropped behind the shared
    /// buffers.
    pub fn wait_durable(&self, position: &Position, timeout: Duration) -> Result<(), Error> {
        self.manager.wait_durable(self.handle.event(), position, timeout)
    }

    /// [`flush`](EventLogger::flush) for asynchronous programs; see [`Logger::flush_async`](crate::Logger::flush_async).
    ///
    /// # Errors
    /// The future gives those of `flush`, but for [`ErrorKind::WouldDeadlock`](crate::ErrorKind::WouldDeadlock).
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn flush_async(&self) -> crate::write::Flushing {
        self.manager.flush_event_async(self.handle.event())
    }

    /// [`wait_durable`](EventLogger::wait_durable) for asynchronous programs; see
    /// [`Logger::wait_durable_async`](crate::Logger::wait_durable_async).
    ///
    /// # Errors
    /// The future gives those of [`flush_async`](EventLogger::flush_async) and of `wait_durable`.
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn wait_durable_async(&self, position: &Position) -> crate::write::Flushing {
        self.manager.wait_durable_async(self.handle.event(), position)
    }

    /// The name of the event, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        self.handle.event().name()
    }

    /// What was found at the path of the event's file when the event was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        self.handle.event().opened()
    }

    /// Whether the event is open, which means not closed by
    /// [`close_event_logger`](crate::LoggerManager::close_event_logger).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.handle.event().is_open()
    }
}

impl fmt::Debug for EventLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLogger").field("name", &self.name()).finish_non_exhaustive()
    }
}
