//! The sums over all events of a manager.

use std::time::Duration;

use super::event::Event;
use crate::{FlushMetrics, Health, Stats};

/// Sums over all events, also the closed ones.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    pub(crate) stats: Stats,
    pub(crate) metrics: FlushMetrics,
    /// The health of the event that is worst off.
    pub(crate) health: Health,
    /// Events that are open.
    pub(crate) events: usize,
}

impl Sums {
    /// Adds the counts of an event that is over, so that none of its blocks waits any more.
    pub(super) fn add_past(&mut self, event: &Event) {
        let depth = self.metrics.flush_queue_depth;
        self.add(event);
        self.metrics.flush_queue_depth = depth;
    }

    /// Adds the current counts and health of an event.
    pub(super) fn add_now(&mut self, event: &Event) {
        self.health = self.health.max(event.session().health());
        self.add(event);
    }

    /// Adds the counts of an event.
    pub(super) fn add(&mut self, event: &Event) {
        event.session().add_to(&mut self.stats);
        let (sum, more) = (&mut self.metrics, event.flush_metrics());
        let flushes = sum.total_flushes + more.total_flushes;
        let weighed = sum.avg_write_duration.as_secs_f64() * sum.total_flushes as f64
            + more.avg_write_duration.as_secs_f64() * more.total_flushes as f64;
        let mean = if flushes == 0 { 0.0 } else { weighed / flushes as f64 };
        sum.total_flushes = flushes;
        sum.total_flush_duration += more.total_flush_duration;
        sum.max_flush_duration = sum.max_flush_duration.max(more.max_flush_duration);
        sum.avg_write_duration = Duration::from_secs_f64(mean);
        sum.max_write_duration = sum.max_write_duration.max(more.max_write_duration);
        let percent = 100.0 * mean * flushes as f64 / sum.total_flush_duration.as_secs_f64();
        sum.write_percent = if percent.is_finite() { percent } else { 0.0 };
        sum.flush_queue_depth += more.flush_queue_depth;
        sum.flush_times.add(&more.flush_times);
        sum.write_times.add(&more.write_times);
    }
}
