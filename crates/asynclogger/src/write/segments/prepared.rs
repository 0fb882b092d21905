//! The file of the next segment, which has a hidden name until the segment becomes active.
//!
//! A hidden name proves nothing: anybody can put a file there. A file is removed only after proof that it is ours: by
//! its identity while this session has the file open, and by a start block with this log's id and full name if an
//! earlier session has left the file.

use std::ffi::OsString;

use crate::{
    Error,
    format::LogId,
    io::Directory,
    probe::{Origin, Packing},
    write::archive::{LastName, LogName, archived_link, open_segment, rename_to_archived},
};

/// The first free hidden name.
///
/// # Errors
/// The system's errors.
pub(super) fn free_name(directory: &Directory, name: &LogName) -> Result<OsString, Error> {
    let mut number = 0;
    loop {
        let hidden = name.prepared(number);
        if directory.identity_of(&hidden)?.is_none() {
            return Ok(hidden);
        }
        number += 1;
    }
}

/// Removes files that earlier sessions of this log prepared and did not use. Other files are left alone.
///
/// # Errors
/// The system's errors.
pub(super) fn remove_unused(
    directory: &Directory,
    name: &LogName,
    log_id: LogId,
    full_name: &[u8],
) -> Result<(), Error> {
    for number in 0.. {
        let hidden = name.prepared(number);
        if directory.identity_of(&hidden)?.is_none() {
            break;
        }
        // A file that cannot be read is not provably ours.
        let opened = open_segment(directory, &hidden, Packing::Plain);
        let Ok(Some((mut source, state))) = opened else { continue };
        let Ok(Ok(origin)) = Origin::read(&mut source) else { continue };
        if origin.prefix.log_id != log_id || origin.name != full_name {
            continue;
        }
        // A file with records is a segment that an interrupted change of names has left.
        let is_unused = state.len <= u64::from(origin.prefix.align);
        let has_its_name =
            state.links > 1 && archived_link(directory, name, state.identity)?.is_some();
        if is_unused || has_its_name {
            directory.remove_if(&hidden, state.identity)?;
        } else {
            let from = (hidden.as_os_str(), state.identity);
            rename_to_archived(directory, name, from, &mut LastName::default())?;
        }
    }
    Ok(())
}

/// Removes the archived name of an active file that has both names after an interrupted rotation: the file is still
/// active.
///
/// # Errors
/// The system's errors.
pub(super) fn take_back_link(directory: &Directory, name: &LogName) -> Result<(), Error> {
    let Some(state) = directory.look_at(name.file())?.filter(|state| state.links > 1) else {
        return Ok(());
    };
    while let Some(archived) = archived_link(directory, name, state.identity)? {
        if !directory.remove_if(&archived, state.identity)? {
            break;
        }
    }
    Ok(())
}
