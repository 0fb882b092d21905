//! One event as everybody sees it.

use crate::{
    Opened,
    sync::{Arc, AtomicU64, AtomicUsize, Ordering},
    write::{log::Log, shard::Reason},
};

/// An event whose log is open, or was.
pub(crate) struct Event {
    /// The longest record that is taken; 0 once the event is closed. With the number, all that a log call
    /// looks at.
    limit: AtomicUsize,
    number: u32,
    name: Box<str>,
    opened: Opened,
    log: Arc<Log>,
    /// Pieces of memory that its records have.
    pieces: AtomicUsize,
}

impl Event {
    pub(super) fn new(name: &str, number: u32, opened: Opened, log: Arc<Log>) -> Event {
        let limit = AtomicUsize::new(log.max_record());
        Event { limit, number, name: name.into(), opened, log, pieces: AtomicUsize::new(0) }
    }

    /// What its records are tagged with. Used for another event only when nobody has this one any more.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// As it was given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The longest record that is taken now: none, if it is closed.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        // Relaxed: a record that slips in is counted when it is sorted.
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether records are still taken.
    pub(crate) fn is_open(&self) -> bool {
        self.limit() > 0
    }

    /// Takes no more records.
    pub(super) fn close(&self) {
        self.limit.store(0, Ordering::Relaxed);
    }

    /// What was found where its file is.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Its log, which the flusher alone appends to.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
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

    /// Counts a refused record as one of this event: its file will tell.
    pub(super) fn count_drop(&self, reason: Reason) {
        self.log.shards()[0].count_drop(reason);
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
