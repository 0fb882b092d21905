//! Which logs are salvaged, and where they are now.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{log_id_at, path_of};
use crate::{LogId, format::MapHead};

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
    pub(super) fn log_ids(&self) -> Vec<LogId> {
        match self {
            Wanted::All => Vec::new(),
            Wanted::Log(path) => log_id_at(path).into_iter().collect(),
            Wanted::Directory(directory) => {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.filter_map(|entry| log_id_at(&entry.path())).collect()
            }
        }
    }

    /// The path of the log of this map now; `None` if the map is not wanted.
    pub(super) fn path_for(&self, head: &MapHead, log_ids: &[LogId]) -> Option<PathBuf> {
        let at_death = path_of(head);
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
