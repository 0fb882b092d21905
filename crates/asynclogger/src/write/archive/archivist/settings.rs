//! The archivist's settings for a log.

use super::{
    shelf::{DoneBelow, Shelf},
    whole::WholeDirectory,
};
use crate::{
    Archived, Compression, Config, Error, Retention,
    config::Callback,
    io::Directory,
    sync::Arc,
    write::{archive::names::LogName, common::panicked},
};

/// The settings of one log for its files in one directory, and the results of reading these files.
pub(crate) struct ArchiveSettings {
    pub(super) shelf: Arc<Shelf>,
    pub(super) name: LogName,
    /// The full name, as in the starts of the log's files.
    pub(super) full_name: Vec<u8>,
    pub(super) retention: Retention,
    pub(super) compression: Compression,
    /// Bytes to compress per second.
    #[cfg(feature = "zstd")]
    pub(super) rate: u64,
    on_archived: Option<Callback<Archived>>,
    /// For an event: the limit over all events of the directory, if any.
    pub(super) whole: Option<Arc<WholeDirectory>>,
    pub(super) done_below: Arc<DoneBelow>,
}

impl ArchiveSettings {
    /// The settings for the files of this name in this directory, from a validated config.
    pub(crate) fn new(
        config: &Config,
        directory: Arc<Directory>,
        name: LogName,
    ) -> ArchiveSettings {
        ArchiveSettings {
            shelf: Shelf::new(config, directory),
            full_name: name.base().as_encoded_bytes().to_vec(),
            name,
            retention: config.retention.clone(),
            compression: config.compression,
            #[cfg(feature = "zstd")]
            rate: config.compression_rate,
            on_archived: config.on_archived.clone(),
            whole: None,
            done_below: Arc::default(),
        }
    }

    /// The same settings for an event with this full name.
    pub(crate) fn named(mut self, full_name: &[u8]) -> ArchiveSettings {
        self.full_name = full_name.to_vec();
        self
    }

    /// The same settings for an event in a directory with a limit over all events.
    pub(crate) fn within(mut self, whole: Option<Arc<WholeDirectory>>) -> ArchiveSettings {
        self.whole = whole;
        self
    }

    /// The full name of the log.
    pub(crate) fn full_name(&self) -> &[u8] {
        &self.full_name
    }

    /// Whether the archivist has work with an archived segment.
    pub(super) fn wants_archived(&self) -> bool {
        self.wants_sweep() || self.on_archived.is_some() || self.whole.is_some()
    }

    /// Whether an earlier process can have left work undone.
    pub(super) fn wants_sweep(&self) -> bool {
        self.compression != Compression::Off || self.has_limits()
    }

    /// Whether a limit, other than a full disk, deletes segments.
    pub(super) fn has_limits(&self) -> bool {
        let Retention { keep, max_age, max_total, .. } = self.retention;
        keep.is_some() || max_age.is_some() || max_total.is_some()
    }

    pub(super) fn has_on_archived(&self) -> bool {
        self.on_archived.is_some()
    }

    /// Reports an error to the user. A panic of the callback does not pass on.
    pub(super) fn tell(&self, error: &Error) {
        self.shelf.tell(error);
    }

    /// Reports an archived segment to the user.
    pub(super) fn tell_archived(&self, archived: &Archived) {
        let Some(callback) = &self.on_archived else {
            return;
        };
        if let Err(panic) = callback.call(archived) {
            self.tell(&panicked("Config::on_archived", &*panic).at_path(&archived.path));
        }
    }
}
