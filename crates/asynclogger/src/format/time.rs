//! Conversion of times: a file has nanoseconds since 1970-01-01T00:00:00Z, the API has [`SystemTime`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that a file stores as `nanoseconds`. Every number is a valid time.
pub(crate) fn from_nanoseconds(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    if nanoseconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// The nanoseconds of any time. A time that no file can store is beyond the range of `i64` and still compares
/// correctly.
pub(crate) fn to_nanoseconds(time: SystemTime) -> i128 {
    let signed = |distance: Duration| i128::try_from(distance.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

/// The time nearest to `nanoseconds` that a file can store.
#[inline]
pub(crate) fn saturated(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_of_a_file_goes_there_and_back() {
        for nanoseconds in [i64::MIN, -1_500_000_000, -1, 0, 1, 1_700_000_000_000_000_001, i64::MAX]
        {
            assert_eq!(to_nanoseconds(from_nanoseconds(nanoseconds)), i128::from(nanoseconds));
        }
        assert!(from_nanoseconds(-1) < UNIX_EPOCH && UNIX_EPOCH < from_nanoseconds(1));
        let later = from_nanoseconds(i64::MAX) + Duration::from_secs(1);
        assert!(to_nanoseconds(later) > i128::from(i64::MAX));
    }
}
