//! The directories of the output: one for each event, day and hour, in the way of Hive.

use jiff::{Timestamp, tz::TimeZone};

use crate::{Error, ErrorKind};

const HOUR: i64 = 3_600_000_000_000;
/// The value that stands for none, in each reader of such directories.
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";
/// Longer names of events get a checksum in place of their rest: a name of a directory has at most 255 bytes.
const MAX_VALUE: usize = 200;

/// By what the output is divided into directories: `event=NAME/date=YYYY-MM-DD/hour=HH`, in UTC. Records without a time
/// are in `date=__HIVE_DEFAULT_PARTITION__`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Partition {
    pub(crate) event: bool,
    pub(crate) date: bool,
    pub(crate) hour: bool,
}

impl Partition {
    /// Event, date and hour.
    pub fn new() -> Partition {
        Partition { event: true, date: true, hour: true }
    }

    /// All files in one directory.
    pub fn none() -> Partition {
        Partition { event: false, date: false, hour: false }
    }

    /// Whether there is a directory for each event.
    pub fn event(mut self, event: bool) -> Partition {
        self.event = event;
        self
    }

    /// Whether there is a directory for each day.
    pub fn date(mut self, date: bool) -> Partition {
        self.date = date;
        self
    }

    /// Whether there is a directory for each hour of a day; only with those of the days.
    pub fn hour(mut self, hour: bool) -> Partition {
        self.hour = hour;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.hour && !self.date {
            true => Err(Error::new(ErrorKind::Settings, "a partition by hour needs one by date")),
            false => Ok(()),
        }
    }

    /// The time in which the records of one file are.
    pub(crate) fn span(&self, time: Option<i64>) -> Span {
        let length = match (self.date, self.hour) {
            (true, true) => HOUR,
            (true, false) => 24 * HOUR,
            (false, _) => return Span::All,
        };
        let Some(time) = time else { return Span::Untimed };
        let start = time.div_euclid(length).saturating_mul(length);
        Span::From { start, last: start.saturating_add(length - 1) }
    }

    /// The directories of a file, each with a slash behind.
    pub(crate) fn directories(&self, event: &[u8], span: Span) -> String {
        let mut path = String::new();
        if self.event {
            path += &format!("event={}/", encoded(event));
        }
        if !self.date {
            return path;
        }
        let time = match span {
            Span::From { start, .. } => Timestamp::from_nanosecond(i128::from(start)).ok(),
            Span::All | Span::Untimed => None,
        };
        let time = time.map(|time| TimeZone::UTC.to_datetime(time));
        path += &match time {
            Some(time) => format!("date={}/", time.date()),
            None => format!("date={NONE}/"),
        };
        if self.hour {
            path += &match time {
                Some(time) => format!("hour={:02}/", time.hour()),
                None => format!("hour={NONE}/"),
            };
        }
        path
    }
}

impl Default for Partition {
    fn default() -> Partition {
        Partition::new()
    }
}

/// The time in which the records of one file are, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    All,
    Untimed,
    From { start: i64, last: i64 },
}

impl Span {
    #[inline]
    pub(crate) fn has(&self, time: Option<i64>) -> bool {
        match (*self, time) {
            (Span::All, _) | (Span::Untimed, None) => true,
            (Span::From { start, last }, Some(time)) => (start..=last).contains(&time),
            (Span::Untimed, Some(_)) | (Span::From { .. }, None) => false,
        }
    }
}

/// A value of a directory: letters, digits, `_`, `-` and `.` as they are, other bytes as `%XX`. Different values have
/// different texts, but for the checksum of very long ones.
pub(crate) fn encoded(value: &[u8]) -> String {
    if value.is_empty() {
        return NONE.into();
    }
    let mut text = String::new();
    for (index, byte) in value.iter().enumerate() {
        // A value that is the name for none, and one that is a name for a directory itself.
        let is_taken = index == 0 && (value == NONE.as_bytes() || *byte == b'.');
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' if !is_taken => {
                text.push(char::from(*byte));
            }
            _ => text += &format!("%{byte:02X}"),
        }
    }
    if text.len() > MAX_VALUE {
        text.truncate(MAX_VALUE);
        // `~` stands in no other value.
        text += &format!("~{:08x}{:08x}", value.len(), crc32c::crc32c(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_value_leaves_its_directory() {
        let hostile: [&[u8]; 12] = [
            b"",
            b".",
            b"..",
            b"/",
            b"../../etc",
            b"a/b",
            b"a_b",
            b"a%2Fb",
            b"a\0b",
            b"\xff",
            b"__HIVE_DEFAULT_PARTITION__",
            b"a=b c\n",
        ];
        let texts: HashSet<String> = hostile.iter().map(|name| encoded(name)).collect();
        assert_eq!(texts.len(), hostile.len(), "injective: {texts:?}");
        for text in &texts {
            assert!(
                !text.contains(['/', '\0', ' ', '\n', '=']) && !text.starts_with('.'),
                "{text}"
            );
        }
        assert_eq!(encoded(b"a/b"), "a%2Fb");
        assert_eq!(encoded("ä".as_bytes()), "%C3%A4");
        let (long, other) = ([b'/'; 300], [b'/'; 301]);
        assert!(encoded(&long).len() < 240 && encoded(&long) != encoded(&other));
    }

    #[test]
    fn hours_are_of_utc_and_end_before_the_next() {
        let all = Partition::new();
        let at = |time| all.directories(b"e", all.span(time));
        assert_eq!(at(Some(0)), "event=e/date=1970-01-01/hour=00/");
        assert_eq!(at(Some(-1)), "event=e/date=1969-12-31/hour=23/");
        assert_eq!(at(Some(HOUR - 1)), "event=e/date=1970-01-01/hour=00/");
        assert_eq!(at(Some(HOUR)), "event=e/date=1970-01-01/hour=01/");
        assert_eq!(at(Some(1_782_864_000_000_000_000)), "event=e/date=2026-07-01/hour=00/");
        assert_eq!(at(None), format!("event=e/date={NONE}/hour={NONE}/"));
        let by_day = all.event(false).hour(false);
        assert_eq!(by_day.directories(b"e", by_day.span(Some(25 * HOUR))), "date=1970-01-02/");
        let flat = Partition::none();
        assert_eq!(flat.directories(b"e", flat.span(Some(5))), "");
        let span = all.span(Some(HOUR));
        assert!(span.has(Some(HOUR)) && span.has(Some(2 * HOUR - 1)));
        assert!(!span.has(Some(2 * HOUR)) && !span.has(Some(HOUR - 1)) && !span.has(None));
        assert!(all.span(Some(i64::MIN + 1)).has(Some(i64::MIN + 1)), "the first times, too");
        assert!(all.span(Some(i64::MAX)).has(Some(i64::MAX)));
        assert!(all.hour(true).date(false).check().is_err());
    }
}
