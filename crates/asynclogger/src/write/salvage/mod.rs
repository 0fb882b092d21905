//! What a killed process has left in memory is written: once, in order, with its own numbers.
//!
//! A salvager is the flusher of the dead session, and goes on where that one was killed: it takes over the buffers, the
//! account of them, and the file. So a salvager that is killed leaves the same as the first process, and everything that
//! a flusher can do (wait for a full disk, write again, continue in another file) needs no second implementation.
//!
//! A write of the dead process can still be in flight, and land at any later time. It carries the same bytes as the
//! salvager writes to the same place: every field of a part is in the journal, its time included, before the part is
//! written for the first time.

mod remnant;
mod wanted;

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use self::remnant::Remnant;
pub(crate) use self::wanted::Wanted;
use super::crash::{CrashMap, Opening, Remains};
use crate::{
    Config, CrashSafe, Error, LeftAlone, LogId, MapInUse, Salvage,
    format::MapHead,
    probe::{Origin, Source},
    sync::Arc,
};

/// Writes what dead processes have left for the log of this config, before the log is opened.
///
/// # Errors
/// What was found cannot be written now; it stays where it is, and the call can be repeated.
pub(crate) fn salvage_log(config: &Config, place: &CrashSafe) -> Result<Salvage, Error> {
    let mut done = Salvage::default();
    // A place that cannot be used is refused when the logger's own map is made there.
    let maps: Vec<_> = CrashMap::find(place).filter_map(Result::ok).flatten().collect();
    if maps.is_empty() {
        return Ok(done);
    }
    let path = std::path::absolute(config.path()).unwrap_or_else(|_| config.path().to_owned());
    let log_id = log_id_at(&path);
    for map in maps {
        let is_ours =
            |head: &MapHead| path_of(head) == path || log_id.is_some_and(|id| id == head.log_id);
        salvage_map(&map, |head| is_ours(head).then(|| config.clone()), false, &mut done)?;
    }
    Ok(done)
}

/// Writes what dead processes have left for these logs, each where it is now. With `is_trial` nothing is written; what
/// would be written is counted.
///
/// # Errors
/// A place cannot be read. Then nothing was done.
pub(crate) fn salvage(
    place: &CrashSafe,
    wanted: &Wanted,
    is_trial: bool,
) -> Result<Salvage, Error> {
    let mut done = Salvage::default();
    let logs = wanted.log_ids();
    let maps: Vec<_> = CrashMap::find(place).collect::<Result<_, _>>()?;
    for map in maps.into_iter().flatten() {
        let config = |head: &MapHead| wanted.path_for(head, &logs).map(Config::new);
        if let Err(error) = salvage_map(&map, config, is_trial, &mut done) {
            // The other maps are salvaged all the same.
            let reason = format!("not now: {error:#}");
            done.left_alone.push(LeftAlone { map, reason });
        }
    }
    Ok(done)
}

/// The path of the log's active file.
fn path_of(head: &MapHead) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&head.path))
}

/// The id of the log that has this path now.
fn log_id_at(path: &Path) -> Option<LogId> {
    let mut source = path.is_file().then(|| Source::open(path).ok())??;
    Some(Origin::read(&mut source).ok()?.ok()?.prefix.log_id)
}

/// Writes what one map holds, if `config` wants the map, by its head; with `is_trial` only counts it.
fn salvage_map(
    path: &Path,
    config: impl FnOnce(&MapHead) -> Option<Config>,
    is_trial: bool,
    done: &mut Salvage,
) -> Result<(), Error> {
    let mut leave = |reason: String| {
        done.left_alone.push(LeftAlone { map: path.to_owned(), reason });
    };
    // Locked only if it is wanted: a look at the map of another log must not keep its owner's successor away.
    let (config, pid) = match CrashMap::peek(path)? {
        None => return Ok(()),
        Some(Err(reason)) => {
            leave(reason);
            return Ok(());
        }
        Some(Ok(head)) => match config(&head) {
            None => return Ok(()),
            Some(config) => (config, head.pid),
        },
    };
    let map = match CrashMap::open(path)? {
        Opening::Opened(map) => Arc::new(*map),
        Opening::Unusable(reason) => {
            leave(reason);
            return Ok(());
        }
        Opening::InUse => {
            let log = config.path().to_owned();
            done.in_use.push(MapInUse { map: path.to_owned(), log, pid });
            return Ok(());
        }
        Opening::Gone => return Ok(()),
    };
    if map.is_unused() {
        return if is_trial { Ok(()) } else { map.remove() };
    }
    let remains = match Remains::read(&map) {
        Ok(remains) => remains,
        Err(reason) => {
            leave(reason);
            return Ok(());
        }
    };
    if is_trial {
        match remnant::count(&map, &remains, config.path()) {
            Ok(counted) => done.sessions.push(counted),
            Err(reason) => leave(reason),
        }
        return Ok(());
    }
    match Remnant::of(map, remains, config)? {
        Ok(remnant) => done.sessions.push(remnant.write()?),
        Err(reason) => leave(reason),
    }
    Ok(())
}
