//! Finds out, by a cheap and frequent look, whether a path names another log than before.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use asynclogger::{
    Error, LogId,
    read::{LogDir, ReadOptions},
};

use crate::{sources::logs_of, system::identity};

/// The path is looked at again after this time even if it seems unchanged: a change inside a file does not
/// change its directory.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A path that is watched while the log that it named is followed.
pub(crate) struct Watch {
    path: PathBuf,
    event: Option<String>,
    options: ReadOptions,
    /// The state of the path when it was last known to name the followed log.
    seen: Option<Seen>,
    looked_at: Option<Instant>,
}

/// The state that shows whether a file was replaced or emptied, or a directory changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    changed: Option<SystemTime>,
    len: u64,
}

impl Seen {
    fn of(path: &Path) -> Option<Seen> {
        let metadata = fs::metadata(path).ok()?;
        let is_dir = metadata.is_dir();
        // The growth of a file is not a change.
        let changed = metadata.modified().ok().filter(|_| is_dir);
        Some(Seen {
            file: identity(&metadata),
            changed,
            len: if is_dir { 0 } else { metadata.len() },
        })
    }

    fn is_the_same(&self, now: &Seen) -> bool {
        (self.file, self.changed) == (now.file, now.changed) && self.len <= now.len
    }
}

impl Watch {
    pub(crate) fn new(path: &Path, event: Option<&str>, options: ReadOptions) -> Watch {
        let event = event.map(str::to_owned);
        Watch { path: path.to_owned(), event, options, seen: None, looked_at: None }
    }

    /// The log that the path names now, if the log is not `followed`.
    pub(crate) fn another(&mut self, followed: Option<LogId>) -> Option<LogDir> {
        let now = Seen::of(&self.path)?;
        let is_young = self.looked_at.is_some_and(|at| at.elapsed() < AGAIN_AFTER);
        if is_young && self.seen.is_some_and(|seen| seen.is_the_same(&now)) {
            self.seen = Some(now);
            return None;
        }
        // If the log cannot be found out yet, the next call looks again.
        let named = self.named(followed).ok().flatten()?;
        if named.log_id().is_some() && named.log_id() != followed {
            return Some(named);
        }
        if named.log_id().is_some() {
            (self.seen, self.looked_at) = (Some(now), Some(Instant::now()));
        }
        None
    }

    /// The log that the path names. In a directory this is the followed log as long as it exists, otherwise
    /// the only one.
    fn named(&self, followed: Option<LogId>) -> Result<Option<LogDir>, Error> {
        if !self.path.is_dir() {
            return self.options.open_log(&self.path).map(Some);
        }
        let mut logs = logs_of(&self.path, self.event.as_deref(), self.options)?.logs;
        let place = logs.iter().position(|log| followed.is_some() && log.log_id() == followed);
        Ok(match place {
            Some(place) => Some(logs.swap_remove(place)),
            None if logs.len() == 1 => logs.pop(),
            None => None,
        })
    }
}
