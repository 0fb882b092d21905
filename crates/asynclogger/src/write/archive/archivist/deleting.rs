//! Deletes files: only those that are, beyond doubt, an archived segment of the log or a part of one.
//!
//! A name decides nothing here. What is deleted was listed, has still the identity and the length that it
//! was listed with, and its start, read once more, says which segment it is.

use std::{ffi::OsStr, io};

use super::{
    ArchiveSettings,
    catalog::{self, Listed},
};
use crate::{
    Error, ErrorKind,
    io::Directory,
    sync::lock,
    write::{
        archive::{
            names::{self, Lineage},
            retention,
        },
        common::fault,
        segments::wall_clock,
    },
};

/// Removes what was left of compressions that did not come to their end.
///
/// # Errors
/// Those of the system.
pub(super) fn remove_parts(settings: &ArchiveSettings) -> Result<(), Error> {
    let directory = &settings.directory;
    let parts = directory.names(|name| catalog::is_part_name(settings, name))?;
    for part in &parts {
        if let Some(state) = directory.look_at(part)? {
            directory.remove_if(part, state.identity)?;
        }
    }
    Ok(())
}

/// Deletes what the limits do not allow.
///
/// # Errors
/// Those of the system.
pub(super) fn retain(settings: &ArchiveSettings, active: Lineage) -> Result<(), Error> {
    if !settings.has_limits() {
        return Ok(());
    }
    let with_ends = settings.retention.max_age.is_some();
    delete(settings, with_ends, |files| {
        retention::select(files, &settings.retention, active, wall_clock())
    })?;
    Ok(())
}

/// Deletes the oldest segment, but not the newest; whether there was one.
///
/// # Errors
/// Those of the system.
pub(super) fn make_room(settings: &ArchiveSettings, active: Lineage) -> Result<bool, Error> {
    Ok(delete(settings, false, |files| retention::oldest(files, active))? > 0)
}

/// Deletes the archived files that `select` selects, in its order; how many.
fn delete(
    settings: &ArchiveSettings,
    with_ends: bool,
    select: impl FnOnce(&[retention::ArchivedFile]) -> Vec<usize>,
) -> Result<usize, Error> {
    let directory = &settings.directory;
    let files = catalog::list(settings)?;
    let (segments, places) = {
        let mut catalog = lock(&settings.catalog);
        catalog.forget_all_but(&files);
        catalog.segments(directory, &files, with_ends)
    };
    let mut deleted = 0;
    let mut result = Ok(());
    for index in select(&segments) {
        let (Some(segment), Some(place)) = (segments.get(index), places.get(index)) else {
            continue;
        };
        fault::kill_point("before a deletion");
        result = delete_if_same(settings, &files[*place], segment.lineage);
        if result.is_err() {
            // Not one behind it: that would be a hole.
            break;
        }
        fault::kill_point("after a deletion");
        deleted += 1;
    }
    if deleted > 0 {
        directory.sync()?;
        fault::kill_point("after durable deletions");
    }
    result.map(|()| deleted)
}

/// Deletes a file if it is the one that was listed, and its start still says that it is this segment.
pub(super) fn delete_if_same(
    settings: &ArchiveSettings,
    file: &Listed,
    lineage: Lineage,
) -> Result<(), Error> {
    let directory = &settings.directory;
    let Some((open, state)) = directory.open_regular(&file.name)? else {
        return Ok(());
    };
    let start = names::archived_start(&open, file.form)
        .map_err(|error| file_error(directory, &file.name, error))?;
    if state != file.state || start.as_ref().map(names::lineage) != Some(lineage) {
        let what = "it was changed while it was to be deleted, and is kept";
        return Err(Error::new(ErrorKind::Io, what).at_path(&directory.path().join(&file.name)));
    }
    directory.remove_if(&file.name, state.identity)?;
    Ok(())
}

/// A file of the directory could not be read.
pub(super) fn file_error(directory: &Directory, name: &OsStr, error: io::Error) -> Error {
    Error::io("cannot read", error).at_path(&directory.path().join(name))
}
