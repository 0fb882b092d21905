//! What the files in a directory say of a log: by their starts, in whichever form they are.
//!
//! A name is no proof. A file is a log's only if its start carries the log's full name: another log may be
//! written under a name that looks like that of an archived segment.

use std::{ffi::OsStr, path::Path};

use super::names::LogName;
use crate::{
    Error, ErrorKind,
    format::{Lineage, LogId},
    io::{Directory, FileState, is_written},
    probe::{Origin, Packing, Source},
};

/// The regular file of this name, to be read as a segment; `None`: there is none. Follows no link.
///
/// # Errors
/// Those of the system; [`ErrorKind::NotALog`] for a file that is not compressed
/// though it should be.
pub(in crate::write) fn open_segment(
    directory: &Directory,
    name: &OsStr,
    packing: Packing,
) -> Result<Option<(Source, FileState)>, Error> {
    let Some((file, state)) = directory.open_regular(name)? else {
        return Ok(None);
    };
    let source = Source::of(file, &directory.path().join(name), packing)?;
    Ok(Some((source, state)))
}

/// The start of a file. One that cannot be read takes no part: that is no reason not to log.
fn origin(directory: &Directory, name: &OsStr, packing: Packing) -> Option<Origin> {
    let (mut source, _) = open_segment(directory, name, packing).ok()??;
    Origin::read(&mut source).ok()?.ok()
}

/// The starts of all files with archived names of a log, the greatest name first.
fn origins(directory: &Directory, name: &LogName) -> impl Iterator<Item = Origin> {
    let is_archived = |file: &OsStr| name.packing_of(file).is_some();
    let mut files = directory.names(is_archived).unwrap_or_default();
    files.sort_unstable_by(|a, b| b.cmp(a));
    files.into_iter().filter_map(move |file| origin(directory, &file, name.packing_of(&file)?))
}

/// The segment of this log with the greatest number, whatever clocks and names say, archived or not: the next
/// number is greater. Without a log id: of several logs that had the full name, the one whose numbers go
/// furthest.
pub(in crate::write) fn last_segment(
    directory: &Directory,
    name: &LogName,
    full_name: &[u8],
    log_id: Option<LogId>,
) -> Option<Lineage> {
    let active = origin(directory, name.file(), Packing::Plain);
    let ours = active.into_iter().chain(origins(directory, name)).filter(|origin| {
        origin.name == full_name && log_id.is_none_or(|log_id| log_id == origin.prefix.log_id)
    });
    ours.map(|origin| origin.lineage()).max_by_key(|lineage| lineage.segment)
}

/// The file of this name, to be deleted or compressed: it is the segment `lineage` of the log `full_name`,
/// and no logger writes it. `None`: it is gone.
///
/// # Errors
/// [`ErrorKind::NotALog`] if it is another file; [`ErrorKind::InUse`]; those of the system.
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
    // The active file of another log may have such a name.
    if packing == Packing::Plain {
        // A compressed one has no name that a logger may have.
        let name = LogName::of(Path::new(name))?;
        if is_written(directory, name.base())? {
            return refused(ErrorKind::InUse, "a logger writes this file");
        }
    }
    Ok(Some((source, state, origin)))
}

/// The full name of the log whose file has this name, by its start or, with `has_past`, by that of the last
/// archived segment; `None`: there is no such file, or none that says so.
pub(in crate::write) fn full_name_of(
    directory: &Directory,
    name: &LogName,
    has_past: bool,
) -> Option<Vec<u8>> {
    let active = origin(directory, name.file(), Packing::Plain);
    let last = || has_past.then(|| origins(directory, name).next()).flatten();
    active.or_else(last).map(|origin| origin.name)
}
