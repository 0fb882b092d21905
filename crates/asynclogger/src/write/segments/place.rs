//! A directory, and the name of a log in it.

use std::path::Path;

use super::{
    existing::{Existing, inspect, refuse_irregular},
    prepared,
};
use crate::{
    Config, Error,
    format::LogId,
    io::{Directory, EventsLock, KeepWhen, Kept, WriterLock},
    sync::Arc,
    write::archive::{ArchiveSettings, LogName, WholeDirectory},
};

/// The place where a log is written. No other logger writes the log there while this value lives.
///
/// All files are reached through the open directory: a path that is looked up again can lead into another directory,
/// which somebody has put into the place of this one.
pub(super) struct Place {
    pub(super) directory: Arc<Directory>,
    pub(super) name: LogName,
    pub(super) archive: Arc<ArchiveSettings>,
    pub(super) lock: WriterLock,
}

impl Place {
    /// Opens and locks the place of a log at this path. `full_name`: the name of the event, if the log is an event's.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse), the system's errors.
    pub(super) fn of(
        path: &Path,
        config: &Config,
        full_name: Option<&[u8]>,
    ) -> Result<Place, Error> {
        let name = LogName::of(path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let directory = Arc::new(Directory::open_or_create(parent)?);
        // The check comes before any file is made for the log.
        refuse_irregular(&directory, name.file())?;
        let lock = WriterLock::take(&directory, name.base(), name.file(), path)?;
        let mut archive = ArchiveSettings::new(config, directory.clone(), name.clone());
        if let Some(full_name) = full_name {
            archive = archive.named(full_name);
        }
        Ok(Place { directory, name, archive: Arc::new(archive), lock })
    }

    /// Locks the place of an event's log, in a directory that is locked as a whole.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse), the system's errors.
    pub(super) fn of_event(
        directory: Arc<Directory>,
        lock: &EventsLock,
        config: &Config,
        full_name: &str,
        whole: Option<Arc<WholeDirectory>>,
    ) -> Result<Place, Error> {
        let name = LogName::of(config.path())?;
        let lock = lock.take_event(&directory, name.base(), config.path())?;
        let archive = ArchiveSettings::new(config, directory.clone(), name.clone());
        let archive = archive.named(full_name.as_bytes()).within(whole);
        Ok(Place { directory, name, archive: Arc::new(archive), lock })
    }

    /// Inspects the file at the log's name.
    ///
    /// # Errors
    /// [`ErrorKind::NotAFile`](crate::ErrorKind::NotAFile), the system's errors.
    pub(super) fn inspect(&self) -> Result<Existing, Error> {
        inspect(&self.directory, self.name.file(), self.archive.full_name())
    }

    /// Removes files that earlier sessions of this log prepared here and did not use.
    pub(super) fn remove_unused(&self, log_id: LogId) {
        let full_name = self.archive.full_name();
        // A file that cannot be removed stays: the next file takes another name.
        let _ = prepared::remove_unused(&self.directory, &self.name, log_id, full_name);
    }

    /// Gives the place up after the log was refused there, and removes a new lock file.
    pub(super) fn withdraw(self) {
        self.lock.withdraw(&self.directory);
    }

    /// If the directory was deleted, continues with the directory that has its path now; makes one if none exists.
    ///
    /// # Errors
    /// The system's errors.
    pub(super) fn find_again(&mut self) -> Result<Kept, Error> {
        match self.directory.find_again()? {
            true => self.keep_lock(KeepWhen::Now),
            false => Ok(Kept::Held),
        }
    }

    /// Makes sure that this log may change what stands at its name: the directory is there, and the lock is held.
    ///
    /// # Errors
    /// The same as for [`keep_lock`](Place::keep_lock).
    pub(super) fn secure(&mut self) -> Result<Kept, Error> {
        self.directory.find_again()?;
        self.keep_lock(KeepWhen::Now)
    }

    /// Makes and locks the lock file again if it was removed or replaced.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another writer has the lock by now; the system's errors.
    pub(super) fn keep_lock(&mut self, when: KeepWhen) -> Result<Kept, Error> {
        let path = self.directory.path().join(self.name.file());
        self.lock.keep(&self.directory, &path, when)
    }
}
