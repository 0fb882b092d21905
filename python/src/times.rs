//! Times as Python has them: nanoseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. A time outside the range of 64 bits (the years 1677 to 2262) becomes the nearest time inside.
pub(crate) fn to_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, i64::wrapping_neg)
        }
    }
}

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
    use super::*;

    #[test]
    fn a_time_comes_back() {
        for time in [0, 1, -1, 1_800_000_000_123_456_789, i64::MAX, i64::MIN + 1] {
            assert_eq!(to_ns(from_ns(time)), time);
        }
    }
}
