//! Where files have a name from their beginning.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

pub(crate) fn create_nameless(_directory: &Path, _mode: u32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is no such file.
pub(crate) fn path_of(_file: &File) -> PathBuf {
    PathBuf::new()
}

pub(crate) fn name(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
