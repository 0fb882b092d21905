//! The greatest number of a log, in its own directory and in the failover directory.

use std::path::Path;

use super::place::Place;
use crate::{
    Error,
    format::LogId,
    io::Directory,
    write::archive::{Lineage, check_numbers, last_segment},
};

/// The failover directory, if there is one: a missing one is not made for a look.
fn other(failover: Option<&Path>) -> Option<Directory> {
    Directory::open_or_create(failover.filter(|path| path.is_dir())?).ok()
}

/// The segment of the log with the greatest number. Without an id: of the log that is to be continued.
pub(super) fn last(
    home: &Place,
    failover: Option<&Path>,
    log_id: Option<LogId>,
) -> Option<Lineage> {
    let Place { directory, name, archive, lock } = home;
    let look = |directory: &Directory, log_id| {
        last_segment(directory, name, archive.full_name(), log_id, lock.is_of_event())
    };
    let here = look(directory, log_id);
    let log_id = log_id.or(here.map(|last| last.log_id));
    let there = other(failover).and_then(|other| look(&other, log_id));
    here.into_iter().chain(there).max_by_key(|last| last.segment)
}

/// The same for a log without an active file, which would say its number.
///
/// # Errors
/// [`ErrorKind::MissingFeature`](crate::ErrorKind::MissingFeature) if this build cannot read all numbers.
pub(super) fn last_without_active(
    home: &Place,
    failover: Option<&Path>,
) -> Result<Option<Lineage>, Error> {
    check_numbers(&home.directory, &home.name)?;
    if let Some(other) = other(failover) {
        check_numbers(&other, &home.name)?;
    }
    Ok(last(home, failover, None))
}
