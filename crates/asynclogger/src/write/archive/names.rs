//! Names of a log's files, and what may be done with a file that is there already.
//!
//! Nothing is ever overwritten, truncated or removed here: a file is continued or renamed.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    Error, ErrorKind,
    format::{LogId, MAX_ALIGN, MIN_ALIGN, Metadata, Prefix, metadata},
    io::Directory,
};

const SUFFIX: &str = ".log";
/// What a compressed segment has behind that.
const COMPRESSED_SUFFIX: &str = ".zst";
/// Archived names add a time, a number and suffixes to the base; 255 bytes is the limit of file systems.
const MAX_BASE: usize = 200;
/// How much is read to find the first record of a file. One with two thousand sessions before it is left as
/// if it had one: opening must not take longer from start to start.
const MAX_WALK: u64 = 16 << 20;

/// The name of a log's active file, and what its other names begin with.
#[derive(Clone, Debug)]
pub(crate) struct LogName {
    file: OsString,
    base: OsString,
}

/// The second of the archived name that was given last, and its number: a thousand rotations in a second
/// each begin where the one before ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastName {
    second: u64,
    number: u32,
}

impl LogName {
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if there is no name, or one too long for archived names.
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
        Ok(LogName { file: file.to_owned(), base: base.to_owned() })
    }

    /// Name of the active file.
    pub(crate) fn file(&self) -> &OsStr {
        &self.file
    }

    /// The name without `.log`.
    pub(crate) fn base(&self) -> &OsStr {
        &self.base
    }

    /// Name of the next segment's file while it is prepared.
    pub(crate) fn prepared(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.base);
        name.push(".next");
        name
    }

    /// `{base}_{YYYY-MM-DD_HH-MM-SS}[.N].log`, in UTC; no `.N` for 0.
    fn archived(&self, time: SystemTime, number: u32) -> OsString {
        let mut name = self.base.clone();
        name.push(format!("_{}", utc(time)));
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.push(SUFFIX);
        name
    }

    /// If a name is one that an archived segment of this log has: in which form the file is.
    pub(super) fn archived_form(&self, name: &OsStr) -> Option<Form> {
        let (name, base) = (name.as_encoded_bytes(), self.base.as_encoded_bytes());
        let rest = name.strip_prefix(base)?.strip_prefix(b"_")?;
        let (rest, form) = split_form(rest);
        is_time_and_number(rest.strip_suffix(SUFFIX.as_bytes())?).then_some(form)
    }
}

/// How the bytes of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they were written.
    Plain,
    /// With `.zst` behind the name.
    Compressed,
}

/// If a name is one that archived segments have, of whatever log: that log's name without `.log`, and the
/// form of the file.
pub(super) fn archived_name(name: &OsStr) -> Option<(&OsStr, Form)> {
    const TIME: usize = "0000-00-00_00-00-00".len();
    let (plain, form) = split_form(name.as_encoded_bytes());
    let stem = plain.strip_suffix(SUFFIX.as_bytes())?;
    // The time is all of what is in front of the number, if there is one, so its begin is where it fits.
    let time_ends = |end: &usize| {
        let at = end.checked_sub(TIME)?;
        let fits = stem[..at].last() == Some(&b'_') && is_time_and_number(&stem[at..]);
        fits.then(|| at - 1)
    };
    let dot = stem.iter().rposition(|byte| *byte == b'.');
    let at = [Some(stem.len()), dot].iter().flatten().find_map(time_ends)?;
    Some((OsStr::from_bytes(&stem[..at]), form))
}

fn split_form(name: &[u8]) -> (&[u8], Form) {
    match name.strip_suffix(COMPRESSED_SUFFIX.as_bytes()) {
        Some(rest) => (rest, Form::Compressed),
        None => (name, Form::Plain),
    }
}

/// Whether it is `YYYY-MM-DD_HH-MM-SS[.N]`. No more and no less: `app` must not take the files of a log
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

/// Which log a segment belongs to, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
}

/// What stands at the path of a log.
#[derive(Debug, PartialEq)]
pub(crate) enum Existing {
    Nothing,
    /// A regular file without a byte.
    Empty,
    /// Ours, and closed: may be continued at its end.
    Clean {
        lineage: Lineage,
        previous: u64,
        align: usize,
        size: u64,
        /// Wall time of its start.
        started: i64,
        /// Wall time of its first record, if it has one.
        filled_since: Option<i64>,
    },
    /// To be set aside.
    Other {
        lineage: Option<Lineage>,
        reason: String,
    },
}

/// Looks at a path without changing or following anything.
///
/// # Errors
/// [`ErrorKind::NotAFile`] for what can be neither continued nor set aside; those of the system.
pub(crate) fn inspect(path: &Path) -> Result<Existing, Error> {
    let failed = |error| Error::io("cannot look at the file", error).at_path(path);
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) => return Err(failed(error)),
    };
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "this is a directory; a log needs a path of its own in it"
        } else if kind.is_symlink() {
            "this is a symbolic link; logs are not written through links"
        } else {
            "this is a device, pipe or socket; a log needs a regular file"
        };
        return Err(Error::new(ErrorKind::NotAFile, what).at_path(path));
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size == 0 {
        return Ok(Existing::Empty);
    }
    let start = read_start(&file).map_err(failed)?;
    let lineage = start.as_ref().ok().map(|(start, _)| lineage(start));
    let clean = match &start {
        Ok((start, _)) => ends_cleanly(&file, size, start).map_err(failed)?,
        Err(reason) => Err(reason.clone()),
    };
    match (start, clean) {
        (Ok((start, previous)), Ok(())) => Ok(Existing::Clean {
            lineage: self::lineage(&start),
            previous,
            align: start.align as usize,
            size,
            started: start.time,
            filled_since: filled_since(&file, size, &start).map_err(failed)?,
        }),
        (_, Err(reason)) | (Err(reason), Ok(())) => Ok(Existing::Other { lineage, reason }),
    }
}

/// The start of a file that is not compressed, and the full name in it; `None`: it has none.
///
/// # Errors
/// Those of the system.
pub(super) fn start_and_name(file: &File) -> io::Result<Option<(Prefix, Vec<u8>)>> {
    let bytes = start_bytes(|offset, bytes| read_up_to(file, bytes, offset))?;
    Ok(match metadata::decode(&bytes) {
        Ok((prefix, Metadata::Start(start))) if prefix.offset == 0 => {
            Some((prefix, start.name.to_vec()))
        }
        _ => None,
    })
}

/// The full name in the start block of a file; `None`: it is no log of ours, or is not there.
pub(in crate::write) fn name_in(path: &Path) -> Option<Vec<u8>> {
    // Not through a link, and not into a pipe.
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let file = File::open(path).ok()?;
    start_and_name(&file).ok()?.map(|(_, name)| name)
}

pub(super) fn lineage(start: &Prefix) -> Lineage {
    Lineage { log_id: start.log_id, segment: start.segment }
}

/// The start of an archived segment; `None`: it has none that can be read.
///
/// # Errors
/// Those of the system.
pub(super) fn archived_start(file: &File, form: Form) -> io::Result<Option<Prefix>> {
    match form {
        Form::Plain => Ok(read_start(file)?.ok().map(|(start, _)| start)),
        #[cfg(feature = "zstd")]
        Form::Compressed => {
            let mut content = super::inflate::Beginning::of(file)?;
            let bytes = start_bytes(|_, bytes| content.read_up_to(bytes))?;
            Ok(match metadata::decode(&bytes) {
                Ok((prefix, Metadata::Start(_))) if prefix.offset == 0 => Some(prefix),
                _ => None,
            })
        }
        #[cfg(not(feature = "zstd"))]
        Form::Compressed => Ok(None),
    }
}

/// The bytes of the metadata block that a segment begins with, if it does: the file says how many, and
/// most have few. `read` gives those from an offset on, one call behind the other.
fn start_bytes(mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MIN_ALIGN];
    let mut len = read(0, &mut bytes)?;
    if let Some((size, _)) = metadata::peek(&bytes).filter(|(size, _)| *size <= MAX_ALIGN)
        && size > len
        && len == MIN_ALIGN
    {
        bytes.resize(size, 0);
        len += read(len as u64, &mut bytes[MIN_ALIGN..])?;
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The start of a file, and the segment before it; or why it has none.
fn read_start(file: &File) -> io::Result<Result<(Prefix, u64), String>> {
    let bytes = start_bytes(|offset, bytes| read_up_to(file, bytes, offset))?;
    let invalid = match metadata::decode(&bytes) {
        Ok((prefix, Metadata::Start(start))) if prefix.offset == 0 => {
            return Ok(Ok((prefix, start.previous)));
        }
        Ok(_) => "it does not begin with a start block".into(),
        Err(metadata::Invalid::Version(version)) => {
            format!("it was written in version {version} of the format")
        }
        Err(metadata::Invalid::Damaged) => "its start block is damaged".into(),
        Err(metadata::Invalid::NotMetadata) => "it does not begin like a log of ours".into(),
    };
    Ok(Err(invalid))
}

/// Whether the file ends exactly at a valid end block that belongs there; or why not.
fn ends_cleanly(file: &File, size: u64, start: &Prefix) -> io::Result<Result<(), String>> {
    let align = start.align as usize;
    if !size.is_multiple_of(align as u64) || size < align as u64 {
        return Ok(Err(format!("its size, {size}, is not a multiple of {align}")));
    }
    let at = size - align as u64;
    let mut bytes = vec![0; align];
    file.read_exact_at(&mut bytes, at)?;
    Ok(match metadata::decode(&bytes) {
        Ok((prefix, Metadata::End(_))) if belongs(&prefix, at, start) => Ok(()),
        _ => Err("it was not closed".into()),
    })
}

/// Whether metadata was written to this place of the file that begins with `start`.
fn belongs(prefix: &Prefix, at: u64, start: &Prefix) -> bool {
    let theirs = (prefix.log_id, prefix.segment, prefix.align);
    prefix.offset == at && theirs == (start.log_id, start.segment, start.align)
}

/// Since when a clean file holds records, if it does. Its size does not say, nor does its last end, which
/// counts its own session's only: a session without records leaves a start and an end, and a note of drops.
fn filled_since(file: &File, size: u64, start: &Prefix) -> io::Result<Option<i64>> {
    let mut bytes = vec![0; start.align as usize];
    let mut session = start.time;
    for at in (u64::from(start.align)..size.min(MAX_WALK)).step_by(bytes.len()) {
        file.read_exact_at(&mut bytes, at)?;
        match metadata::decode(&bytes) {
            Ok((prefix, metadata)) if belongs(&prefix, at, start) => match metadata {
                Metadata::Start(_) => session = prefix.time,
                Metadata::Note(_) | Metadata::End(_) => {}
                Metadata::Head(..) | Metadata::Tail(..) => return Ok(Some(prefix.time)),
            },
            // Damaged, or a head of several units: something was written there, by this session.
            _ => return Ok(Some(session)),
        }
    }
    Ok((size > MAX_WALK).then_some(session))
}

/// Fills `bytes` from `offset` on; less than all of it only at the end of the file.
pub(super) fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Renames the active file to an archived name that is free.
///
/// # Errors
/// Those of the system.
pub(crate) fn set_aside(directory: &Directory, name: &LogName) -> Result<PathBuf, Error> {
    rename_to_archived(directory, name, name.file(), &mut LastName::default())
}

/// The name of the compressed form of a file.
pub(crate) fn compressed_name(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(COMPRESSED_SUFFIX);
    name
}

/// Renames a file of the directory to an archived name that is free, and makes that durable.
///
/// # Errors
/// Those of the system.
pub(crate) fn rename_to_archived(
    directory: &Directory,
    name: &LogName,
    file: &OsStr,
    last: &mut LastName,
) -> Result<PathBuf, Error> {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let first = if last.second == second { last.number.saturating_add(1) } else { 0 };
    let mut from = file.to_owned();
    for number in first..u32::MAX {
        let archived = name.archived(now, number);
        if !directory.rename_to_new(&from, &archived)? {
            continue;
        }
        // Looked at afterwards: whoever compresses a segment of this name has it until that is there.
        if directory.look_at(&compressed_name(&archived))?.is_some() {
            from = archived;
            continue;
        }
        *last = LastName { second, number };
        directory.sync()?;
        return Ok(directory.path().join(archived));
    }
    let every = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(Error::io("cannot find a free archived name", every).at_path(&directory.path().join(file)))
}

/// Removes what was prepared for a rotation that never came. It holds no record: those come after it has
/// its name. Anything else under this name is renamed.
///
/// # Errors
/// Those of the system.
pub(crate) fn discard_prepared(directory: &Directory, name: &LogName) -> Result<(), Error> {
    let hidden = name.prepared();
    let path = directory.path().join(&hidden);
    let is_file = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("cannot look at the file", error).at_path(&path)),
    };
    if is_file {
        let failed = |error| Error::io("cannot look at the file", error).at_path(&path);
        let file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let only_a_start = match read_start(&file).map_err(failed)? {
            Ok((start, _)) => len <= u64::from(start.align),
            // Torn, or not begun: nothing else was ever written to it.
            Err(_) => len <= MIN_ALIGN as u64,
        };
        if only_a_start {
            directory.remove(&hidden, &file);
            return Ok(());
        }
    }
    rename_to_archived(directory, name, &hidden, &mut LastName::default()).map(|_| ())
}

/// The last archived segment of the log: where the numbering goes on when the active file does not say.
/// Of several logs that had this name, the one written last.
pub(crate) fn last_archived(directory: &Directory, name: &LogName) -> Option<Lineage> {
    // A file that cannot be read takes no part; that is no reason not to log.
    let entries = fs::read_dir(directory.path()).ok()?;
    let starts = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let form = name.archived_form(&entry.file_name())?;
        entry.file_type().ok().filter(fs::FileType::is_file)?;
        archived_start(&File::open(entry.path()).ok()?, form).ok()?
    });
    let last = starts.max_by_key(|prefix| (prefix.time, prefix.segment))?;
    Some(lineage(&last))
}

/// The full name of the log in the last archived segment at the name of this active file; `None`: there is
/// none, or none that says so.
pub(in crate::write) fn last_archived_name(directory: &Directory, path: &Path) -> Option<Vec<u8>> {
    let name = LogName::of(path).ok()?;
    let entries = fs::read_dir(directory.path()).ok()?;
    let archived = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let form = name.archived_form(&entry.file_name())?;
        (form == Form::Plain).then(|| entry.path())
    });
    name_in(&archived.max()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Config, Logger,
        format::{Kind, Start, Totals},
        write::segments::wall_clock,
    };
    use std::time::Duration;

    /// Of an earlier session of the same second, which has compressed its segment.
    #[test]
    fn an_archived_name_is_taken_if_its_compressed_form_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let name = LogName::of(&path).expect("a name");
        let seconds = (0..30).map(|second| SystemTime::now() + Duration::from_secs(second));
        for time in seconds {
            for number in 0..3 {
                let taken = compressed_name(&name.archived(time, number));
                fs::write(directory.path().join(taken), b"a segment").expect("written");
            }
        }
        fs::write(&path, b"a file").expect("written");
        let opened = Directory::open_or_create(directory.path()).expect("the directory");
        let archived = set_aside(&opened, &name).expect("renamed");
        assert!(archived.to_string_lossy().ends_with(".3.log"), "{archived:?}");
        assert_eq!(fs::read(&archived).expect("the file"), b"a file");
        assert!(!path.exists());
    }

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

    /// Since when the file holds records, after a run of sessions that may log and drop something.
    fn since_after(path: &Path, runs: &[(u64, bool)]) -> Option<i64> {
        for &(records, drops) in runs {
            let config = Config::new(path).buffer_size(128 << 10).num_shards(2);
            let logger = Logger::new(config).expect("a logger");
            for _ in 0..records {
                logger.log_bytes(b"a record");
            }
            if drops {
                logger.log_bytes(b"");
                logger.flush().expect("a note");
            }
            logger.close().expect("closed");
        }
        match inspect(path).expect("a file") {
            Existing::Clean { filled_since, started, .. } => {
                assert!(filled_since.is_none_or(|since| since > started));
                filled_since
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_filled_since_its_first_block() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        // A start, a note, an end; and without the note.
        assert_eq!(since_after(&path, &[(0, true), (0, false), (0, true)]), None);
        let before = wall_clock();
        let since = since_after(&path, &[(2, true)]).expect("it has records");
        assert!((before..=wall_clock()).contains(&since));
        assert_eq!(since_after(&path, &[(0, false), (1, false)]), Some(since));
        // What is there and cannot be read is no sign of nothing: the session is known, and it is that.
        let file = File::options().write(true).open(&path).expect("the file");
        file.write_all_at(&[0xff], 9 * 4096 + 200).expect("damaged");
        let session = since_after(&path, &[]).expect("it has something");
        assert!((before..since).contains(&session));
    }

    #[test]
    fn the_first_block_is_not_looked_for_without_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let start = Prefix {
            align: 4096,
            offset: 0,
            log_id: LogId([1; 16]),
            segment: 1,
            session: 2,
            time: 3,
        };
        let mut bytes = vec![0; MAX_WALK as usize + 4096];
        for (part, offset) in bytes.chunks_mut(4096).zip((0..).step_by(4096)) {
            Totals::default().encode(Kind::End, &Prefix { offset, ..start }, part);
        }
        Start { previous: 0, first_sequence: 0, name: b"app" }.encode(&start, &mut bytes[..4096]);
        for (len, expected) in [(MAX_WALK as usize, None), (bytes.len(), Some(start.time))] {
            fs::write(&path, &bytes[..len]).expect("a file");
            match inspect(&path).expect("a file") {
                Existing::Clean { filled_since, .. } => assert_eq!(filled_since, expected),
                other => panic!("{other:?}"),
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
            assert_eq!(name.archived_form(&archived), Some(Form::Plain));
            assert_eq!(archived_name(&archived), Some((OsStr::new("app"), Form::Plain)));
            archived.push(COMPRESSED_SUFFIX);
            assert_eq!(name.archived_form(&archived), Some(Form::Compressed));
            assert_eq!(archived_name(&archived), Some((OsStr::new("app"), Form::Compressed)));
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
            assert_eq!(name.archived_form(OsStr::new(other)), None, "{other}");
            let base = archived_name(OsStr::new(other)).map(|(base, _)| base);
            assert_ne!(base, Some(OsStr::new("app")), "{other}");
        }
        assert_eq!(LogName::of(Path::new("plain")).expect("name").base(), "plain");
        assert!(LogName::of(Path::new("/")).is_err());
        assert!(LogName::of(Path::new(&"x".repeat(201))).is_err());
    }
}
