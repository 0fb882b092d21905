//! What the clones of a manager share.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Config, Error, ErrorKind, FlushMetrics, Health, ManagerStats, Stats,
    io::{Driver, descriptor_limit},
    sync::{Arc, Mutex, Ordering, lock},
    write::{
        Archivist, Bell, Ending, EventHandle, EventsFlusher, Gate, Local, Log, LogParts, NotOpened,
        Opener, Pool, Shared, Shares, Sleep, Totals, new_session,
    },
};

/// As of a single logger.
const STALL: Duration = Duration::from_secs(1);
const LAST_STALL: Duration = Duration::from_secs(15);
const ARCHIVING: Duration = Duration::from_secs(30);
/// Statistics wait so long for what was logged to be sorted.
const SORTING: Duration = Duration::from_millis(100);
/// The files that are open at most, unless told.
const MOST_FILES: u64 = 1024;

pub(super) struct Inner {
    shared: Arc<Shared>,
    /// `None` once the manager is closed.
    opener: Mutex<Opening>,
    flusher: Mutex<EventsFlusher>,
    archivist: Arc<Archivist>,
}

struct Opening {
    /// Gives up the directory when it is dropped.
    opener: Option<Opener>,
    is_over: bool,
}

impl Inner {
    pub(super) fn new(config: Config) -> Result<Inner, Error> {
        let config = config.validate()?;
        let descriptors = descriptor_limit().map_or(MOST_FILES, |limit| limit / 4);
        let max_open = config.event_files.unwrap_or(descriptors.clamp(1, MOST_FILES) as usize);
        let bell = Arc::new(Bell::new()?);
        let driver = Driver::new(config.engine, bell.alarm())?;
        let archivist = Arc::new(Archivist::new());
        let opener = Opener::new(&config, driver, archivist.clone(), max_open)?;
        let shares = Shares::of(&config, opener.alignment(config.direct_io));
        // Nothing of these buffers is written as it is, so any alignment does.
        let align = crate::format::MIN_ALIGN;
        let pool = Pool::elastic(shares.buffers, shares.capacity, align, shares.elastic)?;
        let ingest = Log::new(LogParts {
            pool: Arc::new(pool),
            bell: bell.clone(),
            index: 0,
            num_shards: config.num_shards,
            max_record: shares.max_record(),
            overflow: config.overflow,
            shares_barriers: false,
            session: new_session()?,
        })?;
        let shared = Arc::new(Shared::new(config, Arc::new(ingest), bell));
        let flusher = Mutex::new(EventsFlusher::start(shared.clone(), shares, max_open)?);
        let opener = Mutex::new(Opening { opener: Some(opener), is_over: false });
        Ok(Inner { shared, opener, flusher, archivist })
    }

    pub(super) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(super) fn directory(&self) -> &Path {
        match self.config().path().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    #[inline]
    pub(super) fn log(&self, name: &str, record: &[u8]) {
        if !self.shared.log(name, record) {
            self.log_with_care(name, record);
        }
    }

    /// The event is not open, or does not take the record now, or has a long name.
    #[cold]
    fn log_with_care(&self, name: &str, record: &[u8]) {
        if self.shared.with(name, |handle| append(handle, record)).is_none() {
            self.log_first(name, record);
        }
    }

    /// The event is not open.
    #[cold]
    fn log_first(&self, name: &str, record: &[u8]) {
        let unplaced = &self.shared.unplaced;
        match self.open_to_log(name) {
            Some(Ok(handle)) => append(&handle, record),
            Some(Err(ErrorKind::Closed)) => unplaced.count_closed(),
            Some(Err(_)) | None => unplaced.count_unopened(),
        }
    }

    /// `None`: this call interrupted another, or is the flusher's own, and must neither wait nor lock; not
    /// even to see whether the event is being closed.
    fn open_to_log(&self, name: &str) -> Option<Result<EventHandle, ErrorKind>> {
        Local::with(|local| {
            let inside = local.enter();
            if inside.is_nested() {
                return None;
            }
            if self.shared.ingest.is_forked() {
                // Before any lock, which a thread of the parent's may have held.
                return Some(Err(ErrorKind::Closed));
            }
            let is_over = self.shared.ingest.gate().ending() != Ending::Open;
            if is_over || self.shared.is_closing(name) {
                return Some(Err(ErrorKind::Closed));
            }
            Some(self.open(name).map_err(|NotOpened { error, is_new }| {
                if is_new {
                    // Nobody else hears of it.
                    self.shared.tell(&error);
                }
                error.kind()
            }))
        })
    }

    /// Opens an event, unless somebody else just did.
    fn open(&self, name: &str) -> Result<EventHandle, NotOpened> {
        let refused = |error| NotOpened { error, is_new: false };
        if self.shared.ingest.is_forked() {
            return Err(refused(self.forked()));
        }
        inside(|| {
            let mut opening = lock(&self.opener);
            if let Some(handle) = self.shared.with(name, EventHandle::clone) {
                return Ok(handle);
            }
            let Opening { opener: Some(opener), is_over: false } = &mut *opening else {
                let what = "the manager is closed";
                let error = Error::new(ErrorKind::Closed, what).at_path(self.directory());
                return Err(refused(error));
            };
            if self.shared.is_closing(name) {
                let what = format!("the event {name:?} is being closed");
                let error = Error::new(ErrorKind::Closed, what).at_path(self.directory());
                return Err(refused(error));
            }
            opener.open(&self.shared, name)
        })
    }

    pub(super) fn event(&self, name: &str) -> Result<EventHandle, Error> {
        if let Some(handle) = self.shared.with(name, EventHandle::clone) {
            return Ok(handle);
        }
        self.not_forked()?;
        self.not_on_the_flusher()?;
        let deadline = Instant::now().checked_add(self.config().flush_timeout.max(STALL));
        loop {
            if !inside(|| self.shared.wait_closed(name, deadline)) {
                let what =
                    format!("the event {name:?} is being closed, and its device does not answer");
                return Err(Error::new(ErrorKind::Timeout, what).at_path(self.directory()));
            }
            match self.open(name) {
                // Somebody opened it meanwhile, and began to close it.
                Err(NotOpened { error, .. })
                    if error.kind() == ErrorKind::Closed && !self.is_over() => {}
                opened => return opened.map_err(|NotOpened { error, .. }| error),
            }
        }
    }

    /// Whether no event is opened any more.
    fn is_over(&self) -> bool {
        inside(|| lock(&self.opener).is_over)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.shared.with(name, |handle| handle.event().is_open()).unwrap_or(false)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let all = self.shared.all();
        let open = all.iter().map(|handle| handle.event()).filter(|event| event.is_open());
        let mut names: Vec<_> = open.map(|event| event.name().to_owned()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn close_event(&self, name: &str) -> Result<Stats, Error> {
        self.not_forked()?;
        self.not_on_the_flusher()?;
        let begun = inside(|| self.shared.begin_close(name));
        let event = begun.ok_or_else(|| self.no_event(name))?;
        let log = event.log();
        let moved = || (log.bytes_written(), log.errors());
        self.wait_while_it_moves(moved, |deadline| {
            inside(|| self.shared.wait_closed(name, deadline))
        })
        .map_err(|kind| self.not_closed(kind, &log.stats(), log.last_error()))?;
        Ok(log.stats())
    }

    fn no_event(&self, name: &str) -> Error {
        let what = format!("there is no event {name:?}");
        Error::new(ErrorKind::NotFound, what).at_path(self.directory())
    }

    /// Waits for an end as long as the device makes progress: with errors for the flush timeout, without an
    /// answer for a second.
    fn wait_while_it_moves(
        &self,
        moved: impl Fn() -> (u64, u64),
        wait: impl Fn(Option<Instant>) -> bool,
    ) -> Result<(), ErrorKind> {
        let timeout = self.config().flush_timeout;
        let (mut bytes, errors_before) = moved();
        let mut since = Instant::now();
        while !wait(Instant::now().checked_add(timeout)) {
            let (bytes_now, errors) = moved();
            if bytes_now != bytes {
                (bytes, since) = (bytes_now, Instant::now());
            } else if errors > errors_before && since.elapsed() >= timeout {
                return Err(ErrorKind::Io);
            } else if since.elapsed() >= timeout.max(STALL) {
                return Err(ErrorKind::Timeout);
            }
        }
        Ok(())
    }

    fn not_closed(&self, kind: ErrorKind, stats: &Stats, last: Option<Error>) -> Error {
        let why = match last {
            Some(error) if kind == ErrorKind::Io => error.to_string(),
            _ => "the device does not answer".into(),
        };
        let (pending, accepted) = (stats.pending, stats.accepted);
        let what =
            format!("not closed yet, {pending} of {accepted} accepted records pending: {why}");
        Error::new(kind, what).at_path(self.directory())
    }

    pub(super) fn flush(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.not_forked()?;
        self.not_on_the_flusher()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.ask(self.shared.ingest.gate(), deadline)
    }

    fn ask(&self, gate: &Gate, deadline: Option<Instant>) -> Result<(), Error> {
        inside(|| {
            let ticket = gate.request();
            self.shared.bell.ring(Sleep::Timed);
            gate.wait(ticket, deadline)
        })
    }

    pub(super) fn close(&self) -> Result<(), Error> {
        self.not_forked()?;
        self.not_on_the_flusher()?;
        inside(|| self.close_now())
    }

    fn close_now(&self) -> Result<(), Error> {
        // One closer at a time; a second one finds the work done.
        let mut flusher = lock(&self.flusher);
        let (ingest, gate) = (&self.shared.ingest, self.shared.ingest.gate());
        if gate.ending() == Ending::Closed {
            return Ok(());
        }
        // Who opens an event now is done before, or refused.
        lock(&self.opener).is_over = true;
        let stuck = ingest.close_shards(Instant::now() + self.config().flush_timeout);
        self.shared.bell.ring(Sleep::Timed);
        ingest.pool().wake_writers(ingest.index());
        if stuck > 0 {
            let what = format!("{stuck} shards are claimed by threads that do not go on");
            return Err(Error::new(ErrorKind::Timeout, what).at_path(self.directory()));
        }
        gate.set_ending(Ending::Closing);
        self.shared.bell.ring(Sleep::Timed);
        let moved = || {
            let stats = self.totals().stats;
            (stats.bytes_written, stats.flush_errors)
        };
        let closed =
            |deadline: Option<Instant>| gate.wait_closed(deadline.unwrap_or_else(Instant::now));
        self.wait_while_it_moves(moved, closed).map_err(|kind| {
            let failing = self.shared.all().into_iter().find_map(|handle| {
                let log = handle.event().log();
                (log.health() >= Health::Failing).then(|| log.last_error()).flatten()
            });
            self.not_closed(kind, &self.totals().stats, failing)
        })?;
        flusher.stop(true);
        drop(flusher);
        // What it does not manage is done at the next opening.
        self.archivist.stop(Instant::now().checked_add(ARCHIVING));
        lock(&self.opener).opener = None;
        Ok(())
    }

    fn totals(&self) -> Totals {
        inside(|| self.shared.totals())
    }

    pub(super) fn stats(&self) -> ManagerStats {
        let Totals { stats, events, .. } = self.totals();
        ManagerStats {
            total: stats,
            unopened: self.shared.unplaced.unopened(),
            events,
            open_files: self.shared.open_files.load(Ordering::Relaxed),
        }
    }

    pub(super) fn flush_metrics(&self) -> FlushMetrics {
        self.totals().metrics
    }

    pub(super) fn health(&self) -> Health {
        if self.shared.ingest.is_forked() { Health::Forked } else { self.totals().health }
    }

    pub(super) fn event_stats(&self, name: &str) -> Result<Stats, Error> {
        if self.not_forked().is_ok() && self.not_on_the_flusher().is_ok() {
            // If that takes too long, what is known is told.
            let _ = self.ask(&self.shared.sorted, Instant::now().checked_add(SORTING));
        }
        self.of_event(name, |handle| handle.event().log().stats())
    }

    pub(super) fn of_event<T>(
        &self,
        name: &str,
        tell: impl FnOnce(&EventHandle) -> T,
    ) -> Result<T, Error> {
        let told = self.shared.with(name, tell);
        told.ok_or_else(|| self.no_event(name))
    }

    fn not_on_the_flusher(&self) -> Result<(), Error> {
        if !Local::with(Local::is_flusher) {
            return Ok(());
        }
        let what = "on the manager's own thread this would wait for itself";
        Err(Error::new(ErrorKind::Timeout, what).at_path(self.directory()))
    }

    fn not_forked(&self) -> Result<(), Error> {
        if self.shared.ingest.is_forked() { Err(self.forked()) } else { Ok(()) }
    }

    fn forked(&self) -> Error {
        let what = "this manager belongs to the parent of this process";
        Error::new(ErrorKind::Forked, what).at_path(self.directory())
    }
}

/// Refusals are counted.
#[inline]
fn append(handle: &EventHandle, record: &[u8]) {
    let _ = handle.append(record.len(), |room| room.copy_from_slice(record));
}

/// Does what takes a lock: a signal handler that logs meanwhile on this thread must not want it, too.
fn inside<T>(call: impl FnOnce() -> T) -> T {
    Local::with(|local| {
        let _inside = local.enter();
        call()
    })
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.shared.ingest.is_forked() {
            // There is nothing to close. Each part knows by itself that it is the parent's.
            return;
        }
        let on_flusher = Local::with(Local::is_flusher);
        if !on_flusher && self.close().is_ok() {
            return;
        }
        self.shared.ingest.close_shards(Instant::now());
        self.shared.ingest.gate().set_ending(Ending::Abandoned);
        self.shared.bell.ring(Sleep::Timed);
        let written = || self.totals().stats.bytes_written;
        let mut moved = (Instant::now(), written());
        let mut over = !on_flusher;
        while over && !self.shared.ingest.gate().wait_closed(Instant::now() + LAST_STALL / 10) {
            let bytes = written();
            if bytes != moved.1 {
                moved = (Instant::now(), bytes);
            }
            // A thread that a dead device holds is left to itself.
            over = moved.0.elapsed() < LAST_STALL;
        }
        lock(&self.flusher).stop(over);
        self.archivist.stop(Some(Instant::now()));
    }
}
