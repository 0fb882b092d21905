//! What the archivist has to know of a log.

use super::{catalog::Catalog, whole::WholeDirectory};
use crate::{
    Archived, Compression, Config, Error, Retention,
    config::{Callback, tell},
    io::Directory,
    sync::{Arc, AtomicU64, Mutex, Ordering},
    write::{archive::names::LogName, common::panicked},
};

/// The settings of one log for its files in one directory, and what is known of these.
pub(crate) struct ArchiveSettings {
    pub(super) directory: Arc<Directory>,
    pub(super) name: LogName,
    /// As starts have it.
    pub(super) full_name: Vec<u8>,
    pub(super) retention: Retention,
    pub(super) compression: Compression,
    /// Bytes that are compressed in a second.
    #[cfg(feature = "zstd")]
    pub(super) rate: u64,
    on_archived: Option<Callback<Archived>>,
    on_error: Option<Callback<Error>>,
    /// The limit over all events of the directory, of an event.
    pub(super) whole: Option<Arc<WholeDirectory>>,
    /// With the segments before this one the archivist is done.
    done_below: AtomicU64,
    /// Touched by the archivist alone, and locked only while a directory is looked through.
    pub(super) catalog: Mutex<Catalog>,
}

impl ArchiveSettings {
    /// Of a log with this validated config, for its files of this name in this directory.
    pub(crate) fn new(
        config: &Config,
        directory: Arc<Directory>,
        name: LogName,
    ) -> ArchiveSettings {
        ArchiveSettings {
            directory,
            full_name: name.base().as_encoded_bytes().to_vec(),
            name,
            retention: config.retention.clone(),
            compression: config.compression,
            #[cfg(feature = "zstd")]
            rate: config.compression_rate,
            on_archived: config.on_archived.clone(),
            on_error: config.on_error.clone(),
            whole: None,
            done_below: AtomicU64::new(0),
            catalog: Mutex::default(),
        }
    }

    /// Of an event with this full name.
    pub(crate) fn named(mut self, full_name: &[u8]) -> ArchiveSettings {
        self.full_name = full_name.to_vec();
        self
    }

    /// Of an event in a directory with a limit over all.
    pub(crate) fn within(mut self, whole: Option<Arc<WholeDirectory>>) -> ArchiveSettings {
        self.whole = whole;
        self
    }

    /// The full name of the log.
    pub(crate) fn full_name(&self) -> &[u8] {
        &self.full_name
    }

    /// With the segments before this one the archivist is done.
    pub(super) fn done_below(&self) -> u64 {
        self.done_below.load(Ordering::Relaxed)
    }

    pub(super) fn set_done_below(&self, segment: u64) {
        self.done_below.fetch_max(segment, Ordering::Relaxed);
    }

    /// Whether anything is to be done with an archived segment.
    pub(super) fn wants_archived(&self) -> bool {
        self.wants_sweep() || self.on_archived.is_some() || self.whole.is_some()
    }

    /// Whether anything can have been left undone.
    pub(super) fn wants_sweep(&self) -> bool {
        self.compression != Compression::Off || self.has_limits()
    }

    /// Whether segments are deleted without need.
    pub(super) fn has_limits(&self) -> bool {
        let Retention { keep, max_age, max_total, .. } = self.retention;
        keep.is_some() || max_age.is_some() || max_total.is_some()
    }

    pub(super) fn has_on_archived(&self) -> bool {
        self.on_archived.is_some()
    }

    /// Tells the user of an error. The callback's panics are its own.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }

    /// Tells the user of an archived segment.
    pub(super) fn tell_archived(&self, archived: &Archived) {
        let Some(callback) = &self.on_archived else {
            return;
        };
        if let Err(panic) = callback.call(archived) {
            self.tell(&panicked("Config::on_archived", &*panic).at_path(&archived.path));
        }
    }
}
