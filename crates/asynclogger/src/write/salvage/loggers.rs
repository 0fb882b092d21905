//! What dead loggers have left.

use std::path::Path;

use super::remnant::{Left, Remnant, preview};
use crate::{
    Config, CrashSafe, Error, ErrorKind, LeftAlone, LogId, MapInUse, Salvage,
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
    // A place that cannot be used is refused when the logger's own map is made there.
    let maps: Vec<_> = CrashMap::find(place).filter_map(Result::ok).flatten().collect();
    if maps.is_empty() {
        return Ok(done);
    }
    let path = std::path::absolute(config.path()).unwrap_or_else(|_| config.path().to_owned());
    let log_id = log_id_of(config);
    for map in maps {
        let (mut is_here, in_use) = (false, done.in_use.len());
        let config = |head: &MapHead| {
            is_here = log_id.is_some_and(|id| id == head.log_id);
            let is_ours = head.logs == 0 && (path_in(head) == path || is_here);
            is_ours.then(|| config.clone())
        };
        salvage_map(&map, config, false, &mut done)?;
        // Its owner writes this log, or a salvager does. The lock of the log says the same, but somebody can have
        // removed the lock file, and a salvager takes it only after the map.
        if is_here && done.in_use.len() > in_use {
            let what = "a live process has this file, with records of the log";
            return Err(Error::new(ErrorKind::InUse, what).at_path(&map));
        }
    }
    Ok(done)
}

/// The id of the log that has this path now. An opening that failed can have set its active file aside.
fn log_id_of(config: &Config) -> Option<LogId> {
    if config.path().is_file() {
        return log_id_at(config.path());
    }
    let parent = config.path().parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = parent.is_dir().then(|| Directory::open_or_create(parent).ok())??;
    let name = LogName::of(config.path()).ok()?;
    let full_name = name.base().as_encoded_bytes();
    Some(last_segment(&directory, &name, full_name, None, true)?.log_id)
}

/// The id of the log whose file is at this path.
pub(super) fn log_id_at(path: &Path) -> Option<LogId> {
    let mut source = path.is_file().then(|| Source::open(path).ok())??;
    Some(Origin::read(&mut source).ok()?.ok()?.prefix.log_id)
}

/// Writes what one map holds, if `config` wants the map, by its head; with `is_trial` only counts it.
///
/// # Errors
/// The same as for [`salvage_log`].
pub(super) fn salvage_map(
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
    let opening = if is_trial { CrashMap::copy(path)? } else { CrashMap::open(path)? };
    let map = match opening {
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
    let account = LogAccount::of(&map, 0);
    let left = Remains::read(&account).and_then(|remains| {
        let (pool, ends) = Pool::adopted(&map, &remains)?;
        Ok((remains, pool, ends))
    });
    let (remains, pool, ends) = match left {
        Ok(left) => left,
        Err(reason) => {
            leave(reason);
            return Ok(());
        }
    };
    if is_trial {
        match pool.sealed_records() {
            Ok(counts) => {
                let log = config.path().to_owned();
                done.sessions.push(preview(path.to_owned(), log, &remains, counts));
            }
            Err(reason) => leave(reason),
        }
        return Ok(());
    }
    let MapHead { log_id, session, .. } = *map.head();
    let away = map.away_path();
    let map_path = path.to_owned();
    let left =
        Left { map: map_path, account, remains, log_id, session, pool, ends, away, event: None };
    match Remnant::of(left, config)? {
        Ok(remnant) => done.sessions.push(remnant.write()?),
        Err(reason) => leave(reason),
    }
    Ok(())
}
