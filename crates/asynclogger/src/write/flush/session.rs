//! One session of one log: the records that it took, their progress to the medium, and the gate of the flusher.

#[cfg(feature = "async")]
use crate::write::common::HasGate;
use std::time::Duration;

use super::intake::Intake;
use crate::{
    Dropped, EngineKind, Error, ErrorCounts, FlushMetrics, Health, IoMode, Position, Stats,
    mem::Process,
    sync::{Arc, AtomicBool, Ordering},
    write::{
        common::{Gate, Progress},
        swap::{Bell, Sleep},
    },
};

/// One session of one log, from its opening to its end, shared by its handles and the flusher.
pub(crate) struct Session {
    id: u64,
    intake: Intake,
    gate: Gate,
    progress: Progress,
    bell: Arc<Bell>,
    maker: Process,
    /// Set when room was made on a full disk.
    room: AtomicBool,
}

/// Counts of records, except the last.
pub(crate) struct Written {
    pub(crate) durable: u64,
    pub(crate) written: u64,
    pub(crate) lost: u64,
    /// Bytes of the written records.
    pub(crate) payload: u64,
}

#[cfg(feature = "async")]
impl HasGate for Session {
    fn gate(&self) -> &Gate {
        self.gate()
    }
}

impl Session {
    pub(crate) fn new(id: u64, intake: Intake, bell: Arc<Bell>) -> Session {
        Session {
            id,
            gate: Gate::new(),
            progress: Progress::new(intake.shards()),
            intake,
            bell,
            maker: Process::current(),
            room: AtomicBool::new(false),
        }
    }

    /// The session's number in the positions of its records; random.
    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The source of the session's records.
    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes over that the disk has room again, so that the flusher tries at once.
    pub(super) fn tell_of_room(&self) {
        // Release pairs with the Acquire in `has_new_room`; the bell has the fence.
        self.room.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
    }

    /// Whether there is news of room that the flusher has not seen.
    pub(super) fn is_told_of_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    /// Whether there is news of room, which counts as seen afterwards.
    pub(super) fn has_new_room(&self) -> bool {
        self.is_told_of_room() && self.room.swap(false, Ordering::Acquire)
    }

    /// Records accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.intake.accepted()
    }

    /// Records refused so far.
    pub(crate) fn dropped(&self) -> Dropped {
        self.intake.dropped()
    }

    /// The counts of what the flusher has done with the accepted records.
    pub(crate) fn written(&self) -> Written {
        // In this order: a count that is read later covers those read before it.
        let (durable, payload) = (self.progress.durable.get(), self.progress.payload.get());
        let (lost, written) = (self.progress.lost.get(), self.progress.written.get());
        Written { durable, written, lost, payload }
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.progress.bytes.get()
    }

    /// Blocks written.
    pub(crate) fn flushes(&self) -> u64 {
        self.progress.flushes.get()
    }

    /// Failed attempts.
    pub(crate) fn errors(&self) -> u64 {
        self.progress.errors.get()
    }

    /// Failed attempts by the cause of their error.
    pub(crate) fn error_counts(&self) -> ErrorCounts {
        self.progress.error_counts()
    }

    pub(crate) fn health(&self) -> Health {
        if self.is_forked() { Health::Forked } else { self.progress.health() }
    }

    /// Whether this process is a forked child of the process that opened the session.
    pub(crate) fn is_forked(&self) -> bool {
        !self.maker.is_current()
    }

    /// The current means by which blocks reach the file.
    pub(crate) fn io(&self) -> (IoMode, EngineKind) {
        self.progress.io()
    }

    /// Whether a position belongs to this session.
    pub(crate) fn is_ours(&self, position: &Position) -> bool {
        position.session == self.id
    }

    /// Whether a record of this session is durable.
    pub(crate) fn is_durable(&self, position: &Position) -> bool {
        let durable = self.progress.durable_of(position.shard as usize);
        self.is_ours(position) && position.number < durable
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        self.gate.last_error()
    }

    /// The current counters.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.add_to(&mut stats);
        (stats.io_mode, stats.engine) = self.io();
        stats
    }

    /// Adds the counters to those of other sessions.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        // The written records are read first, so that they are never more than the accepted ones.
        let counts = self.written();
        let (accepted, dropped) = (self.accepted(), self.dropped());
        stats.accepted += accepted;
        stats.dropped = stats.dropped.zip(dropped, u64::wrapping_add);
        stats.dropped_logs += dropped.total();
        stats.total_logs = stats.accepted + stats.dropped_logs;
        stats.bytes_written += self.bytes_written();
        stats.flushes += self.flushes();
        stats.flush_errors += self.errors();
        stats.set_swaps += self.intake.swaps();
        stats.pending += accepted.saturating_sub(counts.written + counts.lost);
        stats.written += counts.written;
        stats.durable += counts.durable;
        stats.lost += counts.lost;
        stats.payload_bytes += counts.payload;
        let (sum, more) = (&mut stats.errors, self.error_counts());
        sum.space += more.space;
        sum.limit += more.limit;
        sum.device += more.device;
        sum.gone += more.gone;
        sum.invalid += more.invalid;
        sum.busy += more.busy;
        sum.other += more.other;
        sum.panics += more.panics;
    }

    /// How long flushes took, and the number of buffers that wait for one.
    pub(crate) fn flush_metrics(&self, flush_queue_depth: usize) -> FlushMetrics {
        let ((flush_times, flush_max), (write_times, write_max)) = self.progress.times();
        let (flush_total, write_total) = (flush_times.sum(), write_times.sum());
        let flushes = self.flushes();
        let mean = |total: Duration| {
            total.checked_div(u32::try_from(flushes).unwrap_or(u32::MAX)).unwrap_or_default()
        };
        let percent = 100.0 * write_total.as_secs_f64() / flush_total.as_secs_f64();
        FlushMetrics {
            total_flushes: flushes,
            total_flush_duration: flush_total,
            avg_flush_duration: mean(flush_total),
            max_flush_duration: flush_max,
            avg_write_duration: mean(write_total),
            max_write_duration: write_max,
            write_percent: if percent.is_finite() { percent } else { 0.0 },
            flush_queue_depth,
            blocked_swaps: self.intake.blocked_swaps(),
            flush_times,
            write_times,
        }
    }
}
