//! Opens what is to be read by a [`Reader`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{options::ReadOptions, reader::Reader, report::Report};
use crate::{
    Error,
    probe::{Given, ReadAt, Source},
};

impl ReadOptions {
    /// Opens `path` for reading.
    ///
    /// # Errors
    ///
    /// `NotAFile`, `NotALog`, `UnsupportedVersion`, `MissingFeature` or `Io`. An empty file is an empty log.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Reader, Error> {
        Reader::with(Source::open(path.as_ref())?, &self)
    }

    /// Opens for reading what need not be a file of this system: an object in a store, for example. `name` stands for the
    /// path in errors and in the report, and ends as the name of such a file does.
    ///
    /// # Errors
    ///
    /// `NotALog`, `UnsupportedVersion`, `MissingFeature` or `Io`.
    pub fn open_at(
        self,
        name: impl Into<PathBuf>,
        bytes: Arc<dyn ReadAt>,
    ) -> Result<Reader, Error> {
        Reader::with(Source::given(&name.into(), Given::new(bytes))?, &self)
    }
}

/// Reads a whole file and reports on it.
///
/// # Errors
///
/// The same as [`Reader::open`] and [`Reader::next_record`]. Damage is not an error; the report lists it.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    let mut reader = Reader::open(path)?;
    reader.read_to_end()?;
    Ok(reader.report().clone())
}
