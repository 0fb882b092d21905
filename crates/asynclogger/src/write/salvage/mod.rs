//! What a killed process has left in memory is written: once, in order, with its own numbers.
//!
//! A salvager is the flusher of the dead session, and goes on where that one was killed: it takes over the buffers, the
//! account of them, and the file. So a salvager that is killed leaves the same as the first process, and everything that
//! a flusher can do (wait for a full disk, write again, continue in another file) needs no second implementation.
//!
//! A write of the dead process can still be in flight, and land at any later time. It carries the same bytes as the
//! salvager writes to the same place: every field of a part is in the journal, its time included, before the part is
//! written for the first time.

#[cfg(all(test, not(loom)))]
mod killed_tests;
mod remnant;

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use self::remnant::Remnant;
use super::crash::{CrashMap, Opening, Remains};
use crate::{
    Config, CrashSafe, Error, ErrorKind, LeftAlone, LogId, Salvage,
    format::MapHead,
    io::Directory,
    probe::{Origin, Source},
    sync::Arc,
    write::archive::{LogName, last_segment},
};

/// Writes what dead processes have left for the log of this config, before the log is opened.
///
/// # Errors
/// What was found cannot be written now; it stays where it is, and the call can be repeated.
pub(crate) fn salvage_log(config: &Config, place: &CrashSafe) -> Result<Salvage, Error> {
    let mut done = Salvage::default();
    let maps = CrashMap::find(place);
    if maps.is_empty() {
        return Ok(done);
    }
    let path = std::path::absolute(config.path()).unwrap_or_else(|_| config.path().to_owned());
    let log_id = log_id_of(config);
    for map in maps {
        let is_here = |head: &MapHead| log_id.is_some_and(|id| id == head.log_id);
        let is_ours = |head: &MapHead| path_of(head) == path || is_here(head);
        let found = salvage_map(&map, |head| is_ours(head).then(|| config.clone()), &mut done)?;
        // Its owner writes this log, or a salvager does. The lock of the log says the same, but somebody can have
        // removed the lock file, and a salvager takes it only after the map.
        if found.is_some_and(|head| is_here(&head)) {
            return Err(Error::new(ErrorKind::InUse, "a live process has this file of the log's")
                .at_path(&map));
        }
    }
    Ok(done)
}

/// Writes what dead processes have left for any log, each to the path at which it was written.
///
/// # Errors
/// The same as for [`salvage_log`].
pub(crate) fn salvage_all(place: &CrashSafe) -> Result<Salvage, Error> {
    let mut done = Salvage::default();
    for map in CrashMap::find(place) {
        salvage_map(&map, |head| Some(Config::new(path_of(head))), &mut done)?;
    }
    Ok(done)
}

/// The path of the log's active file.
fn path_of(head: &MapHead) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&head.path))
}

/// The id of the log that has this path now. An opening that failed can have set its active file aside.
fn log_id_of(config: &Config) -> Option<LogId> {
    if config.path().is_file() {
        let mut source = Source::open(config.path()).ok()?;
        return Some(Origin::read(&mut source).ok()?.ok()?.prefix.log_id);
    }
    let parent = config.path().parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = parent.is_dir().then(|| Directory::open_or_create(parent).ok())??;
    let name = LogName::of(config.path()).ok()?;
    let full_name = name.base().as_encoded_bytes();
    Some(last_segment(&directory, &name, full_name, None)?.log_id)
}

/// Writes what one map holds, if `config` wants the map, by its head. Returns the head if a live process has the map.
fn salvage_map(
    path: &Path,
    config: impl FnOnce(&MapHead) -> Option<Config>,
    done: &mut Salvage,
) -> Result<Option<MapHead>, Error> {
    let mut leave = |reason: String| {
        done.left_alone.push(LeftAlone { map: path.to_owned(), reason });
    };
    // Locked only if it is wanted: a look at the map of another log must not keep its owner's successor away.
    let (head, config) = match CrashMap::peek(path)? {
        None => return Ok(None),
        Some(Err(reason)) => {
            leave(reason);
            return Ok(None);
        }
        Some(Ok(head)) => match config(&head) {
            None => return Ok(None),
            Some(config) => (head, config),
        },
    };
    let map = match CrashMap::open(path)? {
        Opening::Opened(map) => Arc::new(*map),
        Opening::Unusable(reason) => {
            leave(reason);
            return Ok(None);
        }
        Opening::InUse => return Ok(Some(head)),
        Opening::Gone => return Ok(None),
    };
    if map.is_unused() {
        map.remove()?;
        return Ok(None);
    }
    let remains = match Remains::read(&map) {
        Ok(remains) => remains,
        Err(reason) => {
            leave(reason);
            return Ok(None);
        }
    };
    match Remnant::of(map, remains, config)? {
        Ok(remnant) => done.sessions.push(remnant.write()?),
        Err(reason) => leave(reason),
    }
    Ok(None)
}
