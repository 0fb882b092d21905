//! All logs of a directory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    listing::{Listing, list, list_given},
    log_dir::LogDir,
    options::ReadOptions,
};
use crate::{
    Error,
    probe::{ReadAt, is_gone},
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

    /// Opens all logs among these files, which need not be files of this system: objects in a store, for example. Each has a
    /// name, which stands for its path in errors and reports; the name of a log's file ends as the file's does. The files of
    /// a log are found by what they contain, as in a directory. A log has no other files than these, and nobody writes
    /// them.
    ///
    /// ```
    /// # fn main() -> Result<(), asynclogger::Error> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.log");
    /// use asynclogger::read::{ReadAt, ReadOptions};
    /// use std::{fs::File, path::PathBuf, sync::Arc};
    ///
    /// let file: Arc<dyn ReadAt> = Arc::new(File::open(path).expect("a file"));
    /// let scan = ReadOptions::new().scan_given([(PathBuf::from("s3://logs/v1.log"), file)]);
    /// let mut log = scan.logs.into_iter().next().expect("a log");
    /// let mut records = 0;
    /// while log.next_record()?.is_some() {
    ///     records += 1;
    /// }
    /// assert_eq!(records, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan_given(self, files: impl IntoIterator<Item = (PathBuf, Arc<dyn ReadAt>)>) -> Scan {
        LogDir::scan_of(None, list_given(files.into_iter()), self)
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
        Ok(LogDir::scan_of(Some(dir), list(dir, None)?, options))
    }

    fn scan_of(dir: Option<&Path>, listing: Listing, options: ReadOptions) -> Scan {
        let Listing { logs, others, mut unreadable } = listing;
        let ours = logs.into_iter().map(|(log_id, files)| {
            let mut log = LogDir::new(dir, Some(log_id), files.segments, options);
            log.copies = files.copies;
            log
        });
        let mut logs: Vec<LogDir> = ours.collect();
        for other in others {
            match other.segment() {
                Ok(segment) => logs.push(LogDir::new(dir, None, vec![segment], options)),
                Err(error) if is_gone(&error) => {}
                Err(error) => unreadable.push(error),
            }
        }
        Scan { logs, unreadable }
    }
}
