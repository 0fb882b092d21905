//! The segments of a log in a directory, found by their starts, compressed or not.
//!
//! A name is no proof. A file belongs to a log only if its start carries the log's full name: another log can be
//! written under a name that looks like that of an archived segment.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::Path,
};

use super::names::LogName;
use crate::{
    Error, ErrorKind,
    format::{Lineage, LogId},
    io::{Directory, FileState, is_written, want_soon},
    probe::{Origin, Packing, Search, Source, has_log_name},
};

/// The number of files that are open at a time: a device answers many requests in little more time than one.
const AHEAD: usize = 64;
/// So many files of others are read for the number of an event.
const FEW: usize = 256;
/// The bytes in which the start of a plain file lies.
const START: u64 = 4096;

/// Opens the regular file of this name as a segment; `None` if no regular file has the name. Follows no link.
///
/// # Errors
/// The system's errors; [`ErrorKind::NotALog`] for a file that should be compressed and is not.
pub(in crate::write) fn open_segment(
    directory: &Directory,
    name: &OsStr,
    packing: Packing,
) -> Result<Option<(Source, FileState)>, Error> {
    let Some((file, state)) = directory.open_regular(name)? else {
        return Ok(None);
    };
    let source = Source::of_form(file, &directory.path().join(name), packing)?;
    Ok(Some((source, state)))
}

/// The start of a file. A file that cannot be read is ignored: logging matters more.
fn origin(directory: &Directory, name: &OsStr) -> Option<Origin> {
    let (file, _) = directory.open_regular(name).ok()??;
    let mut source = Source::of(file, &directory.path().join(name)).ok()?;
    Origin::read(&mut source).ok()?.ok()
}

/// The number of a segment.
struct Number {
    lineage: Lineage,
    /// The full name of the log; `None` if the start of the segment is damaged.
    full_name: Option<Vec<u8>>,
}

impl Number {
    /// Reads the number from an open file. Somebody can have renamed the file, so its first bytes say whether it is
    /// compressed. A file with the name of a log counts with a damaged start, too: readers find its log and number.
    fn read(
        file: File,
        directory: &Directory,
        name: &OsStr,
        search: &mut Search,
    ) -> Option<Number> {
        let mut source = Source::of(file, &directory.path().join(name)).ok()?;
        match Origin::read(&mut source).ok()? {
            Ok(origin) => {
                let (lineage, full_name) = (origin.lineage(), Some(origin.name));
                Some(Number { lineage, full_name })
            }
            Err(_) if has_log_name(name) => {
                let sign = search.sign(&mut source).ok()??;
                Some(Number { lineage: sign.prefix.lineage(), full_name: None })
            }
            Err(_) => None,
        }
    }

    /// Whether the segment belongs to the log with this full name and this id, if the id is known.
    fn is_of(&self, full_name: &[u8], log_id: Option<LogId>) -> bool {
        let is_same = |log_id| log_id == self.lineage.log_id;
        match &self.full_name {
            Some(found) => found == full_name && log_id.is_none_or(is_same),
            None => log_id.is_some_and(is_same),
        }
    }
}

/// The files with archived names of a log.
fn archived(directory: &Directory, name: &LogName) -> Vec<OsString> {
    directory.names(|file| name.packing_of(file).is_some()).unwrap_or_default()
}

/// The numbers of files. Every file is read, since only its start says which number it has; but many are requested at a
/// time.
fn numbers_of<'a>(directory: &Directory, files: impl Iterator<Item = &'a OsStr>) -> Vec<Number> {
    let files: Vec<_> = files.collect();
    let (mut numbers, mut search) = (Vec::with_capacity(files.len()), Search::default());
    for files in files.chunks(AHEAD) {
        let open = |file: &OsStr| directory.open_regular(file).ok()?.map(|(opened, _)| opened);
        let opened: Vec<_> = files
            .iter()
            .map(|file| open(file).inspect(|opened| want_soon(opened, START)))
            .collect();
        numbers.extend(opened.into_iter().zip(files).filter_map(|(opened, file)| {
            // Perhaps this process has no descriptor left for so many files at a time.
            Number::read(opened.or_else(|| open(file))?, directory, file, &mut search)
        }));
    }
    numbers
}

/// The segment of this log with the greatest number, archived or not, whatever clocks and names say; the next segment
/// gets a greater number. Without a log id, the greatest number among all logs that had this full name.
///
/// Files that somebody has moved to other names count, too: readers take them for segments, and would leave out one of two
/// with the same number. For the log of an event, `is_of_event`, the directory can be full of the files of others: if it
/// is, only names that begin like the log's count (`app.log.1`). But moved files alone make no log: with nothing else at
/// its names, a log begins anew.
pub(in crate::write) fn last_segment(
    directory: &Directory,
    name: &LogName,
    full_name: &[u8],
    log_id: Option<LogId>,
    is_of_event: bool,
) -> Option<Lineage> {
    let archived = archived(directory, name);
    let names = archived.iter().map(OsString::as_os_str).chain([name.file()]);
    let mut numbers = numbers_of(directory, names);
    // A file with a damaged start counts only for a log id that is known, and an undamaged file can tell the id.
    let log_id = log_id.or_else(|| Some(greatest(&numbers, full_name, None)?.log_id))?;
    let moved =
        |anywhere| directory.names(|file| name.may_be_moved(file, anywhere)).unwrap_or_default();
    let all = Some(moved(true)).filter(|all| !is_of_event || all.len() <= FEW);
    let moved = all.unwrap_or_else(|| moved(false));
    numbers.extend(numbers_of(directory, moved.iter().map(OsString::as_os_str)));
    greatest(&numbers, full_name, Some(log_id))
}

/// The greatest of the numbers that belong to the log with this full name and this id, if the id is known.
fn greatest(numbers: &[Number], full_name: &[u8], log_id: Option<LogId>) -> Option<Lineage> {
    let ours = numbers.iter().filter(|number| number.is_of(full_name, log_id));
    ours.map(|number| number.lineage).max_by_key(|lineage| lineage.segment)
}

/// # Errors
/// [`ErrorKind::MissingFeature`] if there are compressed segments of a log, and this build cannot read their numbers: a
/// segment made without them could have the number of one of them.
pub(in crate::write) fn check_numbers(directory: &Directory, name: &LogName) -> Result<(), Error> {
    if cfg!(feature = "zstd") {
        return Ok(());
    }
    let is_compressed = |file: &OsStr| name.packing_of(file) == Some(Packing::Compressed);
    let Some(file) = directory.names(is_compressed)?.pop() else {
        return Ok(());
    };
    let what = "this segment is compressed, and this build lacks the feature `zstd`: without the segment's number, and \
                without an active file, the log cannot number the next one. Build with the feature, decompress the \
                segments, or move them to another directory";
    Err(Error::new(ErrorKind::MissingFeature, what).at_path(&directory.path().join(file)))
}

/// Opens the file of this name for deletion or compression. Proves that the file is the segment `lineage` of the log
/// `full_name`, and that no logger writes the file. `None`: no regular file has the name any more.
///
/// # Errors
/// [`ErrorKind::NotALog`] if the name belongs to another file; [`ErrorKind::InUse`] if a logger writes the file; the
/// system's errors.
pub(super) fn open_proved(
    directory: &Directory,
    (name, packing): (&OsStr, Packing),
    (lineage, full_name): (Lineage, &[u8]),
) -> Result<Option<(Source, FileState, Origin)>, Error> {
    let Some((mut source, state)) = open_segment(directory, name, packing)? else {
        return Ok(None);
    };
    let refused = |kind, what| Err(Error::new(kind, what).at_path(&directory.path().join(name)));
    let origin = Origin::read(&mut source)?.ok();
    let is_ours = |origin: &Origin| origin.lineage() == lineage && origin.name == full_name;
    let Some(origin) = origin.filter(is_ours) else {
        let what = "this is not the segment that was archived under this name";
        return refused(ErrorKind::NotALog, what);
    };
    // The active file of another log can have such a name.
    if packing == Packing::Plain {
        // A compressed file has a name that no logger can have.
        let name = LogName::of(Path::new(name))?;
        if is_written(directory, name.base())? {
            return refused(ErrorKind::InUse, "a logger writes this file");
        }
    }
    Ok(Some((source, state, origin)))
}

/// The full name of the log whose file has this name: from the file's start or, with `has_past`, from the start of the
/// last archived segment. `None`: no file carries a full name.
pub(in crate::write) fn full_name_of(
    directory: &Directory,
    name: &LogName,
    has_past: bool,
) -> Option<Vec<u8>> {
    let active = origin(directory, name.file());
    let last = || {
        let mut files = if has_past { archived(directory, name) } else { Vec::new() };
        files.sort_unstable_by(|a, b| b.cmp(a));
        files.iter().find_map(|file| origin(directory, file))
    };
    active.or_else(last).map(|origin| origin.name)
}
