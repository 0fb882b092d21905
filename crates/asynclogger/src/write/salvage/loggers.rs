//! What dead loggers have left.

use std::path::Path;

use super::remnant::{Left, Remnant};
use crate::{
    Config, CrashSafe, Error, ErrorKind, LeftAlone, LogId, Salvage,
    format::MapHead,
    io::Directory,
    probe::{Origin, Source},
    sync::Arc,
    write::{
        archive::{LogName, last_segment},
        crash::{CrashMap, LogAccount, Opening, Remains, path_in},
        swap::Pool,
    },
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
        let is_ours = |head: &MapHead| path_in(head) == path || is_here(head);
        let found = salvage_map(&map, |head| is_ours(head).then(|| config.clone()), &mut done)?;
        // Its owner writes this log, or a salvager does. The lock of the log says the same, but somebody can have
        // removed the lock file, and a salvager takes it only after the map.
        if found.is_some_and(|head| is_here(&head)) {
            let what = "a live process has this file, with records of the log";
            return Err(Error::new(ErrorKind::InUse, what).at_path(&map));
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
        salvage_map(&map, |head| Some(Config::new(path_in(head))), &mut done)?;
    }
    Ok(done)
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
    let account = LogAccount::of(&map, 0);
    let left = Remains::read(&account).and_then(|remains| {
        let (pool, ends) = Pool::adopted(&map, &remains)?;
        Ok((remains, pool, ends))
    });
    let (remains, pool, ends) = match left {
        Ok(left) => left,
        Err(reason) => {
            leave(reason);
            return Ok(None);
        }
    };
    let MapHead { log_id, session, .. } = *map.head();
    let away = map.away_path();
    let left = Left { account, remains, log_id, session, pool, ends, away, event: None };
    match Remnant::of(left, config)? {
        Ok(remnant) => done.sessions.push(remnant.write()?),
        Err(reason) => leave(reason),
    }
    Ok(None)
}
