//! One limit for the archived segments of all events in a directory.
//!
//! An event's active file carries the id of the log and the event's name, and so identifies the event's files. Events
//! that are not open have an active file, too.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
};

use super::{
    catalog::Candidate,
    shelf::{DoneBelow, Shelf},
};
use crate::{
    Config, Error,
    io::Directory,
    locks::lock_name,
    probe::{Origin, Packing},
    sync::{Arc, Mutex, Weak, lock},
    write::{
        archive::{
            names, open_segment,
            retention::{self, OneOf},
        },
        common::{fault, wall_clock},
    },
};

/// Whether the log of this file name, without `.log`, can be that of an event with this full name.
pub(crate) type IsEvent = fn(base: &OsStr, full_name: &[u8]) -> bool;

/// The limit over a directory, and the results of reading its files.
pub(crate) struct WholeDirectory {
    pub(super) shelf: Arc<Shelf>,
    max: u64,
    is_event: IsEvent,
    /// The archivist's progress with each open event, by the base of the event's file name.
    open: Mutex<HashMap<OsString, Weak<DoneBelow>>>,
}

/// A log, and its files as listed.
struct EventLog {
    files: Vec<Candidate>,
    log: OneOf,
    full_name: Vec<u8>,
}

impl WholeDirectory {
    /// The limit of this config; `None` if the config sets none.
    pub(crate) fn of(
        config: &Config,
        directory: &Arc<Directory>,
        is_event: IsEvent,
    ) -> Result<Option<Arc<WholeDirectory>>, Error> {
        let Some(max) = config.retention.directory_total else {
            return Ok(None);
        };
        let shelf = Shelf::new(config, directory.clone());
        Ok(Some(Arc::new(WholeDirectory { shelf, max, is_event, open: Mutex::default() })))
    }

    /// Reports that an event is open: only those of its segments are deleted with which the archivist is done.
    pub(super) fn opened(&self, base: &OsStr, done_below: &Arc<DoneBelow>) {
        let mut open = lock(&self.open);
        if open.len() == open.capacity() {
            // Closed events are forgotten before the table takes more memory.
            open.retain(|_, done_below| done_below.strong_count() > 0);
        }
        open.insert(base.to_owned(), Arc::downgrade(done_below));
    }

    /// Deletes the segments beyond the limit.
    ///
    /// # Errors
    /// The system's errors; the next call tries again.
    pub(super) fn retain(&self) -> Result<(), Error> {
        let directory = &self.shelf.directory;
        let by_base = self.list()?;
        let sizes = by_base.values().flatten().map(|file| u128::from(file.state.on_disk));
        if sizes.sum::<u128>() <= u128::from(self.max) {
            return Ok(());
        }
        let found = self.find(by_base);
        let (files, logs): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|EventLog { files, log, full_name }| ((files, full_name), log))
            .unzip();
        let (mut deleted, mut failed) = (0, Ok(()));
        let mut keeps = vec![false; logs.len()];
        for (log, segment) in retention::select_of_all(&logs, self.max, wall_clock()) {
            for index in segment {
                // No file of this log behind a failed deletion is deleted: that would leave a hole.
                if keeps[log] {
                    continue;
                }
                let lineage = logs[log].files[index].lineage;
                fault::kill_point("before a deletion");
                match files[log].0[index].delete(directory, (lineage, &files[log].1)) {
                    Ok(()) => deleted += 1,
                    Err(error) => (keeps[log], failed) = (true, Err(error)),
                }
                fault::kill_point("after a deletion");
            }
        }
        if deleted > 0 {
            directory.sync()?;
        }
        failed
    }

    /// All files with archived names, by the names of their logs.
    fn list(&self) -> Result<BTreeMap<OsString, Vec<Candidate>>, Error> {
        let directory = &self.shelf.directory;
        // A hidden file is no log of an event.
        let is_archived = |name: &OsStr| {
            !name.as_encoded_bytes().starts_with(b".") && names::archived_name(name).is_some()
        };
        let mut by_base = BTreeMap::<_, Vec<_>>::new();
        for name in directory.names(is_archived)? {
            let Some((base, packing)) = names::archived_name(&name) else { continue };
            let base = base.to_owned();
            // A file that is gone by now is left out; the others count all the same.
            if let Ok(Some(state)) = directory.look_at(&name) {
                by_base.entry(base).or_default().push(Candidate { name, packing, state });
            }
        }
        Ok(by_base)
    }

    /// The logs of events, and their files.
    fn find(&self, by_base: BTreeMap<OsString, Vec<Candidate>>) -> Vec<EventLog> {
        let directory = &self.shelf.directory;
        let mut catalog = lock(&self.shelf.catalog);
        let mut open = lock(&self.open);
        open.retain(|_, done_below| done_below.strong_count() > 0);
        let mut found = Vec::new();
        for (base, listed) in by_base {
            // If a log cannot be inspected, none of its files is deleted.
            let log = self.active_of(&base).unwrap_or_else(|error| {
                self.shelf.tell(&error);
                None
            });
            let Some((mut log, full_name)) = log else { continue };
            if let Some(done_below) = open.get(&base).and_then(Weak::upgrade) {
                log.active.segment = log.active.segment.min(done_below.get());
            }
            let (segments, files) = catalog.segments(directory, listed, &full_name, false);
            log.files = segments;
            found.push(EventLog { files, log, full_name });
        }
        found
    }

    /// The log at this name and the event's name, if the log is an event's.
    fn active_of(&self, base: &OsStr) -> Result<Option<(OneOf, Vec<u8>)>, Error> {
        let directory = &self.shelf.directory;
        let mut name = base.to_owned();
        name.push(".log");
        // If a lock file exists, a plain logger writes the log, or did: a lock file stays.
        if directory.look_at(&lock_name(base))?.is_some() {
            return Ok(None);
        }
        let Some((mut source, _)) = open_segment(directory, &name, Packing::Plain)? else {
            return Ok(None);
        };
        let origin = Origin::read(&mut source)?.ok();
        let of_event = origin.filter(|origin| (self.is_event)(base, &origin.name));
        Ok(of_event.map(|origin| {
            let (active, began) = (origin.lineage(), origin.prefix.time);
            (OneOf { files: Vec::new(), active, began }, origin.name)
        }))
    }
}
