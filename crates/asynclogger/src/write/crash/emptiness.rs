//! When a map is needed no more.

use super::{
    account::LogAccount,
    map::{CrashMap, Owned},
};
use crate::sync::Arc;

impl CrashMap {
    /// Whether its writer died before it had a file.
    pub(in crate::write) fn is_unused(self: &Arc<CrashMap>) -> bool {
        let logs = self.head().logs as usize;
        let is_begun = match logs {
            0 => LogAccount::of(self, 0).has_file(),
            logs => (0..logs).any(|log| self.identity(log).is_some()),
        };
        !is_begun && self.has_no_owners()
    }

    fn has_no_owners(&self) -> bool {
        self.owned().is_ok_and(|owned| owned.is_empty())
    }

    /// Removes the map if all its records are in files: if no part is on its way, and no buffer waits for its place.
    pub(in crate::write) fn remove_if_empty(self: &Arc<CrashMap>) {
        let is_empty = if self.head().logs > 0 {
            (0..self.head().logs as usize).all(|log| !self.is_entered(log)) && self.has_no_owners()
        } else {
            let account = LogAccount::of(self, 0);
            let has_place =
                |owned: &Owned| owned.generation < account.next_generation(owned.shard as usize);
            account.bounds().is_ok_and(|(first, next)| first == next)
                && self.owned().is_ok_and(|owned| owned.iter().all(has_place))
        };
        if is_empty {
            // A map that stays is found to be empty at the next opening.
            let _ = self.remove();
        }
    }
}
