//! Sizes, durations and times in the forms that people type and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, Zoned, civil::Time};

/// Parses `500ms`: a number, possibly with decimals, of ms, s, m, h or d.
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
        // A duration of 0 would silently mean the library's default.
        Some(Ok(duration)) if duration.is_zero() => Err("a duration is more than nothing".into()),
        Some(Ok(duration)) => Ok(duration),
    }
}

/// Parses `2026-07-01T10:00:00Z`, `2h` (two hours ago), and in local time a day, a time of today, or both.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, String> {
    parse_time_at(text, &Zoned::now())
}

/// The same as [`parse_time`], with a given present time whose zone is the local one.
fn parse_time_at(text: &str, now: &Zoned) -> Result<SystemTime, String> {
    let time = match parse_duration(text) {
        Ok(ago) => now
            .timestamp()
            .checked_sub(ago)
            .map_err(|_| "longer ago than a calendar can count".to_owned())?,
        Err(_) => text.parse().ok().or_else(|| parse_local(text, now)).ok_or_else(|| {
            "a time is 2026-07-01T10:00:00Z, a duration (so long ago), or in local time 2026-07-01, \
             today, yesterday, 10:00 or 2026-07-01 10:00"
                .to_owned()
        })?,
    };
    match i64::try_from(time.as_nanosecond()) {
        Ok(_) => Ok(time.into()),
        Err(_) => Err("no log has such a time".into()),
    }
}

/// A day begins at midnight, or right after the gap if the day has no midnight. A time that comes twice means
/// the first one.
fn parse_local(text: &str, now: &Zoned) -> Option<Timestamp> {
    let day = |text: &str| match text {
        "today" => Some(now.date()),
        "yesterday" => now.date().yesterday().ok(),
        _ if text.len() == "2026-07-01".len() => text.parse().ok(),
        _ => None,
    };
    let time = |text: &str| match text.len() {
        // An hour alone would look like a plain number.
        5.. if text.as_bytes()[2] == b':' => text.parse::<Time>().ok(),
        _ => None,
    };
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, at)) => (day(date)?, time(at)?),
        None => match day(text) {
            Some(date) => (date, Time::midnight()),
            None => (now.date(), time(text)?),
        },
    };
    date.to_datetime(time).to_zoned(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp())
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

/// Parses a number of digits and a point only: `f64` alone would also accept `inf`, `1e9` and a sign.
fn parse_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// RFC 3339, in UTC. A damaged file can hold any number of nanoseconds of 64 bits, and jiff can show each of
/// these times.
pub(crate) fn show_time(time: SystemTime, decimals: usize) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => format!("{time:.decimals$}"),
        Err(_) => format!("{time:?}"),
    }
}

/// The same for nanoseconds since 1970, and the nearest time of a file for others.
pub(crate) fn show_time_of(nanoseconds: i128, decimals: usize) -> String {
    let nearest = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let distance = Duration::from_nanos(nearest.unsigned_abs());
    show_time(if nearest < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }, decimals)
}

/// Nanoseconds since 1970. Every time of a file has such a number.
pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    let signed = |distance: Duration| i128::try_from(distance.as_nanos()).unwrap_or(i128::MAX);
    let distance = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    };
    distance.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// `12.3 MB` (10^6) for people, `34.1 kB` and `512 B` below that.
pub(crate) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..999_950 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
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
        for bad in ["", "now", "2026-07-32", "10", "-1h", "9999999d", "-001000-01-01T00:00:00Z"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn local_times() {
        // One hour ahead of UTC, two in summer; clocks go ahead by an hour at 2 o'clock on 29 March.
        let now: Zoned = "2026-11-25T09:30:00+01:00[Europe/Berlin]".parse().unwrap();
        let parse = |text| {
            let time = parse_time_at(text, &now).map(|time| Timestamp::try_from(time).unwrap());
            time.map(|time| time.to_string())
        };
        for (text, expected) in [
            ("today", "2026-11-24T23:00:00Z"),
            ("yesterday", "2026-11-23T23:00:00Z"),
            ("2026-11-25", "2026-11-24T23:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("10:00", "2026-11-25T09:00:00Z"),
            ("10:00:30.5", "2026-11-25T09:00:30.5Z"),
            ("today 10:00", "2026-11-25T09:00:00Z"),
            ("yesterday 23:59", "2026-11-24T22:59:00Z"),
            ("2026-07-01 10:00", "2026-07-01T08:00:00Z"),
            ("2026-07-01T10:00:01", "2026-07-01T08:00:01Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("90m", "2026-11-25T07:00:00Z"),
            ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
        ] {
            assert_eq!(parse(text), Ok(expected.to_owned()), "{text}");
        }
        for bad in
            ["tomorrow", "10", "1000", "10:0", "24:00", "25:61", "2026-11", "2026-11-25 ", " 10:00"]
        {
            assert!(parse(bad).is_err(), "{bad:?}: {:?}", parse(bad));
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
        assert_eq!(show_bytes(33_888_896), "33.9 MB");
        let small = [0, 1, 999, 1000, 34_149, 999_949, 999_950].map(show_bytes);
        assert_eq!(small, ["0 B", "1 B", "999 B", "1.0 kB", "34.1 kB", "999.9 kB", "1.0 MB"]);
    }
}
