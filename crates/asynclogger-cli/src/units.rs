//! Sizes and durations as people type them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Parses `64M`: a whole number of bytes, or of K, M or G (powers of 1024).
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return Err("a size is a whole number of bytes, K, M or G".into()),
    };
    // `parse` alone would also take a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a size is a whole number of bytes, K, M or G".into());
    }
    let number: u64 = digits.parse().map_err(|_| "more bytes than there are")?;
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "more bytes than this machine can address".into())
}

/// Parses `500ms`: a number, also with decimals, of ms, s, m, h or d.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: &str = "a duration is a number with its unit: ms, s, m, h or d";
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_secs = match &text[number.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(UNITS.into()),
    };
    let duration = parse_number(number).map(|n| Duration::try_from_secs_f64(n * unit_secs));
    match duration {
        None => Err(UNITS.into()),
        Some(Err(_)) => Err("longer than a clock can count".into()),
        // Zero would silently mean the library's default.
        Some(Ok(duration)) if duration.is_zero() => Err("a duration is more than nothing".into()),
        Some(Ok(duration)) => Ok(duration),
    }
}

/// Parses `2026-07-01T10:00:00Z`, or `2h` for so long ago.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, String> {
    let time: Timestamp = match parse_duration(text) {
        Ok(ago) => Timestamp::now()
            .checked_sub(ago)
            .map_err(|_| "longer ago than a calendar can count".to_owned())?,
        Err(_) => text.parse().map_err(|_| {
            "a time is RFC 3339, 2026-07-01T10:00:00Z, or a duration: so long ago".to_owned()
        })?,
    };
    match i64::try_from(time.as_nanosecond()) {
        Ok(_) => Ok(time.into()),
        Err(_) => Err("no log has such a time".into()),
    }
}

/// Parses `--seconds 2.5`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = parse_number(text).ok_or("not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("a duration is more than nothing".into()),
        Err(_) => Err("longer than a clock can count".into()),
    }
}

/// Only digits and a point: `f64` would also take `inf`, `1e9` and a sign.
fn parse_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// `1.5 s` for people: three digits are enough.
pub(crate) fn show_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

/// RFC 3339, UTC. A damaged file can hold any time of 64 bits of nanoseconds, and jiff shows each of them.
pub(crate) fn show_time(time: SystemTime, decimals: usize) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => format!("{time:.decimals$}"),
        Err(_) => format!("{time:?}"),
    }
}

/// Nanoseconds since 1970, which every time of a file can be.
pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    let signed = |distance: Duration| i128::try_from(distance.as_nanos()).unwrap_or(i128::MAX);
    let distance = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    };
    distance.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// `12.3 MB` (10^6) for people.
pub(crate) fn show_mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// `5,000,000` for people.
pub(crate) fn show_count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `5,000 files` for people.
pub(crate) fn show_number_of(n: u64, what: &str) -> String {
    format!("{} {what}{}", show_count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("1K"), Ok(1024));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        for bad in
            ["", "K", "1.5M", "-1", "+1", "1KB", "1 K", "64X", "99999999999999999999", "\u{661}"]
        {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert!(parse_size("18446744073709551615G").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        for bad in
            ["", "10", "s", "0s", "-1s", "+1s", "infs", "nans", "1e3s", "1w", "1 s", "1.2.3s", "."]
        {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
        assert!(parse_duration(&format!("{}d", "9".repeat(40))).is_err());
    }

    #[test]
    fn times() {
        let parse = |text| parse_time(text).map(nanoseconds);
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Ok(1_500_000_000));
        assert_eq!(parse("1969-12-31T23:59:58.5Z"), Ok(-1_500_000_000));
        assert_eq!(parse("2026-07-01T10:00:00+02:00"), Ok(1_782_892_800_000_000_000));
        let hour = parse("1h").unwrap() / 1_000_000_000;
        let now = Timestamp::now().as_second();
        assert!((now - 3660..=now - 3599).contains(&hour), "{hour}");
        for bad in ["", "now", "2026-07-01", "10", "-1h", "9999999d", "-001000-01-01T00:00:00Z"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds() {
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["", "0", "-1", "1s", "inf", "NaN"] {
            assert!(parse_seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_time_that_a_file_can_have_is_shown() {
        let shown = |nanoseconds: i64| {
            let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
            let time = if nanoseconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance };
            assert_eq!(super::nanoseconds(time), nanoseconds);
            show_time(time, 9)
        };
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(shown(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(shown(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn shown() {
        assert_eq!(show_count(0), "0");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_count(5_000_000), "5,000,000");
        assert_eq!(show_number_of(1, "file"), "1 file");
        assert_eq!(show_number_of(2_000, "record"), "2,000 records");
        assert_eq!(show_mb(33_888_896), "33.9 MB");
        assert_eq!(show_seconds(Duration::from_micros(12)), "12 us");
        assert_eq!(show_seconds(Duration::from_millis(1234)), "1.23 s");
    }
}
