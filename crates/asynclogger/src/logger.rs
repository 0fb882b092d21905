//! The public handle: opens a log, takes records, flushes, closes.

use std::{
    fmt,
    io::IoSlice,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Config, Durability, Error, ErrorKind, FlushMetrics, Health, LogError, Opened, Position,
    ShardStats, Stats,
    io::Driver,
    sync::{Arc, Mutex, lock},
    write::{
        Archiving, Archivist, Bell, Ending, Flusher, Gate, Local, Log, LogFiles, LogParts,
        LogWriter, Pool, Sleep, Zone, new_session,
    },
};

/// `close` gives up waiting for a device that neither works nor fails after this (or the flush timeout,
/// if that is longer).
const STALL: Duration = Duration::from_secs(1);
/// The last drop waits so long for one that makes no progress: what it gives up is lost.
const LAST_STALL: Duration = Duration::from_secs(15);

/// `close` waits so long for archived segments to be compressed and told of.
const ARCHIVING: Duration = Duration::from_secs(30);

/// A logger: takes records on any thread and writes them, by a thread of its own, to one file.
///
/// Clones are handles to the same logger. [`close`](Logger::close) it to learn what became of the
/// records; dropping the last clone closes it, too, but has nobody to tell.
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
/// A process that ends without `close` or drop (`exit`, `abort`, a signal) loses what is in the buffers:
/// at most what was logged since the last flush.
#[derive(Clone)]
pub struct Logger {
    log: Arc<Log>,
    handle: Arc<Handle>,
}

/// What the clones share and the hot path does not need.
struct Handle {
    log: Arc<Log>,
    config: Config,
    flusher: Mutex<Flusher>,
    archivist: Arc<Archivist>,
    opened: Opened,
}

impl Logger {
    /// Opens the log at the config's path, making directories that are missing.
    ///
    /// A log that was closed cleanly is continued. Any other non-empty file is renamed, never changed;
    /// [`opened`](Logger::opened) says so.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`]; [`ErrorKind::InUse`] if another logger, here or in another process,
    /// writes this log; [`ErrorKind::NotAFile`] if the path is a directory, a link or a device;
    /// [`ErrorKind::DirectIo`] or [`ErrorKind::Engine`] if that was required and is not to be had; those
    /// of the system.
    pub fn new(config: Config) -> Result<Logger, Error> {
        let config = config.validate()?;
        if config.retention.directory_total.is_some() {
            let what = "Retention::directory_total is for a LoggerManager; a logger has max_total";
            return Err(Error::new(ErrorKind::InvalidConfig, what).at_path(config.path()));
        }
        let session = new_session()?;
        let zone = Zone::of(&config.rotation)?;
        let capacity = config.shard_capacity();
        let bell = Arc::new(Bell::new()?);
        let driver = Driver::new(config.engine, bell.alarm())?;
        let (files, mut segment, opened) = LogFiles::open(&config, driver, session)?;
        let start = || -> Result<(Arc<Log>, Flusher), Error> {
            let pool = Arc::new(Pool::new(2 * config.num_shards, capacity, segment.align())?);
            let log = Arc::new(Log::new(LogParts {
                pool: pool.clone(),
                bell: bell.clone(),
                index: 0,
                num_shards: config.num_shards,
                max_record: config.max_record(),
                overflow: config.overflow,
                shares_barriers: config.durability == Durability::OnFlush,
                session,
            })?);
            Ok((log, Flusher::start(pool, bell, config.prefault)?))
        };
        let (log, flusher) = match start() {
            Ok(started) => started,
            Err(error) => {
                // The session is over before it began, and its file is clean.
                let _ = segment.end_unused();
                return Err(error);
            }
        };
        let archivist = Arc::new(Archivist::new());
        let settings = files.archive_settings();
        archivist.sweep(settings.clone(), segment.lineage());
        let archiving = Some(Archiving { archivist: archivist.clone(), settings });
        let files = Box::new(files);
        flusher.adopt(LogWriter::new(log.clone(), segment, files, &config, zone, archiving));
        let flusher = Mutex::new(flusher);
        let handle = Handle { log: log.clone(), config, flusher, archivist, opened };
        Ok(Logger { log, handle: Arc::new(handle) })
    }

    /// Logs a string. See [`log_bytes`](Logger::log_bytes).
    #[inline]
    pub fn log(&self, record: &str) {
        self.log_bytes(record.as_bytes());
    }

    /// Logs a record. What cannot be accepted is dropped and counted, by the overflow policy; the call
    /// itself does one atomic read-modify-write and a copy, and no allocation, system call or clock,
    /// except at the end of a buffer.
    #[inline]
    pub fn log_bytes(&self, record: &[u8]) {
        // Refusals are counted.
        let _ = self.try_log_bytes(record);
    }

    /// Logs a record and says where, or why not.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    #[inline]
    pub fn try_log_bytes(&self, record: &[u8]) -> Result<Position, LogError> {
        self.log.append(record.len(), |room| room.copy_from_slice(record))
    }

    /// Logs the pieces as one record.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason.
    pub fn try_log_vectored(&self, pieces: &[IoSlice<'_>]) -> Result<Position, LogError> {
        let len = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        self.log.append(len, |mut room| {
            for piece in pieces {
                let (place, rest) = room.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                room = rest;
            }
        })
    }

    /// Logs a record of `len` bytes that `encode` writes in place. It gets bytes of earlier records, and
    /// has to overwrite all of them. It holds the shard, so it should be short; a call of this logger
    /// within it never waits. If it panics nothing is logged.
    ///
    /// # Errors
    /// The record was refused, and counted under this reason; `encode` was not called.
    pub fn try_log_with(
        &self,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        self.log.append_encoded(len, encode)
    }

    /// Returns when every record accepted before this call is durable, at every durability level.
    /// Concurrent callers share the work.
    ///
    /// # Errors
    /// The first error of an attempt that covers this call; the records stay in memory and are tried
    /// again. [`ErrorKind::Forked`]; [`ErrorKind::Closed`] if a `close` did not succeed before.
    pub fn flush(&self) -> Result<(), Error> {
        self.handle.flush(None)
    }

    /// [`flush`](Logger::flush), waiting at most for `timeout`.
    ///
    /// # Errors
    /// As `flush`; [`ErrorKind::Timeout`], with the flush still going on.
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.handle.flush(Instant::now().checked_add(timeout))
    }

    /// Takes no more records, writes all accepted ones, ends the file, and says what was done. Calls
    /// after the first success return the same.
    ///
    /// Waits for as long as the device makes progress; for a thread that was stopped inside a log call,
    /// and a device that fails, for the flush timeout.
    ///
    /// # Errors
    /// Not everything could be written yet: nothing is lost by that, and `close` can be called again.
    pub fn close(&self) -> Result<Stats, Error> {
        self.handle.close()?;
        Ok(self.stats())
    }

    /// The counters, now.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// How long flushes took.
    pub fn flush_metrics(&self) -> FlushMetrics {
        self.log.flush_metrics(self.log.pool().sealed_count())
    }

    /// Each shard, now.
    pub fn shard_stats(&self) -> Vec<ShardStats> {
        let capacity = self.log.pool().capacity();
        let shards = self.log.shards().iter().enumerate();
        let stats = shards.map(|(shard_id, shard)| {
            let bytes_used = self.log.bytes_used(shard_id);
            ShardStats {
                shard_id,
                write_count: shard.accepted(),
                bytes_used,
                capacity,
                utilization_pct: 100.0 * bytes_used as f64 / capacity as f64,
            }
        });
        stats.collect()
    }

    /// Goes on in a new file: the active one is ended and gets its archived name, with everything in it that
    /// was accepted before this call, durable. Without a record in it nothing happens. Callers of any
    /// thread go on logging meanwhile.
    ///
    /// # Errors
    /// As [`flush`](Logger::flush); those of making the next file, and then the log goes on in the old one.
    pub fn rotate(&self) -> Result<(), Error> {
        self.handle.flush_by(None, Gate::request_rotation)
    }

    /// Looks whether the active file is still at its path, and goes on in a new one if somebody has renamed
    /// or deleted it: for `logrotate` and the like, on `SIGHUP`. What was logged before is
    /// durable then: what was written by then in the old file, what was still in memory in the new one. (Each
    /// [`flush`](Logger::flush), and each interval, does the same.)
    ///
    /// # Errors
    /// As [`flush`](Logger::flush).
    pub fn reopen(&self) -> Result<(), Error> {
        self.handle.flush(None)
    }

    /// Whether a record is durable now: whether it survives a power cut. Never waits. Of another logger's
    /// position, or one of an earlier session, it is not said to be.
    ///
    /// With [`Durability::None`](crate::Durability::None) no record is said to be durable any more after
    /// a barrier failed.
    pub fn is_durable(&self, position: &Position) -> bool {
        self.log.is_durable(position)
    }

    /// Waits until a record is durable, at most for `timeout`. If it is not on its way yet, this asks for
    /// a flush; all who wait share it, so that a thousand threads that wait cost one barrier.
    ///
    /// # Errors
    /// As [`flush_for`](Logger::flush_for); [`ErrorKind::NotFound`] for a position that is not of this
    /// logger's session.
    pub fn wait_durable(&self, position: &Position, timeout: Duration) -> Result<(), Error> {
        if self.is_durable(position) {
            return Ok(());
        }
        if !self.log.is_ours(position) {
            let what = "this position is of another logger, or of another session";
            return Err(Error::new(ErrorKind::NotFound, what).at_path(self.path()));
        }
        self.handle.flush(Instant::now().checked_add(timeout))
    }

    /// How the logger is. Never waits, and can be asked from anywhere.
    pub fn health(&self) -> Health {
        self.log.health()
    }

    /// The last error of writing, if there ever was one; [`ErrorKind::Forked`] in a forked child.
    pub fn last_error(&self) -> Option<Error> {
        if self.log.is_forked() {
            return Some(self.handle.forked());
        }
        self.log.last_error()
    }

    /// What was found at the path when the log was opened.
    pub fn opened(&self) -> &Opened {
        &self.handle.opened
    }

    /// The longest record that is accepted, in bytes.
    pub fn max_record(&self) -> usize {
        self.log.max_record()
    }

    /// The path of the active file.
    pub fn path(&self) -> &Path {
        self.handle.config.path()
    }
}

impl Handle {
    fn flush(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.flush_by(deadline, Gate::request)
    }

    fn flush_by(
        &self,
        deadline: Option<Instant>,
        request: impl Fn(&Gate) -> u64,
    ) -> Result<(), Error> {
        if self.log.is_forked() {
            return Err(self.forked());
        }
        self.not_on_the_flusher()?;
        let ticket = request(self.log.gate());
        self.log.bell().ring(Sleep::Timed);
        self.log.gate().wait(ticket, deadline)
    }

    fn close(&self) -> Result<(), Error> {
        if self.log.is_forked() {
            return Err(self.forked());
        }
        self.not_on_the_flusher()?;
        // One closer at a time; a second one finds the work done.
        let mut flusher = lock(&self.flusher);
        if self.log.gate().ending() == Ending::Closed {
            return Ok(());
        }
        let stuck = Local::with(|local| {
            // A signal handler that logs here must not lock what we hold.
            let _inside = local.enter();
            let stuck = self.log.close_shards(Instant::now() + self.config.flush_timeout);
            self.log.bell().ring(Sleep::Timed);
            self.log.pool().wake_writers(self.log.index());
            stuck
        });
        if stuck > 0 {
            let what = format!("{stuck} shards are claimed by threads that do not go on");
            return Err(self.not_closed(ErrorKind::Timeout, what));
        }
        self.log.gate().set_ending(Ending::Closing);
        self.log.bell().ring(Sleep::Timed);
        self.wait_until_closed()?;
        flusher.stop(true);
        drop(flusher);
        // What it does not manage is done at the next opening.
        self.archivist.stop(Instant::now().checked_add(ARCHIVING));
        Ok(())
    }

    /// Waits until the log is closed, or nothing has moved for `stall`; whether it is closed.
    fn wait_while_it_moves(&self, stall: Duration) -> bool {
        let mut moved = (Instant::now(), self.log.bytes_written());
        while !self.log.gate().wait_closed(Instant::now() + stall / 10) {
            let bytes = self.log.bytes_written();
            if bytes != moved.1 {
                moved = (Instant::now(), bytes);
            } else if moved.0.elapsed() >= stall {
                return false;
            }
        }
        true
    }

    fn wait_until_closed(&self) -> Result<(), Error> {
        let (timeout, gate) = (self.config.flush_timeout, self.log.gate());
        let errors_before = self.log.errors();
        let begun = Instant::now();
        let mut moved = (begun, self.log.bytes_written());
        while !gate.wait_closed(Instant::now() + timeout) {
            let bytes = self.log.bytes_written();
            if bytes != moved.1 {
                moved = (Instant::now(), bytes);
            }
            let failing = self.log.errors() > errors_before;
            if failing && moved.0.elapsed() >= timeout {
                let what = match self.log.last_error() {
                    Some(error) => error.to_string(),
                    None => "writing fails".into(),
                };
                return Err(self.not_closed(ErrorKind::Io, what));
            }
            if moved.0.elapsed() >= timeout.max(STALL) {
                return Err(
                    self.not_closed(ErrorKind::Timeout, "the device does not answer".into())
                );
            }
        }
        Ok(())
    }

    fn not_closed(&self, kind: ErrorKind, why: String) -> Error {
        let stats = self.stats();
        let what = format!(
            "not closed yet, {} of {} accepted records pending: {why}",
            stats.pending, stats.accepted
        );
        Error::new(kind, what).at_path(self.config.path())
    }

    /// An error callback cannot wait for the thread that it runs on.
    fn not_on_the_flusher(&self) -> Result<(), Error> {
        if !Local::with(Local::is_flusher) {
            return Ok(());
        }
        let what = "on the logger's own thread this would wait for itself";
        Err(Error::new(ErrorKind::Timeout, what).at_path(self.config.path()))
    }

    fn forked(&self) -> Error {
        let what = "this logger belongs to the parent of this process";
        Error::new(ErrorKind::Forked, what).at_path(self.config.path())
    }

    fn stats(&self) -> Stats {
        self.log.stats()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.log.is_forked() {
            // There is nothing to close. Each part knows by itself that it is the parent's.
            return;
        }
        let on_flusher = Local::with(Local::is_flusher);
        if !on_flusher && self.close().is_ok() {
            return;
        }
        self.log.close_shards(Instant::now());
        self.log.gate().set_ending(Ending::Abandoned);
        self.log.bell().ring(Sleep::Timed);
        // A thread that a dead device holds is left to itself.
        let over = !on_flusher && self.wait_while_it_moves(LAST_STALL);
        lock(&self.flusher).stop(over);
        self.archivist.stop(Some(Instant::now()));
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("config", &self.handle.config).finish_non_exhaustive()
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
        let stopped = logger.log.shards()[0].claim(logger.log.pool());
        std::mem::forget(stopped.expect("nobody else is at it"));
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
        logger.log.shards()[0].release_forgotten();
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
}
