//! The file of the next segment, which has a hidden name until its turn comes.
//!
//! A hidden name proves nothing: anybody may have put a file there. What is removed was proved to be ours before, by
//! its identity while we have it open, and by a start block with our log id and name where an earlier session left it.

use std::ffi::OsString;

use crate::{
    Error,
    format::LogId,
    io::Directory,
    probe::{Origin, Packing},
    write::archive::{LastName, LogName, archived_link, open_segment, rename_to_archived},
};

/// The first hidden name that nothing has.
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

/// Removes what earlier sessions of this log prepared and did not use. Anything else is left alone.
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
        // What cannot be read is nobody's that we know.
        let opened = open_segment(directory, &hidden, Packing::Plain);
        let Ok(Some((mut source, state))) = opened else { continue };
        let Ok(Ok(origin)) = Origin::read(&mut source) else { continue };
        if origin.prefix.log_id != log_id || origin.name != full_name {
            continue;
        }
        // With records it is a segment that was left in the middle of a change of names.
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

/// Takes its archived name from an active file that has both, since a rotation was interrupted: the file is still
/// the active one.
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
