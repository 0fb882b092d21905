//! Files and standard output of Unix.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

/// Standard output without the buffer of std, which is one for lines.
pub(crate) type Stdout = File;

pub(crate) fn stdout() -> io::Result<Stdout> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Which file it is, whatever its name is.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file that did not exist, with these rights, less what the process masks.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Gives a file the rights of another one to reading, writing and executing.
pub(crate) fn give_rights(file: &File, of: &Metadata) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(of.permissions().mode() & 0o777))
}

/// Gives a file another name, which no file has.
pub(crate) fn rename_new(old: &Path, new: &Path) -> io::Result<()> {
    match renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
        // Not every file system has this; links never replace a file, either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(old, new)?;
            fs::remove_file(old)
        }
        renamed => Ok(renamed?),
    }
}
