//! How long calls took.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Nanoseconds, to three digits, up to a minute.
pub(crate) struct Latency(Histogram<u64>);

const MOST: u64 = 60_000_000_000;
/// The points of a curve.
const POINTS: [f64; 16] = [
    1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999,
    99.9999, 100.0,
];

impl Latency {
    pub(crate) fn new() -> Latency {
        Latency(Histogram::new_with_max(MOST, 3).expect("the limits are right"))
    }

    #[inline]
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    pub(crate) fn merge(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("the same limits");
    }

    pub(crate) fn to_json(&self) -> Value {
        let at = |percent: f64| self.0.value_at_percentile(percent);
        json!({
            "count": self.0.len(),
            "p50": at(50.0),
            "p99": at(99.0),
            "p99.9": at(99.9),
            "p99.99": at(99.99),
            "max": self.0.max(),
            "curve": POINTS.map(|percent| json!([percent, at(percent)])),
        })
    }
}
