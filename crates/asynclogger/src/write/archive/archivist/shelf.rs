//! A directory as the archivist sees it, and how far it is with a log.

use super::catalog::Catalog;
use crate::{
    Config, Error,
    config::{Callback, tell},
    io::Directory,
    sync::{Arc, AtomicU64, Mutex, Ordering},
};

/// What is known of the files of a directory, and whom errors there are told.
pub(super) struct Shelf {
    pub(super) directory: Arc<Directory>,
    on_error: Option<Callback<Error>>,
    /// Touched by the archivist alone, and locked only while a directory is looked through.
    pub(super) catalog: Mutex<Catalog>,
}

impl Shelf {
    pub(super) fn new(config: &Config, directory: Arc<Directory>) -> Arc<Shelf> {
        let (on_error, catalog) = (config.on_error.clone(), Mutex::default());
        Arc::new(Shelf { directory, on_error, catalog })
    }

    /// Tells the user of an error. The callback's panics are its own.
    pub(super) fn tell(&self, error: &Error) {
        tell(self.on_error.as_ref(), error);
    }
}

/// With the segments before this one the archivist is done.
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
