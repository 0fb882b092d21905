//! When a directory has to be read again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// A change of a directory gets the time of the kernel's last tick, or of another machine. Two changes within
/// this time can leave the same time of modification.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// The directory is read again after this time even if it is unchanged: a new file that had no start yet at
/// the last look does not change its directory when it gets one.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The state that a directory showed just before it was read.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    modified: Option<SystemTime>,
    is_settled: bool,
    at: Instant,
}

impl Listed {
    pub(super) fn now(dir: &Path) -> Listed {
        let modified = fs::metadata(dir).and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        let is_settled = age.is_some_and(|age| age > SETTLED_AFTER);
        Listed { modified, is_settled, at: Instant::now() }
    }

    /// Whether the earlier reading of the directory is still right, by the state that the directory shows
    /// `now`.
    pub(super) fn is_still_right(&self, now: &Listed) -> bool {
        let is_young = now.at.saturating_duration_since(self.at) < AGAIN_AFTER;
        self.is_settled && is_young && self.modified == now.modified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_that_lay_still_is_not_read_again() {
        let (time, at) = (SystemTime::UNIX_EPOCH, Instant::now());
        let listed = |modified, is_settled, at| Listed { modified: Some(modified), is_settled, at };
        let (before, now) = (listed(time, true, at), listed(time, true, at));
        assert!(before.is_still_right(&now));
        assert!(!before.is_still_right(&listed(time, true, at + AGAIN_AFTER)));
        assert!(!before.is_still_right(&listed(time + SETTLED_AFTER, true, at)));
        assert!(!listed(time, false, at).is_still_right(&now));
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!Listed::now(dir.path()).is_settled);
        assert!(!Listed::now(&dir.path().join("gone")).is_settled);
    }
}
