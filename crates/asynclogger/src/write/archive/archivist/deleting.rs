//! Deletes files: only those that are, beyond doubt, an archived segment of the log or a part of one.
//!
//! A name decides nothing here. What is deleted was listed, has still the identity and the length that it
//! was listed with, and its start, read once more, says which segment it is.

use super::{catalog, settings::ArchiveSettings};
use crate::{
    Error,
    format::Lineage,
    io::FileState,
    probe::{Origin, Packing},
    sync::lock,
    write::{
        archive::{open_segment, retention},
        common::{fault, wall_clock},
    },
};

/// Removes what was left of compressions that did not come to their end: what begins like a segment of this
/// log, or has no byte. Anything else with such a name stays.
///
/// # Errors
/// The system's errors.
pub(super) fn remove_parts(settings: &ArchiveSettings, active: Lineage) -> Result<(), Error> {
    let ArchiveSettings { shelf, name, full_name, .. } = settings;
    let directory = &shelf.directory;
    for part in directory.names(|file| name.is_part(file))? {
        // One that cannot be read, or removed, is no reason to leave the others.
        let opened = open_segment(directory, &part, Packing::Compressed);
        let identity = match opened {
            Ok(Some((mut source, state))) => {
                let origin = Origin::read(&mut source).ok().and_then(Result::ok);
                let is_ours = origin.is_some_and(|origin| {
                    origin.prefix.log_id == active.log_id && origin.name == *full_name
                });
                is_ours.then_some(state.identity)
            }
            _ => None,
        };
        let is_empty = |state: &FileState| state.len == 0;
        let empty = || directory.look_at(&part).ok().flatten().filter(is_empty);
        if let Some(identity) = identity.or_else(|| empty().map(|state| state.identity)) {
            directory.remove_if(&part, identity).inspect_err(|error| settings.tell(error)).ok();
        }
    }
    Ok(())
}

/// Deletes what the limits do not allow.
///
/// # Errors
/// The system's errors.
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
/// The system's errors.
pub(super) fn make_room(settings: &ArchiveSettings, active: Lineage) -> Result<bool, Error> {
    Ok(delete(settings, false, |files| retention::oldest(files, active))? > 0)
}

/// Deletes the archived files that `select` selects, in its order; how many.
fn delete(
    settings: &ArchiveSettings,
    with_ends: bool,
    select: impl FnOnce(&[retention::ArchivedFile]) -> Vec<usize>,
) -> Result<usize, Error> {
    let directory = &settings.shelf.directory;
    let files = catalog::list(directory, &settings.name)?;
    let (segments, files) = {
        let mut catalog = lock(&settings.shelf.catalog);
        catalog.forget_all_but(&files);
        catalog.segments(directory, files, &settings.full_name, with_ends)
    };
    let mut deleted = 0;
    let mut result = Ok(());
    for index in select(&segments) {
        fault::kill_point("before a deletion");
        result = files[index].delete(directory, (segments[index].lineage, &settings.full_name));
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
