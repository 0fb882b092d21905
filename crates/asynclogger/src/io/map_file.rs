//! The files in which crash safety keeps memory: made with room for all of it or not at all, allocated part by part, and
//! locked by their owner.
//!
//! The lock is POSIX, as that of a log (`lock`): a forked child does not inherit it, and it ends with the process. Any
//! close of a file gives up the process's locks on that file, so a file that this process has locked is never opened
//! again ([`Locked`]).

use std::{
    ffi::OsString,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, Mode, OFlags, fallocate, memfd_create},
    io::Errno,
    process::geteuid,
};

use super::{
    Directory,
    descriptor::above_standard,
    limits::memory_left,
    map_room::{Promise, no_room},
    seams::{self, Ability},
    signals::without_limit_signal,
};
use crate::{
    Error, ErrorKind,
    locks::{Locked, is_held_elsewhere, lock_for_process},
    mem::{OfProcess, SharedMemory},
    sync::Arc,
};

/// The most bytes that one call allocates. A signal interrupts the call, and the kernel then takes back all that the call
/// has allocated.
const AT_ONCE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// The end of the names of these files.
const SUFFIX: &str = ".asynclogger-map";

/// A file that is locked by this process. A forked child leaves the file alone.
#[derive(Debug)]
pub(crate) struct MapFile(OfProcess<Held>);

#[derive(Debug)]
struct Held {
    file: File,
    directory: Directory,
    name: OsString,
    identity: (u64, u64),
    /// After `file`: the file is closed first.
    _locked: Locked,
    /// What this process has still to allocate; `None` for the file of a dead process.
    promise: Option<Arc<Promise>>,
}

/// A file of such a directory, as [`MapFile::open`] finds it.
pub(crate) enum Found {
    /// Its owner is dead, and this process has the lock now.
    Abandoned(MapFile),
    /// A process, perhaps this one, uses the file.
    InUse,
    /// The file is gone, or is none of the caller's user.
    NotOurs,
}

/// A directory for such files below a directory that all users share. Nobody else can read or replace a file there.
///
/// # Errors
/// [`ErrorKind::CrashMap`] if the directory belongs to somebody else, or is open to others; the system's errors.
pub(crate) fn private_directory(shared: &Path) -> Result<PathBuf, Error> {
    let user = geteuid().as_raw();
    let path = shared.join(format!("asynclogger-{user}"));
    match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::io("cannot make the directory", errno).at_path(&path)),
    }
    let found = path.symlink_metadata();
    let found = found.map_err(|error| Error::io("cannot stat", error).at_path(&path))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        let what = "this is not a directory that only the user of this process can use";
        return Err(Error::new(ErrorKind::CrashMap, what).at_path(&path));
    }
    Ok(path)
}

impl MapFile {
    /// Makes and locks a file of `len` bytes under this name that begins with `head`, and allocates these `parts`. The
    /// file has its name only when that is done.
    ///
    /// # Errors
    /// [`ErrorKind::CrashMap`] if there is no room for all of the bytes, with the remedy; the system's errors.
    pub(crate) fn create(
        directory: Directory,
        stem: &str,
        head: &[u8],
        len: u64,
        parts: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<MapFile, Error> {
        let name = OsString::from(format!("{stem}{SUFFIX}"));
        let path = directory.path().join(&name);
        let failed =
            |what: &str, error: io::Error| Error::io(what.to_owned(), error).at_path(&path);
        let file = make(&directory, &path)?;
        let promise = Promise::make(&file, len).map_err(|error| error.at_path(&path))?;
        // The full length from the beginning on: no later part makes the file longer, and meets the limit of a length.
        without_limit_signal(|| file.set_len(len)).map_err(|error| failed("cannot make", error))?;
        for part in parts {
            promise.keep(part.end - part.start);
            allocate(&file, part).map_err(|error| {
                if Errno::from_io_error(&error) == Some(Errno::NOSPC) {
                    no_room(len, "the file system has no more").at_path(&path)
                } else {
                    failed("cannot allocate", error)
                }
            })?;
        }
        file.write_all_at(head, 0).map_err(|error| failed("cannot write", error))?;
        let state = file.metadata().map_err(|error| failed("cannot stat", error))?;
        let identity = (state.dev(), state.ino());
        let locked = Locked::enter_new(identity);
        // First entered, then locked, then named: nobody can open the file before.
        let promise = Some(promise);
        let held = Held { file, directory, name, identity, _locked: locked, promise };
        let held = MapFile(OfProcess::new(held));
        let Some(Held { file, directory, name, .. }) = held.0.get() else {
            return Err(Error::new(ErrorKind::Forked, "this is another process").at_path(&path));
        };
        // Nobody else can have the lock yet.
        lock_for_process(file).map_err(|error| failed("cannot lock", error))?;
        if !directory.give_name(file, name) {
            return Err(failed("cannot give the file its name", Errno::EXIST.into()));
        }
        Ok(held)
    }

    /// The names of such files in a directory.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn names(directory: &Directory) -> Result<Vec<OsString>, Error> {
        let mut names =
            directory.names(|name| name.as_encoded_bytes().ends_with(SUFFIX.as_bytes()))?;
        names.sort();
        Ok(names)
    }

    /// The first `len` bytes of the file at this path, or all; `None`: it is gone, belongs to another user, or is held
    /// by this process, whose lock a look would end.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn peek(path: &Path, len: usize) -> Result<Option<Vec<u8>>, Error> {
        let directory = Directory::open_or_create(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        let Some((file, state)) = directory.open_regular(name)? else { return Ok(None) };
        if file.metadata().map_or(true, |found| found.uid() != geteuid().as_raw()) {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(state.len).unwrap_or(len).min(len)];
        let read = file.read_exact_at(&mut bytes, 0);
        read.map_err(|error| Error::io("cannot read", error).at_path(path))?;
        Ok(Some(bytes))
    }

    /// Opens and locks the file of this name, if its owner is dead.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn open(path: &Path) -> Result<Found, Error> {
        MapFile::find(path, |file| {
            let is_locked = lock_for_process(file);
            let is_locked = is_locked.map_err(|error| Error::io("cannot lock", error))?;
            Ok(is_locked.then_some(None))
        })
    }

    /// A copy of the file of this name in memory, if its owner is dead. Takes no lock: whoever opens the log meanwhile is
    /// not refused.
    ///
    /// # Errors
    /// [`ErrorKind::CrashMap`] if there is no memory for the copy; the system's errors.
    pub(crate) fn copy(path: &Path) -> Result<Found, Error> {
        MapFile::find(path, |file| {
            let is_held = || {
                let failed = |error| Error::io("cannot look at the lock", error);
                is_held_elsewhere(file).map_err(failed)
            };
            if is_held()? {
                return Ok(None);
            }
            let copy = copy_of(file)?;
            // Else it may be half of one state and half of another.
            Ok((!is_held()?).then_some(Some(copy)))
        })
    }

    /// Opens the file of this name. `get` locks the file, or copies it; `None`: a process uses the file.
    fn find(
        path: &Path,
        get: impl FnOnce(&File) -> Result<Option<Option<File>>, Error>,
    ) -> Result<Found, Error> {
        let directory = Directory::open_or_create(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let Some(state) = directory.look_at(&name)? else {
            return Ok(Found::NotOurs);
        };
        if Locked::has(state.identity) {
            return Ok(Found::InUse);
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = directory.open_at(Path::new(&name), flags, Mode::empty());
        let file = match opened {
            // Another thread has locked the file since the look.
            Err(_) if Locked::has(state.identity) => return Ok(Found::InUse),
            opened => File::from(opened?),
        };
        let found = file.metadata();
        let found = found.map_err(|error| Error::io("cannot stat", error).at_path(path))?;
        let identity = (found.dev(), found.ino());
        if identity != state.identity || found.uid() != geteuid().as_raw() {
            return Ok(Found::NotOurs);
        }
        let Some(locked) = Locked::enter(identity) else {
            // Another thread was first. To close the file would give up its lock.
            std::mem::forget(file);
            return Ok(Found::InUse);
        };
        // Dropped in the other order: the file is closed first.
        let (mut locked, mut file) = (locked, file);
        let Some(copy) = get(&file).map_err(|error| error.at_path(path))? else {
            return Ok(Found::InUse);
        };
        // Another process may have salvaged and removed the file since the look.
        if directory.identity_of(&name)? != Some(identity) {
            return Ok(Found::NotOurs);
        }
        let mut identity = identity;
        if let Some(copy) = copy {
            let found = copy.metadata();
            let found = found.map_err(|error| Error::io("cannot stat", error).at_path(path))?;
            identity = (found.dev(), found.ino());
            drop(std::mem::replace(&mut file, copy));
            locked = Locked::enter_new(identity);
        }
        let held = Held { file, directory, name, identity, _locked: locked, promise: None };
        Ok(Found::Abandoned(MapFile(OfProcess::new(held))))
    }

    /// The open file; `None` in a forked child.
    pub(crate) fn file(&self) -> Option<&File> {
        self.0.get().map(|held| &held.file)
    }

    /// Allocates a range of whole pages. Pages that the file has stay as they are. The call takes no lock of this process
    /// and no memory, so a signal handler can make it.
    ///
    /// # Errors
    /// The system's errors; `EBADF` in a forked child.
    pub(crate) fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let Some(Held { file, directory, .. }) = self.0.get() else {
            return Err(Errno::BADF.into());
        };
        if !seams::has(directory.path(), Ability::Room) {
            return Err(Errno::NOSPC.into());
        }
        allocate(file, range)
    }

    /// Notes that so many bytes more are allocated.
    pub(crate) fn note_allocated(&self, bytes: u64) {
        if let Some(promise) = self.0.get().and_then(|held| held.promise.as_ref()) {
            promise.keep(bytes);
        }
    }

    /// What it means that a part of the file could not be allocated, with the remedy.
    pub(crate) fn lacks_room(&self, error: &io::Error) -> Error {
        let promise = self.0.get().and_then(|held| held.promise.as_ref());
        let left = promise.map_or(0, |promise| promise.left());
        let why = format!("{error}: until there is more room, records have so much less");
        let error = no_room(left, &why);
        self.path().map_or(error.clone(), |path| error.at_path(&path))
    }

    /// Maps `len` bytes of the file from byte `offset` on; the first `words` bytes are words.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(crate) fn map(
        &self,
        offset: u64,
        words: u64,
        len: u64,
        align: usize,
    ) -> Result<SharedMemory, Error> {
        let mapped = match (self.file(), usize::try_from(words), usize::try_from(len)) {
            (Some(file), Ok(words), Ok(len)) => SharedMemory::map(file, offset, words, len, align),
            _ => Err(Errno::NOMEM),
        };
        mapped.map_err(|errno| {
            let error = Error::io("cannot map", errno);
            self.path().map_or(error.clone(), |path| error.at_path(&path))
        })
    }

    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.0.get().map(|held| held.directory.path().join(&held.name))
    }

    /// Removes the file's name: its content is not needed any more.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let Some(Held { directory, name, identity, .. }) = self.0.get() else {
            return Ok(());
        };
        directory.remove_if(name, *identity).map(|_| ())
    }
}

/// A new file without a name, for the user of this process alone.
fn make(directory: &Directory, path: &Path) -> Result<File, Error> {
    let file = directory.make_unnamed().ok_or_else(|| {
        let what = "this file system has no files without a name, or refuses to make one";
        Error::new(ErrorKind::CrashMap, what).at_path(path)
    })?;
    let set = file.set_permissions(std::fs::Permissions::from_mode(0o600));
    set.map_err(|error| Error::io("cannot set the permissions", error).at_path(path))?;
    Ok(file)
}

/// Allocates a range of whole pages.
fn allocate(file: &File, range: Range<u64>) -> io::Result<()> {
    let (mut at, mut most) = (range.start, AT_ONCE);
    while at < range.end {
        let len = most.min(range.end - at);
        match fallocate(file, FallocateFlags::empty(), at, len) {
            Ok(()) => at += len,
            // Shorter and shorter, so that a program with many signals comes to an end, too.
            Err(Errno::INTR) => most = (most / 2).max(PAGE),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A copy of a file, in memory.
fn copy_of(file: &File) -> Result<File, Error> {
    let failed = |error| Error::io("cannot copy", error);
    let len = file.metadata().map_err(failed)?.len();
    if memory_left().is_some_and(|left| left < len) {
        let what = format!("there is no memory for a copy of its {len} bytes");
        return Err(Error::new(ErrorKind::CrashMap, what));
    }
    let copy = memfd_create("asynclogger-map", MemfdFlags::CLOEXEC);
    let copy = File::from(copy.and_then(above_standard).map_err(|errno| failed(errno.into()))?);
    io::copy(&mut &*file, &mut &copy).map_err(failed)?;
    Ok(copy)
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::mem::in_forked_child;

    fn directory() -> (tempfile::TempDir, Directory) {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::open_or_create(temp.path()).expect("opened");
        (temp, directory)
    }

    #[test]
    fn a_file_is_its_owners_until_the_owner_is_dead() {
        let (temp, directory) = directory();
        let path = temp.path().join(format!("one{SUFFIX}"));
        let state = |path: &Path| path.metadata().expect("a file");
        in_forked_child(|| {
            let directory = Directory::open_or_create(temp.path()).expect("opened");
            let made = MapFile::create(directory, "one", b"head", 8192, std::iter::once(0..4096));
            let made = made.expect("made");
            made.allocate(4096..8192).expect("allocated");
            assert!(matches!(MapFile::open(&path), Ok(Found::InUse)));
            std::mem::forget(made);
            true
        });
        assert_eq!(MapFile::names(&directory).expect("names").len(), 1);
        assert_eq!((state(&path).len(), state(&path).mode() & 0o777), (8192, 0o600));
        assert!(state(&path).blocks() * 512 >= 8192, "it is allocated");
        let Ok(Found::Abandoned(ours)) = MapFile::open(&path) else {
            panic!("its owner is dead");
        };
        assert!(matches!(MapFile::open(&path), Ok(Found::InUse)));
        in_forked_child(|| {
            matches!(MapFile::open(&path), Ok(Found::InUse)) && ours.file().is_none()
        });
        ours.remove().expect("removed");
        assert!(matches!(MapFile::open(&path), Ok(Found::NotOurs)));
    }

    #[test]
    fn a_copy_is_taken_without_the_lock_and_is_nobodys() {
        let (temp, _directory) = directory();
        let path = temp.path().join(format!("one{SUFFIX}"));
        in_forked_child(|| {
            let directory = Directory::open_or_create(temp.path()).expect("opened");
            let made = MapFile::create(directory, "one", b"head", 8192, std::iter::once(0..8192));
            let made = made.expect("made");
            std::mem::forget(made);
            true
        });
        let Ok(Found::Abandoned(copy)) = MapFile::copy(&path) else {
            panic!("its owner is dead");
        };
        let mut bytes = vec![0; 8192];
        copy.file().expect("ours").read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(bytes, std::fs::read(&path).expect("the file"));
        // A successor is not refused meanwhile, in this process or another.
        in_forked_child(|| matches!(MapFile::open(&path), Ok(Found::Abandoned(_))));
        let Ok(Found::Abandoned(ours)) = MapFile::open(&path) else {
            panic!("nobody has the lock");
        };
        assert!(matches!(MapFile::copy(&path), Ok(Found::InUse)));
        in_forked_child(|| matches!(MapFile::copy(&path), Ok(Found::InUse)));
        copy.remove().expect("nothing to remove");
        assert!(path.exists());
        ours.remove().expect("removed");
        assert!(matches!(MapFile::copy(&path), Ok(Found::NotOurs)));
    }

    #[test]
    fn a_lack_of_room_is_an_error_with_its_remedy() {
        let (temp, directory) = directory();
        let error = MapFile::create(directory, "one", b"", 1 << 62, []).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::CrashMap);
        assert!(error.to_string().contains("--shm-size"), "{error}");
        assert_eq!(temp.path().read_dir().expect("a directory").count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_use_is_refused() {
        let (temp, _directory) = directory();
        let path = private_directory(temp.path()).expect("made");
        assert_eq!(private_directory(temp.path()).expect("found"), path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
        assert_eq!(private_directory(temp.path()).expect_err("open").kind(), ErrorKind::CrashMap);
        std::fs::remove_dir(&path).expect("removed");
        std::os::unix::fs::symlink(temp.path(), &path).expect("a link");
        assert_eq!(private_directory(temp.path()).expect_err("a link").kind(), ErrorKind::CrashMap);
    }
}
