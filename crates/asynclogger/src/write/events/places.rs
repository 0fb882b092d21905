//! The places for events in the map of a crash-safe manager.

use super::{event::Event, in_map::InMap};
use crate::{
    Error, ErrorKind,
    sync::{Arc, Mutex, lock},
    write::crash::{CrashMap, Identity, LogAccount},
};

/// The map, and which of its places for events are free.
pub(super) struct Places {
    map: Arc<CrashMap>,
    free: Mutex<Vec<u32>>,
}

impl Places {
    pub(super) fn new(map: &Arc<CrashMap>) -> Places {
        let free = (0..map.head().logs).rev().collect();
        Places { map: map.clone(), free: Mutex::new(free) }
    }

    /// Takes a place for an event, which has an empty account there.
    ///
    /// # Errors
    /// [`ErrorKind::CrashMap`] if all places are taken, or the system has no memory for one more.
    pub(super) fn take(&self, identity: &Identity) -> Result<(InMap, LogAccount), Error> {
        let log = lock(&self.free).pop().ok_or_else(|| {
            let most = self.map.head().logs;
            let what = format!(
                "crash safety has room for {most} open events, and all are taken (CrashSafe::events)"
            );
            Error::new(ErrorKind::CrashMap, what)
        })?;
        if let Err(error) = self.map.make_ready(log as usize + 1) {
            lock(&self.free).push(log);
            return Err(self.map.lacks_room(&error));
        }
        let account = self.map.enter(log as usize, identity);
        Ok((InMap { map: self.map.clone(), log }, account))
    }

    /// Gives the place of an event back: its file has ended.
    pub(super) fn give_back(&self, event: &Event) {
        if let Some(InMap { log, .. }) = event.place() {
            self.map.leave(*log as usize);
            lock(&self.free).push(*log);
        }
    }
}
