//! The part of a manager that its clones share.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[cfg(feature = "async")]
use crate::write::Flushing;
use crate::{
    Config, Error, ErrorKind, FlushMetrics, Health, ManagerStats, Position, Salvage, Stats,
    io::{AtExit, file_size_limit, register_at_exit},
    stats::Source,
    sync::{Arc, Mutex, MutexGuard, Ordering, Weak, lock},
    write::{
        Callers, Closer, Closing, Ending, Event, EventHandle, Gate, Local, NotOpened, Opener,
        Setup, Shards, Shared, Sums, Teller, inside, set_up, start_flusher,
    },
};

/// How long the opening of an event waits for an earlier close of the same event whose device does not answer.
const STALL: Duration = Duration::from_secs(1);
/// How long a call for statistics waits until the records that were logged before it are sorted.
const SORTING: Duration = Duration::from_millis(100);

/// A manager: the part that callers log to, and the [`Closer`] that ends it.
///
/// All handles share this type, [`LoggerManager`](super::LoggerManager)s and [`EventLogger`](super::EventLogger)s, so
/// that the last handle of either kind closes the manager. Nothing in here holds a handle of either kind, since such
/// a handle would keep the manager alive for ever: the tables hold events, and an event does not know its manager.
pub(super) struct Inner {
    /// This field is dropped before `closer`, which relies on that: there are no callers any more when it runs.
    callers: Arc<Callers>,
    closer: Closer<AllEvents>,
    salvage: Salvage,
}

/// All events of a manager as the [`Closer`] sees them: they are closed together.
struct AllEvents {
    shared: Arc<Shared>,
    opening: Mutex<Opening>,
}

struct Opening {
    /// Holds the directory, and gives it up when dropped; `None` once the manager is closed.
    opener: Option<Opener>,
    is_over: bool,
}

impl AtExit for Inner {
    fn at_exit(&self) {
        // An error has been given to `on_error`; nobody else is left.
        let _ = self.closer.close();
    }
}

/// See [`LoggerManager::close_at_exit`](super::LoggerManager::close_at_exit).
pub(super) fn close_at_exit(inner: &Arc<Inner>) -> Result<(), Error> {
    inner.closer.not_forked()?;
    let inner: Weak<Inner> = Arc::downgrade(inner);
    register_at_exit(inner)
}

impl Inner {
    pub(super) fn new(config: Config) -> Result<Inner, Error> {
        let mut config = config.for_manager()?;
        config.rotation = config.rotation.below(file_size_limit());
        let teller = Teller::stand_in(&mut config);
        let Setup { callers, shared, opener, archivist, shares, max_open, salvage } =
            set_up(config)?;
        let flusher = start_flusher(shared.clone(), shares, max_open)?;
        let opening = Mutex::new(Opening { opener: Some(opener), is_over: false });
        let closer = Closer::new(AllEvents { shared, opening }, flusher, archivist, teller);
        Ok(Inner { callers, closer, salvage })
    }

    pub(super) fn max_record(&self) -> usize {
        self.callers.max_record()
    }

    pub(super) fn salvage(&self) -> &Salvage {
        &self.salvage
    }

    pub(super) fn crash_map(&self) -> Option<PathBuf> {
        self.shared().shards.pool().map_path()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.closer.of().shared
    }

    fn opening(&self) -> MutexGuard<'_, Opening> {
        lock(&self.closer.of().opening)
    }

    pub(super) fn config(&self) -> &Config {
        &self.shared().config
    }

    pub(super) fn directory(&self) -> &Path {
        self.closer.of().path()
    }

    #[inline]
    pub(super) fn log(&self, name: &str, record: &[u8]) {
        if !self.callers.log(name, record) {
            self.log_with_care(name, record);
        }
    }

    /// Logs a record of an event that is not open, does not take the record now, or has a long name.
    #[cold]
    fn log_with_care(&self, name: &str, record: &[u8]) {
        if self.callers.with(name, |event| self.append(event, record)).is_none() {
            self.log_first(name, record);
        }
    }

    /// Logs a record of an event that has to be opened first.
    #[cold]
    fn log_first(&self, name: &str, record: &[u8]) {
        let unplaced = self.callers.unplaced();
        match self.open_to_log(name) {
            Some(Ok(event)) => self.append(&event, record),
            Some(Err(ErrorKind::Closed)) => unplaced.count_closed(),
            Some(Err(_)) | None => unplaced.count_unopened(),
        }
    }

    /// Appends a record; a refusal is counted.
    fn append(&self, event: &Arc<Event>, record: &[u8]) {
        let handle = EventHandle::new(&self.callers, event);
        let _ = handle.append(record.len(), |room| room.copy_from_slice(record));
    }

    /// Opens an event for a record; `None` if this call interrupted another one, or runs on the flusher's thread.
    /// Such a call must neither wait nor lock, not even to see whether the event is being closed.
    fn open_to_log(&self, name: &str) -> Option<Result<Arc<Event>, ErrorKind>> {
        Local::with(|local| {
            let inside = local.enter();
            if inside.is_nested() {
                return None;
            }
            if self.shared().shards.is_forked() {
                // Before any lock: a thread of the parent may have held it during the fork.
                return Some(Err(ErrorKind::Closed));
            }
            let is_over = self.shared().gate.ending() != Ending::Open;
            if is_over || self.shared().is_closing(name) {
                return Some(Err(ErrorKind::Closed));
            }
            Some(self.open(name).map_err(|NotOpened { error, is_new }| {
                if is_new {
                    // The record's caller gets no error, so only the callback can report it.
                    self.shared().tell(&error);
                }
                error.kind()
            }))
        })
    }

    /// Opens an event, unless another thread has just opened it.
    fn open(&self, name: &str) -> Result<Arc<Event>, NotOpened> {
        let refused = |error| NotOpened { error, is_new: false };
        self.closer.not_forked().map_err(refused)?;
        inside(|| {
            let mut opening = self.opening();
            if let Some(event) = self.callers.with(name, Arc::clone) {
                return Ok(event);
            }
            let Opening { opener: Some(opener), is_over: false } = &mut *opening else {
                let what = "the manager is closed";
                let error = Error::new(ErrorKind::Closed, what).at_path(self.directory());
                return Err(refused(error));
            };
            if self.shared().is_closing(name) {
                let what = format!("the event {name:?} is being closed");
                let error = Error::new(ErrorKind::Closed, what).at_path(self.directory());
                return Err(refused(error));
            }
            opener.open(self.shared(), &self.callers, name)
        })
    }

    pub(super) fn event(&self, name: &str) -> Result<EventHandle, Error> {
        self.event_to_log(name).map(|event| EventHandle::new(&self.callers, &event))
    }

    fn event_to_log(&self, name: &str) -> Result<Arc<Event>, Error> {
        if let Some(event) = self.callers.with(name, Arc::clone) {
            return Ok(event);
        }
        self.closer.may_wait()?;
        let deadline = Instant::now().checked_add(self.closer.of().flush_timeout().max(STALL));
        loop {
            if !inside(|| self.shared().wait_closed(name, deadline)) {
                let what =
                    format!("the event {name:?} is being closed, and its device does not answer");
                return Err(Error::new(ErrorKind::Timeout, what).at_path(self.directory()));
            }
            match self.open(name) {
                // Another thread opened the event meanwhile, and began to close it.
                Err(NotOpened { error, .. })
                    if error.kind() == ErrorKind::Closed && !self.is_over() => {}
                opened => return opened.map_err(|NotOpened { error, .. }| error),
            }
        }
    }

    /// Whether the manager is past the point after which no event can be opened.
    fn is_over(&self) -> bool {
        inside(|| self.opening().is_over)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.callers.with(name, |event| event.is_open()).unwrap_or(false)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let all = self.shared().all();
        let open = all.iter().filter(|event| event.is_open());
        let mut names: Vec<_> = open.map(|event| event.name().to_owned()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn close_event(&self, name: &str) -> Result<Stats, Error> {
        self.closer.may_wait()?;
        let begun = inside(|| self.shared().begin_close(name));
        let event = begun.ok_or_else(|| self.no_event(name))?;
        let log = event.session();
        let closed = |timeout| {
            inside(|| self.shared().wait_closed(name, Instant::now().checked_add(timeout)))
        };
        self.closer.wait(|| log.stats(), || log.last_error(), closed)?;
        Ok(log.stats())
    }

    fn no_event(&self, name: &str) -> Error {
        let what = format!("there is no event {name:?}");
        Error::new(ErrorKind::NotFound, what).at_path(self.directory())
    }

    pub(super) fn flush(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.closer.ask(&self.shared().gate, Gate::request, deadline)
    }

    pub(super) fn rotate(&self) -> Result<(), Error> {
        self.closer.ask(&self.shared().gate, Gate::request_rotation, None)
    }

    pub(super) fn flush_event(
        &self,
        event: &Arc<Event>,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        self.closer.may_wait()?;
        self.shared().flush_event(event, deadline)
    }

    pub(super) fn is_durable(&self, event: &Event, position: &Position) -> bool {
        self.shared().is_durable(event, position)
    }

    pub(super) fn wait_durable(
        &self,
        event: &Arc<Event>,
        position: &Position,
        timeout: Duration,
    ) -> Result<(), Error> {
        if !self.is_waited_for(event, position)? {
            return Ok(());
        }
        self.flush_event(event, Instant::now().checked_add(timeout))?;
        if !self.is_durable(event, position) {
            return Err(dropped(self.directory()));
        }
        Ok(())
    }

    /// Whether the durability of an event's record has to be waited for.
    fn is_waited_for(&self, event: &Event, position: &Position) -> Result<bool, Error> {
        if self.is_durable(event, position) {
            return Ok(false);
        }
        if !event.session().is_ours(position) {
            let what = "this position belongs to another event or another session";
            return Err(Error::new(ErrorKind::NotFound, what).at_path(self.directory()));
        }
        Ok(true)
    }

    #[cfg(feature = "async")]
    pub(super) fn flush_async(&self) -> Flushing {
        match self.closer.begin(&self.shared().gate) {
            Ok(ticket) => Flushing::on(self.closer.of().shared.clone(), ticket, None),
            Err(error) => Flushing::known(Err(error)),
        }
    }

    #[cfg(feature = "async")]
    pub(super) fn flush_event_async(&self, event: &Arc<Event>) -> Flushing {
        match self.closer.not_forked() {
            Ok(()) => Flushing::on(event.clone(), self.shared().begin_flush_of_event(event), None),
            Err(error) => Flushing::known(Err(error)),
        }
    }

    #[cfg(feature = "async")]
    pub(super) fn wait_durable_async(&self, event: &Arc<Event>, position: &Position) -> Flushing {
        match self.is_waited_for(event, position).and_then(|waits| {
            self.closer.not_forked()?;
            Ok(waits)
        }) {
            Ok(false) => Flushing::known(Ok(())),
            Ok(true) => {
                let ticket = self.shared().begin_flush_of_event(event);
                let (shared, position) = (self.closer.of().shared.clone(), *position);
                let (of, directory) = (event.clone(), self.directory().to_path_buf());
                let then = move || match shared.is_durable(&of, &position) {
                    true => Ok(()),
                    false => Err(dropped(&directory)),
                };
                Flushing::on(event.clone(), ticket, Some(Box::new(then)))
            }
            Err(error) => Flushing::known(Err(error)),
        }
    }

    pub(super) fn close(&self) -> Result<(), Error> {
        self.closer.close()
    }

    fn sums(&self) -> Sums {
        inside(|| self.shared().sums())
    }

    pub(super) fn stats(&self) -> ManagerStats {
        let Sums { stats, events, .. } = self.sums();
        ManagerStats {
            total: stats,
            unopened: self.callers.unplaced().unopened(),
            events,
            open_files: self.shared().open_files.load(Ordering::Relaxed),
        }
    }

    pub(super) fn flush_metrics(&self) -> FlushMetrics {
        self.sums().metrics
    }

    pub(super) fn health(&self) -> Health {
        if self.shared().shards.is_forked() {
            return Health::Forked;
        }
        // Relaxed: news, no data.
        let lacks_memory = self.shared().lacks_memory.load(Ordering::Relaxed);
        let of_memory = if lacks_memory { Health::Degraded } else { Health::Ok };
        self.sums().health.max(of_memory)
    }

    pub(super) fn event_stats(&self, name: &str) -> Result<Stats, Error> {
        self.sort();
        self.of_event(name, |event| event.session().stats())
    }

    /// The figures of each event, in the order of the names.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.sort();
        let mut events = inside(|| self.shared().all());
        events.sort_by(|one, other| one.name().cmp(other.name()));
        let source = |event: &Arc<Event>| Source {
            event: Some(event.name().to_owned()),
            session: event.session().id(),
            stats: event.session().stats(),
            health: Some(event.session().health()),
            metrics: Some(event.flush_metrics()),
        };
        events.iter().map(source).collect()
    }

    pub(super) fn stats_of(&self, event: &Event) -> Stats {
        self.sort();
        event.session().stats()
    }

    /// Waits until all records that were logged before this call are sorted by event. Where the caller must not wait,
    /// or the sorting takes too long, the counters are given as they are.
    fn sort(&self) {
        let deadline = Instant::now().checked_add(SORTING);
        let _ = self.closer.ask(&self.shared().sorted, Gate::request, deadline);
    }

    pub(super) fn of_event<T>(
        &self,
        name: &str,
        tell: impl FnOnce(&Arc<Event>) -> T,
    ) -> Result<T, Error> {
        let told = self.callers.with(name, tell);
        told.ok_or_else(|| self.no_event(name))
    }
}

fn dropped(directory: &Path) -> Error {
    let what = "this record, or a record near it, was dropped behind the shared buffers";
    Error::new(ErrorKind::NotFound, what).at_path(directory)
}

impl Closing for AllEvents {
    const NAME: &'static str = "manager";

    /// The directory.
    fn path(&self) -> &Path {
        match self.shared.config.path().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    fn flush_timeout(&self) -> Duration {
        self.shared.config.flush_timeout
    }

    fn shards(&self) -> &Shards {
        &self.shared.shards
    }

    fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    fn stats(&self) -> Stats {
        inside(|| self.shared.sums()).stats
    }

    /// The error of the first event whose device fails.
    fn failure(&self) -> Option<Error> {
        self.shared.all().into_iter().find_map(|event| {
            let log = event.session();
            (log.health() >= Health::Failing).then(|| log.last_error()).flatten()
        })
    }

    fn close_openings(&self) {
        lock(&self.opening).is_over = true;
    }

    fn let_waiters_go(&self) {
        self.shared.all().iter().for_each(|event| event.let_waiters_go());
    }

    fn closed(&self) {
        lock(&self.opening).opener = None;
        self.shared.shards.pool().give_up_map();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CrashSafe, read::LogDir, write::Sleep};

    fn log(handle: &EventHandle, record: &[u8]) {
        handle.append_bytes(record).expect("accepted");
    }

    /// A manager with one shard, and an event of it that has five records.
    fn with_five_records(directory: &Path) -> Inner {
        with_five_records_and(directory, |config| config)
    }

    fn with_five_records_and(directory: &Path, configure: impl FnOnce(Config) -> Config) -> Inner {
        let config = Config::new(directory.join("base.log")).num_shards(1);
        let inner = Inner::new(configure(config)).expect("a manager");
        let handle = inner.event("payment").expect("an event");
        for number in 0..5 {
            log(&handle, format!("record {number}").as_bytes());
        }
        inner
    }

    /// All records of a directory whose files are whole.
    fn records(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for mut log in LogDir::scan(directory).expect("a directory") {
            while let Some(record) = log.next_record().expect("read") {
                found.push(String::from_utf8_lossy(record.bytes()).into_owned());
            }
            assert!(log.report().is_whole());
        }
        found
    }

    const FIVE: [&str; 5] = ["record 0", "record 1", "record 2", "record 3", "record 4"];

    /// A call never returns because something outside Rust's rules ended its thread. A crash-safe manager leaves no map
    /// then: a salvager would write the records a second time.
    #[test]
    fn what_was_published_before_a_call_that_never_returns_is_written_at_the_last_drop() {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = with_five_records(directory.path());
        inner.shared().shards.claim_for_ever(0);
        drop(inner);
        assert_eq!(records(directory.path()), FIVE);

        let (directory, maps) = (tempfile::tempdir(), tempfile::tempdir());
        let (directory, maps) = (directory.expect("a directory"), maps.expect("a directory"));
        let place = CrashSafe::in_dir(maps.path());
        let inner = with_five_records_and(directory.path(), |config| config.crash_safe(place));
        let map = inner.crash_map().expect("a map");
        assert!(map.exists());
        inner.shared().shards.claim_for_ever(0);
        drop(inner);
        assert_eq!(records(directory.path()), FIVE);
        assert!(!map.exists());
    }

    #[test]
    fn a_close_waits_for_a_call_as_long_as_the_config_says() {
        const TIMEOUT: Duration = Duration::from_millis(300);
        let directory = tempfile::tempdir().expect("a directory");
        let inner = with_five_records_and(directory.path(), |config| config.flush_timeout(TIMEOUT));
        inner.flush(None).expect("flushed");
        let shards = inner.shared().shards.clone();
        shards.claim_for_ever(0);
        let begun = Instant::now();
        let error = inner.close().expect_err("a call holds its claim");
        assert!(begun.elapsed() >= TIMEOUT);
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("0 of 5 accepted records pending"), "{error}");
        shards.release_forgotten(0);
        inner.close().expect("closed");
    }

    /// The thread ends between the seal of its buffer and the end of its claim: the shard still names the buffer.
    #[test]
    fn what_a_call_had_sealed_that_never_returns_is_written_once() {
        for is_sorted_before in [true, false] {
            let directory = tempfile::tempdir().expect("a directory");
            let inner = with_five_records(directory.path());
            let shards = inner.shared().shards.clone();
            shards.seal_and_claim_for_ever(0);
            if is_sorted_before {
                inner.shared().bell.ring(Sleep::Timed);
                while shards.pool().sealed_count() > 0 {
                    std::thread::yield_now();
                }
            }
            drop(inner);
            assert_eq!(records(directory.path()), FIVE, "sorted before: {is_sorted_before}");
        }
    }

    /// The buffer of the ended call has been sorted, and belongs to another shard when the last handle is dropped.
    #[test]
    fn a_buffer_that_another_shard_has_by_then_is_written_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config::new(directory.path().join("base.log")).num_shards(2);
        let inner = Inner::new(config).expect("a manager");
        let handle = inner.event("payment").expect("an event");
        log(&handle, b"of thread 0");
        let shards = inner.shared().shards.clone();
        shards.seal_and_claim_for_ever(0);
        inner.shared().bell.ring(Sleep::Timed);
        while shards.pool().sealed_count() > 0 {
            std::thread::yield_now();
        }
        // The free buffers are a stack: another shard takes this one next.
        std::thread::scope(|scope| {
            scope.spawn(|| log(&handle, b"of thread 1"));
        });
        drop((handle, inner));
        assert_eq!(records(directory.path()), ["of thread 0", "of thread 1"]);
    }
}
