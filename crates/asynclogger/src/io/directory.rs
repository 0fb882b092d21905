//! The directory of a log: opens, renames and removes names, and makes names durable.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, linkat, openat,
        renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    FileState,
    descriptor::above_standard,
    pwrite,
    seams::{self, Ability, Moment},
};
use crate::{
    Error,
    locks::Locked,
    sync::{Arc, Mutex, lock},
};

/// Names of the process's open files: a nameless file gets its name by them.
const OPEN_FILES: &str = "/proc/self/fd";
const NO_LINKS: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

/// The kind of a file that is not regular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Irregular {
    Directory,
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// An open directory. All names are reached through this descriptor, wherever the directory is moved.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Replaced when the directory was deleted and made again.
    file: Mutex<Arc<File>>,
    path: PathBuf,
    /// The same path from the root: the process can change its working directory.
    absolute: PathBuf,
}

impl Directory {
    /// Opens `path`, making it and its parents if they are missing.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn open_or_create(path: &Path) -> Result<Directory, Error> {
        // An empty path is how `Path::parent` spells the working directory.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let file = Mutex::new(Arc::new(make_and_open(path)?));
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Directory { file, path: path.to_path_buf(), absolute })
    }

    /// The descriptor.
    fn handle(&self) -> Arc<File> {
        lock(&self.file).clone()
    }

    /// Opens the directory that is now at the path, if the old one was deleted; makes a directory if none exists.
    /// Returns whether the directory was opened again.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn find_again(&self) -> Result<bool, Error> {
        let mut file = lock(&self.file);
        let stat = fstat(&**file)
            .map_err(|errno| Error::io("cannot stat the directory", errno).at_path(&self.path))?;
        if stat.st_nlink > 0 {
            return Ok(false);
        }
        *file = Arc::new(make_and_open(&self.absolute)?);
        Ok(true)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's device and inode, the same for every path to the directory.
    pub(crate) fn identity(&self) -> Result<(u64, u64), Error> {
        let stat = fstat(&*self.handle())
            .map_err(|errno| Error::io("cannot stat the directory", errno).at_path(&self.path))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// # Errors
    /// The system's errors, with the path; a file that this process has locked is refused with `EBUSY`: a close of the
    /// file would give up the lock.
    pub(super) fn open_at(&self, name: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Error> {
        self.open_unlocked(name, flags, mode)
            .map_err(|errno| Error::io("cannot open", errno).at_path(&self.path.join(name)))
    }

    fn open_unlocked(&self, name: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let handle = self.handle();
        // A new file is nobody's yet.
        let is_new = flags.intersects(OFlags::EXCL | OFlags::TMPFILE);
        if !is_new && Locked::has_any() {
            let stat = statat(&*handle, name, NO_LINKS)?;
            if Locked::has((stat.st_dev, stat.st_ino)) {
                return Err(Errno::BUSY);
            }
        }
        let opened = openat(&*handle, name, flags, mode).and_then(above_standard)?;
        if is_new { Ok(opened) } else { Locked::unless_locked(opened)?.ok_or(Errno::BUSY) }
    }

    /// The names that are `wanted`, without those that are certainly no regular files.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn names(&self, wanted: impl Fn(&OsStr) -> bool) -> Result<Vec<OsString>, Error> {
        let failed = |errno| Error::io("cannot list the directory", errno).at_path(&self.path);
        let mut names = Vec::new();
        // A new descriptor: listing moves the descriptor's position, and begins at the start.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&*self.handle(), ".", flags, Mode::empty()).and_then(above_standard);
        for entry in opened.and_then(Dir::new).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Some file systems do not report the kind of a file here.
            let may_be_file =
                matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if may_be_file && wanted(name) {
                names.push((entry.ino(), name.to_owned()));
            }
        }
        // By inode: most file systems store states and beginnings of files in this order, which matters with a cold
        // cache.
        names.sort_unstable();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// The regular file of this name; `None` if nothing, or something other than a regular file, has the name. Follows
    /// no link.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn look_at(&self, name: &OsStr) -> Result<Option<FileState>, Error> {
        match statat(&*self.handle(), name, NO_LINKS) {
            Ok(stat) => Ok(regular(&stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                Err(Error::io("cannot look at the file", errno).at_path(&self.path.join(name)))
            }
        }
    }

    /// The kind of the irregular file of this name; `None`: nothing has the name, or a regular file has it by now.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn irregular(&self, name: &OsStr) -> Result<Option<Irregular>, Error> {
        match statat(&*self.handle(), name, NO_LINKS) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => None,
                FileType::Directory => Some(Irregular::Directory),
                FileType::Symlink => Some(Irregular::Link),
                _ => Some(Irregular::Other),
            }),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                Err(Error::io("cannot look at the file", errno).at_path(&self.path.join(name)))
            }
        }
    }

    /// Opens the regular file of this name for reading; `None` means the same as for [`look_at`](Directory::look_at), or
    /// this process has locked the file.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn open_regular(&self, name: &OsStr) -> Result<Option<(File, FileState)>, Error> {
        if self.look_at(name)?.is_none_or(|state| Locked::has(state.identity)) {
            return Ok(None);
        }
        // If the name belongs to a pipe by now, the call must not wait for the pipe's other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = openat(&*self.handle(), name, flags, Mode::empty()).and_then(above_standard);
        let file = match opened.and_then(Locked::unless_locked) {
            Ok(Some(file)) => File::from(file),
            Ok(None) | Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(errno) => {
                return Err(Error::io("cannot open", errno).at_path(&self.path.join(name)));
            }
        };
        let state = fstat(&file)
            .map_err(|errno| Error::io("cannot stat", errno).at_path(&self.path.join(name)))?;
        Ok(regular(&state).map(|state| (file, state)))
    }

    /// Makes a file under a free name, with these permissions, whatever the process's mask is.
    ///
    /// # Errors
    /// The system's errors, with the path.
    #[cfg(feature = "zstd")]
    pub(crate) fn create_new(&self, name: &OsStr, mode: u32) -> Result<File, Error> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Not more than the owner's until the mode is set.
        let file = File::from(self.open_at(Path::new(name), flags, Mode::from_raw_mode(0o600))?);
        // A file system without modes has no reason to complain about.
        let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777));
        Ok(file)
    }

    /// Removes a name if the name is still that of the file with this identity. Returns whether the name was removed.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn remove_if(&self, name: &OsStr, identity: (u64, u64)) -> Result<bool, Error> {
        if self.look_at(name)?.is_none_or(|state| state.identity != identity) {
            return Ok(false);
        }
        match unlinkat(&*self.handle(), name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("cannot delete", errno).at_path(&self.path.join(name))),
        }
    }

    /// Gives back the space reserved behind the end of the file of this name, if the file still has this identity. No
    /// byte of the file changes.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn trim_if(&self, name: &OsStr, identity: (u64, u64)) -> Result<(), Error> {
        let failed =
            |error| Error::io("cannot give back the space", error).at_path(&self.path.join(name));
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(self.open_at(Path::new(name), flags, Mode::empty())?);
        let state = pwrite::state(&file).map_err(failed)?;
        if state.identity == identity { pwrite::trim(&file).map_err(failed) } else { Ok(()) }
    }

    /// Renames within the directory; `Ok(false)` if `to` exists. Never overwrites a file.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn rename_to_new(&self, from: &OsStr, to: &OsStr) -> Result<bool, Error> {
        match self.rename_no_replace(from, to) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io(format!("cannot rename to {}", to.display()), errno)
                .at_path(&self.path.join(from))),
        }
    }

    fn rename_no_replace(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        let handle = self.handle();
        let renamed = match self.has(Ability::NoReplace) {
            true => renameat_with(&*handle, from, &*handle, to, RenameFlags::NOREPLACE),
            false => Err(Errno::INVAL),
        };
        // For file systems without the flag: a link, too, fails if the name is taken.
        if renamed != Err(Errno::INVAL) {
            return renamed;
        }
        match self.link(from, to) {
            Err(errno) if is_without_links(errno) => {}
            Ok(()) => return unlinkat(&*handle, from, AtFlags::empty()),
            refused => return refused,
        }
        // A file system with neither leaves a moment between the look and the rename.
        match statat(&*handle, to, NO_LINKS) {
            Err(Errno::NOENT) => renameat(&*handle, from, &*handle, to),
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        }
    }

    fn has(&self, ability: Ability) -> bool {
        seams::has(&self.absolute, ability)
    }

    /// Makes a file without a name; `None` if the file system has no such files, or on any other failure.
    pub(super) fn make_unnamed(&self) -> Option<File> {
        if !self.has(Ability::Unnamed) {
            return None;
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
        let file = self.open_at(Path::new("."), flags, Mode::from_raw_mode(0o644));
        file.ok().map(File::from)
    }

    /// Gives a nameless file this name, if the name is free. Returns whether the file has the name now.
    pub(super) fn give_name(&self, file: &File, name: &OsStr) -> bool {
        self.link_unnamed(file, name).is_ok()
    }

    fn link_unnamed(&self, file: &File, name: &OsStr) -> Result<(), Errno> {
        let ours = format!("{OPEN_FILES}/{}", file.as_raw_fd());
        linkat(CWD, ours, &*self.handle(), name, AtFlags::SYMLINK_FOLLOW)
    }

    /// The same as [`make_unnamed`](Directory::make_unnamed), and `None` if the file could get no name later.
    #[cfg(feature = "zstd")]
    pub(crate) fn make_nameable(&self) -> Option<File> {
        self.make_unnamed().filter(|_| Path::new(OPEN_FILES).is_dir())
    }

    /// Gives a nameless file this name; `Ok(false)` if another file has the name.
    ///
    /// # Errors
    /// The system's errors, with the path.
    #[cfg(feature = "zstd")]
    pub(crate) fn name_unnamed(&self, file: &File, name: &OsStr) -> Result<bool, Error> {
        match self.link_unnamed(file, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => {
                Err(Error::io("cannot name the file", errno).at_path(&self.path.join(name)))
            }
        }
    }

    /// Gives a file a second name; `Ok(Some(false))` if `to` exists, `Ok(None)` if the file system has no links, or
    /// does not allow a link to this file.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn link_to_new(&self, from: &OsStr, to: &OsStr) -> Result<Option<bool>, Error> {
        match self.link(from, to) {
            Ok(()) => Ok(Some(true)),
            Err(Errno::EXIST) => Ok(Some(false)),
            Err(errno) if is_without_links(errno) => Ok(None),
            Err(errno) => Err(Error::io(format!("cannot link to {}", to.display()), errno)
                .at_path(&self.path.join(from))),
        }
    }

    /// Exchanges the files of two names in one step; `Ok(false)` if the file system cannot.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn exchange(&self, one: &OsStr, other: &OsStr) -> Result<bool, Error> {
        seams::reach(Moment::BeforeExchange, &self.absolute);
        if !self.has(Ability::Exchange) {
            return Ok(false);
        }
        match renameat_with(&*self.handle(), one, &*self.handle(), other, RenameFlags::EXCHANGE) {
            Ok(()) => {
                seams::reach(Moment::AfterExchange, &self.absolute);
                Ok(true)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => {
                let what = format!("cannot exchange with {}", other.display());
                Err(Error::io(what, errno).at_path(&self.path.join(one)))
            }
        }
    }

    /// Renames within the directory and replaces the file `to`. Allowed only if that file has another name or is
    /// provably ours to remove.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn rename_over(&self, from: &OsStr, to: &OsStr) -> Result<(), Error> {
        renameat(&*self.handle(), from, &*self.handle(), to).map_err(|errno| {
            Error::io(format!("cannot rename to {}", to.display()), errno)
                .at_path(&self.path.join(from))
        })
    }

    fn link(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        if !self.has(Ability::Links) {
            return Err(Errno::PERM);
        }
        linkat(&*self.handle(), from, &*self.handle(), to, AtFlags::empty())
    }

    /// The device and inode of the file of this name; `None`: nothing has the name. A link is not followed.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn identity_of(&self, name: &OsStr) -> Result<Option<(u64, u64)>, Error> {
        match statat(&*self.handle(), name, NO_LINKS) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("cannot stat", errno).at_path(&self.path.join(name))),
        }
    }

    /// Removes a name if the name is still that of `file`, which is provably ours to remove.
    pub(crate) fn remove(&self, name: &OsStr, file: &File) {
        let (Ok(ours), Ok(named)) = (fstat(file), statat(&*self.handle(), name, NO_LINKS)) else {
            return;
        };
        if (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino) {
            // If the removal fails, an empty file stays, which harms nothing.
            let _ = unlinkat(&*self.handle(), name, AtFlags::empty());
        }
    }

    /// Makes created and renamed names durable (`fsync` of the directory).
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.handle()
            .sync_all()
            .map_err(|error| Error::io("cannot sync the directory", error).at_path(&self.path))
    }
}

/// Whether a link was refused because the file system has none, or does not allow a link to this file.
fn is_without_links(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
}

fn make_and_open(path: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(path)
        .map_err(|error| Error::io("cannot make the directory", error).at_path(path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, path, flags, Mode::empty())
        .and_then(above_standard)
        .map_err(|errno| Error::io("cannot open the directory", errno).at_path(path))?;
    Ok(File::from(opened))
}

fn regular(stat: &Stat) -> Option<FileState> {
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_regular.then(|| pwrite::state_of(stat))
}
