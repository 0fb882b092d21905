//! The wall clock, and how long to wait before something is tried again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch: for labels and names. Nothing is ordered by this clock, since it may be set back.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// `least`, doubled with each failure, up to a second: work resumes within a second of the time at which it can.
pub(in crate::write) fn backoff(least: Duration, failures: u32) -> Duration {
    const MOST: Duration = Duration::from_secs(1);
    let factor = 1_u32 << failures.saturating_sub(1).min(10);
    least.saturating_mul(factor).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_longer_than_a_second() {
        for failures in 1..100 {
            assert!(backoff(Duration::from_millis(50), failures) <= Duration::from_secs(1));
        }
        assert_eq!(backoff(Duration::from_millis(1), 1), Duration::from_millis(1));
        assert_eq!(backoff(Duration::from_millis(1), 4), Duration::from_millis(8));
    }
}
