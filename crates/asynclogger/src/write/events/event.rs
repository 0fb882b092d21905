//! One event, as callers and flusher share it.

use std::time::Instant;

use super::{durable::Marks, in_map::InMap, names::Name};
#[cfg(feature = "async")]
use crate::write::common::HasGate;
use crate::{
    FlushMetrics, Opened, Position,
    sync::{
        Arc, AtomicU32, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, is_over, lock, wait_until,
    },
    write::{
        common::{Gate, Reason},
        flush::{Counts, Session},
    },
};

/// Why an event takes no records for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Hold {
    /// The event has used up its quota of memory.
    Quota = 1 << 0,
    /// The event fills the shared buffers.
    Crowd = 1 << 1,
}

const CLOSED: u32 = 1 << 2;
/// The manager is being closed: no caller waits for the end of a [`Hold`] any more.
const UNAWAITED: u32 = 1 << 3;

/// An event whose log is open, or was open once.
pub(crate) struct Event {
    /// The longest record that the event takes now; 0 unless it is open. A log call looks only at this and the number.
    limit: AtomicUsize,
    number: u32,
    /// The longest record that the event takes while it is open.
    max_record: usize,
    /// The entry through which calls by name find the event while it is open.
    name: Arc<Name<Event>>,
    opened: Opened,
    session: Arc<Session>,
    counts: Arc<Counts>,
    /// The place of the event in the map of a crash-safe manager.
    place: Option<InMap>,
    /// The gate for flushes of this event.
    flushes: Gate,
    /// The records that the event's own flushes have made durable.
    durable: Marks,
    /// The number of pieces of memory that the event's records have.
    pieces: AtomicUsize,
    /// CLOSED, UNAWAITED, and the [`Hold`]s for which the event takes no records. Read without a lock, also by signal
    /// handlers.
    standing: AtomicU32,
    /// Held while `standing` changes, and by threads that wait for a change.
    changing: Mutex<()>,
    changed: Condvar,
}

#[cfg(feature = "async")]
impl HasGate for Event {
    fn gate(&self) -> &Gate {
        self.flushes()
    }
}

impl Event {
    /// Makes an event whose records go through `shards` shared shards.
    pub(super) fn new(
        name: Arc<Name<Event>>,
        number: u32,
        max_record: usize,
        opened: Opened,
        session: Arc<Session>,
        counts: Arc<Counts>,
        shards: usize,
    ) -> Event {
        Event {
            limit: AtomicUsize::new(max_record),
            number,
            max_record,
            name,
            opened,
            session,
            counts,
            place: None,
            flushes: Gate::new(),
            durable: Marks::new(shards),
            pieces: AtomicUsize::new(0),
            standing: AtomicU32::new(0),
            changing: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Gives the event its place in the map of a crash-safe manager.
    pub(super) fn at(self, place: Option<InMap>) -> Event {
        Event { place, ..self }
    }

    /// The number that tags the event's records. No other event of the manager ever has the same number.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The name as the user gave it.
    pub(crate) fn name(&self) -> &str {
        self.name.text()
    }

    /// The entry through which calls by name find the event while it is open.
    pub(super) fn entry(&self) -> &Arc<Name<Event>> {
        &self.name
    }

    /// The longest record that the event takes now: 0 unless it is open.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        // Relaxed: a record that slips in is checked again when it is sorted.
        self.limit.load(Ordering::Relaxed)
    }

    /// The longest record that the event takes while it is open.
    pub(crate) fn max_record(&self) -> usize {
        self.max_record
    }

    fn standing(&self) -> u32 {
        // Relaxed, for the same reason as the limit.
        self.standing.load(Ordering::Relaxed)
    }

    /// Whether the event was not closed.
    pub(crate) fn is_open(&self) -> bool {
        self.standing() & CLOSED == 0
    }

    /// Whether the open event takes no records for now, and callers may wait until it does.
    pub(super) fn is_held(&self) -> bool {
        self.standing() != 0 && self.standing() & (CLOSED | UNAWAITED) == 0
    }

    /// Whether the open event takes no records for now, and `why` is one of the reasons.
    pub(super) fn is_held_for(&self, why: Hold) -> bool {
        self.standing() & why as u32 != 0 && self.is_open()
    }

    /// Takes no more records.
    pub(super) fn close(&self) {
        self.stand(|standing| standing | CLOSED);
    }

    /// Takes no records for now: those of other events must not wait behind them, or be dropped.
    pub(super) fn hold(&self, why: Hold) {
        self.stand(|standing| standing | why as u32);
    }

    /// Takes records again, unless another reason holds the event.
    pub(super) fn resume(&self, why: Hold) {
        self.stand(|standing| standing & !(why as u32));
    }

    /// Releases the callers that wait while the event is held, now and later: the shared buffers refuse their records.
    pub(crate) fn let_waiters_go(&self) {
        self.stand(|standing| standing | UNAWAITED);
    }

    fn stand(&self, change: impl FnOnce(u32) -> u32) {
        let changing = lock(&self.changing);
        let standing = change(self.standing());
        self.standing.store(standing, Ordering::Relaxed);
        let limit = if standing & !UNAWAITED == 0 { self.max_record } else { 0 };
        self.limit.store(limit, Ordering::Relaxed);
        self.name.set_limit(self.number, limit);
        drop(changing);
        self.changed.notify_all();
    }

    /// Waits until the event takes records again, or never will; `false` if `deadline` came first. Not for a call that
    /// interrupted another on its thread, because the interrupted call can hold the lock.
    pub(super) fn wait_while_held(&self, deadline: Option<Instant>) -> bool {
        let mut changing = lock(&self.changing);
        while self.is_held() {
            if is_over(deadline) {
                return false;
            }
            changing = wait_until(&self.changed, changing, deadline);
        }
        true
    }

    /// The position of a record of this event, from its position in the shared buffers.
    #[inline]
    pub(super) fn position(&self, shared: Position) -> Position {
        Position { session: self.session.id(), ..shared }
    }

    /// The place of the event in the map of a crash-safe manager.
    pub(super) fn place(&self) -> Option<&InMap> {
        self.place.as_ref()
    }

    /// The gate for flushes of this event.
    pub(super) fn flushes(&self) -> &Gate {
        &self.flushes
    }

    /// The records that the event's own flushes have made durable.
    pub(super) fn durable(&self) -> &Marks {
        &self.durable
    }

    /// Whether some accepted records of the event are not durable.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.session.accepted() > self.session.written().durable
    }

    /// What was found at the path of the event's file.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The session of its log.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The counts of the event's records.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of pieces of memory that the event's records have. Relaxed: the count guards no data.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.load(Ordering::Relaxed)
    }

    /// Counts pieces that the event's records have taken.
    pub(super) fn take(&self, pieces: usize) {
        self.pieces.fetch_add(pieces, Ordering::Relaxed);
    }

    /// Counts pieces that the event's records have given back.
    pub(super) fn release(&self, pieces: usize) {
        self.pieces.fetch_sub(pieces, Ordering::Relaxed);
    }

    /// How long its flushes took.
    pub(crate) fn flush_metrics(&self) -> FlushMetrics {
        let waiting = self.counts.sealed().saturating_sub(self.session.flushes());
        let flush_queue_depth = usize::try_from(waiting).unwrap_or(usize::MAX);
        FlushMetrics { flush_queue_depth, ..self.session.flush_metrics(0) }
    }

    /// Counts a refused record of this event, so that the event's file reports it.
    pub(super) fn count_drop(&self, reason: Reason) {
        self.counts.drop_one(reason);
    }
}

/// Refused records that no event's file can report.
#[derive(Debug, Default)]
pub(crate) struct Unplaced {
    /// Records of events that could not be opened.
    pub(super) unopened: AtomicU64,
    /// Records of events that were closed, or being closed.
    pub(super) closed: AtomicU64,
    /// Records that the shared buffers took and the sorter dropped. Each is also counted by its event or in one of the
    /// two counts above.
    pub(super) sorted_out: AtomicU64,
}

impl Unplaced {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record of an event that could not be opened.
    pub(crate) fn count_unopened(&self) {
        Unplaced::count(&self.unopened);
    }

    /// Counts a record of an event that is closed, or is being closed.
    pub(crate) fn count_closed(&self) {
        Unplaced::count(&self.closed);
    }

    /// Records of events that could not be opened.
    pub(crate) fn unopened(&self) -> u64 {
        self.unopened.load(Ordering::Relaxed)
    }

    /// Records of events that were closed.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn sorted_out(&self) -> u64 {
        self.sorted_out.load(Ordering::Relaxed)
    }
}
