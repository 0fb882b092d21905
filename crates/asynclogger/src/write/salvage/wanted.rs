//! Which logs are salvaged, and where they are now.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    events::{has_log, salvage_manager},
    loggers::{log_id_at, salvage_map},
};
use crate::{
    Config, CrashSafe, Error, LeftAlone, LogId, Salvage,
    format::MapHead,
    write::crash::{CrashMap, path_in},
};

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
        if let Err(error) = wanted.salvage(&map, &logs, is_trial, &mut done) {
            // The other maps are salvaged all the same.
            let reason = format!("not now: {error:#}");
            done.left_alone.push(LeftAlone { map, reason });
        }
    }
    Ok(done)
}

/// The logs whose maps are wanted.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    All,
    /// The log with this path, or the log that the file at this path is a segment of: it can have been moved.
    Log(PathBuf),
    /// The logs in this directory, in the same two ways.
    Directory(PathBuf),
}

impl Wanted {
    pub(crate) fn log(path: &Path) -> Wanted {
        Wanted::Log(absolute(path))
    }

    pub(crate) fn directory(path: &Path) -> Wanted {
        Wanted::Directory(absolute(path))
    }

    /// The ids of the logs, as far as files show them.
    fn log_ids(&self) -> Vec<LogId> {
        match self {
            Wanted::All => Vec::new(),
            Wanted::Log(path) => log_id_at(path).into_iter().collect(),
            Wanted::Directory(directory) => {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.filter_map(|entry| log_id_at(&entry.path())).collect()
            }
        }
    }

    fn salvage(
        &self,
        map: &Path,
        log_ids: &[LogId],
        is_trial: bool,
        done: &mut Salvage,
    ) -> Result<(), Error> {
        match CrashMap::peek(map)? {
            Some(Ok(head)) if head.logs > 0 => {
                match self.manager_at(&path_in(&head), || has_log(map, log_ids))? {
                    Some(directory) => salvage_manager(map, &directory, is_trial, done),
                    None => Ok(()),
                }
            }
            _ => {
                let config = |head: &MapHead| self.path_for(head, log_ids).map(Config::new);
                salvage_map(map, config, is_trial, done)
            }
        }
    }

    /// The directory of a manager now; `None` if it is not wanted. All events of a manager are salvaged together.
    ///
    /// # Errors
    /// Those of `is_moved`, which looks into the map.
    fn manager_at(
        &self,
        at_death: &Path,
        is_moved: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<Option<PathBuf>, Error> {
        let directory = match self {
            Wanted::All => at_death,
            Wanted::Log(path) => path.parent().unwrap_or(Path::new("/")),
            Wanted::Directory(path) => path,
        };
        Ok((directory == at_death || is_moved()?).then(|| directory.to_owned()))
    }

    /// The path of the log of this map now; `None` if the map is not wanted.
    fn path_for(&self, head: &MapHead, log_ids: &[LogId]) -> Option<PathBuf> {
        let at_death = path_in(head);
        let is_moved = log_ids.contains(&head.log_id);
        match self {
            Wanted::All => Some(at_death),
            Wanted::Log(path) if *path == at_death => Some(at_death),
            Wanted::Log(path) => is_moved.then(|| {
                // The path can be that of an archived segment; the log has its own name beside that.
                let beside = path.with_file_name(at_death.file_name().unwrap_or_default());
                if beside.is_file() { beside } else { path.clone() }
            }),
            Wanted::Directory(directory) => {
                let is_here = at_death.parent() == Some(directory);
                let name = at_death.file_name().filter(|_| is_here || is_moved)?;
                Some(directory.join(name))
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
