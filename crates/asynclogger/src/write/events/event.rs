//! One event as everybody sees it.

use std::time::Instant;

use super::{durable::Marks, names::Name};
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
    /// It has as much memory as it may have.
    Quota = 1 << 0,
    /// It fills the shared buffers.
    Crowd = 1 << 1,
}

const CLOSED: u32 = 1 << 2;

/// An event whose log is open, or was.
pub(crate) struct Event {
    /// The longest record that is taken; 0 unless the event is open. With the number, all that a log call
    /// looks at.
    limit: AtomicUsize,
    number: u32,
    /// Of records that are taken while it is open.
    max_record: usize,
    /// Where calls by name find it while it is open.
    name: Arc<Name<Event>>,
    opened: Opened,
    session: Arc<Session>,
    counts: Arc<Counts>,
    /// Who wants the records to be durable that were accepted before.
    flushes: Gate,
    /// What its own flushes have made durable.
    durable: Marks,
    /// Pieces of memory that its records have.
    pieces: AtomicUsize,
    /// CLOSED, and for which [`Hold`]s it takes no records. Read without a lock, by signal handlers, too.
    standing: AtomicU32,
    /// Held while `standing` changes, and by whoever waits for that.
    changing: Mutex<()>,
    changed: Condvar,
}

impl Event {
    /// `shards`: how many its records may go through.
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
            flushes: Gate::new(),
            durable: Marks::new(shards),
            pieces: AtomicUsize::new(0),
            standing: AtomicU32::new(0),
            changing: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// What its records are tagged with. No other event of the manager ever has this number.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// As it was given.
    pub(crate) fn name(&self) -> &str {
        self.name.text()
    }

    /// Where calls by name find it while it is open.
    pub(super) fn entry(&self) -> &Arc<Name<Event>> {
        &self.name
    }

    /// The longest record that is taken now: none, unless it is open.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        // Relaxed: a record that slips in is looked at again when it is sorted.
        self.limit.load(Ordering::Relaxed)
    }

    /// The longest record that is taken while it is open.
    pub(crate) fn max_record(&self) -> usize {
        self.max_record
    }

    fn standing(&self) -> u32 {
        // Relaxed: as of the limit.
        self.standing.load(Ordering::Relaxed)
    }

    /// Whether it was not closed.
    pub(crate) fn is_open(&self) -> bool {
        self.standing() & CLOSED == 0
    }

    /// Whether it takes none for now.
    pub(super) fn is_held(&self) -> bool {
        self.standing() != 0 && self.is_open()
    }

    /// Whether it takes none for now, and this is one of the reasons.
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

    /// Takes records again, unless there is another reason.
    pub(super) fn resume(&self, why: Hold) {
        self.stand(|standing| standing & !(why as u32));
    }

    fn stand(&self, change: impl FnOnce(u32) -> u32) {
        let changing = lock(&self.changing);
        let standing = change(self.standing());
        self.standing.store(standing, Ordering::Relaxed);
        let limit = if standing == 0 { self.max_record } else { 0 };
        self.limit.store(limit, Ordering::Relaxed);
        self.name.set_limit(self.number, limit);
        drop(changing);
        self.changed.notify_all();
    }

    /// Waits until it takes records again, or never will; `false`: until `deadline`. Never for a call that
    /// interrupted another on its thread: that may hold the lock.
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

    /// The position of one of its records, which the shared buffers have given this one.
    #[inline]
    pub(super) fn position(&self, shared: Position) -> Position {
        Position { session: self.session.id(), ..shared }
    }

    /// Who wants its records to be durable.
    pub(super) fn flushes(&self) -> &Gate {
        &self.flushes
    }

    /// What its own flushes have made durable.
    pub(super) fn durable(&self) -> &Marks {
        &self.durable
    }

    /// Whether not all that it has accepted is durable.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.session.accepted() > self.session.written().durable
    }

    /// What was found where its file is.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The session of its log.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// What is counted of its records.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Its records have so many pieces of memory. Relaxed: a count, no data.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.load(Ordering::Relaxed)
    }

    /// They take some more.
    pub(super) fn take(&self, pieces: usize) {
        self.pieces.fetch_add(pieces, Ordering::Relaxed);
    }

    /// They have given some back.
    pub(super) fn release(&self, pieces: usize) {
        self.pieces.fetch_sub(pieces, Ordering::Relaxed);
    }

    /// How long its flushes took.
    pub(crate) fn flush_metrics(&self) -> FlushMetrics {
        let waiting = self.counts.sealed().saturating_sub(self.session.flushes());
        let flush_queue_depth = usize::try_from(waiting).unwrap_or(usize::MAX);
        FlushMetrics { flush_queue_depth, ..self.session.flush_metrics(0) }
    }

    /// Counts a refused record as one of this event: its file will tell.
    pub(super) fn count_drop(&self, reason: Reason) {
        self.counts.drop_one(reason);
    }
}

/// Refused records that no event's file can tell of.
#[derive(Debug, Default)]
pub(crate) struct Unplaced {
    /// Of events that could not be opened.
    pub(super) unopened: AtomicU64,
    /// Of events that were closed, or being closed.
    pub(super) closed: AtomicU64,
    /// Taken into the shared buffers, and then not into those of the event: dropped, and counted by it or
    /// above.
    pub(super) sorted_out: AtomicU64,
}

impl Unplaced {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A record of an event that could not be opened.
    pub(crate) fn count_unopened(&self) {
        Unplaced::count(&self.unopened);
    }

    /// A record of an event that is closed, or is being closed.
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
