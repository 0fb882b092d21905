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
