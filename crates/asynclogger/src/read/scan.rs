//! All logs of a directory.

use std::path::Path;

use super::{
    listing::{Listing, list},
    log_dir::LogDir,
    options::ReadOptions,
    segments,
};
use crate::{
    Error,
    probe::{Source, is_gone},
};

/// The logs of a directory; made by [`LogDir::scan`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Scan {
    /// The logs, each with its segments, in no order.
    pub logs: Vec<LogDir>,
    /// One error for each file with a log's name, `*.log` or `*.log.zst`, that is not a log or could not be
    /// read.
    pub unreadable: Vec<Error>,
}

impl IntoIterator for Scan {
    type Item = LogDir;
    type IntoIter = std::vec::IntoIter<LogDir>;

    /// The logs.
    fn into_iter(self) -> std::vec::IntoIter<LogDir> {
        self.logs.into_iter()
    }
}

impl ReadOptions {
    /// Opens all logs of a directory; see [`LogDir::scan`].
    ///
    /// # Errors
    ///
    /// The same as [`LogDir::scan`].
    pub fn scan(self, dir: impl AsRef<Path>) -> Result<Scan, Error> {
        LogDir::scan_with(dir.as_ref(), self)
    }
}

impl LogDir {
    /// Finds all logs of a directory, each with its segments. A file of the original is a log of its own, and
    /// so is an empty file. A file is looked at whatever its name is, but only `*.log` and `*.log.zst` are
    /// reported if they are not logs or cannot be read. Such a file does not keep `scan` from finding the
    /// others.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory cannot be read.
    pub fn scan(dir: impl AsRef<Path>) -> Result<Scan, Error> {
        LogDir::scan_with(dir.as_ref(), ReadOptions::new())
    }

    pub(super) fn scan_with(dir: &Path, options: ReadOptions) -> Result<Scan, Error> {
        let Listing { logs, others, mut unreadable } = list(dir, None)?;
        let ours = logs.into_iter().map(|(log_id, files)| {
            let mut log = LogDir::new(dir, Some(log_id), files.segments, options);
            log.copies = files.copies;
            log
        });
        let mut logs: Vec<LogDir> = ours.collect();
        for path in others {
            match Source::open_listed(&path).and_then(segments::single) {
                Ok(segment) => logs.push(LogDir::new(dir, None, vec![segment], options)),
                Err(error) if is_gone(&error) => {}
                Err(error) => unreadable.push(error),
            }
        }
        Ok(Scan { logs, unreadable })
    }
}
