//! Times as Python gives them: nanoseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment that many nanoseconds after 1970.
pub(crate) fn from_ns(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let moment = match nanoseconds < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    moment.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use asynclogger_export::batches::to_nanoseconds;

    use super::*;

    #[test]
    fn a_time_comes_back() {
        for time in [0, 1, -1, 1_800_000_000_123_456_789, i64::MAX, i64::MIN + 1] {
            assert_eq!(to_nanoseconds(from_ns(time)), time);
        }
    }
}
