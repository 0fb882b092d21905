//! The public handle: opens a log, takes records, flushes, closes.

use std::{
    fmt,
    io::IoSlice,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    Config, Durability, Error, ErrorKind, FlushMetrics, Health, LogError, Opened, Position,
    Salvage, ShardStats, Stats,
    io::{AtExit, Driver, file_size_limit, register_at_exit},
    stats::{Source, render},
    sync::{Arc, Weak},
    write::{
        Archiving, Archivist, Bell, Closer, Gate, Ingest, IngestParts, Intake, LogFiles, LogWriter,
        OneLog, Pool, Session, Teller, Zone, new_session, salvage_log,
        start_logger_flusher as start_flusher,
    },
};

#[cfg(feature = "async")]
pub use crate::write::Flushing;
pub use crate::write::RecordWriter;

/// A logger: takes records on any thread, and writes them to one file on a thread of its own.
///
/// Clones are handles to the same logger. Call [`close`](Logger::close) to learn what became of the
/// records. Dropping the last handle closes the logger, too, but can report nothing.
///
/// ```
/// # fn main() -> Result<(), asynclogger::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("requests.log");
/// use asynclogger::{Config, Logger};
///
/// let logger = Logger::new(Config::new(path))?;
/// logger.log("started");
/// logger.log_bytes(&[0x0a, 0x03, 0x61, 0x62, 0x63]);
/// let stats = logger.close()?;
/// assert_eq!((stats.accepted, stats.dropped_logs), (2, 0));
/// # Ok(())
/// # }
/// ```
///
/// A process that ends without `close` or drop (`exit`, `abort`, a signal) loses the records in the buffers:
/// at most those that were logged since the last flush. [`close_at_exit`](Logger::close_at_exit) helps a logger in a
/// static, which is never dropped. With [`Config::crash_safe`] the process loses none, whatever ends it.
#[derive(Clone)]
#[must_use]
pub struct Logger {
    /// All that the hot path needs. This field is dropped before `handle`: so when the last `Handle` is dropped,
    /// there are no callers any more.
    ingest: Arc<Ingest>,
    handle: Arc<Handle>,
}

/// The part that the clones share and that the hot path does not need.
struct Handle {
    closer: Closer<OneLog>,
    opened: Opened,
    salvage: Salvage,
}

impl AtExit for Handle {
    fn at_exit(&self) {
        // An error has been given to `on_error`; nobody else is left.
        let _ = self.closer.close();
    }
}

impl Logger {
    /// Opens the log at the config's path, making directories that are missing.
    ///
    /// A log that was closed cleanly is continued. Any other non-empty file, also one of another log, is renamed and
    /// never changed; [`opened`](Logger::opened) says which of these happened.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`]; [`ErrorKind::InUse`] if another logger, here or in another process,
    /// writes this log; [`ErrorKind::NotAFile`] if the path is a directory, a link or a device;
    /// [`ErrorKind::DirectIo`] or [`ErrorKind::Engine`] if the config requires direct I/O or an engine that this
    /// system does not offer; errors of the system.
    #[doc(alias = "New")]
    pub fn new(config: Config) -> Result<Logger, Error> {
        let mut config = config.for_logger()?;
        config.rotation = config.rotation.below(file_size_limit());
        let teller = Teller::stand_in(&mut config);
        let salvage = match &config.crash_safe {
            Some(place) => salvage_log(&config, place)?,
            None => Salvage::default(),
        };
        let id = new_session()?;
        let zone = Zone::of(&config.rotation)?;
        let bell = Arc::new(Bell::new()?);
        let driver = Driver::new(config.engine, bell.alarm())?;
        let (files, mut segment, mut opened) = LogFiles::open(&config, driver, id)?;
        if !salvage.sessions.is_empty() && opened == Opened::Continued {
            opened = Opened::Salvaged { records: salvage.records() };
        }
        let ingest = || {
            let align = segment.align();
            let limit = config.block_limit(align);
            Ingest::new(IngestParts {
                pool: Pool::of_logger(&config, align, limit, segment.lineage().log_id, id)?,
                bell: bell.clone(),
                num_shards: config.num_shards,
                max_record: config.max_record(),
                overflow: config.overflow,
                shares_barriers: config.durability == Durability::OnFlush,
                session: id,
            })
        };
        let ingest = match ingest() {
            Ok(ingest) => Arc::new(ingest),
            Err(error) => {
                // The session ends before its first record, so its file is clean.
                let _ = segment.end_unused();
                return Err(error);
            }
        };
        let shards = ingest.shards().clone();
        let session = Arc::new(Session::new(id, Intake::Shards(shards.clone()), bell));
        let archivist = Arc::new(Archivist::new());
        let settings = files.archive_settings();
        archivist.sweep(settings.clone(), segment.lineage());
        let archiving = Some(Archiving { archivist: archivist.clone(), settings });
        let files = Box::new(files);
        let writer = LogWriter::new(session.clone(), segment, files, &config, zone, archiving);
        let flusher = start_flusher(shards.clone(), writer, config.prefault)?;
        let closer = Closer::new(OneLog { shards, session, config }, flusher, archivist, teller);
        Ok(Logger { ingest, handle: Arc::new(Handle { closer, opened, salvage }) })
    }

    /// Logs a string. See [`log_bytes`](Logger::log_bytes).
    #[doc(alias = "Log")]
    #[inline]
    pub fn log(&self, record: &str) {
        self.log_bytes(record.as_bytes());
    }

    /// Logs a record. The overflow policy decides about a record that finds no room; a record that is not accepted
    /// is dropped and counted. The call does one atomic read-modify-write and one copy. It allocates nothing, makes
    /// no system call and reads no clock, except at the end of a buffer.
    #[doc(alias = "LogBytes")]
    #[inline]
    pub fn log_bytes(&self, record: &[u8]) {
        // Refusals are counted.
        let _ = self.try_log_bytes(record);
    }

    /// Logs a record, and returns its position or the reason for its refusal.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    #[inline]
    pub fn try_log_bytes(&self, record: &[u8]) -> Result<Position, LogError> {
        self.ingest.append_bytes(record)
    }

    /// Logs the pieces as one record.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    pub fn try_log_vectored(&self, pieces: &[IoSlice<'_>]) -> Result<Position, LogError> {
        let len = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        self.ingest.append(len, |mut room| {
            for piece in pieces {
                let (place, rest) = room.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                room = rest;
            }
        })
    }

    /// Logs a record of at most `max_len` bytes that `encode` writes in place, through a [`RecordWriter`]. The
    /// record is as long as the bytes that `encode` writes. Choose a tight bound: a buffer with less room than
    /// `max_len` is sealed first.
    ///
    /// `encode` holds a shard, so it should be short. Within `encode` a log call to this logger, or to a logger that
    /// was opened before this one, never waits, whatever the overflow policy: a record that finds no room at once is
    /// dropped and counted ([`Overflow::Block`](crate::Overflow::Block) says why). A call that waits for the flusher,
    /// such as `flush`, returns an error at once. If `encode` panics, nothing is logged.
    ///
    /// With [`Config::crash_safe`] or [`Config::timestamps`] `encode` holds no shard: it writes to memory of the thread, which the first such call
    /// allocates, and the record is copied. Then `encode` is called also for a record that finds no room.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let logger = asynclogger::Logger::new(asynclogger::Config::new(directory.path().join("app.log"))).unwrap();
    /// use std::io::Write;
    ///
    /// let user = 4711;
    /// logger.try_log_with(64, |record| {
    ///     let _ = write!(record, "user {user} was here");
    /// })?;
    /// # Ok::<(), asynclogger::LogError>(())
    /// ```
    ///
    /// # Errors
    /// The record was refused, and counted under this reason. [`LogError::Empty`] if `encode` wrote nothing, and
    /// [`LogError::TooLarge`] if it wrote more than `max_len`; with any other reason `encode` was not called.
    pub fn try_log_with(
        &self,
        max_len: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<Position, LogError> {
        self.ingest.append_with([], max_len, encode)
    }

    /// Returns when every record accepted before this call is durable, at every durability level.
    /// Concurrent callers share the work.
    ///
    /// # Errors
    /// The first error of an attempt that covers this call; the records stay in memory, and the logger tries
    /// again. [`ErrorKind::Forked`]; [`ErrorKind::WouldDeadlock`] inside a log call, of any logger, and in a callback.
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_by(Gate::request, None)
    }

    /// [`flush`](Logger::flush), but waits at most for `timeout`.
    ///
    /// # Errors
    /// Those of `flush`; [`ErrorKind::Timeout`], and then the flush continues without the caller.
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.flush_by(Gate::request, Instant::now().checked_add(timeout))
    }

    /// Takes no more records, writes all accepted ones, ends the file, and returns the final counters. Calls
    /// after the first success return the same.
    ///
    /// The call waits as long as the device makes progress. For a thread that was stopped inside a log call, and for
    /// a device that fails, the call waits for the flush timeout.
    ///
    /// # Errors
    /// Not everything could be written yet. The error loses no record, and `close` can be called again.
    #[doc(alias = "Close")]
    pub fn close(&self) -> Result<Stats, Error> {
        self.handle.closer.close()?;
        Ok(self.stats())
    }

    /// Closes the logger when the process exits, if some handle is left then: at a return from `main` (also after a
    /// panic there), at [`std::process::exit`], and at C's `exit`. Made for a logger in a static, which is never dropped.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("app.log");
    /// use std::sync::OnceLock;
    ///
    /// use asynclogger::{Config, Logger};
    ///
    /// static LOGGER: OnceLock<Logger> = OnceLock::new();
    ///
    /// let logger = LOGGER.get_or_init(|| Logger::new(Config::new(path)).expect("a logger"));
    /// logger.close_at_exit()?;
    /// # Ok::<(), asynclogger::Error>(())
    /// ```
    ///
    /// This is the one call that registers anything with the system (`atexit`). Records that other threads log after the
    /// close are refused. `abort`, `_exit`, a panic that aborts, and a signal run no such work: against these helps
    /// [`Config::crash_safe`] alone.
    ///
    /// # Errors
    /// [`ErrorKind::Forked`]; the system has no memory for it.
    pub fn close_at_exit(&self) -> Result<(), Error> {
        self.handle.closer.not_forked()?;
        let handle: Weak<Handle> = Arc::downgrade(&self.handle);
        register_at_exit(handle)
    }

    /// The current counters.
    #[doc(alias = "GetStatsSnapshot")]
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.session().stats()
    }

    /// How long flushes took.
    #[doc(alias = "GetFlushMetrics")]
    #[must_use]
    pub fn flush_metrics(&self) -> FlushMetrics {
        self.session().flush_metrics(self.of().shards.pool().sealed_count())
    }

    /// Counters, health and times in the text format of Prometheus, for the answer to `GET /metrics`.
    ///
    /// Names begin with `asynclogger_`: `records_accepted_total`, `records_dropped_total{reason}`, `records_pending`,
    /// `records_not_durable`, `records_lost_total`, `errors_total{cause}`, `health`, `flush_duration_seconds` and
    /// `write_duration_seconds` (histograms), and others. Several loggers of one process need a label of their own each,
    /// which the scraper or the program adds.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        render(&[self.figures()])
    }

    /// Counters, health and times.
    pub(crate) fn figures(&self) -> Source {
        let (health, metrics) = (Some(self.health()), Some(self.flush_metrics()));
        Source { event: None, session: self.session().id(), stats: self.stats(), health, metrics }
    }

    /// The current counters of each shard.
    #[doc(alias = "GetShardStats")]
    #[must_use]
    pub fn shard_stats(&self) -> Vec<ShardStats> {
        self.of().shards.stats()
    }

    /// Continues the log in a new file. The active file is ended and gets its archived name; every record that was
    /// accepted before this call is durable then. If the active file has no record, nothing happens. Other threads
    /// can log meanwhile.
    ///
    /// # Errors
    /// Those of [`flush`](Logger::flush); an error of making the next file, and then the log continues in the old one.
    pub fn rotate(&self) -> Result<(), Error> {
        self.flush_by(Gate::request_rotation, None)
    }

    /// Checks that the active file is still at its path, and continues in a new file if the old one was renamed or
    /// deleted: for `logrotate` and similar tools, on `SIGHUP`. All records that were logged before this call are
    /// durable then: those already written in the old file, those still in memory in the new one. (Each
    /// [`flush`](Logger::flush), and each interval, does the same.)
    ///
    /// # Errors
    /// Those of [`flush`](Logger::flush).
    pub fn reopen(&self) -> Result<(), Error> {
        self.flush_by(Gate::request, None)
    }

    fn of(&self) -> &OneLog {
        self.handle.closer.of()
    }

    fn session(&self) -> &Session {
        &self.of().session
    }

    fn flush_by(
        &self,
        request: impl FnOnce(&Gate) -> u64,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        self.handle.closer.ask(self.session().gate(), request, deadline)
    }

    /// Whether a record is durable now: whether it survives a power cut. Never waits. The answer is `false` for a
    /// position of another logger or of an earlier session.
    ///
    /// With [`Durability::None`](crate::Durability::None) the answer is `false` for every record once a barrier has
    /// failed.
    #[must_use]
    pub fn is_durable(&self, position: &Position) -> bool {
        self.session().is_durable(position)
    }

    /// Waits until a record is durable, at most for `timeout`. If the record is not durable yet, this call asks for
    /// a flush. All waiting threads share that flush, so a thousand of them cost one barrier.
    ///
    /// # Errors
    /// Those of [`flush_for`](Logger::flush_for); [`ErrorKind::NotFound`] for a position that is not of this
    /// logger's session.
    pub fn wait_durable(&self, position: &Position, timeout: Duration) -> Result<(), Error> {
        if !self.is_waited_for(position)? {
            return Ok(());
        }
        self.flush_by(Gate::request, Instant::now().checked_add(timeout))
    }

    /// [`flush`](Logger::flush) for asynchronous programs: requests the flush now, and returns a future for its answer. Take
    /// the runtime's own timeout; the flush goes on without the caller.
    ///
    /// # Errors
    /// The future gives those of `flush`, but for [`ErrorKind::WouldDeadlock`].
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn flush_async(&self) -> Flushing {
        match self.handle.closer.begin(self.session().gate()) {
            Ok(ticket) => Flushing::on(self.of().session.clone(), ticket, None),
            Err(error) => Flushing::known(Err(error)),
        }
    }

    /// [`wait_durable`](Logger::wait_durable) for asynchronous programs: requests a flush now, unless the record is durable.
    /// All tasks that wait share the flush, so a thousand of them cost one barrier.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let logger = asynclogger::Logger::new(asynclogger::Config::new(directory.path().join("app.log"))).unwrap();
    /// async fn pay(logger: &asynclogger::Logger) -> Result<(), asynclogger::Error> {
    ///     if let Ok(position) = logger.try_log_bytes(b"paid") {
    ///         logger.wait_durable_async(&position).await?; // Before the customer is told.
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = pay(&logger);
    /// ```
    ///
    /// # Errors
    /// The future gives those of [`flush_async`](Logger::flush_async); [`ErrorKind::NotFound`] for a position that is not of
    /// this logger's session.
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn wait_durable_async(&self, position: &Position) -> Flushing {
        match self.is_waited_for(position) {
            Ok(true) => self.flush_async(),
            Ok(false) => Flushing::known(Ok(())),
            Err(error) => Flushing::known(Err(error)),
        }
    }

    /// Whether a record's durability has to be waited for.
    fn is_waited_for(&self, position: &Position) -> Result<bool, Error> {
        if self.is_durable(position) {
            return Ok(false);
        }
        if !self.session().is_ours(position) {
            let what = "this position belongs to another logger or another session";
            return Err(Error::new(ErrorKind::NotFound, what).at_path(self.path()));
        }
        Ok(true)
    }

    /// The health of the logger. Never waits, and can be called from anywhere.
    #[must_use]
    pub fn health(&self) -> Health {
        self.session().health()
    }

    /// The last error of writing, if any; [`ErrorKind::Forked`] in a forked child.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.handle.closer.not_forked().err().or_else(|| self.session().last_error())
    }

    /// What was found at the path when the log was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.handle.opened
    }

    /// What dead processes had left for this log when it was opened ([`Config::crash_safe`]), and what became of it.
    #[must_use]
    pub fn salvage(&self) -> &Salvage {
        &self.handle.salvage
    }

    /// The path of the file that holds the buffers of a crash-safe logger; `None` if the logger is not crash-safe.
    #[must_use]
    pub fn crash_map(&self) -> Option<PathBuf> {
        self.of().shards.pool().map_path()
    }

    /// The longest record that is accepted, in bytes.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.ingest.max_record()
    }

    /// The path of the active file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.of().config.path()
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("config", &self.of().config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    fn path() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("app.log");
        (directory, path)
    }

    /// How often `record` stands in the file, length prefix included.
    fn count(path: &Path, record: &[u8]) -> usize {
        let entry = [&(record.len() as u32).to_le_bytes()[..], record].concat();
        let file = fs::read(path).expect("file");
        file.windows(entry.len()).filter(|window| *window == entry).count()
    }

    /// Claims the shard that this thread's records go to, as a thread that is then stopped.
    fn stop_inside_a_claim(logger: &Logger) {
        logger.log("before the stop");
        logger.of().shards.claim_for_ever(0);
    }

    #[test]
    fn a_thread_stopped_inside_a_claim_stops_nobody_else() {
        let (_directory, path) = path();
        let logger = Logger::new(Config::new(&path)).expect("logger");
        stop_inside_a_claim(&logger);
        // Another thread has another home; its records are written.
        std::thread::scope(|scope| {
            scope.spawn(|| logger.log("from another shard"));
        });
        let error = logger.flush_for(Duration::from_millis(20)).expect_err("one shard is held");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        while logger.stats().written < 1 {
            std::thread::yield_now();
        }
        let error = logger.close().expect_err("one shard is held");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("1 of 2 accepted records pending"), "{error}");
        assert_eq!(logger.try_log_bytes(b"late"), Err(LogError::Closed));
        // The thread goes on after all.
        logger.of().shards.release_forgotten(0);
        assert_eq!(logger.close().expect("close").written, 2);
        assert_eq!(count(&path, b"before the stop"), 1);
    }

    #[test]
    fn dropping_writes_what_a_stopped_thread_had_published() {
        let (_directory, path) = path();
        let logger = Logger::new(Config::new(&path)).expect("logger");
        stop_inside_a_claim(&logger);
        drop(logger);
        assert_eq!(count(&path, b"before the stop"), 1);
        // And the file is ended: the next logger continues it.
        let logger = Logger::new(Config::new(&path)).expect("logger");
        assert_eq!(*logger.opened(), Opened::Continued);
    }

    /// The copy of a held buffer has its times, too.
    #[test]
    fn what_a_stopped_thread_had_published_has_its_times() {
        let (_directory, path) = path();
        let config = Config::new(&path).timestamps(crate::Timestamps::On);
        let logger = Logger::new(config).expect("logger");
        let before = std::time::SystemTime::now() - Duration::from_millis(5);
        stop_inside_a_claim(&logger);
        let after = std::time::SystemTime::now() + Duration::from_millis(5);
        std::thread::sleep(Duration::from_millis(20));
        drop(logger);
        let mut reader = crate::read::Reader::open(&path).expect("a log");
        let time = reader.next_record().expect("read").expect("a record").time().expect("a time");
        assert!(before <= time && time <= after, "{before:?} {time:?} {after:?}");
    }
}
