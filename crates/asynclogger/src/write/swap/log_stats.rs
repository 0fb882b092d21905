//! What a log tells of itself, as the plain values that users get.

use std::time::Duration;

use super::log::Log;
use crate::{FlushMetrics, Stats};

impl Log {
    /// The counters, now.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.add_to(&mut stats);
        (stats.direct, stats.engine) = self.io();
        stats
    }

    /// Adds the counters to those of others.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        // What was written first: then it is never more than what was accepted.
        let counts = self.written();
        let (accepted, dropped) = (self.accepted(), self.dropped());
        stats.accepted += accepted;
        stats.dropped = stats.dropped.zip(dropped, u64::wrapping_add);
        stats.dropped_logs += dropped.total();
        stats.total_logs = stats.accepted + stats.dropped_logs;
        stats.bytes_written += self.bytes_written();
        stats.flushes += self.flushes();
        stats.flush_errors += self.errors();
        stats.set_swaps += self.shards().iter().map(|shard| shard.word().generation()).sum::<u64>();
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

    /// How long flushes took, and how many buffers wait for one.
    pub(crate) fn flush_metrics(&self, flush_queue_depth: usize) -> FlushMetrics {
        let ((flush_total, flush_max), (write_total, write_max)) = self.flush_times();
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
            blocked_swaps: self.blocked_swaps(),
        }
    }
}
