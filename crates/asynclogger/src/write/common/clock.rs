//! The wall clock, and the wait before another attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch, for labels and names. Nothing is ordered by this clock, which can be set back.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The wait after a number of failures: `least`, doubled with each further failure, up to a second. So work resumes
/// within a second after it becomes possible.
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
