//! Files that have no name until they are complete: a process that is killed leaves none.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

/// A file without a name that can get one in this directory.
///
/// # Errors
/// Not every file system has such files, and without `/proc` they cannot get a name.
pub(crate) fn create_nameless(directory: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(open(directory, flags, Mode::from_raw_mode(mode))?);
    path_of(&file).metadata()?;
    Ok(file)
}

/// A path at which this process can open the file.
pub(crate) fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Gives the file a name, which no file has.
pub(crate) fn name(file: &File, path: &Path) -> io::Result<()> {
    Ok(linkat(CWD, path_of(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}
