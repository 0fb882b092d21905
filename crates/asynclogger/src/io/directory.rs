//! The directory of a log: names are opened in it, renamed in it, and made durable by it.

use std::{
    ffi::OsStr,
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, RenameFlags, fstat, linkat, openat, renameat_with, statat,
        unlinkat,
    },
    io::Errno,
};

use crate::Error;

const NO_LINKS: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    path: PathBuf,
}

impl Directory {
    /// Opens `path`, making it and its parents if they are missing.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(crate) fn open_or_create(path: &Path) -> Result<Directory, Error> {
        // An empty path is how `Path::parent` spells the working directory.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        std::fs::create_dir_all(path)
            .map_err(|error| Error::io("cannot make the directory", error).at_path(path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| Error::io("cannot open the directory", errno).at_path(path))?;
        Ok(Directory { file: File::from(opened), path: path.to_path_buf() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory this is, by whatever path it was reached.
    pub(crate) fn identity(&self) -> Result<(u64, u64), Error> {
        let stat = fstat(&self.file)
            .map_err(|errno| Error::io("cannot stat the directory", errno).at_path(&self.path))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    pub(super) fn open_at(&self, name: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Error> {
        openat(&self.file, name, flags, mode)
            .map_err(|errno| Error::io("cannot open", errno).at_path(&self.path.join(name)))
    }

    /// Renames within the directory; `Ok(false)` if `to` exists. Nothing is ever overwritten.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(crate) fn rename_to_new(&self, from: &OsStr, to: &OsStr) -> Result<bool, Error> {
        let result = match renameat_with(&self.file, from, &self.file, to, RenameFlags::NOREPLACE) {
            // File systems without the flag: a link fails where the name is taken, just as well.
            Err(Errno::INVAL) => self.link_and_unlink(from, to),
            result => result,
        };
        match result {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io(format!("cannot rename to {}", to.display()), errno)
                .at_path(&self.path.join(from))),
        }
    }

    fn link_and_unlink(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        linkat(&self.file, from, &self.file, to, AtFlags::empty())?;
        unlinkat(&self.file, from, AtFlags::empty())
    }

    /// Which file has a name; `None`: none has. Of a link, the link.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(crate) fn identity_of(&self, name: &OsStr) -> Result<Option<(u64, u64)>, Error> {
        match statat(&self.file, name, NO_LINKS) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("cannot stat", errno).at_path(&self.path.join(name))),
        }
    }

    /// Removes a name if it is still that of `file`, which is provably ours to remove.
    pub(crate) fn remove(&self, name: &OsStr, file: &File) {
        let (Ok(ours), Ok(named)) = (fstat(file), statat(&self.file, name, NO_LINKS)) else {
            return;
        };
        if (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino) {
            // It stays where it is if that fails: empty, and no harm to anybody.
            let _ = unlinkat(&self.file, name, AtFlags::empty());
        }
    }

    /// Makes created and renamed names durable.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(|error| Error::io("cannot sync the directory", error).at_path(&self.path))
    }
}
