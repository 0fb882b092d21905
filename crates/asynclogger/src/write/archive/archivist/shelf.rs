//! The archivist's view of a directory, and its progress with a log.

use super::catalog::Catalog;
use crate::{
    Config, Error,
    config::{Callback, tell},
    io::Directory,
    sync::{Arc, AtomicU64, Mutex, Ordering},
};

/// A directory, the results of reading its files, and the callback for errors there.
pub(super) struct Shelf {
    pub(super) directory: Arc<Directory>,
    on_error: Option<Callback<Error>>,
    /// Used by the archivist alone, and locked only while a directory is searched.
    pub(super) catalog: Mutex<Catalog>,
}

impl Shelf {
    pub(super) fn new(config: &Config, directory: Arc<Directory>) -> Arc<Shelf> {
        let (on_error, catalog) = (config.on_error.clone(), Mutex::default());
        Arc::new(Shelf { directory, on_error, catalog })
    }

    /// Reports an error to the user. A panic of the callback does not pass on.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }
}

/// The segment before which the archivist has done all its work.
#[derive(Default)]
pub(super) struct DoneBelow(AtomicU64);

impl DoneBelow {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn raise(&self, segment: u64) {
        self.0.fetch_max(segment, Ordering::Relaxed);
    }
}
