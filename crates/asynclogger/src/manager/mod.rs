//! The public handle to many events: opens them on first use, and has one flusher and one memory for all.

mod event_logger;
mod inner;

use std::{
    fmt,
    path::Path,
    time::{Duration, Instant},
};

pub use self::event_logger::EventLogger;
use self::inner::Inner;
use crate::{
    Config, Error, FlushMetrics, Health, ManagerStats, Stats, sync::Arc, write::MAX_EVENT_NAME,
};

/// Logs each event to a file of its own, all with one thread and one memory.
///
/// The files are in one directory, and are called like their events, with `.log` behind. Events are opened on first use. A handle to an event
/// ([`event`](LoggerManager::event)) saves looking up its name for each record.
///
/// What cannot stand in a file name becomes `_` (`/ \ : * ? " < > |`, blanks, control characters, a dot or
/// dash in front). Two events never share a file: where the file of that name is another event's, the name
/// gets `~` and a hash of the event's full name, the same after every restart; the full name is in the file.
///
/// The memory is `2 x` [`buffer_size`](Config::buffer_size), whatever the number of events, and at least
/// three of the longest records: an eighth of it for the buffers that callers log to, the rest for what is sorted by
/// event and not written yet. A manager has its directory to itself: no other process may log there.
///
/// ```
/// # fn main() -> Result<(), asynclogger::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path();
/// use asynclogger::{Config, LoggerManager};
///
/// let manager = LoggerManager::in_dir(directory, Config::default())?;
/// manager.log_with_event("login", "user123");
/// let payment = manager.event("payment")?;
/// payment.log_bytes(b"\x0a\x03abc");
/// let stats = manager.close()?; // login.log, payment.log
/// assert_eq!((stats.total.accepted, stats.total.dropped_logs), (2, 0));
/// # Ok(())
/// # }
/// ```
///
/// Clones are handles to the same manager, and so are the [`EventLogger`]s. [`close`](LoggerManager::close) it
/// to learn what became of the records. Dropping the last handle of either kind closes it, too, but has nobody
/// to tell.
#[derive(Clone)]
#[must_use]
pub struct LoggerManager {
    inner: Arc<Inner>,
}

impl LoggerManager {
    /// The longest name of an event, in bytes: that much fits into the start of every file.
    pub const MAX_EVENT_NAME: usize = MAX_EVENT_NAME;

    /// Takes a directory, making it if it is missing. No event is opened yet. The settings are those of each event,
    /// and have no path: [`Config::default`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig), also for settings with a path;
    /// [`ErrorKind::MissingFeature`](crate::ErrorKind::MissingFeature);
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another manager has the directory, here or in another
    /// process; [`ErrorKind::Engine`](crate::ErrorKind::Engine); those of the system.
    pub fn in_dir(directory: impl AsRef<Path>, config: Config) -> Result<LoggerManager, Error> {
        LoggerManager::new(config.in_dir(directory.as_ref())?)
    }

    /// As [`in_dir`](LoggerManager::in_dir), in the directory of the config's path: `base.log` in it and any other
    /// file name are the same.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig);
    /// [`ErrorKind::MissingFeature`](crate::ErrorKind::MissingFeature);
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another manager has the directory, here or in another
    /// process; [`ErrorKind::Engine`](crate::ErrorKind::Engine); those of the system.
    #[doc(alias = "NewLoggerManager")]
    pub fn new(config: Config) -> Result<LoggerManager, Error> {
        Ok(LoggerManager { inner: Arc::new(Inner::new(config)?) })
    }

    /// The handle of an event, which is opened if it is not: the caller waits for that, and for the end of an
    /// event of this name that is being closed.
    ///
    /// # Errors
    /// As of [`Logger::new`](crate::Logger::new); the same again for a second after an attempt that failed.
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for a name that is empty or has more
    /// than 1024 bytes.
    pub fn event(&self, name: &str) -> Result<EventLogger, Error> {
        let handle = self.inner.event(name)?;
        Ok(EventLogger::new(handle, self.inner.clone()))
    }

    /// Logs a string. See [`log_bytes_with_event`](LoggerManager::log_bytes_with_event).
    #[doc(alias = "LogWithEvent")]
    #[inline]
    pub fn log_with_event(&self, name: &str, record: &str) {
        self.log_bytes_with_event(name, record.as_bytes());
    }

    /// Logs a record of an event, which is opened if it is not. What cannot be accepted is dropped and
    /// counted, by the overflow policy; records of an event that cannot be opened are counted in
    /// [`ManagerStats::unopened`], and those of one that is being closed as closed.
    #[doc(alias = "LogBytesWithEvent")]
    #[inline]
    pub fn log_bytes_with_event(&self, name: &str, record: &[u8]) {
        self.inner.log(name, record);
    }

    /// Opens an event, if it is not.
    ///
    /// # Errors
    /// As [`event`](LoggerManager::event).
    #[doc(alias = "InitializeEventLogger")]
    pub fn initialize_event_logger(&self, name: &str) -> Result<(), Error> {
        self.inner.event(name).map(|_| ())
    }

    /// Takes no more records for an event, writes all accepted ones, and ends its file; its statistics. The
    /// event can be opened again after that, and continues its file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event; as of
    /// [`Logger::close`](crate::Logger::close): nothing is lost by that, and this can be called again.
    #[doc(alias = "CloseEventLogger")]
    pub fn close_event_logger(&self, name: &str) -> Result<Stats, Error> {
        self.inner.close_event(name)
    }

    /// Whether an event is open.
    #[doc(alias = "HasEventLogger")]
    #[must_use]
    pub fn has_event_logger(&self, name: &str) -> bool {
        self.inner.has(name)
    }

    /// The names of all open events, sorted.
    #[doc(alias = "ListEventLoggers")]
    #[must_use]
    pub fn list_event_loggers(&self) -> Vec<String> {
        self.inner.names()
    }

    /// Returns when every record accepted before this call is durable, of all events.
    ///
    /// # Errors
    /// The first error of an attempt that covers this call, of any event; the records stay in memory and are
    /// tried again. [`ErrorKind::Forked`](crate::ErrorKind::Forked);
    /// [`ErrorKind::WouldDeadlock`](crate::ErrorKind::WouldDeadlock) inside a log call, of any logger, and in a
    /// callback.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.flush(None)
    }

    /// [`flush`](LoggerManager::flush), waiting at most for `timeout`.
    ///
    /// # Errors
    /// As `flush`; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), with the flush still going on.
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.inner.flush(Instant::now().checked_add(timeout))
    }

    /// Every event goes on in a new file, as by [`Logger::rotate`](crate::Logger::rotate): an event without a record
    /// in its file stays where it is.
    ///
    /// # Errors
    /// As [`flush`](LoggerManager::flush); those of making the next file of an event, which goes on in the old one then.
    pub fn rotate(&self) -> Result<(), Error> {
        self.inner.rotate()
    }

    /// Takes no more records, writes all accepted ones, ends all files, and says what was done. Calls after
    /// the first success return the same.
    ///
    /// # Errors
    /// As of [`Logger::close`](crate::Logger::close): nothing is lost by that, and it can be called again.
    #[doc(alias = "Close")]
    pub fn close(&self) -> Result<ManagerStats, Error> {
        self.inner.close()?;
        Ok(self.stats())
    }

    /// The counters of all events together, now. Never waits for a device.
    #[doc(alias = "GetStatsSnapshot")]
    #[must_use]
    pub fn stats(&self) -> ManagerStats {
        self.inner.stats()
    }

    /// The counters of one event. Waits until what was logged before this call is sorted by event, which takes
    /// microseconds; at most a tenth of a second, and without that if memory is full.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event.
    #[doc(alias = "GetEventStats")]
    pub fn event_stats(&self, name: &str) -> Result<Stats, Error> {
        self.inner.event_stats(name)
    }

    /// How long flushes took, of all events together: sums, the longest, and means weighed by their number.
    #[doc(alias = "GetAggregatedFlushMetrics")]
    #[must_use]
    pub fn aggregated_flush_metrics(&self) -> FlushMetrics {
        self.inner.flush_metrics()
    }

    /// How long flushes of one event took.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event.
    pub fn event_flush_metrics(&self, name: &str) -> Result<FlushMetrics, Error> {
        self.inner.of_event(name, |event| event.flush_metrics())
    }

    /// How the worst of all events is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// How one event is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event.
    pub fn event_health(&self, name: &str) -> Result<Health, Error> {
        self.inner.of_event(name, |event| event.session().health())
    }

    /// The longest record that is accepted, in bytes: at all times, for every event.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.inner.config().max_record()
    }

    /// The directory of the files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.inner.directory()
    }
}

impl fmt::Debug for LoggerManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.inner.config();
        f.debug_struct("LoggerManager").field("config", config).finish_non_exhaustive()
    }
}
