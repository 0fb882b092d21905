//! The public handle to many events: opens each event on first use, with one flusher and one memory for all.

mod event_logger;
mod inner;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use self::event_logger::EventLogger;
use self::inner::Inner;
use crate::{
    Config, Error, FlushMetrics, Health, ManagerStats, Salvage, Stats,
    stats::{Source, render},
    sync::Arc,
    write::MAX_EVENT_NAME,
};

/// Logs each event to a file of its own, all with one thread and one memory.
///
/// The files are in one directory. A file has the name of its event and the ending `.log`. Events are opened on
/// first use. A handle to an event ([`event`](LoggerManager::event)) saves the look-up of its name for each record.
///
/// A character that cannot stand in a file name becomes `_` (`/ \ : * ? " < > |`, blanks, control characters, a
/// dot or dash in front). Two events never share a file: where the file of that name belongs to another event, the
/// name gets `~` and a hash of the event's full name, the same after every restart; the full name is in the file.
///
/// The memory is `2 x` [`buffer_size`](Config::buffer_size), whatever the number of events, and at least
/// three of the longest records. An eighth of the memory is for the buffers that callers log to, the rest for records
/// that are sorted by event and not written yet. A manager has its directory to itself: no other process can log there.
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
/// Clones are handles to the same manager, and so are the [`EventLogger`]s. Call [`close`](LoggerManager::close)
/// to learn what became of the records. Dropping the last handle of either kind closes the manager, too, but can
/// report nothing.
#[derive(Clone)]
#[must_use]
pub struct LoggerManager {
    inner: Arc<Inner>,
}

impl LoggerManager {
    /// The longest name of an event, in bytes: a name of this length fits into the start of every file.
    pub const MAX_EVENT_NAME: usize = MAX_EVENT_NAME;

    /// Opens a manager in a directory, which is made if it is missing. No event is opened yet. `config` holds the
    /// settings of every event, and has no path: begin with [`Config::default`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig), also for a `config` with a path;
    /// [`ErrorKind::MissingFeature`](crate::ErrorKind::MissingFeature);
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another manager has the directory, here or in another
    /// process; [`ErrorKind::Engine`](crate::ErrorKind::Engine); those of the system.
    pub fn in_dir(directory: impl AsRef<Path>, config: Config) -> Result<LoggerManager, Error> {
        LoggerManager::new(config.in_dir(directory.as_ref())?)
    }

    /// Opens a manager as [`in_dir`](LoggerManager::in_dir) does, in the directory of the config's path. The file name
    /// in that path has no meaning.
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

    /// Returns a handle to an event, and opens the event if it is not open. The caller waits for the opening; if an
    /// event of this name is being closed, the caller first waits for the end of that.
    ///
    /// # Errors
    /// Those of [`Logger::new`](crate::Logger::new). For a second after a failed attempt, calls return the same error
    /// without a new attempt. [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for a name that is empty or
    /// has more than 1024 bytes.
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

    /// Logs a record of an event, and opens the event if it is not open. The overflow policy decides about a record
    /// that finds no room; a record that is not accepted is dropped and counted. If the event cannot be opened, the
    /// record is counted in [`ManagerStats::unopened`]; if the event is being closed, the record is counted as closed.
    #[doc(alias = "LogBytesWithEvent")]
    #[inline]
    pub fn log_bytes_with_event(&self, name: &str, record: &[u8]) {
        self.inner.log(name, record);
    }

    /// Opens an event if it is not open.
    ///
    /// # Errors
    /// Those of [`event`](LoggerManager::event).
    #[doc(alias = "InitializeEventLogger")]
    pub fn initialize_event_logger(&self, name: &str) -> Result<(), Error> {
        self.inner.event(name).map(|_| ())
    }

    /// Takes no more records for an event, writes all accepted ones, ends the event's file, and returns the event's
    /// final counters. The event can be opened again later, and then continues its file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event; those of
    /// [`Logger::close`](crate::Logger::close), which lose no record, and then this can be called again.
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

    /// Returns when every record of every event that was accepted before this call is durable.
    ///
    /// # Errors
    /// The first error of an attempt that covers this call, of any event; the records stay in memory, and the manager
    /// tries again. [`ErrorKind::Forked`](crate::ErrorKind::Forked);
    /// [`ErrorKind::WouldDeadlock`](crate::ErrorKind::WouldDeadlock) inside a log call, of any logger, and in a
    /// callback.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.flush(None)
    }

    /// [`flush`](LoggerManager::flush) for asynchronous programs; see [`Logger::flush_async`](crate::Logger::flush_async).
    ///
    /// # Errors
    /// The future gives those of `flush`, but for [`ErrorKind::WouldDeadlock`](crate::ErrorKind::WouldDeadlock).
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn flush_async(&self) -> crate::write::Flushing {
        self.inner.flush_async()
    }

    /// [`flush`](LoggerManager::flush), but waits at most for `timeout`.
    ///
    /// # Errors
    /// Those of `flush`; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and then the flush continues without the
    /// caller.
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.inner.flush(Instant::now().checked_add(timeout))
    }

    /// Continues every event in a new file, as [`Logger::rotate`](crate::Logger::rotate) does. An event whose file has
    /// no record keeps that file.
    ///
    /// # Errors
    /// Those of [`flush`](LoggerManager::flush); an error of making the next file of an event, and then that event
    /// continues in its old file.
    pub fn rotate(&self) -> Result<(), Error> {
        self.inner.rotate()
    }

    /// Takes no more records, writes all accepted ones, ends all files, and returns the final counters. Calls after
    /// the first success return the same.
    ///
    /// # Errors
    /// Those of [`Logger::close`](crate::Logger::close), which lose no record, and then `close` can be called again.
    #[doc(alias = "Close")]
    pub fn close(&self) -> Result<ManagerStats, Error> {
        self.inner.close()?;
        Ok(self.stats())
    }

    /// Closes the manager when the process exits, if some handle is left then: for a manager in a static. See
    /// [`Logger::close_at_exit`](crate::Logger::close_at_exit).
    ///
    /// # Errors
    /// Those of [`Logger::close_at_exit`](crate::Logger::close_at_exit).
    pub fn close_at_exit(&self) -> Result<(), Error> {
        inner::close_at_exit(&self.inner)
    }

    /// The current counters of all events together. Never waits for a device.
    #[doc(alias = "GetStatsSnapshot")]
    #[must_use]
    pub fn stats(&self) -> ManagerStats {
        self.inner.stats()
    }

    /// The counters of one event. The call waits until the records that were logged before it are sorted by event,
    /// which takes microseconds. If memory is full, the sorting can take longer: after a tenth of a second the call
    /// returns the counters as they are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event.
    #[doc(alias = "GetEventStats")]
    pub fn event_stats(&self, name: &str) -> Result<Stats, Error> {
        self.inner.event_stats(name)
    }

    /// How long flushes took, for all events together: sums, the longest, and means weighted by the number of flushes.
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

    /// Counters, health and times of each open event in the text format of Prometheus, with the label `event`; see
    /// [`Logger::render_prometheus`](crate::Logger::render_prometheus). An event that is closed has no more samples. A
    /// thousand events make a text of about 5 MB, so a manager of many events gives
    /// [`ManagerStats::render_prometheus`] instead: the sums.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        let mut text = render(&self.figures());
        self.stats().render_own(&mut text);
        text
    }

    /// Counters, health and times of each open event.
    pub(crate) fn figures(&self) -> Vec<Source> {
        self.inner.sources()
    }

    /// The health of the event that is worst off.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// The health of one event.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such event.
    pub fn event_health(&self, name: &str) -> Result<Health, Error> {
        self.inner.of_event(name, |event| event.session().health())
    }

    /// The longest record that is accepted, in bytes. The limit is the same at all times and for every event. With
    /// [`Config::crash_safe`] it is an eighth of `buffer_size / num_shards` (1 MiB by default), and at least 16 KiB, less a
    /// few bytes: the callers' buffers are allocated for good, so they have no room that is rarely needed.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.inner.max_record()
    }

    /// What dead managers had left for this directory when it was opened ([`Config::crash_safe`]), and what became of
    /// it.
    #[must_use]
    pub fn salvage(&self) -> &Salvage {
        self.inner.salvage()
    }

    /// The path of the file that holds the memory of a crash-safe manager; `None` if the manager is not crash-safe.
    #[must_use]
    pub fn crash_map(&self) -> Option<PathBuf> {
        self.inner.crash_map()
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
