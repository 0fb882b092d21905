//! The pace of a long piece of work.

use std::time::{Duration, Instant};

/// A rate in bytes per second, from a start on.
pub(super) struct Pace {
    begun: Instant,
    rate: u64,
}

impl Pace {
    pub(super) fn new(rate: u64) -> Pace {
        Pace { begun: Instant::now(), rate: rate.max(1) }
    }

    /// The time at which this number of bytes may be done.
    pub(super) fn due(&self, bytes: u64) -> Instant {
        let (rate, nanos) = (u128::from(self.rate), u128::from(bytes) * 1_000_000_000);
        let nanos = u64::try_from(nanos / rate).unwrap_or(u64::MAX);
        self.begun.checked_add(Duration::from_nanos(nanos)).unwrap_or(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let pace = Pace::new(64 << 20);
        assert_eq!(pace.due(0), pace.begun);
        assert_eq!(pace.due(32 << 20), pace.begun + Duration::from_millis(500));
        assert_eq!(pace.due(1 << 40), pace.begun + Duration::from_secs(1 << 14));
        let _ = Pace::new(0).due(u64::MAX);
    }
}
