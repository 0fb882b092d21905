//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch: for labels and names. Nothing is ordered by this clock, since it may be set back.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
