//! Files that are over, one by one: for the archivist, and for programs that take them away.

use std::{ffi::OsStr, fs::File, ops::Not, path::PathBuf};

use super::{
    names::{LogName, archived_name},
    past::open_proved,
    renaming::set_aside,
};
use crate::{
    Error, ErrorKind,
    format::Lineage,
    io::{Directory, FileState, WriterLock, is_marked},
    probe::{Origin, Packing, Source},
};

/// The reason why a segment is neither compressed nor deleted yet.
pub(super) const MARKED: &str = "a writer that has lost its lock still writes this segment";

/// Deletes a file if it still is the listed file, and its start proves once more that it is this segment of this log.
/// Returns whether the name was there and was removed.
///
/// # Errors
/// If the name belongs to another file by now, or a logger writes the file; the system's errors. The file stays then.
pub(crate) fn delete(
    directory: &Directory,
    (name, packing, listed): (&OsStr, Packing, &FileState),
    segment: (Lineage, &[u8]),
) -> Result<bool, Error> {
    let Some((source, state, _)) = open_proved(directory, (name, packing), segment)? else {
        return Ok(false);
    };
    let refused = |kind, what| Err(Error::new(kind, what).at_path(&directory.path().join(name)));
    if !state.is_same(listed) {
        let what = "it was changed while it was to be deleted, and is kept";
        return refused(ErrorKind::Io, what);
    }
    // A writer that has lost its lock goes on in its file.
    if source.into_file().is_some_and(|file| is_marked(&file)) {
        return refused(ErrorKind::InUse, MARKED);
    }
    directory.remove_if(name, state.identity)
}

/// Whether the name is that of an archived segment of any log.
pub(crate) fn is_archived_name(name: &OsStr) -> bool {
    archived_name(name).is_some()
}

/// Opens a regular file that no logger writes; `None` if there is none of this name, or if it is written.
///
/// # Errors
/// The system's errors.
pub(crate) fn open_unwritten(
    directory: &Directory,
    name: &OsStr,
) -> Result<Option<(File, FileState)>, Error> {
    let opened = directory.open_regular(name)?;
    Ok(opened.filter(|(file, _)| !is_marked(file)))
}

/// Opens a file if it still is the listed one; `None` if not. The identity alone is no proof: a new file can get the number
/// of a deleted one.
///
/// # Errors
/// The system's errors.
pub(crate) fn open_listed(
    directory: &Directory,
    (name, listed): (&OsStr, &FileState),
    lineage: Lineage,
) -> Result<Option<File>, Error> {
    let is_same = |state: &FileState| (state.identity, state.len) == (listed.identity, listed.len);
    let Some((file, _)) = directory.open_regular(name)?.filter(|(_, state)| is_same(state)) else {
        return Ok(None);
    };
    let path = directory.path().join(name);
    let copy = file.try_clone().map_err(|error| Error::io("cannot open", error).at_path(&path))?;
    // A damaged start proves nothing.
    let origin = Origin::read(&mut Source::of(copy, &path)?)?;
    Ok(origin.is_ok_and(|origin| origin.lineage() != lineage).not().then_some(file))
}

/// Gives the active file of a log that nobody writes an archived name. `None` if the file is not this
/// segment.
///
/// # Errors
/// [`ErrorKind::InUse`] if a logger writes the log; the system's errors.
pub(crate) fn finish(
    directory: &Directory,
    file: &OsStr,
    lineage: Lineage,
) -> Result<Option<PathBuf>, Error> {
    let path = directory.path().join(file);
    let name = LogName::of(&path)?;
    let lock = WriterLock::take(directory, name.base(), file, &path)?;
    let finished = finish_locked(directory, &name, lineage);
    lock.withdraw(directory);
    finished
}

fn finish_locked(
    directory: &Directory,
    name: &LogName,
    lineage: Lineage,
) -> Result<Option<PathBuf>, Error> {
    let Some((file, state)) = open_unwritten(directory, name.file())? else { return Ok(None) };
    let mut source = Source::of(file, &directory.path().join(name.file()))?;
    let Ok(origin) = Origin::read(&mut source)? else { return Ok(None) };
    if origin.lineage() != lineage {
        return Ok(None);
    }
    set_aside(directory, name, state.identity, true).map(Some)
}
