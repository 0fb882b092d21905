//! What callers and the flusher of a manager have in common.

use std::{collections::BTreeMap, time::Instant};

use super::{
    event::{Event, Unplaced},
    handle::EventHandle,
    memory::TAG,
    names::Names,
    table::Table,
};
use crate::{
    Config, EngineKind, Error, ErrorKind, FlushMetrics, Health, IoMode, LogError, Stats,
    config::tell,
    sync::{Arc, AtomicBool, AtomicUsize, Condvar, Mutex, Ordering, is_over, lock, wait_until},
    write::{
        gate::Gate,
        log::Log,
        log_writer::LogWriter,
        shard::Shard,
        wait::{Bell, Sleep},
    },
};

/// Bytes of a record that is looked at before it is put in: less than any shared buffer has room for.
const LONG: usize = 8 << 10;

pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The shared buffers, as a log whose gate is that of the manager.
    pub(crate) ingest: Arc<Log>,
    pub(crate) bell: Arc<Bell>,
    /// Who wants all that was logged to be sorted.
    pub(crate) sorted: Gate,
    pub(crate) unplaced: Arc<Unplaced>,
    table: Table,
    pub(super) names: Arc<Names>,
    orders: Mutex<Orders>,
    has_orders: AtomicBool,
    pub(super) stop: AtomicBool,
    /// Files of events that are open now.
    pub(crate) open_files: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct Orders {
    new: Vec<(Arc<Event>, LogWriter)>,
    close: Vec<u32>,
}

#[derive(Default)]
struct State {
    /// Events whose files are being ended, by name.
    closing: BTreeMap<Box<str>, Arc<Event>>,
    /// Closed, and somebody may still have a handle.
    retired: Vec<Arc<Event>>,
    /// Numbers of which nobody has a handle: free after the next time that all was sorted.
    resting: Vec<u32>,
    free: Vec<u32>,
    next: u32,
    past: Past,
    /// How the last event was written that was opened.
    io: (IoMode, EngineKind),
}

/// What closed events have done.
#[derive(Clone, Default)]
struct Past {
    stats: Stats,
    metrics: FlushMetrics,
}

/// Sums over all events, the closed ones too.
pub(crate) struct Totals {
    pub(crate) stats: Stats,
    pub(crate) metrics: FlushMetrics,
    pub(crate) health: Health,
    pub(crate) events: usize,
}

impl Shared {
    pub(crate) fn new(config: Config, ingest: Arc<Log>, bell: Arc<Bell>) -> Shared {
        Shared {
            config,
            ingest,
            bell,
            sorted: Gate::new(),
            unplaced: Arc::new(Unplaced::default()),
            table: Table::new(),
            names: Arc::new(Names::new()),
            orders: Mutex::default(),
            has_orders: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            open_files: AtomicUsize::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Logs a record by name; whether that is done, or refused and counted. If not, its event is not open, or
    /// does not take it now.
    #[inline]
    pub(crate) fn log(&self, name: &str, record: &[u8]) -> bool {
        let len = record.len();
        if len > LONG {
            // It may take memory that is there for one such record at a time, and must not take it in vain.
            return false;
        }
        let appended = self.ingest.append_if(TAG + len, |room| {
            let found = self.names.find(name);
            let Some((number, _)) = found.filter(|(_, limit)| len.wrapping_sub(1) < *limit) else {
                return false;
            };
            let (tag, bytes) = room.split_at_mut(TAG);
            tag.copy_from_slice(&number.to_le_bytes());
            bytes.copy_from_slice(record);
            true
        });
        match appended {
            Ok(Some(_)) => true,
            Ok(None) => false,
            Err(error) => self.refused(name, error),
        }
    }

    /// The shared buffers did not take a record; whether it was counted.
    #[cold]
    fn refused(&self, name: &str, error: LogError) -> bool {
        let is_long = matches!(error, LogError::TooLarge { .. });
        !is_long && self.table.with(name, |handle| handle.refused(error)).is_some()
    }

    /// Does something with the handle of an open event; without a lock.
    #[inline]
    pub(crate) fn with<T>(&self, name: &str, use_it: impl FnOnce(&EventHandle) -> T) -> Option<T> {
        self.table.with(name, use_it)
    }

    /// Handles of all open events, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<EventHandle>> {
        self.table.all()
    }

    /// Tells the user's callback, whose panics are its own.
    pub(crate) fn tell(&self, error: &Error) {
        tell(self.config.on_error.as_ref(), error);
    }

    /// A number for a new event.
    ///
    /// # Errors
    /// If there is none left.
    pub(super) fn take_number(&self) -> Result<u32, Error> {
        let mut state = lock(&self.state);
        if let Some(number) = state.free.pop() {
            return Ok(number);
        }
        let number = state.next;
        let none = || Error::new(ErrorKind::InvalidConfig, "there are too many events");
        state.next = number.checked_add(1).ok_or_else(none)?;
        Ok(number)
    }

    /// Gives a number back that nobody was told of.
    pub(super) fn return_number(&self, number: u32) {
        lock(&self.state).free.push(number);
    }

    /// Hands an event over to the flusher, and makes it known.
    pub(super) fn publish(&self, event: Arc<Event>, writer: LogWriter) -> EventHandle {
        let handle = EventHandle::new(
            self.ingest.clone(),
            event.clone(),
            self.unplaced.clone(),
            self.config.overflow,
        );
        let (name, number, limit) = (event.name().to_owned(), event.number(), event.limit());
        // First: the flusher finds the event when it finds a record of it.
        lock(&self.orders).new.push((event, writer));
        self.order();
        lock(&self.state).io = handle.event().log().io();
        // In this order, which is that of forgetting it: a name that is in the table is not about to be put
        // among the numbers.
        self.names.insert(&name, number, limit);
        self.table.insert(handle.clone());
        handle
    }

    /// Begins to close an event: it is not known any more, and takes no record. `None`: there is none.
    pub(crate) fn begin_close(&self, name: &str) -> Option<Arc<Event>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.closing.get(name) {
            return Some(event.clone());
        }
        let event = self.table.remove(name)?.event().clone();
        self.names.remove(name, event.number());
        event.close();
        state.closing.insert(name.into(), event.clone());
        drop(state);
        lock(&self.orders).close.push(event.number());
        self.order();
        Some(event)
    }

    fn order(&self) {
        // Release pairs with the Acquire in `has_orders`; the bell has the fence.
        self.has_orders.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
    }

    pub(super) fn has_orders(&self) -> bool {
        self.has_orders.load(Ordering::Acquire)
    }

    pub(super) fn take_new(&self) -> Vec<(Arc<Event>, LogWriter)> {
        std::mem::take(&mut lock(&self.orders).new)
    }

    /// Numbers of events to close. What is new was taken before.
    pub(super) fn take_closes(&self) -> Vec<u32> {
        let mut orders = lock(&self.orders);
        if orders.new.is_empty() {
            self.has_orders.store(false, Ordering::Release);
        }
        std::mem::take(&mut orders.close)
    }

    /// Whether an event of this name is being closed.
    pub(crate) fn is_closing(&self, name: &str) -> bool {
        lock(&self.state).closing.contains_key(name)
    }

    /// Waits until no event of this name is being closed, or `deadline`; whether that is so.
    pub(crate) fn wait_closed(&self, name: &str, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while state.closing.contains_key(name) {
            if is_over(deadline) {
                return false;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        true
    }

    /// The file of an event is ended and let go: it can be opened again.
    pub(super) fn closed(&self, event: Arc<Event>) {
        let mut state = lock(&self.state);
        if state.closing.get(event.name()).is_some_and(|closing| Arc::ptr_eq(closing, &event)) {
            state.closing.remove(event.name());
        } else {
            // The manager is closed: its events stay known, to those who ask for their stats.
            drop(state);
            self.changed.notify_all();
            return;
        }
        state.retired.push(event);
        drop(state);
        self.changed.notify_all();
    }

    /// All that was logged before was sorted: numbers that rested since the last time are free, and those
    /// rest of which nobody has a handle any more.
    pub(super) fn recycle(&self) {
        let mut state = lock(&self.state);
        let State { retired, resting, free, past, .. } = &mut *state;
        free.append(resting);
        // Their names are gone: a call by name that begins now does not find them, and none that did is left.
        if retired.is_empty() || !self.ingest.shards().iter().all(Shard::is_unclaimed) {
            return;
        }
        retired.retain_mut(|event| {
            // Whoever had it last has no call of it under way any more.
            if Arc::get_mut(event).is_none() {
                return true;
            }
            add(&mut past.stats, &mut past.metrics, event);
            past.metrics.flush_queue_depth = 0;
            resting.push(event.number());
            false
        });
    }

    /// Sums over all events.
    pub(crate) fn totals(&self) -> Totals {
        // In this order: then neither what was written nor what was refused later is more than what was
        // accepted.
        let held = (!self.ingest.is_forked()).then(|| lock(&self.state));
        // A forked child must not lock what a thread of its parent may have held.
        let of_child = State::default();
        let state = held.as_deref().unwrap_or(&of_child);
        let unplaced = &self.unplaced;
        let sorted_out = unplaced.sorted_out();
        let Past { mut stats, mut metrics } = state.past.clone();
        let mut health = Health::Ok;
        let open = self.table.all();
        let open_events = open.iter().map(|handle| handle.event());
        for event in open_events.chain(state.closing.values()) {
            health = health.max(event.log().health());
            add(&mut stats, &mut metrics, event);
        }
        for event in &state.retired {
            add(&mut stats, &mut metrics, event);
        }
        (stats.direct, stats.engine) =
            open.first().map_or(state.io, |handle| handle.event().log().io());
        drop(held);
        stats.dropped.closed += unplaced.closed();
        stats.dropped_logs = stats.dropped.total();
        // Those that are not sorted yet, too.
        stats.accepted = self.ingest.accepted().saturating_sub(sorted_out);
        stats.pending = stats.accepted.saturating_sub(stats.written + stats.lost);
        stats.total_logs = stats.accepted + stats.dropped_logs;
        let flushes = u32::try_from(metrics.total_flushes).unwrap_or(u32::MAX);
        metrics.avg_flush_duration =
            metrics.total_flush_duration.checked_div(flushes).unwrap_or_default();
        metrics.flush_queue_depth += self.ingest.pool().sealed_count();
        metrics.blocked_swaps = self.ingest.blocked_swaps();
        Totals { stats, metrics, health, events: open.len() }
    }
}

/// Adds what an event has done.
fn add(stats: &mut Stats, metrics: &mut FlushMetrics, event: &Event) {
    event.log().add_to(stats);
    let of_log = event.flush_metrics();
    let flushes = metrics.total_flushes + of_log.total_flushes;
    let weighed = metrics.avg_write_duration.as_secs_f64() * metrics.total_flushes as f64
        + of_log.avg_write_duration.as_secs_f64() * of_log.total_flushes as f64;
    let mean = if flushes == 0 { 0.0 } else { weighed / flushes as f64 };
    metrics.total_flushes = flushes;
    metrics.total_flush_duration += of_log.total_flush_duration;
    metrics.max_flush_duration = metrics.max_flush_duration.max(of_log.max_flush_duration);
    metrics.avg_write_duration = std::time::Duration::from_secs_f64(mean);
    metrics.max_write_duration = metrics.max_write_duration.max(of_log.max_write_duration);
    let percent = 100.0 * mean * flushes as f64 / metrics.total_flush_duration.as_secs_f64();
    metrics.write_percent = if percent.is_finite() { percent } else { 0.0 };
    metrics.flush_queue_depth += of_log.flush_queue_depth;
}
