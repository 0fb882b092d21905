//! Names of a log's files, and the dates in them. Pure: a name decides only whether a file is looked at.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    Error, ErrorKind,
    probe::{Packing, is_lock_name},
};

const SUFFIX: &str = ".log";
/// The suffix of a compressed segment, behind `.log`.
const COMPRESSED_SUFFIX: &str = ".zst";
/// The suffix of a compressed form while it is made.
const PART_SUFFIX: &str = ".part";
/// The number of names tried for a part, since others' files can have such names.
#[cfg(feature = "zstd")]
const MAX_PARTS: u32 = 8;
/// The longest base, in bytes. Archived names add a time, a number and suffixes; file systems allow 255 bytes.
const MAX_BASE: usize = 200;

/// The name of a log's active file, and the base with which the log's other names begin.
#[derive(Clone, Debug)]
pub(crate) struct LogName {
    file: OsString,
    base: OsString,
}

impl LogName {
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the path has no file name, or a name too long for archived names, or a name that
    /// belongs to other files of logs: a reader of the directory would not take that name for a log.
    pub(crate) fn of(path: &Path) -> Result<LogName, Error> {
        let invalid = |what: &'static str| Error::new(ErrorKind::InvalidConfig, what).at_path(path);
        let file =
            path.file_name().ok_or_else(|| invalid("the path of the log has no file name"))?;
        let base = match path.extension() {
            Some(extension) if extension == "log" => path.file_stem().unwrap_or(file),
            _ => file,
        };
        if base.len() > MAX_BASE {
            return Err(invalid("the file name is longer than 200 bytes"));
        }
        let name = file.as_encoded_bytes();
        if name.ends_with(COMPRESSED_SUFFIX.as_bytes()) {
            return Err(invalid("a name that ends in `.zst` is that of a compressed log"));
        }
        let is_ending_of_ours =
            [".next", ".lock", ".part"].iter().any(|it| name.ends_with(it.as_bytes()));
        if name.starts_with(b".") && is_ending_of_ours {
            return Err(invalid(
                "a hidden name that ends like this is that of a file beside a log",
            ));
        }
        Ok(LogName { file: file.to_owned(), base: base.to_owned() })
    }

    /// The name of the active file.
    pub(crate) fn file(&self) -> &OsStr {
        &self.file
    }

    /// The name without `.log`.
    pub(crate) fn base(&self) -> &OsStr {
        &self.base
    }

    /// The name of the next segment's file while it is prepared. Each `number` gives another name, for the case that a
    /// name is taken.
    pub(crate) fn prepared(&self, number: u32) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.base);
        name.push(".next");
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    }

    /// `{base}_{YYYY-MM-DD_HH-MM-SS}[.N].log`, in UTC; no `.N` for 0.
    pub(super) fn archived(&self, time: SystemTime, number: u32) -> OsString {
        let mut name = self.base.clone();
        name.push(format!("_{}", utc(time)));
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.push(SUFFIX);
        name
    }

    /// If a name is that of a part, the compressed form of an archived segment of this log while it is made: the name
    /// of the compressed form.
    pub(super) fn part_of<'a>(&self, name: &'a OsStr) -> Option<&'a OsStr> {
        let inner = name.as_encoded_bytes().strip_prefix(b".")?;
        let inner = inner.strip_suffix(PART_SUFFIX.as_bytes())?;
        let unnumbered = inner
            .split_last_chunk::<2>()
            .and_then(|(front, number)| matches!(number, [b'.', b'1'..=b'9']).then_some(front));
        let compressed = OsStr::from_bytes(unnumbered.unwrap_or(inner));
        (self.packing_of(compressed)? == Packing::Compressed).then_some(compressed)
    }

    /// The form of the file, if the name is that of an archived segment of this log.
    pub(super) fn packing_of(&self, name: &OsStr) -> Option<Packing> {
        let (name, base) = (name.as_encoded_bytes(), self.base.as_encoded_bytes());
        let rest = name.strip_prefix(base)?.strip_prefix(b"_")?;
        let (rest, packing) = split_packing(rest);
        is_time_and_number(rest.strip_suffix(SUFFIX.as_bytes())?).then_some(packing)
    }

    /// Whether the name is one that somebody may have given to a segment of this log, and none of the log's. `anywhere`:
    /// whether that may be any name, or only one that begins like the log's.
    pub(super) fn may_be_moved(&self, name: &OsStr, anywhere: bool) -> bool {
        let bytes = name.as_encoded_bytes();
        (bytes.starts_with(self.base.as_encoded_bytes()) || anywhere && !bytes.starts_with(b"."))
            && name != self.file
            && self.packing_of(name).is_none()
            && !is_lock_name(bytes)
    }
}

/// If the name is that of an archived segment of any log: that log's name without `.log`, and the form of the file.
pub(super) fn archived_name(name: &OsStr) -> Option<(&OsStr, Packing)> {
    const TIME: usize = "0000-00-00_00-00-00".len();
    let (plain, packing) = split_packing(name.as_encoded_bytes());
    let stem = plain.strip_suffix(SUFFIX.as_bytes())?;
    // The time ends before the number, or at the end if no number follows. Its length is fixed, so its start follows
    // from its end.
    let time_ends = |end: &usize| {
        let at = end.checked_sub(TIME)?;
        let fits = stem[..at].last() == Some(&b'_') && is_time_and_number(&stem[at..]);
        fits.then(|| at - 1)
    };
    let dot = stem.iter().rposition(|byte| *byte == b'.');
    let at = [Some(stem.len()), dot].iter().flatten().find_map(time_ends)?;
    Some((OsStr::from_bytes(&stem[..at]), packing))
}

/// The name of the compressed form of a file.
pub(super) fn compressed_name(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(COMPRESSED_SUFFIX);
    name
}

/// The names under which the compressed form of a file is made: hidden, so that nobody takes the file for complete. The
/// first free name is used.
#[cfg(feature = "zstd")]
pub(super) fn part_names(name: &OsStr) -> impl Iterator<Item = OsString> {
    let compressed = compressed_name(name);
    (0..MAX_PARTS).map(move |number| {
        let mut part = OsString::from(".");
        part.push(&compressed);
        if number > 0 {
            part.push(format!(".{number}"));
        }
        part.push(PART_SUFFIX);
        part
    })
}

fn split_packing(name: &[u8]) -> (&[u8], Packing) {
    match name.strip_suffix(COMPRESSED_SUFFIX.as_bytes()) {
        Some(rest) => (rest, Packing::Compressed),
        None => (name, Packing::Plain),
    }
}

/// Whether the text is exactly `YYYY-MM-DD_HH-MM-SS[.N]`: the log `app` must not take the files of a log
/// `app_2024-01-01_00-00-00` for its own.
fn is_time_and_number(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (time, number) = (parts.next().unwrap_or_default(), parts.next());
    let is_number =
        |text: &[u8]| !text.is_empty() && text[0] != b'0' && text.iter().all(u8::is_ascii_digit);
    const PATTERN: &[u8] = b"0000-00-00_00-00-00";
    time.len() == PATTERN.len()
        && time.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            _ => byte == pattern,
        })
        && number.is_none_or(is_number)
}

/// `YYYY-MM-DD_HH-MM-SS` of a time, in UTC. Times before 1970 are shown as 1970.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}")
}

/// The Gregorian date of a day counted from 1970-01-01: whole 400-year cycles of 146,097 days first, then
/// years that begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01, which is 719,468 days before 1970-01-01.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    // Leap days so far within the cycle: one in 4 years, none in the centuries, one at the cycle's end.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March to July and August to December: 153 days in five months, twice.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * cycle + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_of_the_gregorian_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01_00-00-00"),
            (951_782_399, "2000-02-28_23-59-59"),
            (951_868_799, "2000-02-29_23-59-59"),
            (951_868_800, "2000-03-01_00-00-00"),
            (1_700_000_000, "2023-11-14_22-13-20"),
            (4_107_542_399, "2100-02-28_23-59-59"),
            (4_107_542_400, "2100-03-01_00-00-00"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        // Every day of 400 years, against counting.
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), (year, month, day));
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn archived_names_are_known_again() {
        let name = LogName::of(Path::new("/logs/app.log")).expect("name");
        assert_eq!((name.file(), name.base()), (OsStr::new("app.log"), OsStr::new("app")));
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(name.archived(time, 0), "app_2023-11-14_22-13-20.log");
        assert_eq!(name.archived(time, 3), "app_2023-11-14_22-13-20.3.log");
        for number in [0, 1, 12, u32::MAX] {
            let mut archived = name.archived(time, number);
            assert_eq!(name.packing_of(&archived), Some(Packing::Plain));
            assert_eq!(archived_name(&archived), Some((OsStr::new("app"), Packing::Plain)));
            archived.push(COMPRESSED_SUFFIX);
            assert_eq!(name.packing_of(&archived), Some(Packing::Compressed));
            assert_eq!(archived_name(&archived), Some((OsStr::new("app"), Packing::Compressed)));
        }
        for other in [
            "app.log",
            "app_x.log",
            "apple_2023-11-14_22-13-20.log",
            "app_x_2023-11-14_22-13-20.log",
            "app_2023-11-14_22-13-20_2024-11-14_22-13-20.log",
            "app_2023-11-14_22-13-20.log.gz",
            "app_2023-11-14_22-13-20.log.zst.zst",
            "app_2023-11-14_22-13-20..log",
            "app_2023-11-14_22-13-20.01.log",
            "app_2023-11-14_22-13-20.1.2.log",
            "app_2023-11-14 22-13-20.log",
            "app_2023.txt",
        ] {
            assert_eq!(name.packing_of(OsStr::new(other)), None, "{other}");
            let base = archived_name(OsStr::new(other)).map(|(base, _)| base);
            assert_ne!(base, Some(OsStr::new("app")), "{other}");
        }
        assert_eq!(LogName::of(Path::new("plain")).expect("name").base(), "plain");
        assert!(LogName::of(Path::new("/")).is_err());
        assert!(LogName::of(Path::new(&"x".repeat(201))).is_err());
        for taken in ["app.log.zst", "app.zst", ".app.next", ".app.lock", ".app_1.log.zst.part"] {
            let error = LogName::of(Path::new(taken)).expect_err(taken);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
        for free in [".app.log", "app.txt", "app.next", "zst", "app.log.1"] {
            assert_eq!(LogName::of(Path::new(free)).expect(free).file(), free);
        }
    }
}
