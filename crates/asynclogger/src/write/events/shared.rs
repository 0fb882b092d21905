//! The part of a manager that callers and flusher share.

use std::{collections::BTreeMap, time::Instant};

use super::{
    durable::{Marks, SortedOut},
    event::{Event, Unplaced},
    orders::Orders,
    places::Places,
    sums::Sums,
};
#[cfg(feature = "async")]
use crate::write::common::HasGate;
use crate::{
    Config, EngineKind, Error, IoMode, Position,
    config::tell,
    io::Directory,
    sync::{Arc, AtomicBool, AtomicUsize, Condvar, Mutex, is_over, lock, wait_until},
    write::{
        common::Gate,
        flush::{LogWriter, inside},
        swap::{Bell, Shards, Sleep},
    },
};

pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The shared buffers, as the flusher sees them.
    pub(crate) shards: Arc<Shards>,
    pub(crate) bell: Arc<Bell>,
    /// The gate for flushes of all events, and for the end.
    pub(crate) gate: Gate,
    /// The gate for callers that wait until all records are sorted.
    pub(crate) sorted: Gate,
    pub(crate) unplaced: Arc<Unplaced>,
    /// The records that flushes of all events have made durable.
    pub(super) durable: Marks,
    pub(super) sorted_out: SortedOut,
    pub(super) orders: Orders,
    /// The number of events' files that are open now.
    pub(crate) open_files: AtomicUsize,
    /// Whether the system has less memory for a crash-safe manager than its config asks for.
    pub(crate) lacks_memory: AtomicBool,
    /// The places for events in the map of a crash-safe manager.
    pub(super) places: Option<Places>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The open events, by name; once the manager is closed, the events that were open then.
    open: BTreeMap<Box<str>, Arc<Event>>,
    /// Events whose files are being ended, by name.
    closing: BTreeMap<Box<str>, Arc<Event>>,
    /// Closed events of which a call can still have a handle and count a record.
    retired: Vec<Arc<Event>>,
    /// The sums over closed events.
    past: Sums,
    /// The means of I/O of the event that was opened last.
    io: (IoMode, EngineKind),
}

impl State {
    /// Moves closed events without handles into the sums.
    fn fold(&mut self) {
        let State { retired, past, .. } = self;
        retired.retain_mut(|event| {
            // The last holder of a handle has no running call any more.
            if Arc::get_mut(event).is_none() {
                return true;
            }
            past.add_past(event);
            false
        });
    }
}

#[cfg(feature = "async")]
impl HasGate for Shared {
    fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Shared {
    pub(super) fn new(config: Config, shards: Arc<Shards>, unplaced: Arc<Unplaced>) -> Shared {
        let count = shards.len();
        Shared {
            config,
            bell: shards.bell().clone(),
            gate: Gate::new(),
            sorted: Gate::new(),
            unplaced,
            durable: Marks::new(count),
            sorted_out: SortedOut::new(count),
            orders: Orders::default(),
            open_files: AtomicUsize::new(0),
            lacks_memory: AtomicBool::new(false),
            places: shards.pool().map().map(Places::new),
            shards,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// All open events, by name; for a closed manager the events that were open at its end.
    pub(crate) fn all(&self) -> Vec<Arc<Event>> {
        if self.shards.is_forked() {
            // A thread of the parent can have held the lock during the fork.
            return Vec::new();
        }
        lock(&self.state).open.values().cloned().collect()
    }

    /// Calls the user's callback. A panic of the callback does not reach this library.
    pub(crate) fn tell(&self, error: &Error) {
        tell(self.config.on_error.as_ref(), error);
    }

    /// Hands an event over to the flusher, and makes it known.
    pub(super) fn publish(
        &self,
        event: &Arc<Event>,
        writer: LogWriter,
        unsynced: Option<Arc<Directory>>,
    ) {
        // First, so that the flusher finds the event when it finds a record of the event.
        self.orders.open(event, writer, unsynced);
        self.bell.ring(Sleep::Timed);
        let mut state = lock(&self.state);
        state.io = event.session().io();
        // Under the lock, so that a call that closes the event finds it in both places, or in neither.
        state.open.insert(event.name().into(), event.clone());
        event.entry().open(event, event.number(), event.limit());
    }

    /// Begins to close an event: calls no longer find it, and it takes no more records. `None` if no such event is
    /// open.
    pub(crate) fn begin_close(&self, name: &str) -> Option<Arc<Event>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.closing.get(name) {
            return Some(event.clone());
        }
        let (name, event) = state.open.remove_entry(name)?;
        event.entry().close();
        event.close();
        state.closing.insert(name, event.clone());
        drop(state);
        self.orders.close(event.number());
        self.bell.ring(Sleep::Timed);
        Some(event)
    }

    /// Returns when every record of an event that was accepted before is durable.
    ///
    /// # Errors
    /// The first error of an attempt; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) at `deadline`.
    pub(crate) fn flush_event(
        &self,
        event: &Arc<Event>,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        let ticket = self.begin_flush_of_event(event);
        event.flushes().wait(ticket, deadline)
    }

    /// Asks for a flush of an event, and returns its ticket.
    pub(crate) fn begin_flush_of_event(&self, event: &Arc<Event>) -> u64 {
        let ticket = inside(|| {
            let ticket = event.flushes().request();
            self.orders.flush(event);
            ticket
        });
        self.bell.ring(Sleep::Timed);
        ticket
    }

    /// Whether a record of an event is known to be durable.
    pub(crate) fn is_durable(&self, event: &Event, position: &Position) -> bool {
        // A forked child must not take a lock that a thread of its parent can have held.
        event.session().is_ours(position)
            && !self.shards.is_forked()
            && (self.durable.cover(position) || event.durable().cover(position))
            && !self.sorted_out.may_have(position)
            // After the close of an event no flush can report any more which records are in doubt.
            && (event.is_open() || !event.is_in_doubt())
    }

    /// Whether an event of this name is being closed.
    pub(crate) fn is_closing(&self, name: &str) -> bool {
        lock(&self.state).closing.contains_key(name)
    }

    /// Waits, at most until `deadline`, until no event of this name is being closed. Returns whether that is so.
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

    /// Takes over that the file of an event is ended and let go, so that the event can be opened again. `sorted` has
    /// for each shared shard the number of records that were sorted when the event took its last one.
    pub(super) fn closed(&self, event: Arc<Event>, sorted: &[u64]) {
        // The gate of a closed log answers at once, with an error if some records are in doubt.
        let answer = event.session().gate().answer(u64::MAX);
        if !event.is_in_doubt() {
            event.durable().raise(sorted);
        }
        event.flushes().set_closed(answer.and_then(Result::err));
        if let Some(places) = &self.places {
            places.give_back(&event);
        }
        let mut state = lock(&self.state);
        if state.closing.get(event.name()).is_some_and(|closing| Arc::ptr_eq(closing, &event)) {
            state.closing.remove(event.name());
        } else {
            // The manager is closed: its events stay known, for calls that ask for their stats.
            drop(state);
            self.changed.notify_all();
            return;
        }
        state.retired.push(event);
        state.fold();
        drop(state);
        self.changed.notify_all();
    }

    /// Sums over all events.
    pub(crate) fn sums(&self) -> Sums {
        // In this order, so that neither the written records nor those refused later are more than the accepted ones.
        let held = (!self.shards.is_forked()).then(|| lock(&self.state));
        // A forked child must not take a lock that a thread of its parent can have held.
        let of_child = State::default();
        let state = held.as_deref().unwrap_or(&of_child);
        let unplaced = &self.unplaced;
        let sorted_out = unplaced.sorted_out();
        let mut sums = state.past.clone();
        let present = state.open.values().chain(state.closing.values());
        present.for_each(|event| sums.add_now(event));
        state.retired.iter().for_each(|event| sums.add(event));
        sums.events = state.open.len();
        let first = state.open.values().next();
        let io = first.map_or(state.io, |event| event.session().io());
        drop(held);
        let Sums { stats, metrics, .. } = &mut sums;
        (stats.io_mode, stats.engine) = io;
        stats.dropped.closed += unplaced.closed();
        stats.dropped_logs = stats.dropped.total();
        // The records that are not sorted yet count, too.
        stats.accepted = self.shards.accepted().saturating_sub(sorted_out);
        stats.pending = stats.accepted.saturating_sub(stats.written + stats.lost);
        stats.total_logs = stats.accepted + stats.dropped_logs;
        let flushes = u32::try_from(metrics.total_flushes).unwrap_or(u32::MAX);
        metrics.avg_flush_duration =
            metrics.total_flush_duration.checked_div(flushes).unwrap_or_default();
        metrics.flush_queue_depth += self.shards.pool().sealed_count();
        metrics.blocked_swaps = self.shards.blocked_swaps();
        sums
    }
}
