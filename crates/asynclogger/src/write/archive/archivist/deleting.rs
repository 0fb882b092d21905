//! Deletes files that are provably an archived segment of the log, or a part of one.
//!
//! A name proves nothing here. A file is deleted only if it was listed, still has the identity and the length of the
//! list, and its start, read once more, names the segment.

use std::{ffi::OsStr, path::Path};

use super::{catalog, settings::ArchiveSettings};
use crate::{
    Error,
    format::Lineage,
    probe::{Origin, Packing},
    sync::lock,
    write::{
        archive::{open_segment, retention},
        common::{fault, wall_clock},
    },
};

/// Removes the parts of unfinished compressions: files that begin like the segment that still has this archived name.
/// Any other file with such a name stays: nothing proves whose an empty file is, and somebody may have renamed the only
/// form of a segment.
///
/// # Errors
/// The system's errors.
pub(super) fn remove_parts(settings: &ArchiveSettings, active: Lineage) -> Result<(), Error> {
    let ArchiveSettings { shelf, name, full_name, .. } = settings;
    let directory = &shelf.directory;
    for part in directory.names(|file| name.part_of(file).is_some())? {
        // A part that cannot be read or removed does not keep the others.
        let opened = open_segment(directory, &part, Packing::Compressed);
        let Ok(Some((mut source, state))) = opened else { continue };
        let origin = Origin::read(&mut source).ok().and_then(Result::ok);
        let is_ours = |origin: &Origin| {
            origin.prefix.log_id == active.log_id
                && origin.name == *full_name
                && has_other_form(settings, &part, origin.lineage())
        };
        if origin.as_ref().is_some_and(is_ours) {
            let removed = directory.remove_if(&part, state.identity);
            removed.inspect_err(|error| settings.tell(error)).ok();
        }
    }
    Ok(())
}

/// Whether the segment of a part is there under its archived name, compressed or not.
fn has_other_form(settings: &ArchiveSettings, part: &OsStr, lineage: Lineage) -> bool {
    let ArchiveSettings { shelf, name, .. } = settings;
    let Some(compressed) = name.part_of(part) else { return false };
    let forms = [
        (compressed, Packing::Compressed),
        (Path::new(compressed).file_stem().unwrap_or_default(), Packing::Plain),
    ];
    forms.into_iter().any(|(form, packing)| {
        let opened = open_segment(&shelf.directory, form, packing);
        let Ok(Some((mut source, _))) = opened else { return false };
        matches!(Origin::read(&mut source), Ok(Ok(origin)) if origin.lineage() == lineage)
    })
}

/// Deletes the segments beyond the limits.
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

/// Deletes the oldest segment, but never the newest. Returns whether a file was deleted.
///
/// # Errors
/// The system's errors.
pub(super) fn make_room(settings: &ArchiveSettings, active: Lineage) -> Result<bool, Error> {
    Ok(delete(settings, false, |files| retention::oldest(files, active))? > 0)
}

/// Deletes the archived files that `select` selects, in its order. Returns their number.
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
            // No file behind this one is deleted: that would leave a hole.
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
